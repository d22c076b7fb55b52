"""The outgoing side of a WebSocket on an asyncio transport: see ``transport.handler``."""

import asyncio
import socket
from collections import deque
from typing import Any, cast

from tornado.escape import json_encode, utf8
from tornado.websocket import WebSocketClosedError, WebSocketProtocol

from tornado_chat.web.transport.frame_handler import FrameHandler
from tornado_chat.wire.websocket import BINARY, PING, TEXT, encode_frame

MAX_QUEUED_BYTES = 64 * 1024  # queued bytes above which they are written before the end of the turn
HOLD_SHARE = 4  # the peer's frames wait above this part of the limit of unsent bytes: a fourth
CLOGGED_SHARE = 8  # the backlog of a conversation waits above this part: an eighth


class OutgoingProtocol(WebSocketProtocol, asyncio.Protocol):
    """Sends frames: collects those of one turn of the event loop and writes them with one call.

    Strategy: all frames go through ``send_frame``, whether the handler, the hub or the connection itself
    makes them, so one place counts the unsent bytes. A peer that does not read causes no more frames itself:
    above a fourth of the limit its frames are not parsed. Frames that other peers cause are still sent; above
    the limit the handler closes the connection. What counts is the number of unsent bytes before a frame, so
    that a single frame may be larger than the limit.

    :ivar server_terminated: no more frames are sent; the close frame was the last.
    """

    __slots__ = (
        "_flush_due",
        "_kept_bytes",
        "_last_written",
        "_loop",
        "_max_unsent_bytes",
        "_queued_bytes",
        "_queued_frames",
        "_taken_before",
        "_transport",
        "_waiters",
        "_write_paused",
        "_written_bytes",
        "client_terminated",
        "handler",
        "server_terminated",
        "stream",
    )

    handler: FrameHandler

    def __init__(self, handler: FrameHandler) -> None:
        super().__init__(handler)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._queued_frames: list[bytes] = []
        self._queued_bytes = 0  # total size of _queued_frames
        self._max_unsent_bytes = handler.max_unsent_bytes
        self._written_bytes = 0  # total size of what was passed to the transport
        self._kept_bytes = 0  # total size of _last_written, if it is a deque
        self._last_written: deque[bytes] | bytes = b""  # its end, which the kernel may not have taken
        self._taken_before: int | None = None  # see has_read
        self._flush_due = False  # a call of _flush is already scheduled
        self._waiters: list[asyncio.Future[None]] = []  # futures of write_message
        self._write_paused = False  # the transport has called pause_writing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # not a subclass with other event loops
        self.limit_unsent(self._max_unsent_bytes)

    def limit_unsent(self, max_bytes: int) -> None:
        """Set the limit of the unsent bytes, instead of the handler's ``max_unsent_bytes`` from the start."""
        self._max_unsent_bytes = max_bytes
        if self._transport is not None:
            high = max_bytes // HOLD_SHARE
            self._transport.set_write_buffer_limits(high=high, low=high // 2)

    def is_closing(self) -> bool:
        transport = self._transport
        return self.server_terminated or self.client_terminated or transport is None or transport.is_closing()

    @property
    def unsent(self) -> int:
        """The number of bytes that were not yet passed to the kernel."""
        transport = self._transport
        return self._queued_bytes + (0 if transport is None else transport.get_write_buffer_size())

    @property
    def is_clogged(self) -> bool:
        """True if so many bytes are unsent that a backlog should wait."""
        return self.unsent > self._max_unsent_bytes // CLOGGED_SHARE

    def has_read(self) -> bool:
        """Return True if the peer has read since the last call, as far as the kernel's buffer shows it.

        The kernel takes bytes from a full buffer only when the peer has acknowledged others. While its buffer
        is not full, nothing is known, and the result is False.
        """
        transport = self._transport
        waiting = 0 if transport is None else transport.get_write_buffer_size()
        taken = self._written_bytes - waiting
        before, self._taken_before = self._taken_before, taken if waiting else None
        return before is not None and taken > before

    def send_frame(self, frame: bytes) -> None:
        """Send a frame of ``wire.websocket.encode_frame``; do nothing if the connection is closing.

        The frames of one turn of the event loop are written at its end, or as soon as they exceed
        ``MAX_QUEUED_BYTES``. If the limit of unsent bytes is exceeded already, the frame is dropped and the
        handler called.
        """
        if self.server_terminated:
            return
        if self._write_paused and self.unsent > self._max_unsent_bytes:
            self.handler.on_too_slow()
            return
        self._queued_frames.append(frame)
        self._queued_bytes += len(frame)
        if self._queued_bytes > MAX_QUEUED_BYTES:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _send_last_frame(self, frame: bytes) -> None:
        """Send a close frame, whatever is unsent; no frame is sent after it."""
        self.server_terminated = True
        self._queued_frames.append(frame)
        self._queued_bytes += len(frame)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

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
        self._release_write_waiters(None)
        self._loop.call_soon(self._continue)

    @property
    def _is_held(self) -> bool:
        """True if the peer's frames wait until it has read. After the close frame there are no answers."""
        return self._write_paused and not self.server_terminated

    def _continue(self) -> None:
        """Handle the peer's frames that have waited, unless they still have to wait."""
        raise NotImplementedError

    def _update_reading(self) -> None:
        """Pause or resume reading, as the number of unparsed bytes requires."""
        raise NotImplementedError

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
        self._write(transport, data)
        if self._write_paused:
            self._update_reading()
        elif self._waiters:
            self._release_write_waiters(None)

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Pass data to the transport, and keep what it may not have sent: it does not show its buffer."""
        self._written_bytes += len(data)
        transport.write(data)
        waiting = transport.get_write_buffer_size()
        if waiting <= len(data):
            self._last_written = data
            return
        kept = self._last_written
        if isinstance(kept, bytes):
            self._kept_bytes = len(kept)
            kept = self._last_written = deque((kept,))
        kept.append(data)
        self._kept_bytes += len(data)
        while waiting <= self._kept_bytes - len(kept[0]):
            self._kept_bytes -= len(kept.popleft())

    def _unsent_bytes(self) -> bytes:
        """Return the bytes that were passed to the transport, but not yet to the kernel."""
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        kept = self._last_written
        return (kept if isinstance(kept, bytes) else b"".join(kept))[-waiting:] if waiting else b""

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
        self._release_write_waiters(WebSocketClosedError)
