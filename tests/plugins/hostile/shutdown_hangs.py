"""An end that never ends."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

LOG = ("plugin shutdown_hangs did not answer in time in shutdown: no answer within 0.3 s, see `timeout`",)
OPTIONS = ("timeout=0.3",)


class Hostile(Plugin):
    @hookimpl
    async def shutdown(self):
        await asyncio.Event().wait()
