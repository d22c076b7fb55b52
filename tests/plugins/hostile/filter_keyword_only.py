"""A hook whose argument has to be named."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "comes after *"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, *, draft):
        return draft
