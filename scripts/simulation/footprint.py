"""What the dispatcher keeps of each person, in bytes."""

import asyncio
import tracemalloc
from dataclasses import dataclass
from random import Random

from scripts.simulation.clock import VirtualLoop
from scripts.simulation.memory import InMemory
from tornado_chat import config
from tornado_chat.cluster.facts import OnDuty, always_sure
from tornado_chat.core.types import Person, Role
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.observability.metrics import Buckets
from tornado_chat.services.support.dispatcher import Dispatcher

MANY = 5_000


@dataclass(frozen=True)
class Footprint:
    """Bytes of the coordinator, for each who waits and for each waiter; sockets are not counted."""

    user: float
    waiter: float


def footprint() -> Footprint:
    """Counted, not estimated: the same on every machine with the same Python."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_footprint())


async def _footprint() -> Footprint:
    loop = asyncio.get_running_loop()
    store = InMemory(lambda event: None, loop, loop.time, Random(1))  # noqa: S311 - it draws nothing
    dispatcher = Dispatcher(
        config.Support(),
        store,
        loop,
        lambda event: None,
        FifoLeastLoaded(),
        Buckets(()),
        sure=always_sure,
        clock=loop.time,
    )
    await dispatcher.begin()
    tracemalloc.start()
    try:
        empty = tracemalloc.get_traced_memory()[0]
        for number in range(MANY):
            person = Person(Role.WAITER, str(number))
            fact = OnDuty(person, False, None, f"00000000-0000-4000-9000-{number:012x}", {})
            dispatcher.waiter_here("a", fact)
        waiters = tracemalloc.get_traced_memory()[0]
        for number in range(MANY):
            dispatcher.user_here("a", store.join(Person(Role.USER, str(number)), {}, None))
        users = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        dispatcher.end()
    return Footprint((users - waiters) / MANY, (waiters - empty) / MANY)
