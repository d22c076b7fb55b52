"""A Redis of the tests' own: its folder, its port, its socket; ended by its own pid."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START = 20.0  # seconds


class RedisServer:
    """One server at a time, empty each time that it starts.

    :arg directory: an empty one, or one that is not there yet.
    :arg options: more of redis-server's own, as ``--requirepass``, ``secret``.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.socket = str(directory / "s")
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        self.stop(signal.SIGKILL)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it takes connections."""
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Begin to start."""
        with (self.directory / "log").open("ab") as file:
            self._process = subprocess.Popen(self._command(), stdout=file, stderr=file)

    def _command(self) -> list[str]:
        return [
            "redis-server",
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1"),
            *("--unixsocket", self.socket),
            *("--dir", str(self.directory)),
            *("--save", ""),
            *self._options,
        ]

    def wait(self) -> None:
        """Returns when it takes connections."""
        until = time.monotonic() + START
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                    raise AssertionError((self.directory / "log").read_text()) from None
                time.sleep(0.01)
            else:
                return

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START)
            self._process = None

    def freeze(self) -> None:
        """It hears nothing and says nothing, until ``resume``; the kernel goes on taking connections."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            os.kill(self.pid, signal.SIGCONT)


class RedisSentinel(RedisServer):
    """A Sentinel that watches ``master`` by the name of ``mymaster``, and decides alone."""

    def __init__(self, directory: Path, master: RedisServer, *lines: str) -> None:
        super().__init__(directory)
        self._file = directory / "sentinel.conf"
        text = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {directory}",
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1",
            "sentinel down-after-milliseconds mymaster 500",
            "sentinel failover-timeout mymaster 1000",
            *lines,
        ]
        self._file.write_text("\n".join(text) + "\n")

    def _command(self) -> list[str]:
        return ["redis-server", str(self._file), "--sentinel"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
