"""A filter that exits after it has awaited something."""

import asyncio
import sys

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    async def filter_message(self, draft):
        await asyncio.sleep(0)
        sys.exit(3)
