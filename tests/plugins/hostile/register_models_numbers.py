"""Tables that are numbers."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "register_models"


class Hostile(Plugin):
    @hookimpl
    def register_models(self):
        return [1, 2]
