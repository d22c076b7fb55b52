"""The connection that listens: Redis's publish/subscribe.

It ends with the first thing that goes wrong, and ``link`` makes another one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from redis.asyncio.connection import AbstractConnection

from tornado_chat.cluster.connection import packed

SIGN_OF_LIFE = packed("UNSUBSCRIBE", "")
"""Asks for one, by ending what has not begun. A Redis whose disk is full answers PING with an error."""
MOST_SILENT = 2
"""Questions in a row with no sign of life in between."""


class Silent(TimeoutError):
    """Nothing has come for too long."""


@dataclass
class Turn:
    """What was asked for in one turn of the loop, and who waits until Redis has done it."""

    unconfirmed: int = 0
    waiters: list["asyncio.Future[None]"] = field(default_factory=list)

    def done(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


class Listener:
    """:arg wanted: the channels to be heard, as they are at any time; its owner changes it, and says so by
        ``changed``.
    :arg receive: is given what is published.
    :arg ping: seconds between questions whether Redis is there.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        wanted: Collection[bytes],
        receive: Callable[[bytes], None],
        *,
        ping: float,
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._receive = receive
        self._ping = ping
        # What Redis will hear us on, as soon as it has read all that we have sent.
        self._sent: set[bytes] = set()
        self._touched: dict[bytes, None] = dict.fromkeys(wanted)
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._under_way: deque[Turn] = deque()
        self._unanswered = 0

    def changed(self, channel: bytes) -> None:
        """It is wanted now, or no more."""
        self._touched[channel] = None
        self._wake.set()

    async def settled(self) -> None:
        """Returns when Redis has confirmed all that is wanted, or the connection has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        await waiter

    async def write(self) -> None:
        """Until something goes wrong, which is raised: one of ``connection.LOST``."""
        while True:
            try:
                async with asyncio.timeout(self._ping):
                    await self._wake.wait()
            except TimeoutError:
                if self._unanswered >= MOST_SILENT:
                    raise Silent("it is silent") from None
                self._unanswered += 1
                await self._connection.send_packed_command(SIGN_OF_LIFE, check_health=False)
                continue
            self._wake.clear()
            data = self._next_turn()
            if data:
                await self._connection.send_packed_command(data, check_health=False)

    def _next_turn(self) -> bytes:
        touched, self._touched = self._touched, {}
        waiters, self._waiters = self._waiters, []
        begin = [name for name in touched if name in self._wanted and name not in self._sent]
        end = [name for name in touched if name not in self._wanted and name in self._sent]
        self._sent.update(begin)
        self._sent.difference_update(end)
        if begin or self._under_way:
            # Redis confirms in order: whoever waits for an earlier turn's channel waits long enough with the last.
            if begin:
                self._under_way.append(Turn(len(begin)))
            self._under_way[-1].waiters += waiters
        else:
            Turn(waiters=waiters).done()
        data = packed("SUBSCRIBE", *begin) if begin else b""
        return data + (packed("UNSUBSCRIBE", *end) if end else b"")

    async def read(self) -> None:
        """Until something goes wrong, which is raised: one of ``connection.LOST``."""
        read, receive = self._connection.read_response, self._receive
        while True:
            reply = await read()
            self._unanswered = 0
            kind = reply[0]
            if kind == b"message":
                receive(reply[2])
            elif kind == b"subscribe":
                turn = self._under_way[0]
                turn.unconfirmed -= 1
                if not turn.unconfirmed:
                    self._under_way.popleft().done()

    def close(self) -> None:
        """Nobody waits any longer."""
        for turn in (*self._under_way, Turn(waiters=self._waiters)):
            turn.done()
