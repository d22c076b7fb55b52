"""A filter that leaves a callback to the loop, which raises."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "a background task"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
