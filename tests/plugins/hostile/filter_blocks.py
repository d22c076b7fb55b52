"""A filter that blocks the loop."""

import time

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "slow"


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        time.sleep(0.11)
