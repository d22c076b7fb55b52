"""A queue policy that is a class and no object."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "return an object of it: Policy()"


class Policy:
    def rank(self, ticket):
        return (ticket.number,)

    def choose(self, ticket, pool):
        return None


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return Policy
