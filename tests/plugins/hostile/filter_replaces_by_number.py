"""A filter that replaces a text by a number."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"
IS_BOOM_REFUSED = True


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        return draft.replace(7) if draft.text == "boom" else draft
