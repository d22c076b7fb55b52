"""A filter that raises GeneratorExit."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    async def filter_message(self, draft):
        raise GeneratorExit
