"""A filter that is `def` and returns a coroutine."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        return self.later(draft)

    async def later(self, draft):
        return draft
