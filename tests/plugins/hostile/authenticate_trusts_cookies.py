"""An authentication by the request that takes for granted that every request has the cookie of the host."""

from tornado_chat.plugin_api import Identity, Person, Plugin, Role, hookimpl

HOOK = "authenticate"
KIND = "error"
TOKEN_CLOSE = 1013


class Hostile(Plugin):
    @hookimpl
    def authenticate(self, token, request):
        if token not in (None, "magic"):
            return None
        return Identity(Person(Role.USER, request.cookies["host"]))
