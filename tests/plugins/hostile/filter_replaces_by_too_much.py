"""A filter that replaces a text by a text longer than a frame may be."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"
IS_BOOM_REFUSED = True


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        return draft.replace("x" * 1_000_000) if draft.text == "boom" else draft
