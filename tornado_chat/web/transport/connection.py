"""One WebSocket connection on an asyncio transport, without Tornado's streams: see ``transport.handler``."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from tornado.gen import convert_yielded
from tornado.httputil import HTTPHeaders
from tornado.util import _websocket_mask
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from tornado_chat.core.handed_over import WireState
from tornado_chat.web.transport.frame_handler import FrameHandler
from tornado_chat.web.transport.handshake import NotUpgraded, adopt_socket, upgrade
from tornado_chat.web.transport.outgoing import OutgoingProtocol
from tornado_chat.wire.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    Parser,
    close_payload,
    encode_frame,
    parse_close,
)

CLOSE_TIMEOUT_SECONDS = 5.0  # for the peer to answer a close frame, or to read the unsent bytes
MAX_BUFFERED_BYTES = 64 * 1024  # unparsed bytes at which reading pauses while no frame can be handled
MAX_DISCARDED_BYTES = 4 * 1024 * 1024  # bytes after a violation at which reading ends

TURN_BYTES = 256 * 1024
"""The bytes that one socket may cost in one turn of the event loop, so that the other sockets get theirs."""

FRAME_BYTES = 1024
"""What each frame costs beside its payload, also a fragment or a control frame without one."""


class WebSocketConnection(OutgoingProtocol):
    """The WebSocket protocol of one handler, and the asyncio protocol of its transport.

    The object lives as long as its transport. ``accept_connection`` returns as soon as ``open`` has
    returned, so an idle socket needs no task and no timer.

    :ivar client_terminated: no more messages are delivered to the handler: the peer has closed, is
        disconnected, or has violated the protocol.
    :ivar final_close_code: the close code of RFC 6455 section 7.1.5: also 1005 for a close frame
        without a code, 1006 for a lost connection, and the code of a protocol violation.
    """

    __slots__ = (
        "_close_reported",
        "_close_timer",
        "_discarded_bytes",
        "_eof",
        "_handler_busy",
        "_is_handed_over",
        "_is_settled",
        "_lost",
        "_parser",
        "_paused",
        "close_code",
        "close_reason",
        "final_close_code",
    )

    def __init__(self, handler: FrameHandler) -> None:
        super().__init__(handler)
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.final_close_code = 1006
        self._parser = Parser(_websocket_mask, handler.max_message_size)
        self._handler_busy = True  # the handler works on a message or on open()
        self._paused = False  # reading is paused
        self._discarded_bytes = 0  # bytes that were read after the last frame
        self._eof = False  # the peer has closed its sending side
        self._lost = False
        self._close_reported = False
        self._close_timer: asyncio.TimerHandle | None = None
        self._is_handed_over = False  # no frame is handled any more
        self._is_settled = False  # the handler has finished its work on the last frame before that

    # --- the hand-over to another process ---

    def suspend(self) -> None:
        """Handle no more frames: reading stops, and the frame under way is finished."""
        self._is_handed_over = True
        if self._transport is not None and not self._paused and not self._eof:
            self._paused = True
            self._transport.pause_reading()
        if not self._handler_busy:
            self._handler_busy = self._is_settled = True

    @property
    def can_be_handed_over(self) -> bool:
        """True if the connection is suspended and open, and the handler has finished its work."""
        return self._is_settled and not self._eof and not self.is_closing()

    def hand_over(self) -> tuple[WireState, int]:
        """Return the state and a duplicate of the descriptor; nothing is written or read afterwards.

        :raises OSError: there is no descriptor left.
        """
        assert self._transport is not None
        descriptor = os.dup(self._transport.get_extra_info("socket").fileno())
        state = msgspec.structs.replace(self._parser.hand_over(), unsent=self._unsent_bytes())
        self.server_terminated = self.client_terminated = True
        return state, descriptor

    async def take_over(self, connected: socket.socket, state: WireState) -> None:
        """Continue the connection of another process; its frames wait until ``resume``.

        :raises OSError: the peer has disconnected.
        """
        self._parser.take_over(state)
        await self._loop.connect_accepted_socket(lambda: self, connected)
        if state.unsent and self._transport is not None:
            self._write(self._transport, state.unsent)

    def resume(self) -> None:
        """Handle the frames of a connection that was taken over."""
        self._on_handler_idle()

    # --- the handshake ---

    @property
    def selected_subprotocol(self) -> str | None:
        return None

    async def accept_connection(self, handler: WebSocketHandler) -> None:
        """Answer the upgrade request, take over the socket, and open the handler."""
        try:
            stream, answer = upgrade(handler)
        except NotUpgraded:
            return
        try:
            await adopt_socket(stream, self, self._parser.feed)
        except OSError:
            # As in Tornado's class: the handler opens, and on_close follows.
            self.client_terminated = self.server_terminated = self._lost = True
        self.send_frame(answer)
        try:
            opening = handler.open(*handler.open_args, **handler.open_kwargs)
            if opening is not None:
                await opening
        except asyncio.CancelledError:
            self._abort()
            self._close_reported = True  # the server stops: on_close is not called, as in Tornado's class
            raise
        except Exception:
            self._on_handler_error()
        self._on_handler_idle()

    # --- asyncio's side: reading ---

    def data_received(self, data: bytes) -> None:
        if self.client_terminated:
            self._discard(data)
            return
        self._parser.feed(data)
        if self._handler_busy or (self._write_paused and not self.server_terminated):  # as _is_held
            self._update_reading()
        else:
            self._deliver_events()

    def _discard(self, data: bytes) -> None:
        """Drop bytes after a violation: they are read so that the peer gets the close frame, see ``fail``.

        A peer that goes on sending must not keep the server busy: its bytes wait until the close timeout.
        """
        self._discarded_bytes += len(data)
        self._update_reading()

    def eof_received(self) -> bool:
        self._eof = True
        if self.client_terminated or not (self._handler_busy or self._is_held):
            self._close_transport()
            if not self._handler_busy:
                self._report_close()
        # Else the messages before the end are delivered first. In either case, the transport stays open for
        # the unsent bytes.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._eof = True
        was_held = self._is_held
        self._stop_sending()
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        if self._handler_busy:  # the messages before the loss are delivered first
            return
        if was_held and not self.client_terminated:
            self._deliver_events()
        else:
            self.client_terminated = True
            self._report_close()

    def _deliver_events(self) -> None:
        """Deliver the received frames to the handler, at most ``TURN_BYTES`` in one turn of the event loop.

        The frames wait while the handler is busy, and while the peer does not read.
        """
        next_event = self._parser.next
        on_message = self.handler.on_message
        self._flush_due = True  # this method flushes at its end
        remaining = TURN_BYTES
        while remaining > 0:
            event = next_event()
            if event is None:
                self._on_parser_empty()
                break
            opcode, data = event
            remaining -= FRAME_BYTES + len(data)
            if opcode > BINARY or opcode == CONTINUATION:
                assert isinstance(data, bytes)
                awaitable = self._on_control_frame_or_fragment(opcode, data)
            else:
                try:
                    awaitable = on_message(data)
                except (Exception, asyncio.CancelledError):
                    self._on_handler_error()
                    break
            if awaitable is not None:
                self._await_handler(awaitable)
            if (
                self._handler_busy
                or self.client_terminated
                or (self._write_paused and not self.server_terminated)
            ):
                break
        else:
            self._handler_busy = True
            self._loop.call_soon(self._on_handler_idle)
        if self._queued_frames:
            self._flush()
        else:
            self._flush_due = False
        if self._handler_busy or self._paused or self._write_paused:
            self._update_reading()
        if self.client_terminated and not self._handler_busy:
            self._report_close()

    def _on_handler_idle(self) -> None:
        """Continue after the handler has finished its work."""
        if self._is_handed_over and not self.client_terminated:
            self._is_settled = True
            return
        self._handler_busy = False
        if self.client_terminated:
            self._report_close()
        else:
            self._continue()

    def _continue(self) -> None:
        if self._handler_busy or self.client_terminated:
            return
        if self._is_held:
            self._update_reading()
        else:
            self._deliver_events()

    def _on_parser_empty(self) -> None:
        """The parser has no whole message left: close the connection after a violation or the peer's EOF."""
        failure = self._parser.failure
        if failure is not None:
            self.fail(failure.code, failure.reason)
        elif self._eof:
            self._close_transport()

    def _on_control_frame_or_fragment(self, opcode: int, data: bytes) -> Awaitable[None] | None:
        if opcode == CLOSE:
            self.client_terminated = True
            self.close_code, self.close_reason = parse_close(data)
            self.final_close_code = self.close_code or 1005
            self.close(self.close_code)
            return None
        # on_ping and on_pong are not declared as awaitable, but Tornado accepts coroutines.
        callback: Callable[[bytes], Any] = self.handler.on_fragment
        if opcode == PING:
            callback = self.handler.on_ping
        elif opcode == PONG:
            callback = self.handler.on_pong
        try:
            awaitable: Awaitable[None] | None = callback(data)
        except (Exception, asyncio.CancelledError):
            self._on_handler_error()
            return None
        if opcode == PING:  # after the callback, which may refuse the frame
            self.send_frame(encode_frame(PONG, data))
        return awaitable

    def _await_handler(self, awaitable: Awaitable[None]) -> None:
        try:
            future = convert_yielded(awaitable)
            if future.done():
                future.result()
                return
        except (Exception, asyncio.CancelledError):
            self._on_handler_error()
            return
        self._handler_busy = True
        future.add_done_callback(self._on_handler_done)

    def _on_handler_done(self, future: "asyncio.Future[Any]") -> None:
        try:
            future.result()
        except (Exception, asyncio.CancelledError):
            self._on_handler_error()
        self._on_handler_idle()

    def _on_handler_error(self) -> None:
        """Log the handler's current exception and abort the connection, as Tornado's class does.

        A ``WebSocketClosedError`` is not logged if the peer has disconnected: a handler may write before
        it is informed.
        """
        transport = self._transport
        is_disconnected = self._lost or transport is None or transport.is_closing()
        if not (is_disconnected and isinstance(sys.exc_info()[1], WebSocketClosedError)):
            self.handler.log_exception(*sys.exc_info())
        self._abort()

    def _update_reading(self) -> None:
        """Pause or resume reading."""
        transport = self._transport
        if transport is None or self._eof:
            return
        if self.client_terminated:
            pause = self._discarded_bytes > MAX_DISCARDED_BYTES
        else:
            is_full = self._parser.buffered_bytes > MAX_BUFFERED_BYTES
            pause = is_full and (self._handler_busy or self._is_held)
        if pause != self._paused:
            self._paused = pause
            if pause:
                transport.pause_reading()
            else:
                transport.resume_reading()

    # --- closing ---

    @property
    def is_abandoned(self) -> bool:
        """True if the peer or the server has ended the connection, also if it is still open one way."""
        return self._eof or self.is_closing()

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a close frame; the connection ends when the peer answers, or after ``CLOSE_TIMEOUT_SECONDS``.

        :raises ValueError: a close frame may not have the code, or the reason is too long.
        """
        if not self.server_terminated:
            self._send_last_frame(encode_frame(CLOSE, close_payload(code, reason)))
        if self.client_terminated:
            self._close_transport()
        else:
            self._start_close_timer()
            if self._write_paused:  # the peer's frames do not wait any more: its answer is expected
                self._loop.call_soon(self._continue)

    def on_connection_close(self) -> None:
        if not self.client_terminated:
            self._abort()

    def fail(self, code: int, reason: str) -> None:
        """Fail the connection after a violation of the peer: no more of its frames are parsed.

        Strategy: only the sending side is closed, until the peer closes, too. The kernel resets a socket
        that is closed with unread bytes, and then the peer might not receive the close frame.
        """
        self.client_terminated = True
        self.final_close_code = code
        if not self.server_terminated:
            self._send_last_frame(encode_frame(CLOSE, close_payload(code, reason)))
        self._flush()
        transport = self._transport
        if transport is None or self._eof or transport.get_write_buffer_size():
            self._close_transport()
        else:
            self._end_sending(transport)

    def cut(self) -> None:
        """End the connection without a close frame when the unsent bytes are written; the peer sees 1006.

        For clients that connect again only after an unclean close.
        """
        if self.server_terminated:
            return
        self._flush()
        self.server_terminated = True
        if self._transport is None or self._eof:
            self._close_transport()
            return
        self._end_sending(self._transport)
        if self._write_paused:  # as in close()
            self._loop.call_soon(self._continue)

    def _end_sending(self, transport: asyncio.Transport) -> None:
        """Close the sending side after the unsent bytes, and the connection when the peer closes, too."""
        self._start_close_timer()
        try:
            transport.write_eof()
        except OSError:
            transport.abort()

    def _close_transport(self) -> None:
        """Close the socket as soon as the unsent bytes are written, at most after the close timeout."""
        self.client_terminated = self.server_terminated = True
        self._flush()
        transport = self._transport
        if transport is not None:
            transport.close()
            if transport.get_write_buffer_size():
                self._start_close_timer()

    def _abort(self) -> None:
        """Abort the connection now. Bytes that can be written without waiting are still written."""
        self.client_terminated = self.server_terminated = True
        self._flush()
        if self._transport is not None:
            self._transport.abort()

    def _start_close_timer(self) -> None:
        if self._close_timer is None and not self._lost:
            self._close_timer = self._loop.call_later(CLOSE_TIMEOUT_SECONDS, self._abort)

    def _report_close(self) -> None:
        """Inform the handler, once, that the connection is closed."""
        if self._close_reported:
            return
        self._close_reported = True
        try:
            self.handler.on_ws_connection_close(self.close_code, self.close_reason)
        except Exception:
            self.handler.log_exception(*sys.exc_info())

    # --- abstract methods of Tornado's class that are never called here: pings, and the client side ---

    def start_pinging(self) -> None:
        raise NotImplementedError

    def _process_server_headers(self, key: str | bytes, headers: HTTPHeaders) -> None:
        raise NotImplementedError

    async def _receive_frame_loop(self) -> None:
        raise NotImplementedError
