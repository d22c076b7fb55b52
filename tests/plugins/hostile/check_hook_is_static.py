"""A hook that is a static method."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "remove @staticmethod"


class Hostile(Plugin):
    @staticmethod
    @hookimpl
    def filter_message(draft):
        return draft
