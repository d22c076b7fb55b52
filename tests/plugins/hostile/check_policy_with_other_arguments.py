"""A queue policy with other arguments."""

from tornado_chat.plugin_api import Plugin, hookimpl

CHECK = "Policy.choose takes other arguments"


class Policy:
    def rank(self, ticket):
        return (ticket.number,)

    def choose(self, ticket):
        return None


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return Policy()
