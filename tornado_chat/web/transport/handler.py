"""WebSocket handlers without Tornado's cost per message.

``FastWebSocketHandler`` is a mixin: ``WebSocketConnection`` serves each handler that inherits from it, on
plain TCP or a Unix socket. TLS ends at the proxy. The handler's other methods work as in Tornado.

Beyond Tornado's contract, a handler may use ``send_text``, ``send_frame``, ``fail``, ``unsent``,
``is_clogged`` and ``has_read``, and override ``max_unsent_bytes``, ``on_too_slow`` and ``on_fragment``.
Differences from Tornado's class:

- there are no subprotocols, no compression, and no periodic pings of the connection itself
  (``websocket_ping_interval``): ``delivery.hub`` sends the pings,
- protocol violations are answered with a close frame (1002, 1007, 1009) before the socket closes,
- a close frame with a forbidden code is a violation, and ``close`` refuses to send one,
- a disconnected peer is detected while ``on_message`` waits, but ``on_close`` is still called afterwards,
- while a peer leaves more than a fourth of ``max_unsent_bytes`` unread, its frames are not parsed; above
  ``max_unsent_bytes`` ``on_too_slow`` is called, which closes the connection,
- a message of more than ``wire.websocket.MAX_FRAGMENTS`` fragments is a violation (1009),
- one socket gets at most ``TURN_BYTES`` of a turn of the event loop; fragments and control frames count.

Strategy: when the request has been upgraded, the socket is detached from the ``IOStream`` and becomes an
asyncio transport. All received bytes are parsed at once, without futures; all frames that are sent within
one turn of the event loop are written with one call. ``write_message`` waits for the flow control of the
transport.

Private members of Tornado in use: ``WebSocketHandler._detach_stream`` (also removes the HTTP methods from
the handler, as Tornado's class does), ``IOStream._read_buffer`` (frames that arrived together with the
request; ``read_bytes`` could read on without bounds), ``tornado.util._websocket_mask`` (the only unmasking
function in C at hand), ``WebSocketProtocol._abort`` and its two abstract methods for clients (to be a
subclass; code of handlers may test for it).
"""

from tornado.websocket import WebSocketProtocol

from tornado_chat.web.transport.connection import WebSocketConnection
from tornado_chat.web.transport.frame_handler import FrameHandler
from tornado_chat.wire.websocket import TEXT, encode_frame

__all__ = ["FastWebSocketHandler", "WebSocketConnection"]


class FastWebSocketHandler(FrameHandler):
    """A handler that is served by ``WebSocketConnection``."""

    ws_connection: WebSocketConnection | None
    final_close_code = 1006  # set on close, from ``WebSocketConnection.final_close_code``

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        if self.request.headers.get("Sec-WebSocket-Version") != "13":
            return None
        return WebSocketConnection(self)

    def on_ws_connection_close(self, close_code: int | None = None, close_reason: str | None = None) -> None:
        if self.ws_connection is not None:
            self.final_close_code = self.ws_connection.final_close_code
        super().on_ws_connection_close(close_code, close_reason)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close the connection as Tornado's method, but keep ``ws_connection`` for the frames that follow."""
        if self.ws_connection is not None:
            self.ws_connection.close(code, reason)

    def fail(self, code: int, reason: str) -> None:
        """Close the connection and ignore all further bytes of the peer, see ``WebSocketConnection.fail``."""
        if self.ws_connection is not None:
            self.ws_connection.fail(code, reason)

    def cut(self) -> None:
        """End the connection without a close frame, see ``WebSocketConnection.cut``."""
        if self.ws_connection is not None:
            self.ws_connection.cut()

    def send_text(self, payload: bytes) -> None:
        """Send UTF-8 as a text message, without a future; do nothing if the socket is closed."""
        self.send_frame(encode_frame(TEXT, payload))

    def send_frame(self, frame: bytes) -> None:
        """Send an encoded frame, which many sockets may share."""
        if self.ws_connection is not None:
            self.ws_connection.send_frame(frame)

    @property
    def unsent(self) -> int:
        """The number of bytes that were sent but not yet passed to the kernel."""
        return 0 if self.ws_connection is None else self.ws_connection.unsent

    def limit_unsent(self, max_bytes: int) -> None:
        """Set another limit of the unsent bytes than ``max_unsent_bytes``."""
        if self.ws_connection is not None:
            self.ws_connection.limit_unsent(max_bytes)

    @property
    def is_clogged(self) -> bool:
        """True if so many bytes are unsent that a backlog should wait."""
        return self.ws_connection is not None and self.ws_connection.is_clogged

    def has_read(self) -> bool:
        """Return True if the peer is known to have read since the last call."""
        return self.ws_connection is not None and self.ws_connection.has_read()
