"""The WebSocket handshake: from an HTTP request to an asyncio transport. See ``transport.handler``."""

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
    """The request is not a valid upgrade request; it has been answered."""


class Upgraded(NamedTuple):
    """The result of a successful upgrade.

    :ivar stream: detached from HTTP; nothing was written to it.
    :ivar answer: the response head, to be sent before any frame.
    """

    stream: IOStream
    answer: bytes


def upgrade(handler: WebSocketHandler) -> Upgraded:
    """Prepare the answer to the upgrade request and detach the stream.

    :raises NotUpgraded: the request lacks a header that RFC 6455 section 4.2.1 requires.
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
    request, recorder = handler.request, _ResponseRecorder()
    request.connection, connection = recorder, request.connection
    handler.finish()
    request.connection = connection
    stream = handler._detach_stream()
    assert type(stream) is IOStream, "TLS ends at the proxy"  # an SSLIOStream is an IOStream, too
    # HTTP no longer uses its connection objects; the request's references would keep them in memory.
    request.connection = request.server_connection = None
    return Upgraded(stream, recorder.answer)


class _ResponseRecorder(HTTPConnection):
    """Records the head of a response, so that it is sent together with the first frames by one call."""

    answer = b""

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Do nothing: there is no connection that could close."""

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        assert isinstance(start_line, ResponseStartLine)
        lines = [f"HTTP/1.1 {start_line.code} {start_line.reason}", *map(": ".join, headers.get_all())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header of the response has more than one line")
        self.answer = "\r\n".join([*lines, "", ""]).encode("latin1")
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def finish(self) -> None:
        """Do nothing: the response has no body."""


async def adopt_socket(
    stream: IOStream, protocol: asyncio.Protocol, on_early_bytes: Callable[[bytes], None]
) -> None:
    """Move the socket of ``stream`` to ``protocol``, on an asyncio transport, and close the stream.

    The transport gets a duplicate of the socket, so that code with a reference to the stream, such as the
    HTTP server for a moment, can still close the stream.

    :arg on_early_bytes: called with the bytes that the stream has already read, if there are any.
    :raises OSError: the peer has disconnected, or there are no file descriptors left.
    """
    try:
        if stream.closed():
            raise ConnectionResetError
        duplicate = stream.socket.dup()
    except OSError:
        stream.close()
        raise
    if stream._read_buffer:
        on_early_bytes(bytes(stream._read_buffer))
    stream.close()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, duplicate)


def _is_nonce(key: str) -> bool:
    """Return True if ``key`` is base64 of 16 bytes (section 4.2.1)."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
