"""A module that raises."""

from tornado_chat.plugin_api import Plugin

CHECK = "this plugin cannot be imported: ZeroDivisionError"


NUMBER = 1 / 0


class Hostile(Plugin):
    version = "1"
