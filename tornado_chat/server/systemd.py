"""What the service manager and this process tell each other.

systemd promises to keep three small protocols, which others speak too: sd_notify(3) (datagrams to
``$NOTIFY_SOCKET``), sd_listen_fds(3) (listening sockets from file descriptor 3 on) and
sd_watchdog_enabled(3). Without a manager nothing is told, and nobody need ask for it.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import MutableMapping, Sequence
from typing import Self

log = logging.getLogger(__name__)

FIRST_SOCKET_FD = 3
"""The file descriptor of the first passed socket."""

PROCESS_VARIABLE = "TORNADO_CHAT_PROCESS"
"""The variable in which a parent (``workers``), which is a manager like systemd to its children, says which one a
process is."""

SEND_TIMEOUT_SECONDS = 1.0  # seconds that a manager may take to make room for a datagram


class ServiceManager:
    """The manager of this process.

    :arg address: of its socket, ``@`` for an abstract one; empty: there is nobody to tell.
    :arg watchdog: seconds within which it wants to hear a ``WATCHDOG=1``; 0 if it does not.
    :arg sockets: what it passed. Closing them closes nothing for the manager, which keeps its own.
    :arg process: from 1, if this is one of many that a parent of ours has started; else 0.
    """

    def __init__(
        self,
        address: str = "",
        watchdog: float = 0.0,
        sockets: Sequence[socket.socket] = (),
        process: int = 0,
    ) -> None:
        self.process = process
        self.watchdog = watchdog
        self.sockets = sockets
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(SEND_TIMEOUT_SECONDS)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._last_send_succeeded = True

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Self:
        """The manager that ``environ`` tells of. It is told of no more afterwards: no child is meant."""
        address = environ.pop("NOTIFY_SOCKET", "")
        watchdog = _parse_number(environ.pop("WATCHDOG_USEC", "")) / 1_000_000
        if environ.pop("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            watchdog = 0.0
        count = _parse_number(environ.pop("LISTEN_FDS", ""))
        if environ.pop("LISTEN_PID", "") != str(os.getpid()):
            count = 0
        environ.pop("LISTEN_FDNAMES", None)
        process = _parse_number(environ.pop(PROCESS_VARIABLE, ""))
        return cls(
            address,
            watchdog,
            [_take_socket(fd) for fd in range(FIRST_SOCKET_FD, FIRST_SOCKET_FD + count)],
            process,
        )

    @property
    def is_connected(self) -> bool:
        """Whether there is anybody to tell."""
        return self._socket is not None

    def notify(self, **values: str | int | float) -> None:
        """Send assignments of sd_notify(3), as in ``tell(READY=1, STATUS="12 sockets")``.

        A manager that does not listen is no reason to stop serving: it is logged, once.
        """
        if self._socket is None:
            return
        lines = [f"{name}={value}".replace("\n", " ") for name, value in values.items()]
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
            self._last_send_succeeded = True
        except OSError as error:
            if self._last_send_succeeded:
                log.warning("the service manager cannot be told how we are: %s", error)
            self._last_send_succeeded = False

    def notify_reloading(self) -> None:
        """The configuration is being read again; ``READY=1`` is to follow."""
        self.notify(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def stop_notifying(self) -> None:
        """Tell nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        self.stop_notifying()
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.close()


def _take_socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    found = socket.socket(fileno=descriptor)
    found.setblocking(False)
    return found


def _parse_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
