"""A start that never ends."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

START = "failed in startup: no answer within 0.3 s, see `timeout` in [plugin:startup_hangs]"
OPTIONS = ("timeout=0.3",)


class Hostile(Plugin):
    @hookimpl
    async def startup(self, context):
        await asyncio.Event().wait()
