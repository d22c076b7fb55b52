"""A module that exits."""

import sys

from tornado_chat.plugin_api import Plugin

CHECK = "SystemExit"


sys.exit(3)


class Hostile(Plugin):
    version = "1"
