"""A queue policy that changes the pool."""

from tornado_chat.plugin_api import Plugin, hookimpl

HOOK = "queue policy choose"
KIND = "error"


class Policy:
    def rank(self, ticket):
        return (ticket.number,)

    def choose(self, ticket, pool):
        pool.remove(pool.least_loaded().person)


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return Policy()
