"""A background task that exits."""

import sys

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "a background task"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    async def startup(self, context):
        context.spawn(self.work())

    async def work(self):
        sys.exit(3)
