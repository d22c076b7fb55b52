"""The connection that listens: Redis's publish/subscribe.

It ends with the first thing that goes wrong, and ``link`` makes another one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from redis.asyncio.connection import AbstractConnection

from tornado_chat.cluster.connection import pack_command

PROBE_COMMAND = pack_command("UNSUBSCRIBE", "")
"""Asks for one, by ending what has not begun. A Redis whose disk is full answers PING with an error."""
MAX_UNANSWERED_PROBES = 2
"""Questions in a row with no sign of life in between."""


class NoReplyError(TimeoutError):
    """Nothing has come for too long."""


@dataclass
class SubscriptionBatch:
    """What was asked for in one turn of the loop, and who waits until Redis has done it."""

    unconfirmed_count: int = 0
    waiters: list["asyncio.Future[None]"] = field(default_factory=list)

    def done(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


class Listener:
    """:arg subscriptions: the channels to be heard, as they are at any time; its owner changes it, and says so by
        ``on_subscription_changed``.
    :arg receive: is given what is published.
    :arg ping_seconds: seconds between questions whether Redis is there.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        subscriptions: Collection[bytes],
        receive: Callable[[bytes], None],
        *,
        ping_seconds: float,
    ) -> None:
        self._connection = connection
        self._subscriptions = subscriptions
        self._receive = receive
        self._ping_seconds = ping_seconds
        # What Redis will hear us on, as soon as it has read all that we have sent.
        self._subscribed: set[bytes] = set()
        self._changed_channels: dict[bytes, None] = dict.fromkeys(subscriptions)
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._unconfirmed_batches: deque[SubscriptionBatch] = deque()
        self._unanswered_probes = 0

    def on_subscription_changed(self, channel: bytes) -> None:
        """It is wanted now, or no more."""
        self._changed_channels[channel] = None
        self._wake.set()

    async def wait_confirmed(self) -> None:
        """Returns when Redis has confirmed all that is wanted, or the connection has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        await waiter

    async def write(self) -> None:
        """Until something goes wrong, which is raised: one of ``connection.CONNECTION_ERRORS``."""
        while True:
            try:
                async with asyncio.timeout(self._ping_seconds):
                    await self._wake.wait()
            except TimeoutError:
                if self._unanswered_probes >= MAX_UNANSWERED_PROBES:
                    raise NoReplyError("it is silent") from None
                self._unanswered_probes += 1
                await self._connection.send_packed_command(PROBE_COMMAND, check_health=False)
                continue
            self._wake.clear()
            data = self._next_batch()
            if data:
                await self._connection.send_packed_command(data, check_health=False)

    def _next_batch(self) -> bytes:
        touched, self._changed_channels = self._changed_channels, {}
        waiters, self._waiters = self._waiters, []
        begin = [name for name in touched if name in self._subscriptions and name not in self._subscribed]
        end = [name for name in touched if name not in self._subscriptions and name in self._subscribed]
        self._subscribed.update(begin)
        self._subscribed.difference_update(end)
        if begin or self._unconfirmed_batches:
            # Redis confirms in order: whoever waits for an earlier turn's channel waits long enough with the last.
            if begin:
                self._unconfirmed_batches.append(SubscriptionBatch(len(begin)))
            self._unconfirmed_batches[-1].waiters += waiters
        else:
            SubscriptionBatch(waiters=waiters).done()
        data = pack_command("SUBSCRIBE", *begin) if begin else b""
        return data + (pack_command("UNSUBSCRIBE", *end) if end else b"")

    async def read(self) -> None:
        """Until something goes wrong, which is raised: one of ``connection.CONNECTION_ERRORS``."""
        read, receive = self._connection.read_response, self._receive
        while True:
            reply = await read()
            self._unanswered_probes = 0
            kind = reply[0]
            if kind == b"message":
                receive(reply[2])
            elif kind == b"subscribe":
                batch = self._unconfirmed_batches[0]
                batch.unconfirmed_count -= 1
                if not batch.unconfirmed_count:
                    self._unconfirmed_batches.popleft().done()

    def close(self) -> None:
        """Nobody waits any longer."""
        for batch in (*self._unconfirmed_batches, SubscriptionBatch(waiters=self._waiters)):
            batch.done()
