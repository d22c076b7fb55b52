"""A background task that raises CancelledError."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "a background task"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    async def startup(self, context):
        context.spawn(self.work())

    async def work(self):
        raise asyncio.CancelledError
