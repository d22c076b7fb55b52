"""The memory that the dispatcher needs for each person."""

import asyncio
import tracemalloc
from dataclasses import dataclass
from random import Random

from scripts.simulation.clock import VirtualLoop
from scripts.simulation.conversations import InMemoryConversations
from tornado_chat import config
from tornado_chat.cluster.facts import WaiterPresence, always_certain
from tornado_chat.core.types import Person, Role
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.observability.metrics import Histogram
from tornado_chat.services.support.dispatcher import Dispatcher

PEOPLE_COUNT = 5_000


@dataclass(frozen=True)
class MemoryFootprint:
    """Bytes of the coordinator for each waiting user and for each waiter, without sockets."""

    user: float
    waiter: float


def footprint() -> MemoryFootprint:
    """Measure the allocations; the result is the same on every machine with the same Python."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_footprint())


async def _footprint() -> MemoryFootprint:
    loop = asyncio.get_running_loop()
    store = InMemoryConversations(lambda event: None, loop, loop.time, Random(1))  # noqa: S311 - unused
    dispatcher = Dispatcher(
        config.Support(),
        store,
        loop,
        lambda event: None,
        FifoLeastLoaded(),
        Histogram(()),
        is_certain=always_certain,
        clock=loop.time,
    )
    await dispatcher.begin()
    tracemalloc.start()
    try:
        empty = tracemalloc.get_traced_memory()[0]
        for number in range(PEOPLE_COUNT):
            person = Person(Role.WAITER, str(number))
            fact = WaiterPresence(person, False, None, f"00000000-0000-4000-9000-{number:012x}", {})
            dispatcher.on_waiter_present("a", fact)
        waiters = tracemalloc.get_traced_memory()[0]
        for number in range(PEOPLE_COUNT):
            dispatcher.on_user_present("a", store.join(Person(Role.USER, str(number)), {}, None))
        users = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        dispatcher.end()
    return MemoryFootprint((users - waiters) / PEOPLE_COUNT, (waiters - empty) / PEOPLE_COUNT)
