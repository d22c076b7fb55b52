"""A registration that exits."""

import sys

from tornado_chat.plugin_api import Plugin, hookimpl

START = "register_keeper"
CHECK = "register_keeper"


class Hostile(Plugin):
    @hookimpl
    def register_keeper(self, state_dir):
        sys.exit(3)
