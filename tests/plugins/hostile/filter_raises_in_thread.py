"""A filter that starts threads which raise."""

import threading

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "a thread"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        raise ValueError
