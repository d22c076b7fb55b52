"""A filter that raises CancelledError while it is awaited."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    async def filter_message(self, draft):
        raise asyncio.CancelledError
