"""A permission that is an empty list."""

from tornado_chat.plugin_api import Action, Plugin, hookimpl

HOOK = "authorize"
KIND = "error"
OBSERVER_CLOSE = 4403


class Hostile(Plugin):
    @hookimpl
    def authorize(self, identity, action, thread):
        return [] if action is Action.OBSERVE else None
