"""A filter that refuses for a time that is no number."""

from tornado_chat.plugin_api import Plugin, Unavailable, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        raise Unavailable("not_checked", retry_after="soon")
