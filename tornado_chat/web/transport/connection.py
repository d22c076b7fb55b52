"""One WebSocket on a socket of its own, without Tornado's streams: see ``transport``."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.gen import convert_yielded
from tornado.httputil import HTTPHeaders
from tornado.util import _websocket_mask
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from tornado_chat.web.transport.handshake import NotUpgraded, adopt_socket, upgrade
from tornado_chat.web.transport.outgoing import OutgoingProtocol
from tornado_chat.wire.websocket import BINARY, CLOSE, PING, Parser, close_payload, frame, parse_close

CLOSE_TIMEOUT_SECONDS = 5.0  # for the peer to answer a close frame, or to take what is still unsent
MAX_BUFFERED_BYTES = 64 * 1024  # bytes that are read while the handler works on a message
MAX_UNSENT_BYTES = 8 * 1024 * 1024  # bytes that a peer may leave unread and still be read from
MAX_EVENTS_PER_TURN = 256  # messages, before other sockets get their turn


class WebSocketConnection(OutgoingProtocol):
    """The protocol object of one handler, and of the asyncio transport below it.

    It lives as long as its transport; ``accept_connection`` returns as soon as ``open`` has
    returned, so that an idle socket costs no task and no timer.

    :ivar client_terminated: nothing more is handed on: the peer has closed, is gone, or has failed.
    :ivar final_close_code: the close code as RFC 6455 section 7.1.5 has it: also 1005 for a close frame without
        one, 1006 for a connection that was lost, and that of a violation.
    """

    __slots__ = (
        "_close_reported",
        "_close_timer",
        "_eof",
        "_handler_busy",
        "_lost",
        "_parser",
        "_paused",
        "close_code",
        "close_reason",
        "final_close_code",
    )

    def __init__(self, handler: WebSocketHandler) -> None:
        super().__init__(handler)
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.final_close_code = 1006
        self._parser = Parser(_websocket_mask, handler.max_message_size)
        self._handler_busy = True  # the handler works on a message, or still on open()
        self._paused = False  # reading is
        self._eof = False  # the peer sends nothing more
        self._lost = False
        self._close_reported = False
        self._close_timer: asyncio.TimerHandle | None = None

    # --- the handshake ---

    @property
    def selected_subprotocol(self) -> str | None:
        return None

    async def accept_connection(self, handler: WebSocketHandler) -> None:
        """Answer the upgrade request, take the socket over, and open the handler."""
        try:
            stream, answer = upgrade(handler)
        except NotUpgraded:
            return
        try:
            await adopt_socket(stream, self, self._parser.feed)
        except OSError:
            # As stock: the handler opens, and is told afterwards.
            self.client_terminated = self.server_terminated = self._lost = True
        self.send_frame(answer)
        try:
            opening = handler.open(*handler.open_args, **handler.open_kwargs)
            if opening is not None:
                await opening
        except asyncio.CancelledError:
            self._abort()
            self._close_reported = True  # the server is being torn down, as stock
            raise
        except Exception:
            self._on_handler_error()
        self._on_handler_idle()

    # --- asyncio's side: reading ---

    def data_received(self, data: bytes) -> None:
        if self.client_terminated:
            return  # the rest of a peer that has failed; it is read only to see its end
        self._parser.feed(data)
        if self._handler_busy:
            self._update_reading()
        else:
            self._deliver_events()

    def eof_received(self) -> bool:
        self._eof = True
        if self.client_terminated or not self._handler_busy:
            self._close_transport()
            if not self._handler_busy:
                self._report_close()
        # Else what came before is handed on first. In either case, what is unsent is sent.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._eof = True
        self._stop_sending()
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        if not self._handler_busy:  # else what came before is handed on first
            self.client_terminated = True
            self._report_close()

    def _deliver_events(self) -> None:
        """Hand on what has arrived, until the handler wants time or nothing whole is left."""
        following = self._parser.next
        on_message = self.handler.on_message
        self._flush_due = True  # below
        for _ in range(MAX_EVENTS_PER_TURN):
            event = following()
            if event is None:
                self._on_parser_empty()
                break
            opcode, data = event
            if opcode > BINARY:
                assert isinstance(data, bytes)
                waiting = self._on_control_frame(opcode, data)
            else:
                try:
                    waiting = on_message(data)
                except (Exception, asyncio.CancelledError):
                    self._on_handler_error()
                    break
            if waiting is not None:
                self._await_handler(waiting)
            if self._handler_busy or self.client_terminated:
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
        """The handler has done what kept it busy."""
        self._handler_busy = False
        if self.client_terminated:
            self._report_close()
        else:
            self._deliver_events()

    def _on_parser_empty(self) -> None:
        """Nothing whole is left: is it because nothing more is to be expected?"""
        failure = self._parser.failure
        if failure is not None:
            self._fail(failure.code, failure.reason)
        elif self._eof:
            self._close_transport()

    def _on_control_frame(self, opcode: int, data: bytes) -> Awaitable[None] | None:
        if opcode == CLOSE:
            self.client_terminated = True
            self.close_code, self.close_reason = parse_close(data)
            self.final_close_code = self.close_code or 1005
            self.close(self.close_code)
            return None
        # They are not declared to be awaitable, but Tornado lets them be.
        told: Callable[[bytes], Any] = self.handler.on_pong
        if opcode == PING:
            told = self.handler.on_ping
            self._pong(data)
        try:
            waiting: Awaitable[None] | None = told(data)
        except (Exception, asyncio.CancelledError):
            self._on_handler_error()
            return None
        return waiting

    def _await_handler(self, waiting: Awaitable[None]) -> None:
        try:
            future = convert_yielded(waiting)
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
        """The handler has raised, now. As stock: it is told, and the connection is cut.

        That a handler writes to a peer that is gone meanwhile is no news.
        """
        transport = self._transport
        gone = self._lost or transport is None or transport.is_closing()
        if not (gone and isinstance(sys.exc_info()[1], WebSocketClosedError)):
            self.handler.log_exception(*sys.exc_info())
        self._abort()

    def _update_reading(self) -> None:
        """Pause or resume reading."""
        transport = self._transport
        if transport is None or self._eof:
            return
        full = self._handler_busy and self._parser.buffered_bytes > MAX_BUFFERED_BYTES
        # Once closing, the answer of the peer is wanted, however little it reads.
        deaf = not self.server_terminated and self.unsent > MAX_UNSENT_BYTES
        pause = (full or deaf) and not self.client_terminated
        if pause != self._paused:
            self._paused = pause
            if pause:
                transport.pause_reading()
            else:
                transport.resume_reading()

    # --- closing ---

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a close frame; the connection ends when the peer answers it, or after 5 seconds.

        :raises ValueError: the code is none that may be sent, or the reason is too long.
        """
        if not self.server_terminated:
            self.send_frame(frame(CLOSE, close_payload(code, reason)))
            self.server_terminated = True
        if self.client_terminated:
            self._close_transport()
        else:
            self._start_close_timer()
            self._update_reading()

    def on_connection_close(self) -> None:
        if not self.client_terminated:
            self._abort()

    def _fail(self, code: int, reason: str) -> None:
        """The peer has broken the protocol.

        The socket is closed for writing only until the peer, too, is done: a socket that is
        closed with bytes unread is reset, and the peer might not see the close frame.
        """
        self.client_terminated = True
        self.final_close_code = code
        if not self.server_terminated:
            self.send_frame(frame(CLOSE, close_payload(code, reason)))
            self.server_terminated = True
        self._flush()
        transport = self._transport
        if transport is None or self._eof or transport.get_write_buffer_size():
            self._close_transport()
            return
        self._start_close_timer()
        try:
            transport.write_eof()
        except OSError:
            transport.abort()

    def _close_transport(self) -> None:
        """Close the socket as soon as the peer has taken what is unsent."""
        self.client_terminated = self.server_terminated = True
        self._flush()
        transport = self._transport
        if transport is not None:
            transport.close()
            if transport.get_write_buffer_size():
                self._start_close_timer()

    def _abort(self) -> None:
        """Cut the connection now. What can be written without waiting still is."""
        self.client_terminated = self.server_terminated = True
        self._flush()
        if self._transport is not None:
            self._transport.abort()

    def _start_close_timer(self) -> None:
        if self._close_timer is None and not self._lost:
            self._close_timer = self._loop.call_later(CLOSE_TIMEOUT_SECONDS, self._abort)

    def _report_close(self) -> None:
        """Tell the handler, once, that nothing more comes."""
        if self._close_reported:
            return
        self._close_reported = True
        try:
            self.handler.on_ws_connection_close(self.close_code, self.close_reason)
        except Exception:
            self.handler.log_exception(*sys.exc_info())

    # --- abstract methods of Tornado's class that are not called here: pings, and the client side ---

    def start_pinging(self) -> None:
        raise NotImplementedError

    def _process_server_headers(self, key: str | bytes, headers: HTTPHeaders) -> None:
        raise NotImplementedError

    async def _receive_frame_loop(self) -> None:
        raise NotImplementedError
