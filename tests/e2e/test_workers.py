"""Several processes behind one address: they share the work, and a process that ends is replaced."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import token
from tests.e2e.conftest import Process
from tests.e2e.service_manager import ServiceManager, listening_socket, stuck_plugin
from tests.e2e.test_data_management import command
from tests.e2e.test_service import Activated
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.client import ChatClient
from tornado_chat.storage.database import open_database
from tornado_chat.storage.models import DataOperation

COUNT = 2
SILENT = "has been silent for"
"""A log line of the other processes about one that was killed."""


@pytest.fixture
def process(
    io_loop: IOLoop, mariadb: MariaDB, memory: Path, process: Process, tmp_path: Path
) -> Iterator[Process]:
    with mariadb.database(migrated=True) as name, RedisServer(memory / f"redis-{tmp_path.name}") as redis:
        process.options += [
            f"storage.url={mariadb.url(name)}",
            "storage.durability=normal",
            f"cluster.url={redis.url}",
            f"server.processes={COUNT}",
        ]
        yield process
        io_loop.run_sync(process.stop, timeout=WAIT_TIMEOUT_SECONDS)


@pytest.fixture
def manager(io_loop: IOLoop, process: Process, tmp_path: Path) -> Iterator[ServiceManager]:
    manager = ServiceManager(process, tmp_path)
    yield manager
    io_loop.run_sync(process.stop, timeout=WAIT_TIMEOUT_SECONDS)
    manager.close()


def children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.gen_test
async def test_a_killed_process_is_replaced_while_the_others_go_on(
    process: Process, manager: ServiceManager
) -> None:
    await manager.listen()
    harness = (await process.start()).harness
    ready = await manager.wait_for("READY", "1")
    assert ready["STATUS"] == f"processes: {COUNT}, sockets: 0, users in queue: 0"
    there = children(process.pid)
    assert len(there) == COUNT
    os.kill(there[1], signal.SIGKILL)
    await process.wait_for_log(r" ready url=.* process=2", 2)
    assert len(set(children(process.pid)) - set(there)) == 1
    assert (await harness.api("GET", "/healthz")).code == 200

    # A process that ends again and again is restarted at growing intervals.
    again = next(pid for pid in children(process.pid) if pid not in there)
    os.kill(again, signal.SIGKILL)
    await process.wait_for_log(r" ready url=.* process=2", 3)
    waited = [
        line.rsplit("=", 1)[1] for line in process.log if "starting the process again process=2" in line
    ]
    assert waited == ["0.0", "1.0"]
    assert len(process.forget("ERROR.*a process has ended process=2 .*signal=SIGKILL")) == 2
    process.expected.append(SILENT)
    assert await process.stop() == 0
    assert len([line for line in process.log if " stopped " in line]) == COUNT


@pytest.mark.gen_test
async def test_a_failed_start_is_reported_once(process: Process, manager: ServiceManager) -> None:
    (process.directory / "secret").write_text("short")
    await manager.listen()
    with pytest.raises(AssertionError, match="can be guessed"):
        await process.start()
    assert await process.stop() == 2
    assert len(process.forget("can be guessed")) == 1
    assert "can be guessed" in manager.notifications[-1]["STATUS"]


@pytest.mark.gen_test
async def test_a_port_in_use_is_reported_by_the_parent(process: Process) -> None:
    taken = listening_socket(("127.0.0.1", 0))
    with taken, pytest.raises(AssertionError, match="Is it in use"):
        await process.start(f"server.port={taken.getsockname()[1]}")
    assert await process.stop() == 1


@pytest.mark.gen_test
async def test_a_reload_reaches_all_processes_and_mistakes_are_logged_once(
    process: Process, manager: ServiceManager, tmp_path: Path
) -> None:
    process.files = [tmp_path / "own.ini"]
    process.files[0].write_text("")
    await manager.listen()
    await process.start()
    await manager.wait_for("READY", "1")

    heard = len(manager.notifications)
    process.files[0].write_text("[logging]\nformat = json\n[limits]\nburst = 10\n")
    os.kill(process.pid, signal.SIGHUP)
    await manager.wait_for("RELOADING", "1", after=heard)
    ready = await manager.wait_for("READY", "1", after=heard)
    assert ready["STATUS"] == f"processes: {COUNT}, sockets: 0, users in queue: 0"
    reloaded = await process.wait_for_log('"message": "reloaded"', COUNT)
    assert {re.search(r'"process": (\d)', line)[1] for line in reloaded} == {"1", "2"}  # type: ignore[index]

    for mistake, told in (("[limits]\nbrust = 10\n", 'did you mean "burst"?'), ("", "can be guessed")):
        heard = len(manager.notifications)
        process.files[0].write_text(mistake)
        if not mistake:
            (process.directory / "secret").write_text("short")
        os.kill(process.pid, signal.SIGHUP)
        ready = await manager.wait_for("READY", "1", after=heard)
        assert ready["STATUS"].endswith("; not reloaded: the configuration has mistakes, see the log")
        pattern = re.escape(told).replace('"', r'\\*"')
        await process.wait_for_log(pattern)
        assert len(process.forget(pattern)) == 1


@pytest.mark.slow
@pytest.mark.gen_test
async def test_a_blocked_process_is_replaced_and_the_log_names_the_place(
    process: Process, manager: ServiceManager, tmp_path: Path
) -> None:
    plugins = stuck_plugin(tmp_path)
    await manager.listen(watchdog=4)
    harness = (await process.start(f"plugins.paths={plugins}")).harness
    await manager.wait_for("READY")
    there = children(process.pid)
    visitor = await harness.chat(token("user", 1), await harness.session())
    await visitor.send_json({"msg": "stop"})
    await process.wait_for_log(r"ERROR.*a process was stuck, and has been ended .*signal=SIGABRT")
    await process.wait_for_log(" ready url=", COUNT + 1)
    assert len(set(children(process.pid)) & set(there)) == COUNT - 1
    await process.wait_for_log(r"stuck\.py.*line 7 in filter_message")
    process.expected += ["has been ended", "Fatal Python error", SILENT]


@pytest.mark.gen_test
async def test_the_end_of_the_parent_ends_all_processes(process: Process, manager: ServiceManager) -> None:
    await manager.listen()
    await process.start()
    await manager.wait_for("READY")
    assert (
        await process.stop(signal.SIGKILL) == -signal.SIGKILL
    )  # returns when all processes have closed the log
    assert len([line for line in process.log if " stopped process=" in line]) == COUNT
    assert process.forget("the parent process has died")


@pytest.mark.slow
@pytest.mark.gen_test
async def test_all_processes_use_the_service_managers_sockets(
    process: Process, manager: ServiceManager
) -> None:
    tcp = listening_socket(("127.0.0.1", 0))
    manager.hold(tcp)
    await manager.listen()
    await process.start("server.port=1")
    await manager.wait_for("READY")
    assert process.url == f"http://127.0.0.1:{tcp.getsockname()[1]}"
    assert (await process.harness.api("GET", "/healthz")).code == 200
    assert await process.stop() == 0
    assert len(process.forget("listening on the sockets of the service manager")) == 1
    asyncio.get_running_loop().call_later(5, tcp.close)
    coming = asyncio.create_task(
        process.harness.api("GET", "/healthz")
    )  # waits in the backlog of the manager's socket
    await asyncio.sleep(0.1)
    assert not coming.done()
    coming.cancel()


@pytest.mark.gen_test
@pytest.mark.slow
async def test_a_rolling_restart_refuses_no_connection_and_loses_no_message(
    process: Process, manager: ServiceManager
) -> None:
    await manager.listen()
    harness = (await process.start()).harness
    await manager.wait_for("READY")
    there = set(children(process.pid))
    port = int(process.url.rsplit(":", 1)[1])
    over = False
    answers: list[bytes] = []

    async def connect_repeatedly() -> None:
        while not over:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers.append(await reader.read())
            writer.close()

    session = await harness.session()
    async with (
        ChatClient(harness.ws, token("user", 1), session) as visitor,
        ChatClient(harness.ws, token("consultant", 2), session) as counsellor,
    ):
        knocking = [asyncio.create_task(connect_repeatedly()) for _ in range(3)]
        os.kill(process.pid, signal.SIGUSR2)
        restarted = asyncio.create_task(process.wait_for_log("all processes have been restarted"))
        sent = 0
        while not restarted.done():
            await visitor.send(f"{sent}")
            sent += 1
        await restarted
        over = True
        await asyncio.gather(*knocking)
        heard: list[str] = []
        while len(heard) < sent:
            frame = await counsellor.receive(WAIT_TIMEOUT_SECONDS)
            if not frame.system:
                heard.append(frame.msg)
    assert heard == [f"{n}" for n in range(sent)]
    assert there == set(children(process.pid))  # each has replaced its program
    assert len(await process.wait_for_log("sockets taken over")) >= 1
    assert len(answers) > 50
    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)


@pytest.mark.gen_test
async def test_a_rolling_restart_that_fails_keeps_the_old_processes(
    process: Process, manager: ServiceManager, tmp_path: Path
) -> None:
    process.files = [tmp_path / "own.ini"]
    process.files[0].write_text("")
    await manager.listen()
    harness = (await process.start()).harness
    await manager.wait_for("READY")
    there = children(process.pid)
    (process.directory / "secret").write_text("short")
    os.kill(process.pid, signal.SIGUSR2)
    await process.wait_for_log("ERROR.*not restarted, as the installed program would not start: .*secret")
    process.files[0].write_text("[limits]\nbrust = 10\n")
    os.kill(process.pid, signal.SIGUSR2)
    await process.wait_for_log("ERROR.*not restarted, the configuration has mistakes: .*brust")
    process.files[0].write_text("[cluster]\nprefix = another\n")
    os.kill(process.pid, signal.SIGUSR2)
    await process.wait_for_log(
        r"ERROR.*not restarted: cluster\.prefix cannot be changed in one process after the other"
    )
    assert children(process.pid) == there
    assert (await harness.api("GET", "/healthz")).code == 200
    process.expected += ["not restarted", "can be guessed"]


@pytest.mark.gen_test
@pytest.mark.slow
async def test_each_message_reaches_the_plugins_of_one_process_once(
    process: Process, manager: ServiceManager, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    heard.touch()
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "scribe.py").write_text(
        "import os\n"
        "from tornado_chat import Plugin, hookimpl\n"
        "class Scribe(Plugin):\n"
        "    @hookimpl\n"
        "    async def message_posted(self, message):\n"
        f"        with open({str(heard)!r}, 'a') as file:\n"
        "            file.write(f'{message.text} {os.getpid()}\\n')\n"
    )
    await manager.listen()
    harness = (await process.start(f"plugins.paths={plugins}")).harness
    await manager.wait_for("READY")

    def told() -> list[str]:
        return [line.split()[0] for line in heard.read_text().splitlines()]

    async def talk(number: int) -> list[str]:
        session = await harness.session(user=number, consultant=99)
        texts = [f"{number}/{n}" for n in range(40)]
        async with ChatClient(harness.ws, token("user", number), session) as visitor:
            for text in texts:
                await visitor.send(text)
        return texts

    said_of_all = {text for texts in await asyncio.gather(*map(talk, range(1, 9))) for text in texts}
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while len(told()) < len(said_of_all):  # noqa: ASYNC110 - written by another process
            await asyncio.sleep(0.05)
    assert sorted(told()) == sorted(said_of_all)

    # A killed process leaves its lease, and events of which no other process knows.
    os.kill(children(process.pid)[0], signal.SIGKILL)
    said_of_all |= set(await talk(9))
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while set(told()) != said_of_all:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    process.expected += ["a process has ended", SILENT]


@pytest.mark.slow
@pytest.mark.gen_test
async def test_every_process_reports_the_status_of_all(process: Process, manager: ServiceManager) -> None:
    await manager.listen()
    harness = (await process.start()).harness
    await manager.wait_for("READY")
    there = children(process.pid)
    for n in range(12):
        await harness.connect(f"/notify?token={token('user', n)}")
    for _ in range(4):
        status = json.loads((await harness.api("GET", "/api/v1/status")).body)
        assert status["sockets"]["notify"] == 12
        assert [each["number"] for each in status["processes"]] == list(range(1, COUNT + 1))
        assert sorted(each["pid"] for each in status["processes"]) == sorted(there)
        shares = [each["sockets"] for each in status["processes"]]
        assert sum(shares) == 12
        assert max(shares) - min(shares) <= 2
        text = (await harness.api("GET", "/metrics")).body.decode()
        assert len(re.findall("^# TYPE tornado_chat_sockets gauge", text, re.MULTILINE)) == 1
        found = re.findall(
            r'^tornado_chat_sockets{endpoint="notify",process="(\d)"} (\d+)', text, re.MULTILINE
        )
        assert {number for number, _ in found} == {"1", "2"}
        assert sum(int(count) for _, count in found) == 12
    options = [argument for option in process.options for argument in ("--set", option)]
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tornado_chat", "status", *options), stdout=asyncio.subprocess.PIPE
    )
    shown = (await command.communicate())[0].decode()
    assert command.returncode == 0, shown
    assert f"at {process.url}, {COUNT} processes, up" in shown
    assert re.search(rf"^2 +{there[1]} +\d+ ", shown, re.MULTILINE)

    os.kill(there[1], signal.SIGSTOP)
    try:
        status = {}
        while "process 2" not in status.get("problems", {}):
            status = json.loads((await harness.api("GET", "/api/v1/status")).body)
    finally:
        os.kill(there[1], signal.SIGCONT)
    assert [each["number"] for each in status["processes"]] == [1]
    await process.wait_for_log(message := "process 2 does not report its status: TimeoutError")
    process.expected.append(message)


@pytest.fixture
def activated(io_loop: IOLoop, mariadb: MariaDB, memory: Path, tmp_path: Path) -> Iterator[Activated]:
    with mariadb.database(migrated=True) as name, RedisServer(memory / f"redis-{tmp_path.name}") as redis:
        activated = Activated(tmp_path)
        text = activated.ini.read_text().replace("[server]", f"[server]\nprocesses = {COUNT}")
        more = f"[storage]\nurl = {mariadb.url(name)}\ndurability = normal\n[cluster]\nurl = {redis.url}\n"
        activated.ini.write_text(text + more)
        yield activated
        io_loop.run_sync(activated.stop, timeout=WAIT_TIMEOUT_SECONDS)
    assert not [line for line in activated.log if re.search(r"\b(WARNING|ERROR|Traceback)\b", line)]


@pytest.mark.gen_test
@pytest.mark.slow
async def test_socket_activation_and_full_restarts_refuse_no_connection(
    activated: Activated,
) -> None:
    await activated.start()
    over = False
    answers: list[bytes] = []

    async def connect_repeatedly() -> None:
        while not over:
            reader, writer = await asyncio.open_connection("127.0.0.1", activated.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers.append(await reader.read())
            writer.close()

    knocking = [asyncio.create_task(connect_repeatedly()) for _ in range(3)]
    for n in range(2):
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while sum("all processes are ready" in line for line in activated.log) <= n:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await activated.restart()
    over = True
    await asyncio.gather(*knocking)
    assert len(answers) > 20
    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)


@pytest.mark.gen_test
async def test_the_workers_begin_one_audit_log_on_a_database_with_data(
    process: Process, manager: ServiceManager
) -> None:
    url = next(option for option in process.options if option.startswith("storage.url=")).partition("=")[2]
    database = open_database(config.Storage(url=url))
    DataOperation.insert(time=1, operator="root", action="erase", state="done").execute(database)
    process.options += ["plugins.enabled=audit", "server.processes=4"]
    await manager.listen()
    harness = (await process.start()).harness
    await process.wait_for_log("all processes are ready")
    await asyncio.gather(*(harness.session(100 + n, 200 + n) for n in range(20)))
    os.kill(process.pid, signal.SIGHUP)
    await process.wait_for_log(" reloaded ", 4)
    shown = ""
    while "reloaded" not in shown:  # it is recorded right after the log line
        shown = (await command(process, "audit", "show"))[1]
    code, said = await command(process, "audit", "verify")
    assert (code, "all as they were written" in said) == (0, True), said
    assert (shown.count("  begins"), shown.count("  reloaded")) == (1, 1)
    assert "break" not in shown
    database.close()
