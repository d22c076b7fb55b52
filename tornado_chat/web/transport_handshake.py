"""From an HTTP request to the socket of a WebSocket: see ``transport``."""

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import NamedTuple

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
    subprotocol: str | None


def upgrade(handler: WebSocketHandler, extensions: str | None) -> Upgraded:
    """Answer the upgrade request.

    :arg extensions: what was agreed on.
    :raises NotUpgraded: the request lacks what section 4.2.1 asks for.
    """
    headers = handler.request.headers
    key = headers.get("Sec-WebSocket-Key", "").strip()
    if not headers.get("Host") or not _is_nonce(key):
        handler.set_status(400)
        handler.finish("Missing/Invalid WebSocket headers")
        gen_log.debug("Missing/Invalid WebSocket headers")
        raise NotUpgraded
    offered = headers.get("Sec-WebSocket-Protocol")
    protocols = [name.strip() for name in offered.split(",")] if offered else []
    chosen = handler.select_subprotocol(protocols)
    answer = {"Upgrade": "websocket", "Connection": "Upgrade"}
    answer["Sec-WebSocket-Accept"] = WebSocketProtocol13.compute_accept_value(key)
    if chosen:
        assert chosen in protocols
        answer["Sec-WebSocket-Protocol"] = chosen
    if extensions is not None:
        answer["Sec-WebSocket-Extensions"] = extensions
    handler.set_status(101)
    handler.clear_header("Content-Type")
    cookies = getattr(handler, "_new_cookie", {}).values()
    head = [
        "HTTP/1.1 101 Switching Protocols",
        *map(": ".join, (*handler._headers.get_all(), *answer.items())),
        *(f"Set-Cookie: {cookie.OutputString(None)}" for cookie in cookies),
    ]
    text = "\r\n".join([*head, "", ""])
    if text.count("\r") + text.count("\n") != 2 * len(head) + 2:
        raise ValueError("a header of the answer has more than one line")
    # Instead of ``finish``, which makes and checks all of it once more.
    handler.application.log_request(handler)
    stream = handler._detach_stream()
    handler.on_finish()
    # The HTTP side of the connection is over; as long as the request knows it, it is kept.
    request = handler.request
    request.connection = request.server_connection = None
    return Upgraded(stream, text.encode("latin1"), chosen)


async def take_over(stream: IOStream, protocol: asyncio.Protocol, early: Callable[[bytes], None]) -> None:
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
