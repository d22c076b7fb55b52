"""A filter that raises CancelledError on the loop."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        raise asyncio.CancelledError
