"""A queue policy that raises CancelledError."""

import asyncio

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "queue policy choose"
KIND = "error"


class Policy:
    def rank(self, ticket):
        return (ticket.number,)

    def choose(self, ticket, pool):
        raise asyncio.CancelledError


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return Policy()
