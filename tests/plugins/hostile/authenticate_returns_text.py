"""An authentication that returns a text for a token."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "authenticate"
KIND = "error"
TOKEN_CLOSE = 4401


class Hostile(Plugin):
    @hookimpl
    async def authenticate(self, token):
        return "user:7" if token == "magic" else None
