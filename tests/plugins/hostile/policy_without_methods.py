"""A queue policy without methods."""

from tornado_chat.plugin_api import Plugin, hookimpl

START = "object has no method rank(ticket)"
CHECK = "object has no method rank(ticket)"


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return object()
