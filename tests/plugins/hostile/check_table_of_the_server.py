"""A table that the server has."""

import peewee

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = 'the server has a table "message" already'


class Message(peewee.Model):
    text = peewee.TextField()

    class Meta:
        table_name = "message"


class Hostile(Plugin):
    @hookimpl
    def register_models(self):
        return [Message]
