"""A queue policy whose rank is a number."""

from tornado_chat.plugin_api import Choice, Plugin, hookimpl

HOOK = "queue policy rank"
KIND = "error"


class Policy:
    def rank(self, ticket):
        return 7

    def choose(self, ticket, pool):
        return Choice(pool.least_loaded().person, "the first one")


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return Policy()
