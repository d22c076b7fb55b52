"""A hook that is marked for another project."""

import pluggy

from tornado_chat.plugin_api import Plugin

CHECK = 'marked with the hookimpl of the project "datasette"'


other_project = pluggy.HookimplMarker("datasette")


class Hostile(Plugin):
    @other_project
    def filter_message(self, draft):
        return draft
