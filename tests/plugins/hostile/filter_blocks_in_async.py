"""A filter that blocks the loop although it is `async def`."""

import time

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "slow"


class Hostile(Plugin):
    @hookimpl
    async def filter_message(self, draft):
        time.sleep(0.26)  # noqa: ASYNC251
