"""A filter that calls itself without end."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        return self.filter_message(draft)
