"""A start that raises CancelledError."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

START = "failed in startup: CancelledError()"


class Hostile(Plugin):
    @hookimpl
    def startup(self, context):
        raise asyncio.CancelledError
