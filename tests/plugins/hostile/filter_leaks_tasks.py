"""A filter that starts tasks which raise."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "a background task"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        asyncio.get_running_loop().create_task(self.later())

    async def later(self):
        raise ValueError
