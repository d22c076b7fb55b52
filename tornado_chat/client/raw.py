"""A client for single JSON frames without reconnects, like a plain front end."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from tornado_chat.client.socket import ClientSocket, ConnectionClosed, ReceiveQueue

RECEIVE_TIMEOUT_SECONDS = 60.0
"""The default timeout for connecting and receiving."""


class RawClient:
    """One socket that delivers every frame as received, and answers pings as browsers do.

    ::

        async with await RawClient.connect("ws://localhost:8080/chat?token=…") as raw:
            await raw.send_json({"msg": "hello"})
            frame = await raw.recv_json()
    """

    def __init__(self) -> None:
        self._received: ReceiveQueue[str | bytes] = ReceiveQueue()
        self._socket = ClientSocket(self._received.put, self._on_end)

    @classmethod
    async def connect(
        cls, url: str, *, headers: Mapping[str, str] | None = None, timeout: float = RECEIVE_TIMEOUT_SECONDS
    ) -> Self:
        """Connect.

        :arg timeout: seconds.
        :raises ConnectionClosed: the connection failed; a refused upgrade has the HTTP status as its code.
        """
        raw = cls()
        await raw._socket.open(url, timeout, headers)
        return raw

    async def send_json(self, frame: Any) -> None:
        await self.send(msgspec.json.encode(frame))

    async def send(self, data: str | bytes) -> None:
        """Send ``data`` as a text frame, without any check.

        :raises ConnectionClosed: the socket is closed.
        """
        if self._received.end_error is not None:
            raise self._received.end_error
        self._socket.write(data.encode() if isinstance(data, str) else data)

    async def recv_json(self, timeout: float | None = RECEIVE_TIMEOUT_SECONDS) -> Any:
        """Return the next frame, decoded from JSON.

        :arg timeout: seconds; None: no limit.
        :raises ConnectionClosed: the socket is closed, and all received frames were read.
        :raises TimeoutError: no frame arrived within ``timeout``.
        """
        async with asyncio.timeout(timeout):
            return msgspec.json.decode(await self._received.get())

    async def wait_closed(self, timeout: float | None = RECEIVE_TIMEOUT_SECONDS) -> ConnectionClosed:
        """Wait until the socket is closed, and return code and reason; unread frames can still be read.

        :arg timeout: seconds; None: no limit.
        """
        async with asyncio.timeout(timeout):
            return await self._socket.wait_closed()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    @property
    def close_code(self) -> int | None:
        """The close code, 1006 if the peer sent none; None while the socket is open."""
        closed = self._socket.closed
        return None if closed is None else closed.code

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _on_end(self) -> None:
        self._received.end(self._socket.closed or ConnectionClosed(1006))
