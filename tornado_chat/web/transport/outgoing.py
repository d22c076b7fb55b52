"""The outgoing side of a WebSocket on an asyncio transport: see ``transport.handler``."""

import asyncio
import socket
from typing import Any, cast

from tornado.escape import json_encode, utf8
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol

from tornado_chat.wire.websocket import BINARY, PING, PONG, TEXT, encode_frame

MAX_QUEUED_BYTES = 64 * 1024  # queued bytes above which they are written before the end of the turn


class OutgoingProtocol(WebSocketProtocol, asyncio.Protocol):
    """Sends frames: collects those of one turn of the event loop and writes them with one call.

    :ivar server_terminated: no more frames are sent; the close frame was the last.
    """

    __slots__ = (
        "_flush_due",
        "_has_write_backlog",
        "_late_pong",
        "_loop",
        "_queued_bytes",
        "_queued_frames",
        "_transport",
        "_waiters",
        "_write_paused",
        "client_terminated",
        "handler",
        "server_terminated",
        "stream",
    )

    handler: WebSocketHandler

    def __init__(self, handler: WebSocketHandler) -> None:
        super().__init__(handler)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._queued_frames: list[bytes] = []
        self._queued_bytes = 0  # total size of _queued_frames
        self._has_write_backlog = False  # the kernel did not accept all bytes of the last write
        self._flush_due = False  # a call of _flush is already scheduled
        self._waiters: list[asyncio.Future[None]] = []  # futures of write_message
        self._write_paused = False  # the transport has called pause_writing
        self._late_pong: bytes | None = None  # payload to send when writing is resumed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # not a subclass with other event loops

    def is_closing(self) -> bool:
        transport = self._transport
        return self.server_terminated or self.client_terminated or transport is None or transport.is_closing()

    @property
    def unsent(self) -> int:
        """The number of bytes that were not yet passed to the kernel."""
        transport = self._transport
        return self._queued_bytes + (0 if transport is None else transport.get_write_buffer_size())

    def send_frame(self, frame: bytes) -> int:
        """Send a frame of ``wire.websocket.encode_frame``; do nothing if the connection is closing.

        The frames of one turn of the event loop are written at its end, or as soon as they exceed
        ``MAX_QUEUED_BYTES``. Return ``unsent``.
        """
        if self.server_terminated:
            return 0
        self._queued_frames.append(frame)
        self._queued_bytes += len(frame)
        if self._queued_bytes > MAX_QUEUED_BYTES:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        return self.unsent if self._has_write_backlog else self._queued_bytes

    def write_message(
        self, message: str | bytes | dict[str, Any], binary: bool = False
    ) -> "asyncio.Future[None]":
        """Send a message. The future is done as soon as the transport accepts more bytes.

        :raises WebSocketClosedError: the connection is closing.
        """
        if self.is_closing():
            raise WebSocketClosedError
        payload = utf8(json_encode(message) if isinstance(message, dict) else message)
        future = self._loop.create_future()
        self._waiters.append(future)
        self.send_frame(encode_frame(BINARY if binary else TEXT, payload))
        return future

    def write_ping(self, data: bytes) -> None:
        """Send a ping.

        :raises ValueError: the payload is longer than 125 bytes.
        """
        self.send_frame(encode_frame(PING, data))

    def set_nodelay(self, x: bool) -> None:
        if x or self._transport is None:  # asyncio sets TCP_NODELAY on every TCP socket
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._late_pong is not None:
            self._pong(self._late_pong)
            self._late_pong = None
        self._release_write_waiters(None)
        self._update_reading()

    def _update_reading(self) -> None:
        """Pause or resume reading, as the number of unsent bytes requires."""
        raise NotImplementedError

    def _pong(self, data: bytes) -> None:
        if self._write_paused:
            self._late_pong = data  # answering only the latest ping is allowed, section 5.5.3
        else:
            self.send_frame(encode_frame(PONG, data))

    def _flush(self) -> None:
        self._flush_due = False
        outgoing = self._queued_frames
        transport = self._transport
        if not outgoing or transport is None:
            return
        data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
        outgoing.clear()
        self._queued_bytes = 0
        if transport.is_closing():  # asyncio logs a warning for a write to a closing transport
            self._release_write_waiters(WebSocketClosedError)
            return
        transport.write(data)
        self._has_write_backlog = transport.get_write_buffer_size() > 0
        if self._write_paused:
            self._update_reading()
        elif self._waiters:
            self._release_write_waiters(None)

    def _release_write_waiters(self, error: type[WebSocketClosedError] | None) -> None:
        """Complete the futures of ``write_message``, with ``error`` if given."""
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error())
                future.exception()  # marks the error as retrieved: callers need not await the future

    def _stop_sending(self) -> None:
        """Drop the transport and all unsent frames after the connection is lost."""
        self._transport = None
        self.server_terminated = True
        self._queued_frames.clear()
        self._queued_bytes = 0
        self._late_pong = None
        self._release_write_waiters(WebSocketClosedError)
