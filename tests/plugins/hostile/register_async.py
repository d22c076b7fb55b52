"""A registration hook that is `async def`."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "async def"


class Hostile(Plugin):
    @hookimpl
    async def register_handlers(self, context):
        return []
