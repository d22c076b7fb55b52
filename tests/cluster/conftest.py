"""Helpers for tests of processes that share a Redis; all the processes run in one event loop."""

import asyncio
import gc
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.cluster.redis_bus import RedisBus
from tornado_chat.cluster.redis_link import LinkTimings
from tornado_chat.core.events import Event
from tornado_chat.core.types import Kind, Message, Person, Role, Thread

LINK_TIMINGS = LinkTimings(
    ping_seconds=2, timeout_seconds=10, retry_seconds=0.02, max_retry_seconds=0.05, resync_seconds=0.1
)
SHORT_LINK_TIMINGS = LinkTimings(
    ping_seconds=0.2, timeout_seconds=0.6, retry_seconds=0.02, max_retry_seconds=0.05, resync_seconds=0.1
)
"""Timings for tests with a Redis that hangs. Other tests have longer times, for a busy machine."""

USER = Person(Role.USER, "7")
THREAD = Thread(Kind.SESSION, 4)


@pytest.fixture(autouse=True)
def _no_errors_of_earlier_tests() -> None:
    """Collect what earlier tests have left behind.

    asyncio logs the error of a future that no caller awaited when the future is collected. A test that makes
    many objects would cause that, and would fail by the error of another test.
    """
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.disabled = True
    gc.collect()
    asyncio_log.disabled = False


_prefixes = (f"test{count}" for count in itertools.count())


def settings(server: RedisServer, **options: Any) -> config.Cluster:
    """Return settings with a prefix of their own, as of a separate installation."""
    return config.Cluster(**{"url": server.url, "prefix": next(_prefixes), **options})


class EventRecorder:
    """Records the messages that a bus receives."""

    def __init__(self, bus: RedisBus) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()
        bus.add_handler(self._on_event, Message)

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.events if isinstance(event, Message)]

    async def until(self, count: int) -> list[int]:
        """Wait for ``count`` messages and return their sequence numbers."""
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while len(self.events) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.seqs


class LinkObserver:
    """Counts the callbacks of a link: disconnects, and reconnects together with requests to resync."""

    def __init__(self) -> None:
        self.disconnect_count = 0
        self.reconnect_count = 0
        self._changed = asyncio.Event()

    def on_disconnect(self) -> None:
        self.disconnect_count += 1
        self._changed.set()

    def on_reconnect(self) -> None:
        self.reconnect_count += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


_counter = itertools.count(1)


@asynccontextmanager
async def process(
    settings: config.Cluster, observer: LinkObserver | None = None, link_timings: LinkTimings = LINK_TIMINGS
) -> AsyncIterator[RedisBus]:
    """The started bus of a further process."""
    observer = observer or LinkObserver()
    bus = RedisBus(settings, f"box-1-{next(_counter)}", link_timings=link_timings)
    bus.link.add_callbacks(
        on_disconnect=observer.on_disconnect,
        on_reconnect=observer.on_reconnect,
        on_resync=observer.on_reconnect,
    )
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


def message(seq: int, thread: Thread = THREAD) -> Message:
    return Message(thread=thread, seq=seq, sender=USER, text=f"text {seq}", time=seq)
