"""A hook without `self`."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "does not take self"


class Hostile(Plugin):
    @hookimpl
    def filter_message(draft):  # noqa: N805
        return draft.replace(draft.text)
