"""A filter that reads a property which raises."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Words:
    @property
    def greeting(self):
        raise RuntimeError("no greeting today")


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        return draft.replace(Words().greeting)
