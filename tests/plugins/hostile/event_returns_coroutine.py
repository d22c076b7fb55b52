"""An event that is `def` and returns a coroutine, which a thread cannot await."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "message_posted"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def message_posted(self, message):
        return self.later(message)

    async def later(self, message):
        raise AssertionError("never called")
