"""One WebSocket, and what it received: the two parts under every client.

Strategy: frames are taken by a callback inside Tornado's read loop, never by a task that waits
for them. Tornado answers the ping that follows a frame once the callback has returned, and that
pong is the receipt after which the server will not send the frame again. So whatever was
receipted is in the inbox, even if every reader is cancelled at that very moment.
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


class Closed(Exception):
    """The connection is over for good.

    :arg code: the WebSocket close code; below 1000 the HTTP status that the upgrade was answered with.
    :arg reason: what the server said about it, often nothing.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


class ReceiveQueue(Generic[T]):
    """What was received and not yet read, in order, and in the end why nothing more will come.

    It has no limit: what is in here is receipted, so dropping it would lose it, and a client that
    only sends still has to see the acknowledgements behind it.
    """

    def __init__(self) -> None:
        self.end_error: Exception | None = None
        self._items: deque[T] = deque()
        self._news = asyncio.Event()

    def put(self, item: T) -> None:
        self._items.append(item)
        self.notify_readers()

    def end(self, error: Exception) -> None:
        """Readers get ``error`` as soon as they have read what is left."""
        self.end_error = error
        self.notify_readers()

    async def get(self, predicate: Callable[[T], bool] | None = None) -> T:
        """The first item that is ``predicate``; the others keep their places."""
        while True:
            for place, item in enumerate(self._items):
                if predicate is None or predicate(item):
                    del self._items[place]
                    return item
            await self.wait_for_change()

    async def wait_for_change(self) -> None:
        """Wait until there is something new to look at."""
        if self.end_error is not None:
            raise self.end_error
        await self._news.wait()

    def notify_readers(self) -> None:
        """Let everyone in :meth:`change` look again."""
        self._news.set()
        self._news.clear()


class ClientSocket:
    """One WebSocket, from its opening handshake to its last frame; it is not used again.

    :arg accept: called with every frame.
    :arg end_error: called once, after the last one.
    """

    def __init__(
        self, accept: Callable[[str | bytes], None], ended: Callable[[], None] | None = None
    ) -> None:
        self._on_frame = accept
        self._ended = ended
        self._early: list[str | bytes] = []
        self._connection: WebSocketClientConnection | None = None
        self._closed = asyncio.Event()
        self._awaiting_pong = False

    async def open(self, url: str, patience: float, headers: Mapping[str, str] | None = None) -> None:
        """Connect within ``patience`` seconds. Raises `Closed` if that fails."""
        request = HTTPRequest(
            url, headers=dict(headers or {}), connect_timeout=patience, request_timeout=patience
        )
        opening = asyncio.ensure_future(websocket_connect(request, on_message_callback=self._on_message))
        try:
            self._adopt(await asyncio.shield(opening))
        except asyncio.CancelledError:
            # Tornado cannot be told to stop an opening handshake, and a socket that nobody knows
            # of must not stay open: hang up once it is there. Mostly that is at once; a server
            # that does not answer is not waited for.
            opening.add_done_callback(self._decline)
            await asyncio.wait([opening], timeout=1)
            await self.close()
            raise
        except (HTTPClientError, WebSocketError, OSError) as error:
            raise _as_closed(error) from error

    def write(self, data: bytes, written: Callable[[], object] | None = None) -> None:
        """Write a text frame, and call ``written`` when the kernel has all of it.

        A socket that is closing takes nothing and says nothing: its end is known soon enough.
        """
        assert self._connection is not None, "not open yet"
        try:
            flushed = asyncio.ensure_future(self._connection.write_message(data))
        except WebSocketClosedError:
            return

        def done(future: "asyncio.Future[None]") -> None:
            # Asking for the exception also keeps asyncio from reporting it as forgotten.
            if not future.cancelled() and future.exception() is None and written is not None:
                written()

        flushed.add_done_callback(done)

    def ping_or_close(self) -> None:
        """Ping; hang up if the ping before this one was not answered."""
        if self._connection is None or self._closed.is_set():
            return
        if self._awaiting_pong:
            self.begin_close(4408, "no answer to pings")
            return
        self._awaiting_pong = True
        with contextlib.suppress(WebSocketClosedError, StreamClosedError):
            self._connection.ping()

    async def wait_closed(self) -> Closed:
        """How it ended, after it has. 1006 stands for a close without a code, as in browsers."""
        await self._closed.wait()
        return self.closed or Closed(1006)

    @property
    def closed(self) -> Closed | None:
        """How it ended, or None while it has not."""
        if self._connection is None or not self._closed.is_set():
            return None
        return Closed(self._connection.close_code or 1006, self._connection.close_reason or "")

    def begin_close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake. Tornado drops a peer that does not finish it within five seconds."""
        if self._connection is not None:
            self._connection.close(code, reason)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait until it is closed."""
        self.begin_close(code, reason)
        if self._connection is not None:
            await self._closed.wait()

    def _on_message(self, raw: str | bytes | None) -> None:
        if raw is None:
            self._on_closed()
        elif self._connection is None:
            self._early.append(raw)
        else:
            self._on_frame(raw)

    def _on_closed(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        if self._connection is not None:
            self._finish(self._connection)

    def _finish(self, connection: WebSocketClientConnection) -> None:
        connection.close()  # Tornado wants to be told even when it is
        if self._ended is not None:
            self._ended()

    def _adopt(self, connection: WebSocketClientConnection) -> None:
        """The handshake is done; its last packet may have brought frames along, even the last one."""
        self._connection = connection
        # Tornado's own `ping_interval` closes a silent connection with 1000, and once the peer has
        # echoed that nobody can tell it from the end of the conversation. Hence :meth:`probe`, and
        # this method, which a client connection has but gives no other way to define.
        if connection.protocol is not None:  # or a second small frame waits for the first one's receipt
            connection.protocol.set_nodelay(True)
        connection.on_pong = self._on_pong  # type: ignore[method-assign]
        for raw in self._early:
            self._on_frame(raw)
        if self._closed.is_set():
            self._finish(connection)

    def _on_pong(self, data: bytes) -> None:
        self._awaiting_pong = False

    def _decline(self, opening: "asyncio.Future[WebSocketClientConnection]") -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._adopt(opening.result())
            self.begin_close()


def _as_closed(error: Exception) -> Closed:
    """What kept us from connecting, in the form of a close."""
    match error:
        case HTTPClientError(code=599):  # Tornado's own: a timeout, or a connection cut short
            return Closed(1006, str(error.message))
        case HTTPClientError():
            return Closed(error.code, str(error.message))
        case ssl.SSLCertVerificationError():
            return Closed(1015, error.verify_message)
        case WebSocketError():
            return Closed(1002, str(error))
        case _:
            return Closed(1006, str(error))
