"""A hook whose argument has a default."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = 'the argument "message" has a default'


class Hostile(Plugin):
    @hookimpl
    def message_posted(self, message=None):
        message.text.upper()
