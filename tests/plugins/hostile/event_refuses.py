"""An event that refuses what has happened."""

from tornado_chat.plugin_api import Plugin, Refused, hookimpl

HOOK = "participant_joined"
KIND = "error"


class Hostile(Plugin):
    @hookimpl
    def participant_joined(self, thread, identity):
        raise Refused("nobody may join")
