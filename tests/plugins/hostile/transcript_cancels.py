"""A check of a transcript that raises CancelledError."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "transcript_requested"
KIND = "error"
TRANSCRIPT_STATUS = 503


class Hostile(Plugin):
    @hookimpl
    async def transcript_requested(self, how):
        if how == "messages":
            raise asyncio.CancelledError
