"""The protocols between the service manager and this process.

systemd promises to keep three small protocols, which other service managers speak, too: sd_notify(3)
(datagrams to ``$NOTIFY_SOCKET``), sd_listen_fds(3) (listening sockets from file descriptor 3 on) and
sd_watchdog_enabled(3). Without a service manager ``ServiceManager`` sends nothing, so callers need no check.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Self

log = logging.getLogger(__name__)

FIRST_SOCKET_FD = 3
"""The file descriptor of the first passed socket."""

PROCESS_VARIABLE = "TORNADO_CHAT_PROCESS"
"""The environment variable with the number of a worker.

The parent (``workers``) sets it: to its workers the parent is a service manager like systemd.
"""

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", PROCESS_VARIABLE)
"""The variables of the protocols that stay valid while the process id is the same."""

SEND_TIMEOUT_SECONDS = 1.0  # seconds that a service manager may take to make room for a datagram


class ServiceManager:
    """The service manager of this process.

    :arg address: of its notification socket, ``@`` for an abstract one; empty: there is no service manager.
    :arg watchdog_seconds: the interval within which it expects ``WATCHDOG=1``; 0: it expects none.
    :arg sockets: the listening sockets that it passed. It keeps its own descriptors of them, so closing
        these closes nothing there.
    :arg process: the number of this worker, from 1; 0: this process is no worker of ``workers``.
    :ivar environ: the variables that describe it to a program that replaces this one in the same process.
    """

    def __init__(
        self,
        address: str = "",
        watchdog_seconds: float = 0.0,
        sockets: Sequence[socket.socket] = (),
        process: int = 0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.environ = environ or {}
        self.process = process
        self.watchdog_seconds = watchdog_seconds
        self.sockets = sockets
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(SEND_TIMEOUT_SECONDS)
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._last_send_succeeded = True

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Self:
        """Return the service manager that ``environ`` describes.

        Its variables are removed from ``environ``, as they are not meant for child processes.
        """
        described = {name: environ[name] for name in VARIABLES if name in environ}
        address = environ.pop("NOTIFY_SOCKET", "")
        watchdog_seconds = _parse_number(environ.pop("WATCHDOG_USEC", "")) / 1_000_000
        if environ.pop("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            watchdog_seconds = 0.0
        count = _parse_number(environ.pop("LISTEN_FDS", ""))
        if environ.pop("LISTEN_PID", "") != str(os.getpid()):
            count = 0
        environ.pop("LISTEN_FDNAMES", None)
        process = _parse_number(environ.pop(PROCESS_VARIABLE, ""))
        return cls(
            address,
            watchdog_seconds,
            [_take_socket(fd) for fd in range(FIRST_SOCKET_FD, FIRST_SOCKET_FD + count)],
            process,
            described,
        )

    @property
    def is_connected(self) -> bool:
        """Whether there is a service manager to notify."""
        return self._socket is not None

    def notify(self, **values: str | int | float) -> None:
        """Send assignments of sd_notify(3), as in ``notify(READY=1, STATUS="12 sockets")``.

        If the service manager does not receive them, that is logged once, and the process goes on. A worker
        logs nothing if its parent has died: ``main`` does, as it sees the end of its standard input.
        """
        if self._socket is None:
            return
        lines = [f"{name}={value}".replace("\n", " ") for name, value in values.items()]
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
            self._last_send_succeeded = True
        except OSError as error:
            parent_has_died = self.process and isinstance(error, ConnectionRefusedError)
            if self._last_send_succeeded and not parent_has_died:
                log.warning("the status cannot be sent to the service manager: %s", error)
            self._last_send_succeeded = False

    def notify_reloading(self) -> None:
        """Send that the configuration is being read again. The caller sends ``READY=1`` afterwards."""
        self.notify(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def stop_notifying(self) -> None:
        """Close the notification socket; from now on ``notify`` does nothing."""
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
