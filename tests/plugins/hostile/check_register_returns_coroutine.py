"""A registration that returns what another method has not awaited."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "returned an awaitable"


class Hostile(Plugin):
    async def _find_tables(self):
        return []

    @hookimpl
    def register_models(self):
        return self._find_tables()
