"""A WebSocket frame by frame, as attackers use it: any frame, valid or not, and no reading unless asked."""

import asyncio
import base64
import contextlib
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from scripts.attacks.raw_http import connect
from tornado_chat.wire.websocket import BINARY, CLOSE, PING, PONG, TEXT

LOST = 1006
"""The close code of a connection that ended without a close frame (RFC 6455 section 7.1.5)."""

OPEN_TIMEOUT_SECONDS = 20.0
RECEIVE_TIMEOUT_SECONDS = 20.0


class UpgradeRefused(Exception):
    """The answer to the upgrade request is not 101.

    :ivar status: the HTTP status; 0: the connection was cut.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class SocketClosed(Exception):
    """The socket is closed. The argument is the close code."""


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\0\0\0\0",
) -> bytes:
    """Return a frame of a client. The mask of zeros is valid, and leaves the payload unchanged.

    :arg reserved: the three reserved bits.
    :arg mask: four bytes; None: the frame is not masked, which the RFC forbids.
    """
    size = len(payload)
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    flag = 0x80 if mask is not None else 0
    if size < 126:
        head = bytes([first, flag | size])
    elif size < 65536:
        head = bytes([first, flag | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, flag | 127]) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    if mask.strip(b"\0"):
        key = (mask * (size // 4 + 1))[:size]
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    return head + mask + payload


class RawSocket:
    """One WebSocket.

    :ivar close_code: the code of the close frame, or ``LOST``; None while the socket is open.
    :ivar close_reason: the reason of the close frame.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.close_code: int | None = None
        self.close_reason = ""
        self._reader = reader
        self._writer = writer
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, port: int, path: str, *, source: str, headers: Sequence[tuple[str, str]] = ()
    ) -> "RawSocket":
        """Connect and upgrade.

        :raises UpgradeRefused: the server refuses.
        """
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                reader, writer = await connect(port, source)
                key = base64.b64encode(os.urandom(16)).decode()
                lines = [
                    f"GET {path} HTTP/1.1",
                    f"Host: 127.0.0.1:{port}",
                    *("Upgrade: websocket", "Connection: Upgrade"),
                    *("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"),
                    *(f"{name}: {value}" for name, value in headers),
                ]
                writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogatepass"))
                head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise UpgradeRefused(0) from error
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            writer.transport.abort()
            raise UpgradeRefused(status)
        return cls(reader, writer)

    # --- sending ---

    def write(self, data: bytes) -> None:
        """Queue bytes without waiting; after the end they are dropped."""
        if not self._writer.is_closing():
            self._writer.write(data)

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait until the kernel has taken most of them, or the connection is lost."""
        self.write(data)
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def send_json(self, value: Any) -> None:
        await self.send(frame(TEXT, msgspec.json.encode(value)))

    @property
    def unsent_bytes(self) -> int:
        """The bytes that the kernel has not taken."""
        return self._writer.transport.get_write_buffer_size()

    # --- receiving ---

    async def receive(self, timeout: float | None = RECEIVE_TIMEOUT_SECONDS) -> bytes:
        """Return the payload of the next message; pings are answered.

        :raises SocketClosed: the server has closed the socket, or the connection is lost.
        :raises TimeoutError: nothing arrived within ``timeout`` seconds.
        """
        async with asyncio.timeout(timeout):
            while True:
                opcode, payload = await self._read_frame()
                if opcode in (TEXT, BINARY):
                    return payload
                if opcode == PING:
                    self.write(frame(PONG, payload))

    async def receive_json(self, timeout: float | None = RECEIVE_TIMEOUT_SECONDS) -> Any:
        return msgspec.json.decode(await self.receive(timeout))

    async def exchange(self, data: bytes, timeout: float | None = RECEIVE_TIMEOUT_SECONDS) -> list[bytes]:
        """Send bytes, and return the messages until the server has answered a ping behind them.

        :raises SocketClosed: as ``receive``.
        :raises TimeoutError: as ``receive``.
        """
        await self.send(data + frame(PING, b"end of the exchange"))
        messages = []
        async with asyncio.timeout(timeout):
            while True:
                opcode, payload = await self._read_frame()
                if opcode in (TEXT, BINARY):
                    messages.append(payload)
                elif opcode == PING:
                    self.write(frame(PONG, payload))
                elif payload == b"end of the exchange":
                    return messages

    async def wait_closed(self, timeout: float) -> int | None:
        """Drop all that arrives until the server closes. Returns the close code, None after ``timeout``."""
        with contextlib.suppress(SocketClosed, TimeoutError):
            async with asyncio.timeout(timeout):
                if self._task is not None:
                    await asyncio.shield(self._task)
                while True:
                    await self.receive(timeout)
        return self.close_code

    def start_reading(self) -> None:
        """Drop all that arrives, in the background; pings are answered."""
        if self._task is None:
            self._task = asyncio.create_task(self._drop())

    async def _drop(self) -> None:
        with contextlib.suppress(SocketClosed):
            while True:
                opcode, payload = await self._read_frame()
                if opcode == PING:
                    self.write(frame(PONG, payload))

    async def _read_frame(self) -> tuple[int, bytes]:
        if self.close_code is not None:
            raise SocketClosed(self.close_code)
        try:
            head = await self._reader.readexactly(2)
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
            payload = await self._reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close_code = LOST
            raise SocketClosed(LOST) from error
        opcode = head[0] & 0x0F
        if opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.close_reason = payload[2:].decode(errors="replace")
            self.write(frame(CLOSE, payload[:2]))
            self._writer.close()
            raise SocketClosed(self.close_code)
        return opcode, payload

    # --- the end ---

    async def close(self, code: int = 1000) -> None:
        """Send a close frame, and wait for the answer."""
        await self.send(frame(CLOSE, code.to_bytes(2, "big")))
        await self.wait_closed(2.0)
        self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        if self._task is not None:
            self._task.cancel()
        # A transport that was closed with unsent bytes ends by itself when these are written, and asyncio's
        # ``abort`` then fails: the socket is closed already.
        if self._writer.get_extra_info("socket").fileno() >= 0:
            self._writer.transport.abort()
