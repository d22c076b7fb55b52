"""A filter that refuses with a code whose details are missing."""

from tornado_chat.plugin_api import NotFound, Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        raise NotFound("no_such_session")
