"""A route that matches every address."""

import tornado.web

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = 'the route "/(.*)" matches /chat too'


class Page(tornado.web.RequestHandler):
    def get(self, path):
        self.write("hello")


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        return [("/(.*)", Page)]
