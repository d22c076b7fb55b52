"""A file for an earlier version, which imports the server's tables."""

from tornado_chat.plugin_api import Plugin, models

CHECK = "the server's tables are no longer part of the plugin API"
CHECKED_AT_REGISTRATION = True


class Hostile(Plugin):
    table = models.Message
