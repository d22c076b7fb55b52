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

from tornado_chat.aio import descriptors
from tornado_chat.aio.shared_load import SharedLoads
from tornado_chat.web.http.accepting import Acceptor, OnConnection

TOLERANCE_DIVISOR = 32
"""A process may have 1/32 more connections than the process with the fewest before it waits."""


class AcceptBalancer(Acceptor):
    """Accepts the connections of one process of several.

    :arg loads: the connection counts of all processes, in shared memory.
    :arg count: returns the number of connections of this process.
    """

    def __init__(
        self,
        loads: SharedLoads,
        loop: asyncio.AbstractEventLoop,
        count: Callable[[], int],
        has_room: Callable[[int], bool] = descriptors.has_room,
    ) -> None:
        super().__init__(loop, has_room)
        self._loads = loads
        self._count = count

    def accept(self, listening: socket.socket, on_connection: OnConnection) -> Callable[[], None]:
        self._loads.set_connections(self._count())
        return super().accept(listening, on_connection)

    def find_better_process(self) -> Callable[[], bool] | None:
        if not self._should_back_off():
            return None
        previous_minimum = self._loads.minimum()
        # A changed minimum shows that the process with the fewest connections is accepting.
        return lambda: not self._should_back_off() or self._loads.minimum() == previous_minimum

    def on_stop(self) -> None:
        self._loads.stop_accepting()

    def on_full(self) -> None:
        super().on_full()
        self._loads.stop_accepting()  # the other processes do not wait for this one

    def _should_back_off(self) -> bool:
        count = self._count()
        self._loads.set_connections(count)
        return count > self._loads.minimum() + count // TOLERANCE_DIVISOR
