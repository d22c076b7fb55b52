"""An end that exits."""

import sys

from tornado_chat.plugin_api import Plugin, hookimpl

LOG = ("plugin shutdown_exits failed in shutdown: SystemExit",)


class Hostile(Plugin):
    @hookimpl
    def shutdown(self):
        sys.exit(3)
