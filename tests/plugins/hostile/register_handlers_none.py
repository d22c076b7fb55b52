"""A registration hook that returns nothing."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "register_handlers"


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        pass
