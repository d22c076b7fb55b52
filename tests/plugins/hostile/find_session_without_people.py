"""A lookup that returns a session without people."""

from tornado_chat.plugin_api import HostSession, Plugin, hookimpl

HOOK = "find_session"
KIND = "error"
SESSION_CLOSE = 1013


class Hostile(Plugin):
    @hookimpl
    def find_session(self, session_id):
        return HostSession(None, None)
