"""What can be measured of an installation."""

from collections.abc import Iterator, Mapping
from importlib import import_module

JOBS: Mapping[str, str] = {
    "relay": "relay.lines",
    "latency": "relay.half_load",
    "growth": "relay.growth",
    "fanout": "fanout.lines",
    "notifications": "fanout.notifications",
    "connects": "connections.connects",
    "idle": "connections.idle",
    "storm": "connections.storm",
    "history": "connections.history",
    "queue": "queue.lines",
    "start": "process.start",
    "pauses": "process.pauses",
}
"""By name: the module and the function that measures it."""


def lines(name: str, rounds: int, **more: str) -> Iterator[str]:
    """The lines of the job's table, of so many alternating rounds.

    :arg more: ``storage`` for relay, the url of a database to measure beside SQLite.
    """
    module, _, function = JOBS[name].partition(".")
    found: Iterator[str] = getattr(import_module(f"tornado_chat.bench.{module}"), function)(rounds, **more)
    return found
