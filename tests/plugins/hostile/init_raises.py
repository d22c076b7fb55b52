"""A plugin that cannot be created."""

from tornado_chat.plugin_api import Plugin

CHECK = "this plugin cannot be created: ValueError"


class Hostile(Plugin):
    def __init__(self, settings):
        raise ValueError("no")
