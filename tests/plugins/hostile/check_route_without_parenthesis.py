"""A route with a pattern that is no regular expression."""

import tornado.web

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = 'the pattern "/shop/([0-9]+" is no regular expression'


class Page(tornado.web.RequestHandler):
    def get(self):
        self.write("hello")


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        return [("/shop/([0-9]+", Page)]
