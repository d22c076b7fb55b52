"""A route to a function."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "no class that extends tornado.web.RequestHandler"


def page(request):
    return "hello"


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        return [("/shop", page)]
