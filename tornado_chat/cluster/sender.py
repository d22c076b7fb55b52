"""The sending connection to Redis: sends commands in order, with all queued commands in one write.

The connection ends with its first error, and ``redis_link`` makes a new one.
"""

import asyncio
import contextlib
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ReadOnlyError, ResponseError

from tornado_chat.cluster.redis_connector import pack_command

MAX_COMMANDS_PER_WRITE = 1000

MAX_QUEUED_BYTES = 16 * 1024 * 1024
"""The limit of queued commands. If Redis is so slow that the limit is reached, the connection is closed."""

PROBE_COMMAND = pack_command("ECHO", "")
"""A command that only has the purpose of a reply.

PING is not used, because a Redis whose disk is full answers PING with an error although it still publishes.
"""

QueuedCommand = tuple[bytes, "asyncio.Future[Any] | None", bool]
"""A command, the future of its reply (None if no caller waits), and True if its loss has to be reported."""


class SendBufferFullError(OSError):
    """More than ``MAX_QUEUED_BYTES`` are queued."""


class Sender:
    """Sends commands on a connection and reads their replies.

    :arg ping_seconds: the time without a command after which a probe is sent.
    :arg timeout_seconds: the time within which Redis has to reply.
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
        """Queue a packed command without waiting for the reply. An error reply ends the connection.

        :arg report_loss: let ``close`` return True if this command may not have arrived.
        """
        self._enqueue((command, None, report_loss))

    async def execute(self, *command: str | bytes | int) -> Any:
        """Execute a command and return the reply.

        :raises: one of ``connection.CONNECTION_ERRORS``.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._enqueue((pack_command(*command), future, False))
        return await future

    def _enqueue(self, item: QueuedCommand) -> None:
        self._queued.append(item)
        self._queued_bytes += len(item[0])
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        """True if all commands have been sent and answered."""
        return not (self._queued or self._in_flight)

    async def run(self) -> None:
        """Send queued commands and probes until the connection fails.

        :raises: one of ``connection.CONNECTION_ERRORS``.
        """
        while True:
            if not self._queued:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._ping_seconds):
                        await self._wake.wait()
                if not self._queued:
                    self.send(PROBE_COMMAND)
            if self._queued_bytes > MAX_QUEUED_BYTES:
                raise SendBufferFullError("it is too slow for the queued commands")
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
        """Let all waiting commands fail with ``error``.

        Returns True if a command with ``report_loss`` may not have arrived.
        """
        unanswered, self._queued, self._in_flight = self._in_flight + self._queued, [], []
        for _, future, _ in unanswered:
            if future is not None and not future.done():
                future.set_exception(error)
        return any(report_loss for _, _, report_loss in unanswered)
