"""A page that exits."""

import sys

import tornado.web

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "an HTTP handler"
KIND = "error"
PAGE_STATUS = 500
LOG = ("500 GET /hostile",)


class Page(tornado.web.RequestHandler):
    def get(self):
        sys.exit(3)


class Hostile(Plugin):
    @hookimpl
    def register_handlers(self, context):
        return [("/hostile", Page)]
