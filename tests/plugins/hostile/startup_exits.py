"""A start that exits."""

import sys

from tornado_chat.plugin_api import Plugin, hookimpl

START = "failed in startup: SystemExit(3)"


class Hostile(Plugin):
    @hookimpl
    async def startup(self, context):
        sys.exit(3)
