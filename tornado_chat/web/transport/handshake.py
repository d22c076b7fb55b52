"""From an HTTP request to the socket of a WebSocket: see ``transport``."""

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import NamedTuple

from tornado.httputil import HTTPConnection, HTTPHeaders, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream
from tornado.log import gen_log
from tornado.websocket import WebSocketHandler, WebSocketProtocol13


class NotUpgraded(Exception):
    """The request was no valid one; it has been answered."""


class Upgraded(NamedTuple):
    """:ivar stream: no longer HTTP's; nothing was written to it.
    :ivar answer: is to be sent before anything else.
    """

    stream: IOStream
    answer: bytes


def upgrade(handler: WebSocketHandler) -> Upgraded:
    """Answer the upgrade request.

    :raises NotUpgraded: the request lacks what section 4.2.1 asks for.
    """
    headers = handler.request.headers
    key = headers.get("Sec-WebSocket-Key", "").strip()
    if not headers.get("Host") or not _is_nonce(key):
        handler.set_status(400)
        handler.finish("Missing/Invalid WebSocket headers")
        gen_log.debug("Missing/Invalid WebSocket headers")
        raise NotUpgraded
    handler.clear_header("Content-Type")
    handler.set_status(101)
    handler.set_header("Upgrade", "websocket")
    handler.set_header("Connection", "Upgrade")
    handler.set_header("Sec-WebSocket-Accept", WebSocketProtocol13.compute_accept_value(key))
    request, held = handler.request, _Held()
    request.connection, connection = held, request.connection
    handler.finish()
    request.connection = connection
    stream = handler._detach_stream()
    assert type(stream) is IOStream, "TLS ends at the proxy"  # an SSLIOStream is an IOStream, too
    # The HTTP side of the connection is over; as long as the request knows it, it is kept.
    request.connection = request.server_connection = None
    return Upgraded(stream, held.answer)


class _Held(HTTPConnection):
    """Takes down the head of an answer. It goes out with the first frames, by one call."""

    answer = b""

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Nothing that is held can be closed."""

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        assert isinstance(start_line, ResponseStartLine)
        lines = [f"HTTP/1.1 {start_line.code} {start_line.reason}", *map(": ".join, headers.get_all())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header of the answer has more than one line")
        self.answer = "\r\n".join([*lines, "", ""]).encode("latin1")
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def finish(self) -> None:
        """The head is all there is."""


async def adopt_socket(stream: IOStream, protocol: asyncio.Protocol, early: Callable[[bytes], None]) -> None:
    """Give the socket of ``stream`` to ``protocol``, as an asyncio transport. The stream is over.

    A duplicate of the socket is what goes on: then everybody who still knows the stream, as the
    HTTP server does for a moment, can close it as ever.

    :arg early: takes what the stream has read already.
    :raises OSError: the peer is gone, or there are no file descriptors left.
    """
    try:
        if stream.closed():
            raise ConnectionResetError
        own = stream.socket.dup()
    except OSError:
        stream.close()
        raise
    if stream._read_buffer:
        early(bytes(stream._read_buffer))
    stream.close()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, own)


def _is_nonce(key: str) -> bool:
    """Whether this is base64 of 16 bytes, section 4.2.1."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
