"""A page that refuses with a code that has no text."""

import tornado.web

from tornado_chat.plugin_api import Forbidden, Plugin, hookimpl

HOOK = "an HTTP handler"
KIND = "error"
PAGE_STATUS = 500
LOG = ("Uncaught exception GET /hostile", "500 GET /hostile")


class Page(tornado.web.RequestHandler):
    def get(self):
        raise Forbidden("no_such_code")


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        return [("/hostile", Page)]
