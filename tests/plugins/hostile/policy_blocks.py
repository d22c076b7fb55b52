"""A queue policy that blocks the loop."""

import time

from tornado_chat.plugin_api import Choice, Plugin, hookimpl

HOOK = "queue policy choose"
KIND = "slow"


class Policy:
    def rank(self, ticket):
        return (ticket.number,)

    def choose(self, ticket, pool):
        time.sleep(1.1)
        return Choice(pool.least_loaded().person, "the first one")


class Hostile(Plugin):
    @hookimpl
    def register_queue_policy(self):
        return Policy()
