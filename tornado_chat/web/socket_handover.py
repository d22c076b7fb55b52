"""Handing over the open sockets of this process to the next one, and taking them over."""

import asyncio
import logging
import socket
from collections.abc import Iterable
from typing import Any

from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPServerRequest

from tornado_chat.aio.chunks import chunks
from tornado_chat.core.handed_over import SocketState
from tornado_chat.services.messaging.connections import Connections
from tornado_chat.web.application import SOCKET_ROUTES, ChatApplication
from tornado_chat.web.sockets.base import SocketHandler

log = logging.getLogger(__name__)

SETTLE_INTERVAL_SECONDS = 0.01
TAKE_OVER_CHUNK = 200
"""Sockets that are taken over at the same time, so that their lookups share the reading of the database."""

HandedOver = tuple[SocketState, int]
"""The state of a socket, and a descriptor of it."""


def suspend_all(connections: Connections) -> list[SocketHandler]:
    """Let all sockets handle no more frames, and return those that may be handed over."""
    handlers = [each.client for each in connections.grants.values() if isinstance(each.client, SocketHandler)]
    for handler in handlers:
        handler.suspend()
    return handlers


async def hand_over_all(
    handlers: Iterable[SocketHandler], connections: Connections, seconds: float
) -> list[HandedOver]:
    """Return the states of the sockets that can be handed over; the others stay open.

    :arg seconds: the time for what is under way: commits, answers, and messages that a socket has missed.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    handlers = list(handlers)
    while loop.time() < deadline and not all(each.can_be_handed_over for each in handlers):  # noqa: ASYNC110
        await asyncio.sleep(SETTLE_INTERVAL_SECONDS)
    await asyncio.sleep(0)  # the frames of this turn of the loop are written at its end
    found = []
    for handler in handlers:
        socket_stream = handler.socket_stream
        handed_over = handler.hand_over()
        if handed_over is not None and socket_stream is not None:
            found.append(handed_over)
            connections.forget(socket_stream)
    return found


async def take_over_all(application: ChatApplication, handed_over: Iterable[HandedOver]) -> int:
    """Continue the sockets of another process. Return the number of those that go on.

    Users come before agents, so that the line is complete before an agent is matched.
    """
    by_endpoint: dict[str, Any] = {handler.endpoint: handler for _, handler, *_ in SOCKET_ROUTES}
    ordered = sorted(handed_over, key=lambda each: each[0].endpoint == "waiter")
    count = 0
    for chunk in chunks(ordered, TAKE_OVER_CHUNK):
        done = await asyncio.gather(
            *(_take_over(application, by_endpoint.get(state.endpoint), state, fd) for state, fd in chunk)
        )
        count += sum(done)
    return count


async def _take_over(
    application: ChatApplication, handler_class: type[SocketHandler] | None, state: SocketState, fd: int
) -> bool:
    connected = socket.socket(fileno=fd)
    connected.setblocking(False)
    if handler_class is None:
        connected.close()
        return False
    request = HTTPServerRequest("GET", "/", headers=HTTPHeaders(), connection=_NoConnection())
    handler = handler_class(application, request, **application.socket_args)
    try:
        await handler.take_over(state, connected)
    except Exception:
        log.exception("a socket could not be taken over: %s", state.conn)
        connected.close()
        return False
    return not handler.is_closing


class _NoConnection(HTTPConnection):
    """Stands for the HTTP connection of a socket that was upgraded by another process."""

    def set_close_callback(self, callback: Any) -> None:
        """Do nothing: the WebSocket connection informs the handler."""
