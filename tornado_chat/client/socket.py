"""One client WebSocket and the queue of received frames, the two parts of every client.

Strategy: a callback inside Tornado's read loop takes each frame; no task waits for frames. Tornado answers
the ping that follows a frame after the callback has returned, and the server does not send the frame again
after this pong. So every confirmed frame is in the queue, even if all readers are cancelled at that moment.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketClosedError,
    WebSocketError,
    websocket_connect,
)

T = TypeVar("T")


class ConnectionClosed(Exception):
    """The connection is closed and will not be opened again.

    :arg code: the WebSocket close code; below 1000: the HTTP status of the answer to the upgrade request.
    :arg reason: the server's reason; may be empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


class ReceiveQueue(Generic[T]):
    """The received frames that were not read yet, in order, and the error that ends the stream.

    The queue has no limit. Its frames are confirmed, so dropping one would lose it; and a client that only
    sends must still receive the acknowledgements behind unread frames.

    :ivar end_error: raised to readers after the last frame; None while the connection lives.
    """

    def __init__(self) -> None:
        self.end_error: Exception | None = None
        self._items: deque[T] = deque()
        self._changed = asyncio.Event()

    def put(self, item: T) -> None:
        self._items.append(item)
        self.notify_readers()

    def end(self, error: Exception) -> None:
        """End the stream: readers get ``error`` after the remaining items."""
        self.end_error = error
        self.notify_readers()

    async def get(self, predicate: Callable[[T], bool] | None = None) -> T:
        """Wait for the first item that matches ``predicate`` and remove it; the others keep their order."""
        while True:
            for index, item in enumerate(self._items):
                if predicate is None or predicate(item):
                    del self._items[index]
                    return item
            await self.wait_for_change()

    async def wait_for_change(self) -> None:
        """Wait for the next call of :meth:`notify_readers`.

        :raises Exception: ``end_error``, if the stream has ended.
        """
        if self.end_error is not None:
            raise self.end_error
        await self._changed.wait()

    def notify_readers(self) -> None:
        """Wake all callers of :meth:`wait_for_change`."""
        self._changed.set()
        self._changed.clear()


class ClientSocket:
    """One WebSocket, from the opening handshake to its last frame; an object is used once.

    :arg on_frame: called with every frame.
    :arg on_end: called once, after the last frame.
    """

    def __init__(
        self, on_frame: Callable[[str | bytes], None], on_end: Callable[[], None] | None = None
    ) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._early_frames: list[str | bytes] = []
        self._connection: WebSocketClientConnection | None = None
        self._closed = asyncio.Event()
        self._awaiting_pong = False

    async def open(self, url: str, timeout_seconds: float, headers: Mapping[str, str] | None = None) -> None:
        """Connect within ``timeout_seconds``.

        :raises ConnectionClosed: the connection failed.
        """
        request = HTTPRequest(
            url,
            headers=dict(headers or {}),
            connect_timeout=timeout_seconds,
            request_timeout=timeout_seconds,
        )
        opening = asyncio.ensure_future(websocket_connect(request, on_message_callback=self._on_message))
        try:
            self._adopt(await asyncio.shield(opening))
        except asyncio.CancelledError:
            # Tornado cannot cancel an opening handshake, and a socket without an owner must not stay open: it
            # is closed as soon as it is open. Mostly this takes no time; wait at most one second for it.
            opening.add_done_callback(self._close_when_open)
            await asyncio.wait([opening], timeout=1)
            await self.close()
            raise
        except (HTTPClientError, WebSocketError, OSError) as error:
            raise _as_closed(error) from error

    def write(self, data: bytes, on_written: Callable[[], object] | None = None) -> None:
        """Write a text frame, and call ``on_written`` when the kernel has accepted all of its bytes.

        If the socket is closing, the frame is dropped without an error: ``on_end`` follows.
        """
        assert self._connection is not None, "not open yet"
        try:
            flushed = asyncio.ensure_future(self._connection.write_message(data))
        except WebSocketClosedError:
            return

        def on_flushed(future: "asyncio.Future[None]") -> None:
            # Reading the exception also prevents asyncio's warning that it was never retrieved.
            if not future.cancelled() and future.exception() is None and on_written is not None:
                on_written()

        flushed.add_done_callback(on_flushed)

    def ping_or_close(self) -> None:
        """Send a ping, or close the socket with 4408 if the previous ping was not answered."""
        if self._connection is None or self._closed.is_set():
            return
        if self._awaiting_pong:
            self.begin_close(4408, "no answer to pings")
            return
        self._awaiting_pong = True
        with contextlib.suppress(WebSocketClosedError, StreamClosedError):
            self._connection.ping()

    async def wait_closed(self) -> ConnectionClosed:
        """Wait until the socket is closed, and return code and reason.

        A close without a code has code 1006, as in browsers.
        """
        await self._closed.wait()
        return self.closed or ConnectionClosed(1006)

    @property
    def closed(self) -> ConnectionClosed | None:
        """Code and reason of the close, or None while the socket is open."""
        if self._connection is None or not self._closed.is_set():
            return None
        return ConnectionClosed(self._connection.close_code or 1006, self._connection.close_reason or "")

    def begin_close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake. Tornado drops the connection if the peer takes over five seconds."""
        if self._connection is not None:
            self._connection.close(code, reason)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket, and wait until it is closed."""
        self.begin_close(code, reason)
        if self._connection is not None:
            await self._closed.wait()

    def _on_message(self, raw: str | bytes | None) -> None:
        if raw is None:
            self._on_closed()
        elif self._connection is None:
            self._early_frames.append(raw)
        else:
            self._on_frame(raw)

    def _on_closed(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        if self._connection is not None:
            self._finish(self._connection)

    def _finish(self, connection: WebSocketClientConnection) -> None:
        connection.close()  # Tornado requires this call even if the connection is already closed
        if self._on_end is not None:
            self._on_end()

    def _adopt(self, connection: WebSocketClientConnection) -> None:
        """Use the open connection; frames may have arrived with the handshake, even the last frame."""
        self._connection = connection
        if connection.protocol is not None:
            # Without TCP_NODELAY a second small frame waits for the TCP acknowledgement of the first.
            connection.protocol.set_nodelay(True)
        # Tornado's own `ping_interval` closes a silent connection with 1000; after the peer's echo this is
        # indistinguishable from the end of the conversation. Hence :meth:`ping_or_close`. Tornado's client
        # connection has no other way to set a handler of pongs.
        connection.on_pong = self._on_pong  # type: ignore[method-assign]
        for raw in self._early_frames:
            self._on_frame(raw)
        if self._closed.is_set():
            self._finish(connection)

    def _on_pong(self, data: bytes) -> None:
        self._awaiting_pong = False

    def _close_when_open(self, opening: "asyncio.Future[WebSocketClientConnection]") -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._adopt(opening.result())
            self.begin_close()


def _as_closed(error: Exception) -> ConnectionClosed:
    """Convert the error of a failed connect to ``ConnectionClosed``."""
    match error:
        case HTTPClientError(code=599):  # a code of Tornado: a timeout, or a connection that was cut
            return ConnectionClosed(1006, str(error.message))
        case HTTPClientError():
            return ConnectionClosed(error.code, str(error.message))
        case ssl.SSLCertVerificationError():
            return ConnectionClosed(1015, error.verify_message)
        case WebSocketError():
            return ConnectionClosed(1002, str(error))
        case _:
            return ConnectionClosed(1006, str(error))
