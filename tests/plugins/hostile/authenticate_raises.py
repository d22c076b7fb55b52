"""An authentication that raises for a token."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "authenticate"
KIND = "error"
TOKEN_CLOSE = 1013


class Hostile(Plugin):
    @hookimpl
    def authenticate(self, token):
        return {}[token] if token == "magic" else None
