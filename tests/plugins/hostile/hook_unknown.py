"""A hook that does not exist."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = 'there is no hook "filter_mesage"; did you mean "filter_message"?'


class Hostile(Plugin):
    @hookimpl
    def filter_mesage(self, draft):
        return draft
