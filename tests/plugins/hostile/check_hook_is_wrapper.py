"""A hook that wraps the hooks of other plugins."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "wrappers of hooks are not called"


class Hostile(Plugin):
    @hookimpl(wrapper=True)
    def filter_message(self, draft):
        return (yield)
