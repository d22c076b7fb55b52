"""A filter that stops the event loop."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

LOG = ("the event loop was stopped",)


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        asyncio.get_running_loop().stop()
