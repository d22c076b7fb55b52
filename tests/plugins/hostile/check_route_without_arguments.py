"""A route without the arguments that its handler needs."""

import tornado.web

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "the initialize of Page does not take the arguments"


class Page(tornado.web.RequestHandler):
    def initialize(self, context):
        self.context = context


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        return [("/shop", Page)]
