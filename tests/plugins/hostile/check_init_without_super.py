"""A constructor that keeps no settings."""

from tornado_chat.plugin_api import Plugin

CHECK = "does not call super().__init__(settings)"


class Hostile(Plugin):
    def __init__(self, settings):
        self.words = ["spam"]
