"""A Redis, and processes that share it: all of them in one loop."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.patience import PATIENCE
from tests.redis_server import RedisServer
from tornado_chat import config
from tornado_chat.cluster.redis_bus import RedisBus
from tornado_chat.cluster.redis_link import LinkTimings
from tornado_chat.core.events import Event
from tornado_chat.core.types import Kind, Message, Person, Role, Thread

TIMES = LinkTimings(
    ping_seconds=2, timeout_seconds=10, retry_seconds=0.02, max_retry_seconds=0.05, resync_seconds=0.1
)
QUICK = LinkTimings(
    ping_seconds=0.2, timeout_seconds=0.6, retry_seconds=0.02, max_retry_seconds=0.05, resync_seconds=0.1
)
"""For a Redis that hangs. A busy machine looks like one, so all others have more patience."""

USER = Person(Role.USER, "7")
THREAD = Thread(Kind.SESSION, 4)

_prefixes = (f"test{count}" for count in itertools.count())


def settings(server: RedisServer, **options: Any) -> config.Cluster:
    """Those of an installation of its own."""
    return config.Cluster(**{"url": server.url, "prefix": next(_prefixes), **options})


class Ears:
    """What a bus has heard."""

    def __init__(self, bus: RedisBus) -> None:
        self.heard: list[Event] = []
        self._changed = asyncio.Event()
        bus.add_handler(self._hear, Message)

    def _hear(self, event: Event) -> None:
        self.heard.append(event)
        self._changed.set()

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.heard if isinstance(event, Message)]

    async def until(self, count: int) -> list[int]:
        """The numbers of the messages, when there are ``count`` of them."""
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.seqs


class Signs:
    """What a bus has told of its connection."""

    def __init__(self) -> None:
        self.away = 0
        self.back = 0
        self._changed = asyncio.Event()

    def on_away(self) -> None:
        self.away += 1
        self._changed.set()

    def on_back(self) -> None:
        self.back += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


_counter = itertools.count(1)


@asynccontextmanager
async def process(
    settings: config.Cluster, signs: Signs | None = None, link_timings: LinkTimings = TIMES
) -> AsyncIterator[RedisBus]:
    """The bus of one more process."""
    signs = signs or Signs()
    bus = RedisBus(settings, f"box-1-{next(_counter)}", link_timings=link_timings)
    bus.link.add_callbacks(on_disconnect=signs.on_away, on_reconnect=signs.on_back, on_resync=signs.on_back)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


def message(seq: int, thread: Thread = THREAD) -> Message:
    return Message(thread=thread, seq=seq, sender=USER, text=f"text {seq}", time=seq)
