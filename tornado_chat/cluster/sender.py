"""The connection that speaks: commands in their order, all that wait in one write.

It ends with the first thing that goes wrong, and ``link`` makes another one.
"""

import asyncio
import contextlib
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ReadOnlyError, ResponseError

from tornado_chat.cluster.connection import pack_command

MAX_COMMANDS_PER_WRITE = 1000
"""In one write."""

MAX_QUEUED_BYTES = 16 * 1024 * 1024
"""Bytes. A Redis that takes so long for them is as good as away, and has dropped them."""

PROBE_COMMAND = pack_command("ECHO", "")
"""Asks for one. A Redis whose disk is full answers PING with an error, but goes on publishing."""

QueuedCommand = tuple[bytes, "asyncio.Future[Any] | None", bool]
"""A command, who waits for its reply, and whether its loss is to be known."""


class SendBufferFullError(OSError):
    """More waits than may."""


class Sender:
    """:arg ping_seconds: seconds without a command until Redis is asked whether it is there.
    :arg timeout_seconds: seconds that it may take to answer.
    """

    def __init__(
        self, connection: AbstractConnection, *, ping_seconds: float, timeout_seconds: float
    ) -> None:
        self._connection = connection
        self._ping_seconds = ping_seconds
        self._timeout_seconds = timeout_seconds
        self._queued: list[QueuedCommand] = []
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._in_flight: list[QueuedCommand] = []

    def send(self, command: bytes, *, report_loss: bool = False) -> None:
        """Send a packed command. Nobody waits for its reply, an error breaks the connection.

        :arg report_loss: ``close`` tells if it may not have arrived.
        """
        self._enqueue((command, None, report_loss))

    async def execute(self, *command: str | bytes | int) -> Any:
        """The reply. :raises: one of ``connection.CONNECTION_ERRORS``."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._enqueue((pack_command(*command), future, False))
        return await future

    def _enqueue(self, item: QueuedCommand) -> None:
        self._queued.append(item)
        self._queued_bytes += len(item[0])
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        """Whether everything has been said and answered."""
        return not (self._queued or self._in_flight)

    async def run(self) -> None:
        """Until something goes wrong, which is raised: one of ``connection.CONNECTION_ERRORS``."""
        while True:
            if not self._queued:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._ping_seconds):
                        await self._wake.wait()
                if not self._queued:
                    self.send(PROBE_COMMAND)
            if self._queued_bytes > MAX_QUEUED_BYTES:
                raise SendBufferFullError("it does not keep up with what we say")
            batch = self._in_flight = self._queued[:MAX_COMMANDS_PER_WRITE]
            del self._queued[:MAX_COMMANDS_PER_WRITE]
            async with asyncio.timeout(self._timeout_seconds):
                await self._exchange(batch)
            self._in_flight = []

    async def _exchange(self, batch: list[QueuedCommand]) -> None:
        data = b"".join([command for command, _, _ in batch])
        self._queued_bytes -= len(data)
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
        left, self._queued, self._in_flight = self._in_flight + self._queued, [], []
        for _, future, _ in left:
            if future is not None and not future.done():
                future.set_exception(error)
        return any(report_loss for _, _, report_loss in left)
