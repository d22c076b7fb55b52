"""An event that exits in the thread of the plugin."""

import sys

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "message_posted"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def message_posted(self, message):
        sys.exit(3)
