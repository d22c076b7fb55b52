"""A stand-in for systemd: it holds the listening sockets, and receives the service's notifications."""

import asyncio
import fcntl
import os
import socket
import sys
from pathlib import Path

from tests.e2e.conftest import Process
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS

FIRST_FREE_DESCRIPTOR = 50  # above all descriptors in use, so that none is overwritten before it is moved
PASS_SOCKETS = """
import os, sys
count = int(os.environ["LISTEN_FDS"])
for n in range(count):
    os.dup2(int(sys.argv[1]) + n, 3 + n)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""A program that moves the sockets to the descriptors from 3 on, and then executes the server."""


class ServiceManager(asyncio.DatagramProtocol):
    """The service manager of one ``Process``.

    :ivar notifications: the assignments of every datagram, in order.
    """

    def __init__(self, process: Process, directory: Path) -> None:
        self._process = process
        self._address = str(directory / "notify")
        self._transport: asyncio.DatagramTransport | None = None
        self._received = asyncio.Event()
        self.notifications: list[dict[str, str]] = []
        self.sockets: list[socket.socket] = []

    async def listen(self, *, watchdog: float = 0.0) -> None:
        """Receive the notifications of later starts. :arg watchdog: the interval in seconds."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(self._address)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
        self._process.environ["NOTIFY_SOCKET"] = self._address
        if watchdog:
            self._process.environ["WATCHDOG_USEC"] = str(round(watchdog * 1_000_000))

    def hold(self, *sockets: socket.socket) -> None:
        """Pass these sockets to the process from its next start on."""
        self.sockets += sockets
        self._process.descriptors = [
            fcntl.fcntl(each, fcntl.F_DUPFD, FIRST_FREE_DESCRIPTOR) for each in self.sockets
        ]
        first, *_ = self._process.descriptors
        self._process.environ["LISTEN_FDS"] = str(len(self.sockets))
        self._process.wrapper = [sys.executable, "-c", PASS_SOCKETS, str(first)]

    def datagram_received(self, data: bytes, address: object) -> None:
        self.notifications.append(dict(line.split("=", 1) for line in data.decode().split("\n")))
        self._received.set()

    async def wait_for(self, name: str, value: str | None = None, *, after: int = 0) -> dict[str, str]:
        """Wait for a datagram that assigns ``name``; the first ``after`` datagrams are skipped."""
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while True:
                for each in self.notifications[after:]:
                    if name in each and value in (None, each[name]):
                        return each
                self._received.clear()
                await self._received.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        for each in self.sockets:
            each.close()
        for descriptor in self._process.descriptors:
            os.close(descriptor)


def listening_socket(address: str | tuple[str, int]) -> socket.socket:
    """Return a listening socket."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen(4096)
    return listening


def stuck_plugin(folder: Path) -> Path:
    """Return a folder with a plugin that blocks the loop for ever on the message ``stop``.

    It blocks in line 7 of its file, and writes ``held`` to standard error.
    """
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
