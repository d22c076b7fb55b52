"""An authentication that returns an identity without a person."""

from tornado_chat.plugin_api import Identity, Plugin, hookimpl

HOOK = "authenticate"
KIND = "error"
TOKEN_CLOSE = 4401


class Hostile(Plugin):
    @hookimpl
    def authenticate(self, token):
        return Identity(None) if token == "magic" else None
