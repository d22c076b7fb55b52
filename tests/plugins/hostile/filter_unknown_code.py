"""A filter that refuses with a code that has no text."""

from tornado_chat.plugin_api import Forbidden, Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        raise Forbidden("no_such_code")
