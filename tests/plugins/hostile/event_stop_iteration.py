"""An event that raises StopIteration in the thread of the plugin."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "message_posted"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def message_posted(self, message):
        next(iter(()))
