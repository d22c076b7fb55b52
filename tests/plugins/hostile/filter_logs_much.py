"""A filter that writes a thousand lines for each message."""

import logging

from tornado_chat.plugin_api import Plugin, hookimpl

LOG = ("a line of a plugin",)


log = logging.getLogger(__name__)


class Hostile(Plugin):
    @hookimpl
    def filter_message(self, draft):
        for _ in range(1000):
            log.warning("a line of a plugin: %s", "x" * 100)
