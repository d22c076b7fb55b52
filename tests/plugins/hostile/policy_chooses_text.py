"""A queue policy that chooses a text."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "queue policy choose"
KIND = "error"


class Policy:
    def rank(self, ticket):
        return (ticket.number,)

    def choose(self, ticket, pool):
        return "the best one"


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return Policy()
