"""An event that raises."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "message_posted"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    async def message_posted(self, message):
        raise ValueError(message.text)
