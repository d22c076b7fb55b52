"""A filter that is an asynchronous generator."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "has a `yield`"


class Hostile(Plugin):
    @hookimpl
    async def filter_message(self, draft):
        yield draft
