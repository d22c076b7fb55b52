"""A filter that raises an error of its own that is no Exception."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Own(BaseException):
    pass


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        raise Own
