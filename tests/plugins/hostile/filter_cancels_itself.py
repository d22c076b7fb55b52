"""A filter that cancels its own task."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    async def filter_message(self, draft):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
