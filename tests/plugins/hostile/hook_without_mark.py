"""A hook without `@hookimpl`."""

from tornado_chat.plugin_api import Plugin

CHECK = "filter_message"


class Hostile(Plugin):
    def filter_message(self, draft):
        return draft
