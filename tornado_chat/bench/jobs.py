"""The benchmark jobs of ``tornado-chat bench``."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

JOBS: Mapping[str, str] = {
    "relay": "relay.measure",
    "latency": "relay.half_load",
    "growth": "relay.growth",
    "fanout": "fanout.measure",
    "notifications": "fanout.notifications",
    "connects": "connections.connects",
    "idle": "connections.idle",
    "storm": "connections.storm",
    "history": "connections.history",
    "queue": "queue.measure",
    "start": "process.start",
    "pauses": "process.pauses",
}
"""The module and the function of each job, by its name."""


def run_job(name: str, rounds: int, **more: str) -> Iterator[str]:
    """Run a job in alternating rounds, and yield the lines of its table.

    :arg more: for relay ``storage``, the URL of a database to measure besides SQLite.
    """
    module, _, function = JOBS[name].partition(".")
    measure: Callable[..., Iterator[str]] = getattr(import_module(f"tornado_chat.bench.{module}"), function)
    return measure(rounds, **more)
