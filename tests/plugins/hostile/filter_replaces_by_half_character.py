"""A filter that replaces a text by half of an emoji."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"
IS_BOOM_REFUSED = True


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        return draft.replace("\ud83d") if draft.text == "boom" else draft
