"""A filter that raises StopIteration."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        raise StopIteration
