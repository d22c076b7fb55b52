"""A check of the settings that fails."""

from tornado_chat.plugin_api import Plugin

CHECK = "KeyError"


class Hostile(Plugin):
    @classmethod
    def check(cls, settings):
        raise KeyError("no such key")
