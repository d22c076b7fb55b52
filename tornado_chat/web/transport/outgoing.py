"""The outgoing side of a WebSocket on an asyncio transport: see ``transport``."""

import asyncio
import socket
from typing import Any, cast

from tornado.escape import json_encode, utf8
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol

from tornado_chat.wire.websocket import BINARY, PING, PONG, TEXT, frame

MAX_JOINED_BYTES = 64 * 1024  # bytes that are collected before they are written


class OutgoingProtocol(WebSocketProtocol, asyncio.Protocol):
    """What is sent: collected for one turn of the loop, then written at once.

    :ivar server_terminated: nothing more is sent, the close frame was the last.
    """

    __slots__ = (
        "_flush_due",
        "_has_write_backlog",
        "_joined",
        "_late_pong",
        "_loop",
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
        self._joined = 0  # bytes in _outgoing
        self._has_write_backlog = False  # the kernel did not take all of the last write
        self._flush_due = False  # somebody will flush without being asked again
        self._waiters: list[asyncio.Future[None]] = []  # of write_message
        self._write_paused = False  # by the transport
        self._late_pong: bytes | None = None  # for when it no longer is

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # other loops' are no subclass of it

    def is_closing(self) -> bool:
        transport = self._transport
        return self.server_terminated or self.client_terminated or transport is None or transport.is_closing()

    @property
    def unsent(self) -> int:
        """The bytes that have not been given to the kernel yet."""
        transport = self._transport
        return self._joined + (0 if transport is None else transport.get_write_buffer_size())

    def send_frame(self, data: bytes) -> int:
        """Send what ``wire.websocket.frame`` has made; nothing happens if the connection is closing.

        What is sent within one turn of the loop is written at its end, or as soon as it is much.
        Returns ``unsent``.
        """
        if self.server_terminated:
            return 0
        self._queued_frames.append(data)
        self._joined += len(data)
        if self._joined > MAX_JOINED_BYTES:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        return self.unsent if self._has_write_backlog else self._joined

    def write_message(
        self, message: str | bytes | dict[str, Any], binary: bool = False
    ) -> "asyncio.Future[None]":
        """Send a message. The future is done when the peer reads fast enough for more.

        :raises WebSocketClosedError: the connection is closing.
        """
        if self.is_closing():
            raise WebSocketClosedError
        payload = utf8(json_encode(message) if isinstance(message, dict) else message)
        future = self._loop.create_future()
        self._waiters.append(future)
        self.send_frame(frame(BINARY if binary else TEXT, payload))
        return future

    def write_ping(self, data: bytes) -> None:
        """Send a ping.

        :raises ValueError: the payload is longer than 125 bytes.
        """
        self.send_frame(frame(PING, data))

    def set_nodelay(self, x: bool) -> None:
        if x or self._transport is None:  # asyncio has set it on every TCP socket
            return
        own = self._transport.get_extra_info("socket")
        if own is not None and own.family in (socket.AF_INET, socket.AF_INET6):
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)

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
        """How much is unsent has changed a lot: pause or resume reading."""
        raise NotImplementedError

    def _pong(self, data: bytes) -> None:
        if self._write_paused:
            self._late_pong = data  # the latest will do, section 5.5.3
        else:
            self.send_frame(frame(PONG, data))

    def _flush(self) -> None:
        self._flush_due = False
        outgoing = self._queued_frames
        transport = self._transport
        if not outgoing or transport is None:
            return
        data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
        outgoing.clear()
        self._joined = 0
        if transport.is_closing():  # or asyncio would warn about it
            self._release_write_waiters(WebSocketClosedError)
            return
        transport.write(data)
        self._has_write_backlog = transport.get_write_buffer_size() > 0
        if self._write_paused:
            self._update_reading()
        elif self._waiters:
            self._release_write_waiters(None)

    def _release_write_waiters(self, error: type[WebSocketClosedError] | None) -> None:
        """Let those go on who wait for ``write_message``."""
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error())
                future.exception()  # looked at: nobody has to wait

    def _stop_sending(self) -> None:
        """The connection is lost, and the transport with what it has not sent."""
        self._transport = None
        self.server_terminated = True
        self._queued_frames.clear()
        self._joined = 0
        self._late_pong = None
        self._release_write_waiters(WebSocketClosedError)
