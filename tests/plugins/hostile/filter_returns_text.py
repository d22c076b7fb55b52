"""A filter that returns a text instead of a draft."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        return draft.text
