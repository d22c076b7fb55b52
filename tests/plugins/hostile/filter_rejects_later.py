"""A filter that is cancelled for a text, and has `on_error = reject`."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "filter_message"
KIND = "error"
OPTIONS = ("on_error=reject",)
IS_BOOM_REFUSED = True


class Hostile(Plugin):
    @hookimpl
    async def filter_message(self, draft):
        if draft.text == "boom":
            raise asyncio.CancelledError
