"""What systemd does for a service: it holds the sockets, and listens to what the service says of itself."""

import asyncio
import fcntl
import os
import socket
import sys
from pathlib import Path

from tests.e2e.conftest import Process
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS

HIGH = 50  # where no descriptor of ours is overwritten before it is moved
PASS_ON = """
import os, sys
count = int(os.environ["LISTEN_FDS"])
for place in range(count):
    os.dup2(int(sys.argv[1]) + place, 3 + place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Puts the sockets where the process looks for them, and becomes it."""


class Manager(asyncio.DatagramProtocol):
    """Takes care of one ``Process``.

    :ivar told: the assignments of every datagram, in order.
    """

    def __init__(self, process: Process, directory: Path) -> None:
        self._process = process
        self._address = str(directory / "notify")
        self._transport: asyncio.DatagramTransport | None = None
        self._news = asyncio.Event()
        self.told: list[dict[str, str]] = []
        self.sockets: list[socket.socket] = []

    async def listen(self, *, watchdog: float = 0.0) -> None:
        """From now on the process is told to tell; ``watchdog``: seconds."""
        receiving = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiving.bind(self._address)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=receiving)
        self._process.environ["NOTIFY_SOCKET"] = self._address
        if watchdog:
            self._process.environ["WATCHDOG_USEC"] = str(round(watchdog * 1_000_000))

    def hold(self, *sockets: socket.socket) -> None:
        """From now on the process is passed these."""
        self.sockets += sockets
        self._process.descriptors = [fcntl.fcntl(each, fcntl.F_DUPFD, HIGH) for each in self.sockets]
        first, *_ = self._process.descriptors
        self._process.environ["LISTEN_FDS"] = str(len(self.sockets))
        self._process.around = [sys.executable, "-c", PASS_ON, str(first)]

    def datagram_received(self, data: bytes, address: object) -> None:
        self.told.append(dict(line.split("=", 1) for line in data.decode().split("\n")))
        self._news.set()

    async def hears(self, name: str, value: str | None = None, *, after: int = 0) -> dict[str, str]:
        """Wait for a datagram that assigns ``name``, behind the first ``after`` ones."""
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while True:
                for each in self.told[after:]:
                    if name in each and value in (None, each[name]):
                        return each
                self._news.clear()
                await self._news.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        for each in self.sockets:
            each.close()
        for descriptor in self._process.descriptors:
            os.close(descriptor)


def bound(address: str | tuple[str, int]) -> socket.socket:
    """A listening socket."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen(4096)
    return listening


def stuck_plugin(folder: Path) -> Path:
    """A folder with a plugin that holds the loop for ever, in line 7 of its file, when somebody says ``stop``, and notes ``held``."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "stuck.py").write_text(
        "import sys, time\n"
        "from tornado_chat import Plugin, hookimpl\n"
        "class Stuck(Plugin):\n"
        "    @hookimpl\n"
        "    def filter_message(self, draft):\n"
        "        while draft.text == 'stop':\n"
        "            sys.stderr.write('held\\n'); time.sleep(1)\n"
    )
    return plugins
