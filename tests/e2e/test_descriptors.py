"""Processes that run out of file descriptors: they pause, say so once, go on, and can be stopped."""

import asyncio
import os
import re
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, token
from tests.e2e.conftest import Process
from tests.e2e.service_manager import ServiceManager
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import RawClient

SOFT, HARD = 60, 100
FULL = "too few file descriptors are left"
WITHOUT_UVLOOP = 'raise ImportError("uvloop is switched off")'


def limit(process: Process, hard: int = HARD) -> None:
    """Start the process with few file descriptors."""
    process.wrapper = ["/bin/sh", "-c", f'ulimit -Sn {SOFT} && ulimit -Hn {hard} && exec "$@"', "sh"]


class Flood:
    """Connections that send nothing."""

    def __init__(self, url: str) -> None:
        self._address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._sockets: list[socket.socket] = []

    def open(self, count: int) -> None:
        for _ in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(self._address)  # the kernel accepts it, whether the server does or not
            self._sockets.append(sock)

    def close(self) -> None:
        while self._sockets:
            self._sockets.pop().close()


@pytest.fixture
def loop_kind(request: pytest.FixtureRequest, process: Process, tmp_path: Path) -> str:
    kind = str(request.param)
    if kind == "asyncio":
        folder = tmp_path / "without_uvloop"
        folder.mkdir()
        (folder / "uvloop.py").write_text(WITHOUT_UVLOOP)
        process.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, sys.path)])
    else:
        pytest.importorskip("uvloop")
    return kind


on_both_loops = pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"], indirect=True)


async def talk(chat: RawClient, text: str) -> None:
    """Send a message, and wait until it is stored."""
    await chat.send_json({"msg": text, "id": text})
    while (await chat.recv_json()).get("ack") != text:
        pass


@pytest.mark.slow
@on_both_loops
@pytest.mark.gen_test
async def test_a_process_without_descriptors_serves_its_clients_and_goes_on(
    process: Process, loop_kind: str, tmp_path: Path
) -> None:
    process.expected.append(FULL)
    limit(process)
    manager = ServiceManager(process, tmp_path)
    await manager.listen()
    harness = (await process.start()).harness
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (HARD, HARD)
    session = await harness.session()
    chat = await harness.chat(token("user", 1), session, features="ack")
    flood = Flood(process.url)
    for round_number in (1, 2):
        flood.open(200)
        await process.wait_for_log(FULL)
        # All that needs a descriptor or the database goes on.
        await talk(chat, f"message {round_number}")
        heard = len(manager.notifications)
        os.kill(process.pid, signal.SIGHUP)
        await process.wait_for_log(" reloaded ", round_number)
        ready = await manager.wait_for("READY", after=heard)
        assert "too few file descriptors: new connections wait" in ready["STATUS"]
        await asyncio.sleep(1)
        await talk(chat, f"another message {round_number}")
        assert sum(FULL in line for line in process.log) == 1
        flood.close()
        assert (await harness.api("GET", "/healthz")).code == 200
    flood.open(200)
    await talk(chat, "the last message")
    assert await process.stop() == 0
    assert (await chat.wait_closed()).code == 1012
    flood.close()
    manager.close()
    assert not any("Logging error" in line or "Traceback" in line for line in process.log)
    assert len(process.log) < 100


@pytest.mark.slow
@on_both_loops
@pytest.mark.gen_test
async def test_several_processes_without_descriptors_go_on(
    io_loop: IOLoop,
    mariadb: MariaDB,
    memory: Path,
    process: Process,
    tmp_path: Path,
    loop_kind: str,
) -> None:
    process.expected.append(FULL)
    limit(process)
    with mariadb.database(migrated=True) as name, RedisServer(memory / f"redis-{tmp_path.name}") as redis:
        process.options += [
            f"storage.url={mariadb.url(name)}",
            "storage.durability=normal",
            f"cluster.url={redis.url}",
            "server.processes=2",
        ]
        harness = (await process.start()).harness
        await process.wait_for_log("all processes are ready")
        flood = Flood(process.url)
        for _ in range(2):
            flood.open(400)
            await process.wait_for_log(f"{FULL}.*process=1")
            await process.wait_for_log(f"{FULL}.*process=2")
            flood.close()
            await open_sockets_in_each(harness)
            for client in harness.clients:
                await client.close()
            harness.clients.clear()
        assert sum(FULL in line for line in process.log) == 2
        assert await process.stop() == 0
    assert not any("Logging error" in line or "Traceback" in line for line in process.log)


async def open_sockets_in_each(harness: Harness) -> None:
    """Open sockets until each process has accepted one."""
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while True:
            await harness.connect(f"/notify?token={token('user', 1)}")
            text = (await harness.api("GET", "/metrics")).body.decode()
            found = re.findall(r'tornado_chat_sockets\{.*endpoint="notify".*\} (\d+)', text)
            if len(found) == 2 and "0" not in found:
                return
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _room_for_the_test() -> Iterator[None]:
    """The test itself needs many descriptors."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (old[1], old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, old)


LOG_WITHOUT_DESCRIPTORS = """
import logging, os, resource, sys
from tornado_chat import config
from tornado_chat.observability import logs
from tornado_chat.observability.logs import fields
logs.configure(config.Logging(format=sys.argv[1]), environ={"JOURNAL_STREAM": "1"} if sys.argv[2:] else {})
before = set(sys.modules)
taken = []
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
try:
    os.dup(0)
except OSError:
    logging.getLogger("tornado_chat.x").exception("no \\x1b \\u2028", extra=fields(what="\\x00 a b", n=1))
logging.getLogger("other").error("a 'quoted' text", stack_info=True)
print(set(sys.modules) - before)
"""


@pytest.mark.parametrize("arguments", [("text",), ("json",), ("text", "journald")])
@pytest.mark.gen_test
async def test_the_log_needs_no_descriptor(arguments: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOG_WITHOUT_DESCRIPTORS, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, log = await process.communicate()
    assert out.decode() == "set()\n"
    lines = log.decode().splitlines()
    assert len(lines) == 2, log.decode()
    assert "Too many open files" in lines[0]
