"""A filter that never answers, and ignores that it is cancelled."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "timeout"
OPTIONS = ("timeout=0.05",)
LOG = ("Task was destroyed but it is pending",)


class Hostile(Plugin):
    @hookimpl
    async def filter_message(self, draft):
        while True:
            try:  # noqa: SIM105 - as authors write it
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
