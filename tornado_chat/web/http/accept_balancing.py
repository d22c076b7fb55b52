"""Taking connections from sockets that several processes take from: who has the fewest goes first.

The kernel wakes all of them for each connection, and whoever is quicker has it. Connections here last for hours, so the quick
would keep what they have got, and those who began first would have most of what a restart of the others has
sent away. So who has more than another one steps back for a moment, and for another one as long as that one
takes some; if it does not, it may be stuck, and nobody waits for it.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from tornado_chat.aio.shared_load import SharedLoads

BACKOFF_SECONDS = 0.01  # seconds
TOLERANCE_DIVISOR = 32
"""A difference of one in so many is none."""


class AcceptBalancer:
    """:arg count: how many connections this process has."""

    def __init__(self, loads: SharedLoads, loop: asyncio.AbstractEventLoop, count: Callable[[], int]) -> None:
        self._loads = loads
        self._loop = loop
        self._count = count

    def accept(
        self, listening: socket.socket, take: Callable[[socket.socket, Any], None]
    ) -> Callable[[], None]:
        """As ``tornado.netutil.add_accept_handler``: gives what ends it."""
        waiting: asyncio.TimerHandle | None = None

        def ready() -> None:
            if self._should_back_off():
                self._loop.remove_reader(listening)
                step_back()
            else:
                accept_one()

        def step_back() -> None:
            nonlocal waiting
            waiting = self._loop.call_later(BACKOFF_SECONDS, again, self._loads.minimum())

        def again(least: int) -> None:
            if self._should_back_off() and self._loads.minimum() != least:  # it is at work
                step_back()
                return
            accept_one()
            self._loop.add_reader(listening, ready)

        def accept_one() -> None:
            try:
                connection, address = listening.accept()
            except (
                BlockingIOError,
                ConnectionAbortedError,
            ):  # another one was quicker, or the client has gone
                return
            take(connection, address)

        def end() -> None:
            self._loads.stop_accepting()
            self._loop.remove_reader(listening)
            if waiting is not None:
                waiting.cancel()

        self._loads.set_connections(self._count())
        self._loop.add_reader(listening, ready)
        return end

    def _should_back_off(self) -> bool:
        own = self._count()
        self._loads.set_connections(own)
        return own > self._loads.minimum() + own // TOLERANCE_DIVISOR
