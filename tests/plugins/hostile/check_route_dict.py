"""Routes that are a dict."""

import tornado.web

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "return a list, such as"


class Page(tornado.web.RequestHandler):
    def get(self):
        self.write("hello")


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        return {"/shop": Page}
