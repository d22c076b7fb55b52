"""The connection that speaks: commands in their order, all that wait in one write.

It ends with the first thing that goes wrong, and ``link`` makes another one.
"""

import asyncio
import contextlib
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ReadOnlyError, ResponseError

from tornado_chat.cluster.connection import packed

MOST_COMMANDS = 1000
"""In one write."""

MOST_WAITING = 16 * 1024 * 1024
"""Bytes. A Redis that takes so long for them is as good as away, and has dropped them."""

SIGN_OF_LIFE = packed("ECHO", "")
"""Asks for one. A Redis whose disk is full answers PING with an error, but goes on publishing."""

Waiting = tuple[bytes, "asyncio.Future[Any] | None", bool]
"""A command, who waits for its reply, and whether its loss is to be known."""


class Overrun(OSError):
    """More waits than may."""


class Sender:
    """:arg ping: seconds without a command until Redis is asked whether it is there.
    :arg patience: seconds that it may take to answer.
    """

    def __init__(self, connection: AbstractConnection, *, ping: float, patience: float) -> None:
        self._connection = connection
        self._ping = ping
        self._patience = patience
        self._waiting: list[Waiting] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self._under_way: list[Waiting] = []

    def tell(self, command: bytes, *, matters: bool = False) -> None:
        """Send a packed command. Nobody waits for its reply, an error breaks the connection.

        :arg matters: ``close`` tells if it may not have arrived.
        """
        self._put((command, None, matters))

    async def ask(self, *command: str | bytes | int) -> Any:
        """The reply. :raises: one of ``connection.LOST``."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._put((packed(*command), future, False))
        return await future

    def _put(self, item: Waiting) -> None:
        self._waiting.append(item)
        self._bytes += len(item[0])
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether everything has been said and answered."""
        return not (self._waiting or self._under_way)

    async def run(self) -> None:
        """Until something goes wrong, which is raised: one of ``connection.LOST``."""
        while True:
            if not self._waiting:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._ping):
                        await self._wake.wait()
                if not self._waiting:
                    self.tell(SIGN_OF_LIFE)
            if self._bytes > MOST_WAITING:
                raise Overrun("it does not keep up with what we say")
            batch = self._under_way = self._waiting[:MOST_COMMANDS]
            del self._waiting[:MOST_COMMANDS]
            async with asyncio.timeout(self._patience):
                await self._exchange(batch)
            self._under_way = []

    async def _exchange(self, batch: list[Waiting]) -> None:
        data = b"".join([command for command, _, _ in batch])
        self._bytes -= len(data)
        await self._connection.send_packed_command(data, check_health=False)
        read = self._connection.read_response
        for _, future, _ in batch:
            try:
                reply = await read()
            except ResponseError as error:
                if future is None or isinstance(error, ReadOnlyError):
                    raise
                if not future.done():
                    future.set_exception(error)
                continue
            if future is not None and not future.done():
                future.set_result(reply)

    def close(self, error: BaseException) -> bool:
        """Tell who waits for a reply. Returns whether anything that matters may be lost."""
        left, self._waiting, self._under_way = self._under_way + self._waiting, [], []
        for _, future, _ in left:
            if future is not None and not future.done():
                future.set_exception(error)
        return any(matters for _, _, matters in left)
