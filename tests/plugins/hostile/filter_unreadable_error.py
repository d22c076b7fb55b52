"""A filter that raises an error whose texts cannot be read."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Unreadable(ValueError):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__

    @property
    def code_for_log(self):
        raise RuntimeError("no code")


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        raise Unreadable
