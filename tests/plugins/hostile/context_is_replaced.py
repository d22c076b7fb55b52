"""A plugin that replaces the methods of its context."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "session_started"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    async def startup(self, context):
        self.context = context
        context.stop = context.notify = None

    @hookimpl
    async def session_started(self, room):
        await self.context.notify(room.helper, "hello")
