"""A lookup that returns a dictionary."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "find_session"
KIND = "error"
SESSION_CLOSE = 1013


class Hostile(Plugin):
    @hookimpl
    def find_session(self, session_id):
        return {"user_id": 1, "consultant_id": 2}
