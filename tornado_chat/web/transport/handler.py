"""WebSockets without Tornado's per-message cost, under any ``WebSocketHandler``.

``FastWebSocket`` is a mixin: a handler that inherits from it is served by ``Connection`` where
the socket is plain TCP or a Unix socket, and by Tornado's own class where it is TLS. Both compress if the
application's setting ``compression`` is a ``wire.deflate.Compression``. Nothing else about the handler changes.

What a handler may rely on beyond Tornado's contract: ``send_text``, ``send_frame`` and ``unsent``. What is
different from Tornado's class:

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

from functools import partial
from typing import TYPE_CHECKING, Any

from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol

from tornado_chat.web.transport.connection import Connection
from tornado_chat.wire.deflate import Compression
from tornado_chat.wire.websocket import TEXT, frame, payload_of

if TYPE_CHECKING:
    import asyncio

__all__ = ["Connection", "FastWebSocket"]


class FastWebSocket(WebSocketHandler):
    """A handler on the fast class wherever that can be."""

    verdict = 1006  # when it is closed: ``Connection.verdict``
    _with_stock = 0  # bytes that Tornado's own class has not written yet

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        stream = getattr(self.request.connection, "stream", None)
        plain = type(stream) is IOStream  # an SSLIOStream is an IOStream, too
        version = self.request.headers.get("Sec-WebSocket-Version")
        if not plain or version != "13":
            return super().get_websocket_protocol()
        offers = self.request.headers.get("Sec-WebSocket-Extensions", "")
        compression: Compression | None = self.settings.get("compression")
        return Connection(self, compression.agree(offers) if compression is not None else None)

    def get_compression_options(self) -> dict[str, Any] | None:
        """What Tornado's own class goes by."""
        compression: Compression | None = self.settings.get("compression")
        return None if compression is None else compression.options

    def on_ws_connection_close(self, close_code: int | None = None, close_reason: str | None = None) -> None:
        connection = self.ws_connection
        self.verdict = connection.verdict if isinstance(connection, Connection) else close_code or 1006
        super().on_ws_connection_close(close_code, close_reason)

    def send_text(self, payload: bytes) -> None:
        """Send UTF-8 as a text message, without a future; on a closed socket nothing happens."""
        self.send_frame(frame(TEXT, payload))

    def send_frame(self, text: bytes) -> int:
        """Send a plain text frame of ``wire.websocket``, which may be one for many. Returns ``unsent``."""
        connection = self.ws_connection
        if type(connection) is Connection:
            return connection.send_frame(text)
        payload = payload_of(text)
        try:
            written = self.write_message(payload)
        except (WebSocketClosedError, StreamClosedError):
            return self._with_stock
        self._with_stock += len(payload)
        written.add_done_callback(partial(self._written, len(payload)))
        return self._with_stock

    @property
    def unsent(self) -> int:
        """The bytes that have been sent but not been given to the kernel yet."""
        connection = self.ws_connection
        return connection.unsent if isinstance(connection, Connection) else self._with_stock

    def _written(self, size: int, written: "asyncio.Future[None]") -> None:
        self._with_stock -= size
        if not written.cancelled():
            written.exception()  # looked at, or asyncio would complain: the close says it all
