"""A route that the server has."""

import tornado.web

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = 'the server has the route "/room" itself'


class Page(tornado.web.RequestHandler):
    def get(self):
        self.write("hello")


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        return [("/room", Page)]
