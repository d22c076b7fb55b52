"""WebSockets without Tornado's per-message cost, under any ``WebSocketHandler``.

``FastWebSocketHandler`` is a mixin: a handler that inherits from it is served by ``WebSocketConnection``, on plain TCP or a
Unix socket. TLS ends at the proxy. Nothing else about the handler changes.

What a handler may rely on beyond Tornado's contract: ``send_text``, ``send_frame`` and ``unsent``. What is
different from Tornado's class:

- there are no subprotocols, no compression, and no periodic pings of the connection itself
  (``websocket_ping_interval``): ``delivery.hub`` sends the pings,

- protocol violations are answered with a close frame (1002, 1007, 1009) before the socket closes,
- a close code that may not be on the wire is a violation, and ``close`` refuses to send one,
- a peer that is gone is noticed while ``on_message`` waits, though ``on_close`` still comes after,
- a peer that leaves more than 8 MiB unread is no longer read from until it has read.

Strategy: when the request has been upgraded, the socket is taken away from the ``IOStream`` and
becomes an asyncio transport. Everything that has arrived is parsed in one go, without futures;
everything that is sent within one turn of the loop is written with one call. The transport's own
flow control is what ``write_message`` waits for.

Private members of Tornado in use: ``WebSocketHandler._detach_stream`` (it also takes the HTTP
methods away from the handler, as the stock class does), ``IOStream._read_buffer`` (frames that
came together with the request; reading them with ``read_bytes`` could read on without bounds),
``tornado.util._websocket_mask`` (the only unmasking in C at hand), ``WebSocketProtocol._abort``
and its two abstract methods for clients (to be a subclass; handlers' code may test for it).
"""

from tornado.websocket import WebSocketHandler, WebSocketProtocol

from tornado_chat.web.transport.connection import WebSocketConnection
from tornado_chat.wire.websocket import TEXT, frame

__all__ = ["FastWebSocketHandler", "WebSocketConnection"]


class FastWebSocketHandler(WebSocketHandler):
    """A handler that is served by ``WebSocketConnection``."""

    ws_connection: WebSocketConnection | None
    final_close_code = 1006  # when it is closed: ``WebSocketConnection.final_close_code``

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        if self.request.headers.get("Sec-WebSocket-Version") != "13":
            return None
        return WebSocketConnection(self)

    def on_ws_connection_close(self, close_code: int | None = None, close_reason: str | None = None) -> None:
        if self.ws_connection is not None:
            self.final_close_code = self.ws_connection.final_close_code
        super().on_ws_connection_close(close_code, close_reason)

    def send_text(self, payload: bytes) -> None:
        """Send UTF-8 as a text message, without a future; on a closed socket nothing happens."""
        self.send_frame(frame(TEXT, payload))

    def send_frame(self, text: bytes) -> int:
        """Send a plain text frame of ``wire.websocket``, which may be one for many. Returns ``unsent``."""
        connection = self.ws_connection
        return 0 if connection is None else connection.send_frame(text)

    @property
    def unsent(self) -> int:
        """The bytes that have been sent but not been given to the kernel yet."""
        connection = self.ws_connection
        return 0 if connection is None else connection.unsent
