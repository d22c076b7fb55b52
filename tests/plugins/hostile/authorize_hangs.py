"""A permission that is never decided."""

import asyncio

from tornado_chat.plugin_api import Action, Plugin, hookimpl

HOOK = "authorize"
KIND = "timeout"
OBSERVER_CLOSE = 1013
OPTIONS = ("timeout=0.2",)


class Hostile(Plugin):
    @hookimpl
    async def authorize(self, identity, action, thread):
        if action is Action.OBSERVE:
            await asyncio.Event().wait()
