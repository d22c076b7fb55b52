"""A Redis of the tests' own: its folder, its port, its socket; ended by its own pid."""

import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.helpers.own_server import OwnServer, free_port


class RedisServer(OwnServer):
    """One server at a time, empty each time that it starts.

    :arg directory: an empty one, or one that is not there yet.
    :arg options: more of redis-server's own, as ``--requirepass``, ``secret``.
    """

    STOP = signal.SIGKILL

    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.socket = str(directory / "s")
        self._options = options

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

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
        until = time.monotonic() + self.PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                    raise AssertionError((self.directory / "log").read_text()) from None
                time.sleep(0.01)
            else:
                return


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
