"""Deliveries of plugins by real processes: targets that refuse or hang, kills, and commands."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, token
from tests.e2e.conftest import Process
from tests.e2e.test_plugins import open_chat, run, wait_for_notes
from tests.helpers.chaos import Cluster
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS

HOST = token("service", "host")

pytestmark = pytest.mark.slow

PAGER = """
import asyncio
from tornado.httpclient import AsyncHTTPClient
from tornado_chat.plugin_api import *

class Pager(Plugin):
    @hookimpl
    async def deliver_notification(self, notification: Notification, online: bool):
        url = "http://127.0.0.1:PORT/" + str(notification.id)
        answer = await AsyncHTTPClient().fetch(url, raise_error=False, request_timeout=3600)
        if answer.code == 410:
            raise GiveUp("there is no such pager")
        if answer.code == 503:
            raise RetryLater("the network is full", 1)
        if answer.code != 200:
            raise ValueError("not delivered")
"""

TARGET = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
folder = Path(sys.argv[1])
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status = int((folder / "status").read_text())
        with open(folder / "requests", "a") as file:
            file.write(self.path[1:] + "\\n")
        self.send_response(status)
        self.end_headers()
        if status == 200:
            with open(folder / "delivered", "a") as file:
                file.write(self.path[1:] + "\\n")
    def log_message(self, *arguments):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Target:
    """A web server in a process of its own, so that it can be paused.

    It writes the numbers of all requests into the file ``requests``, and those it accepts into ``delivered``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0

    async def start(self) -> None:
        self._folder.mkdir()
        self.answer(200)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", TARGET, str(self._folder), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def stop(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        await self._process.wait()

    def answer(self, status: int) -> None:
        (self._folder / "status").write_text(str(status))

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def lines(self, file: str) -> list[int]:
        path = self._folder / file
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def wait_for(self, file: str, *numbers: int) -> None:
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not set(numbers) <= set(self.lines(file)):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.02)


@pytest.fixture
def target(io_loop: IOLoop, tmp_path: Path) -> Iterator[Target]:
    target = Target(tmp_path / "target")
    io_loop.run_sync(target.start)
    yield target
    io_loop.run_sync(target.stop)


@pytest.fixture
def folder(tmp_path: Path, target: Target) -> Path:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    (folder / "pager.py").write_text(PAGER.replace("PORT", str(target.port)))
    return folder


async def notify(harness: Harness, id: int = 2) -> int:
    body = {"role": "consultant", "id": id, "type": 0, "msg": "secret words"}
    answer = await harness.api("POST", "/api/v1/notifications", HOST, body)
    assert answer.code == 202, answer.body
    return int(json.loads(answer.body)["notification_id"])


async def command(process: Process, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(run, process, *arguments)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.gen_test
async def test_a_delivery_survives_a_kill_and_is_repeated(
    process: Process, folder: Path, target: Target
) -> None:
    process.expected.append("plugin pager failed in deliver_notification: ValueError")
    process.options.append(f"plugins.paths={folder}")
    harness = (await process.start()).harness
    target.answer(500)
    number = await notify(harness)
    await process.wait_for_log(f"{number} for consultant:2 was not delivered, it is tried again: ValueError")
    later = await notify(harness, 3)
    await target.wait_for("requests", later)
    await process.stop(signal.SIGKILL)
    target.answer(200)
    assert target.lines("delivered") == []
    harness = (await process.start()).harness
    await target.wait_for("delivered", number, later)
    assert sorted(target.lines("delivered")) == [number, later]
    assert not [line for line in process.log if "secret words" in line]


@pytest.mark.gen_test
async def test_a_kill_at_the_moment_of_the_delivery_loses_none(
    process: Process, folder: Path, target: Target
) -> None:
    process.options.append(f"plugins.paths={folder}")
    harness = (await process.start()).harness
    async with target.paused():
        numbers = [await notify(harness, id) for id in range(3)]
        await process.stop(signal.SIGKILL)
    await process.start()
    await target.wait_for("delivered", *numbers)


@pytest.mark.gen_test
async def test_a_paused_target_holds_up_neither_people_nor_another_plugin(
    process: Process, folder: Path, target: Target
) -> None:
    process.expected.append("plugin pager did not answer in time in deliver_notification")
    (folder / "note.py").write_text(
        "from tornado_chat.plugin_api import *\n"
        "class Note(Plugin):\n"
        "    @hookimpl\n"
        "    async def deliver_notification(self, notification):\n"
        f"        with open({str(folder / 'notes')!r}, 'a') as file:\n"
        "            file.write(f'{notification.id}\\n')\n"
    )
    process.options += [f"plugins.paths={folder}", "plugin:pager.timeout=0.5"]
    harness = (await process.start()).harness
    session = await harness.session()
    visitor, counsellor = await open_chat(harness, session)
    async with target.paused():
        numbers = [await notify(harness, id) for id in range(3)]
        await process.wait_for_log("was not delivered, it is tried again: no answer within 0.5 s", 2)
        await wait_for_notes(folder, *map(str, numbers))
        await visitor.send_json({"msg": "hello", "id": "a"})
        assert (await counsellor.recv_json())["msg"] == "hello"
        assert not set(numbers) & set(target.lines("delivered"))
    await target.wait_for("delivered", *numbers)


@pytest.mark.gen_test
async def test_what_was_given_up_is_shown_and_can_be_retried(
    process: Process, folder: Path, target: Target
) -> None:
    process.expected.append("given up after 1 attempts: there is no such pager")
    process.options.append(f"plugins.paths={folder}")
    harness = (await process.start()).harness
    target.answer(410)
    numbers = [await notify(harness, id) for id in (2, 3)]
    await process.wait_for_log("given up after 1 attempts", 2)

    code, shown = await command(process, "status")
    assert (code, "pager: 0 waiting  2 given up: tornado-chat deliveries list" in shown) == (0, True), shown
    metrics = (await harness.api("GET", "/metrics")).body.decode()
    assert 'tornado_chat_plugin_deliveries{plugin="pager",state="dead"} 2.0' in metrics
    assert 'tornado_chat_plugin_deliveries{plugin="pager",state="waiting"} 0.0' in metrics
    code, shown = await command(process, "deliveries", "list", "--dead", "--plugin", "pager")
    assert re.search(
        rf"pager +dead .* 1 +{numbers[0]} +consultant:2 +there is no such pager$", shown, re.M
    ), shown
    assert "0 waiting, 2 dead, 0 delivered" in shown
    assert "0 waiting, 0 dead" in (await command(process, "deliveries", "list", "--plugin", "other"))[1]

    target.answer(200)
    first = re.search(r"^(\d+) +pager", shown, re.M)
    assert first is not None
    code, shown = await command(process, "deliveries", "retry", first[1])
    assert (code, shown.startswith("1 delivery waits again")) == (0, True)
    await target.wait_for("delivered", numbers[0])
    code, shown = await command(process, "deliveries", "discard", "--all")
    assert (code, shown) == (0, "1 delivery is discarded\n")
    assert (await command(process, "deliveries", "retry", "--all")) == (0, "there is no dead delivery\n")
    code, shown = await command(process, "deliveries", "discard", first[1])
    assert (code, "only dead deliveries can be discarded" in shown) == (1, True)
    assert (await command(process, "deliveries", "retry"))[0] == 2
    assert "given up" not in (await command(process, "status"))[1]


@pytest.fixture
def cluster(
    io_loop: IOLoop, tmp_path: Path, own_mariadb: MariaDB, own_redis: RedisServer, folder: Path
) -> Iterator[Cluster]:
    """Run two servers with the plugin."""
    cluster = Cluster(tmp_path, own_mariadb, own_redis, 2, children=False)
    for server in cluster.servers:
        server.options += [f"plugins.paths={folder}", "limits.notifications_per_hour=100000"]
    io_loop.run_sync(cluster.start, timeout=WAIT_TIMEOUT_SECONDS)
    yield cluster
    io_loop.run_sync(cluster.stop, timeout=WAIT_TIMEOUT_SECONDS)


@pytest.mark.gen_test
async def test_of_two_processes_one_delivers_and_the_other_takes_over(
    cluster: Cluster, target: Target
) -> None:
    one, two = cluster.servers
    target.answer(503)
    numbers = [await notify(server.harness, id) for id in range(4) for server in (one, two)]
    await target.wait_for("requests", *numbers)
    await cluster.kill(two.pid)  # it may hold the lease of the outbox
    target.answer(200)
    await target.wait_for("delivered", *numbers)
    more = await notify(one.harness)
    await target.wait_for("delivered", more)
    assert sorted(target.lines("delivered")) == [*numbers, more], "each once, as no process died meanwhile"


@pytest.mark.gen_test
async def test_a_process_that_was_suspended_repeats_at_most_the_attempt_under_way(
    cluster: Cluster, target: Target
) -> None:
    _, two = cluster.servers
    target.answer(503)
    numbers = [await notify(two.harness, id) for id in range(4)]
    await target.wait_for("requests", *numbers)
    os.kill(two.pid, signal.SIGSTOP)
    try:
        target.answer(200)
        await target.wait_for("delivered", *numbers)
    finally:
        os.kill(two.pid, signal.SIGCONT)
    more = await notify(two.harness)
    await target.wait_for("delivered", more)
    delivered = target.lines("delivered")
    assert sorted(set(delivered)) == [*numbers, more]
    assert len(delivered) <= len(numbers) + 2, "only the attempt that was under way may come again"
