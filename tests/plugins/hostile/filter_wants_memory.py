"""A filter that asks for more memory than any machine has."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        bytearray(10**15)
