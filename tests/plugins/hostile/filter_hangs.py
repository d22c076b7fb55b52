"""A filter that never answers."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "timeout"
OPTIONS = ("timeout=0.05",)


class Hostile(Plugin):
    @hookimpl
    async def filter_message(self, draft):
        await asyncio.Event().wait()
