"""A queue policy that chooses a waiter who is not there."""

from tornado_chat.plugin_api import Choice, Person, Plugin, Role, hookimpl

HOOK = "queue policy choose"
KIND = "error"


class Policy:
    def rank(self, ticket):
        return (ticket.number,)

    def choose(self, ticket, pool):
        return Choice(Person(Role.WAITER, "absent"), "the best one")


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return Policy()
