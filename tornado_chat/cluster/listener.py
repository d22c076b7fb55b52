"""The receiving connection to Redis: subscriptions and published messages.

The connection ends with its first error, and ``redis_link`` makes a new one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from redis.asyncio.connection import AbstractConnection

from tornado_chat.cluster.redis_connector import pack_command

PROBE_COMMAND = pack_command("UNSUBSCRIBE", "")
"""A command that only has the purpose of a reply: it unsubscribes from a channel without a subscription.

PING is not used, because a Redis whose disk is full answers PING with an error.
"""
SYNC_CHANNEL = b"synchronize"
SYNC_COMMAND = pack_command("UNSUBSCRIBE", SYNC_CHANNEL)
"""Another command that only has the purpose of a reply."""

MAX_UNANSWERED_PROBES = 2
"""The number of consecutive probes without any reply after which the connection has failed."""


class NoReplyError(TimeoutError):
    """Redis has sent no data for too long."""


@dataclass
class SubscriptionBatch:
    """The subscriptions of one turn of the loop, and the futures that wait for their confirmation."""

    unconfirmed_count: int = 0
    waiters: list["asyncio.Future[None]"] = field(default_factory=list)

    def done(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


class Listener:
    """Keeps the subscriptions of a connection up to date and receives the published messages.

    :arg subscriptions: the wanted channels. The owner changes this collection and calls
        ``on_subscription_changed`` for each change.
    :arg receive: called with the payload of each published message.
    :arg ping_seconds: the interval of probes on a silent connection.
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
        # The channels that Redis is subscribed to after it has read all commands that were sent.
        self._subscribed: set[bytes] = set()
        self._changed_channels: dict[bytes, None] = dict.fromkeys(subscriptions)
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._unconfirmed_batches: deque[SubscriptionBatch] = deque()
        self._unanswered_probes = 0
        self._sync_waiters: deque[asyncio.Future[None]] = deque()  # in the order of the requests
        self._unsent_sync_requests = 0

    def on_subscription_changed(self, channel: bytes) -> None:
        """Subscribe to or unsubscribe from ``channel``, as ``subscriptions`` contains it now or not."""
        self._changed_channels[channel] = None
        self._wake.set()

    async def wait_confirmed(self) -> None:
        """Return when Redis has confirmed all present subscriptions, or when the connection has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        await waiter

    async def synchronize(self) -> None:
        """Return when all messages that are published now have been received, or the connection has ended.

        Redis answers on one connection in order: the reply to a command follows the messages before it.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sync_waiters.append(waiter)
        self._unsent_sync_requests += 1
        self._wake.set()
        await waiter

    async def write(self) -> None:
        """Send changes of the subscriptions and probes until the connection fails.

        :raises: one of ``connection.CONNECTION_ERRORS``.
        """
        while True:
            try:
                async with asyncio.timeout(self._ping_seconds):
                    await self._wake.wait()
            except TimeoutError:
                if self._unanswered_probes >= MAX_UNANSWERED_PROBES:
                    raise NoReplyError("no reply") from None
                self._unanswered_probes += 1
                await self._connection.send_packed_command(PROBE_COMMAND, check_health=False)
                continue
            self._wake.clear()
            data = self._next_batch()
            if data:
                await self._connection.send_packed_command(data, check_health=False)

    def _next_batch(self) -> bytes:
        changed, self._changed_channels = self._changed_channels, {}
        waiters, self._waiters = self._waiters, []
        added = [name for name in changed if name in self._subscriptions and name not in self._subscribed]
        removed = [name for name in changed if name not in self._subscriptions and name in self._subscribed]
        self._subscribed.update(added)
        self._subscribed.difference_update(removed)
        if added or self._unconfirmed_batches:
            # Redis confirms in order, so the confirmation of the last batch confirms all earlier batches too.
            if added:
                self._unconfirmed_batches.append(SubscriptionBatch(len(added)))
            self._unconfirmed_batches[-1].waiters += waiters
        else:
            SubscriptionBatch(waiters=waiters).done()
        data = pack_command("SUBSCRIBE", *added) if added else b""
        data += pack_command("UNSUBSCRIBE", *removed) if removed else b""
        data += SYNC_COMMAND * self._unsent_sync_requests
        self._unsent_sync_requests = 0
        return data

    async def read(self) -> None:
        """Receive messages and confirmations until the connection fails.

        :raises: one of ``connection.CONNECTION_ERRORS``.
        """
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
            elif kind == b"unsubscribe" and reply[1] == SYNC_CHANNEL:
                waiter = self._sync_waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)

    def close(self) -> None:
        """Wake all waiters, as the connection has ended."""
        waiters = [*self._waiters, *self._sync_waiters]
        for batch in (*self._unconfirmed_batches, SubscriptionBatch(waiters=waiters)):
            batch.done()
