"""A registration that writes to the database."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "a hook that registers only keeps the context"


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        context.write(lambda tx: None)
        return []
