"""A queue policy that raises for users whose token has no language."""

from tornado_chat.plugin_api import Choice, Plugin, hookimpl

HOOK = "queue policy rank"
KIND = "error"


class Policy:
    def rank(self, ticket):
        return (not ticket.claims["language"].startswith("en"), ticket.number)

    def choose(self, ticket, pool):
        return Choice(pool.least_loaded().person, "the first one")


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return Policy()
