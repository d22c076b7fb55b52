"""A client that is no more than a WebSocket with JSON: what a plain front end is."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from tornado_chat.client.socket import ClientSocket, Closed, ReceiveQueue

RECEIVE_TIMEOUT_SECONDS = 60.0
"""Seconds, where nobody says how long to wait."""


class RawClient:
    """One socket, every frame as it comes; answers pings as any browser does.

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
        """Connect. Raises `Closed` if that fails; its code is the HTTP status if the upgrade was refused."""
        raw = cls()
        await raw._socket.open(url, timeout, headers)
        return raw

    async def send_json(self, frame: Any) -> None:
        await self.send(msgspec.json.encode(frame))

    async def send(self, data: str | bytes) -> None:
        """Send ``data`` as a text frame, whatever it is. Raises `Closed` on a closed socket."""
        if self._received.end_error is not None:
            raise self._received.end_error
        self._socket.write(data.encode() if isinstance(data, str) else data)

    async def recv_json(self, timeout: float | None = RECEIVE_TIMEOUT_SECONDS) -> Any:
        """The next frame. Raises `Closed` after the last one, TimeoutError after ``timeout``."""
        async with asyncio.timeout(timeout):
            return msgspec.json.decode(await self._received.get())

    async def wait_closed(self, timeout: float | None = RECEIVE_TIMEOUT_SECONDS) -> Closed:
        """How it was closed, once it is; frames that were not read are still there."""
        async with asyncio.timeout(timeout):
            return await self._socket.wait_closed()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    @property
    def close_code(self) -> int | None:
        """The code it was closed with, 1006 if there was none, None while it is open."""
        closed = self._socket.closed
        return None if closed is None else closed.code

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _on_end(self) -> None:
        self._received.end(self._socket.closed or Closed(1006))
