"""The Redis servers that the tests start: each has its own folder, port, socket and process id."""

import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.helpers.own_server import OwnServer, free_port


class RedisServer(OwnServer):
    """One Redis server at a time, which is empty after each start.

    :arg directory: an empty directory; created if it is missing.
    :arg options: further options of redis-server, such as ``--requirepass``, ``secret``.
    """

    STOP_SIGNAL = signal.SIGKILL

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
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Start the process without waiting until it accepts connections."""
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
        """Return when the server accepts connections."""
        until = time.monotonic() + self.TIMEOUT_SECONDS
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
    """A Sentinel that monitors ``master`` under the name ``mymaster``, with a quorum of 1."""

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
