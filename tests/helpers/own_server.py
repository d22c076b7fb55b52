"""Base class of the servers that the tests start: each has its own port, folder and process id."""

import os
import signal
import socket
import subprocess
from types import TracebackType
from typing import ClassVar, Self

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS


class OwnServer:
    """One server process at a time, which ``start`` starts.

    :cvar STOP_SIGNAL: the signal that ``stop`` sends by default.
    :cvar TIMEOUT_SECONDS: the longest time that the process may take to start, or to end.
    """

    STOP_SIGNAL: ClassVar[int] = signal.SIGTERM
    TIMEOUT_SECONDS: ClassVar[float] = WAIT_TIMEOUT_SECONDS

    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        self.stop(signal.SIGKILL)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the process, and return when it accepts connections."""
        raise NotImplementedError

    def stop(self, number: int | None = None) -> None:
        """Send the signal ``number``, or ``STOP_SIGNAL``, and wait until the process has ended."""
        if self._process is not None:
            self._process.send_signal(self.STOP_SIGNAL if number is None else number)
            self._process.wait(self.TIMEOUT_SECONDS)
            self._process = None

    def freeze(self) -> None:
        """Suspend the process until ``resume``; the kernel still accepts connections for it."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            os.kill(self.pid, signal.SIGCONT)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
