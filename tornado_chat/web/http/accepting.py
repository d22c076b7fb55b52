"""Accepting connections as long as there are file descriptors.

Without a free descriptor, ``accept`` fails, the connection stays in the kernel's queue, and the listening
socket stays readable: a loop that only tries again does nothing else. Therefore this process accepts nothing
for a moment (``PAUSE_SECONDS``), again and again, until there is room (``aio.descriptors``). Clients wait in
the kernel's queue meanwhile, and other processes that share the socket may accept them.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from tornado_chat.aio import descriptors
from tornado_chat.observability.logs import fields

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25
BACKOFF_SECONDS = 0.01
LOG_INTERVAL_SECONDS = 60.0
MAX_ACCEPTS_PER_TURN = 128

OnConnection = Callable[[socket.socket, Any], None]


class Acceptor:
    """Accepts the connections of one process.

    :arg has_room: returns True if a connection may be accepted; its argument is an open descriptor.
    :ivar is_full: True while new connections wait because there are no descriptors for them.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        has_room: Callable[[int], bool] = descriptors.has_room,
    ) -> None:
        self._loop = loop
        self._has_room = has_room
        self._logged_at: float | None = None
        self.is_full = False

    def accept(self, listening: socket.socket, on_connection: OnConnection) -> Callable[[], None]:
        """Start accepting; return a function that stops it.

        :arg on_connection: called with each accepted socket and the peer's address.
        """
        return _Listener(self, self._loop, listening, on_connection).stop

    # --- for the listener ---

    def find_better_process(self) -> Callable[[], bool] | None:
        """Return None if this process should accept the next connection.

        Else it waits for another process to accept it, and the returned function tells after
        ``BACKOFF_SECONDS`` whether this process should accept after all.
        """
        return None

    def on_stop(self) -> None:
        """Called when a listening socket is given up."""

    def has_room(self, listening: socket.socket) -> bool:
        """Return True if there is room; if not, log that, at most once a minute."""
        if self._has_room(listening.fileno()):
            self.is_full = False
            return True
        self.on_full()
        return False

    def on_full(self) -> None:
        self.is_full = True
        now = self._loop.time()
        if self._logged_at is None or now - self._logged_at >= LOG_INTERVAL_SECONDS:
            self._logged_at = now
            log.error(
                "too few file descriptors are left: new connections wait until others close. Raise the limit "
                "(LimitNOFILE= of the service, ulimit -n)",
                extra=fields(limit=descriptors.limit(), reserved=descriptors.reserved()),
            )


class _Listener:
    """One listening socket. It is either watched by the loop, or a timer runs, or it is stopped."""

    def __init__(
        self,
        acceptor: Acceptor,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        on_connection: OnConnection,
    ) -> None:
        self._acceptor = acceptor
        self._loop = loop
        self._listening = listening
        self._on_connection = on_connection
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._watch()

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._acceptor.on_stop()
        self._loop.remove_reader(self._listening)
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self) -> None:
        self._timer = None
        self._loop.add_reader(self._listening, self._on_readable)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listening)
        self._timer = self._loop.call_later(seconds, then)

    def _on_readable(self) -> None:
        for _ in range(MAX_ACCEPTS_PER_TURN):
            if self._back_off() or not self._accept_one():
                return

    def _back_off(self) -> bool:
        """Wait if another process should accept the next connection. Return True if so."""
        should_accept = self._acceptor.find_better_process()
        if should_accept is None:
            return False
        self._wait(BACKOFF_SECONDS, partial(self._after_backoff, should_accept))
        return True

    def _after_backoff(self, should_accept: Callable[[], bool]) -> None:
        self._watch()
        if should_accept():
            self._accept_one()
        else:
            self._back_off()

    def _accept_one(self) -> bool:
        """Accept a connection. Return False if there is none, and if a pause has begun."""
        if not self._acceptor.has_room(self._listening):
            self._wait(PAUSE_SECONDS, self._watch)
            return False
        try:
            connection, address = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            # Another process has accepted the connection, or the client has closed it.
            return False
        except OSError:
            # The whole machine has no descriptors or memory left, which has_room does not see.
            self._acceptor.on_full()
            self._wait(PAUSE_SECONDS, self._watch)
            return False
        self._on_connection(connection, address)
        return not self._stopped
