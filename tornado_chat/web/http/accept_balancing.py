"""Accepting connections from listening sockets that several processes share, balanced by connection count.

The kernel wakes all processes for each connection, and the first process to call ``accept`` gets it.
Connections of this server last for hours, so an uneven distribution would stay: a process that started
early would keep most of the connections that reconnect after a restart of other processes.

Strategy: a process that has more connections than the process with the fewest waits for a moment
(``BACKOFF_SECONDS``) before it accepts. It goes on waiting as long as that process accepts connections; if
that process does not, it may be stuck, and this process accepts the connection itself.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from tornado_chat.aio.shared_load import SharedLoads

BACKOFF_SECONDS = 0.01
TOLERANCE_DIVISOR = 32
"""A process may have 1/32 more connections than the process with the fewest before it waits."""


class AcceptBalancer:
    """Accepts the connections of one process.

    :arg loads: the connection counts of all processes, in shared memory.
    :arg count: returns the number of connections of this process.
    """

    def __init__(self, loads: SharedLoads, loop: asyncio.AbstractEventLoop, count: Callable[[], int]) -> None:
        self._loads = loads
        self._loop = loop
        self._count = count

    def accept(
        self, listening: socket.socket, on_connection: Callable[[socket.socket, Any], None]
    ) -> Callable[[], None]:
        """Start accepting, as ``tornado.netutil.add_accept_handler`` does; return a function that stops it.

        :arg on_connection: called with each accepted socket and the peer's address.
        """
        timer: asyncio.TimerHandle | None = None

        def on_readable() -> None:
            if self._should_back_off():
                self._loop.remove_reader(listening)
                back_off()
            else:
                accept_one()

        def back_off() -> None:
            nonlocal timer
            timer = self._loop.call_later(BACKOFF_SECONDS, retry, self._loads.minimum())

        def retry(previous_minimum: int) -> None:
            # A changed minimum shows that the process with the fewest connections is accepting.
            if self._should_back_off() and self._loads.minimum() != previous_minimum:
                back_off()
                return
            accept_one()
            self._loop.add_reader(listening, on_readable)

        def accept_one() -> None:
            try:
                connection, address = listening.accept()
            # Another process has accepted the connection, or the client has closed it.
            except (BlockingIOError, ConnectionAbortedError):
                return
            on_connection(connection, address)

        def stop() -> None:
            self._loads.stop_accepting()
            self._loop.remove_reader(listening)
            if timer is not None:
                timer.cancel()

        self._loads.set_connections(self._count())
        self._loop.add_reader(listening, on_readable)
        return stop

    def _should_back_off(self) -> bool:
        count = self._count()
        self._loads.set_connections(count)
        return count > self._loads.minimum() + count // TOLERANCE_DIVISOR
