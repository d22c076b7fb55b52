"""A server of the tests' own, on a free port and in a folder of its own; ended by its own pid."""

import os
import signal
import socket
import subprocess
from types import TracebackType
from typing import ClassVar, Self

from tests.helpers.patience import PATIENCE


class OwnServer:
    """One process at a time, which ``start`` starts.

    :cvar STOP: the signal that ends it, if no other is asked for.
    :cvar PATIENCE: seconds that it may take to start, or to end.
    """

    STOP: ClassVar[int] = signal.SIGTERM
    PATIENCE: ClassVar[float] = PATIENCE

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
        """Returns when it takes connections."""
        raise NotImplementedError

    def stop(self, number: int | None = None) -> None:
        if self._process is not None:
            self._process.send_signal(self.STOP if number is None else number)
            self._process.wait(self.PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """It hears nothing and says nothing, until ``resume``; the kernel goes on taking connections."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            os.kill(self.pid, signal.SIGCONT)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
