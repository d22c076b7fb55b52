"""A hook that takes all arguments by name."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "so **arguments gets none"


class Hostile(Plugin):
    @hookimpl
    def message_posted(self, **arguments):
        arguments["message"].text.upper()
