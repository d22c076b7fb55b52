"""An event that waits for ever in the thread of the plugin."""

import threading

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "message_posted"
KIND = "timeout"
OPTIONS = ("timeout=0.05",)


class Hostile(Plugin):
    @hookimpl
    def message_posted(self, message):
        threading.Event().wait()
