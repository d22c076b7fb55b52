"""A hook with an argument that does not exist."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "text"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, text):
        return text
