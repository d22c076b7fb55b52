"""The service under a service manager: notifications, passed sockets, and the watchdog."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import SECRET, Harness, token
from tests.e2e.conftest import Process, _Address
from tests.e2e.service_manager import ServiceManager, listening_socket, stuck_plugin
from tests.e2e.test_plugins import write_plugin
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.client import ChatClient

ROOT = Path(__file__).parents[2]
VISITOR = token("user", 1)
COUNSELLOR = token("consultant", 2)


@pytest.fixture
def manager(io_loop: IOLoop, process: Process, tmp_path: Path) -> Iterator[ServiceManager]:
    manager = ServiceManager(process, tmp_path)
    yield manager
    io_loop.run_sync(process.stop, timeout=WAIT_TIMEOUT_SECONDS)  # before its manager is closed
    manager.close()


# --- notifications ---


@pytest.mark.gen_test
async def test_ready_is_sent_when_clients_are_served_and_stopping_before_they_are_closed(
    process: Process, manager: ServiceManager
) -> None:
    await manager.listen()
    harness = (await process.start("server.drain_seconds=7")).harness
    ready = await manager.wait_for("READY", "1")
    assert ready["STATUS"] == "sockets: 0, users in queue: 0"
    visitor = await harness.chat(VISITOR, await harness.session())
    before = len(manager.notifications)
    assert await process.stop() == 0
    stopping = await manager.wait_for("STOPPING", "1", after=before)
    assert stopping["STATUS"] == "stopping; sockets to close: 1"
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 7_000_000
    assert (await visitor.wait_closed()).code == 1006  # plain clients are cut


@pytest.mark.gen_test
@pytest.mark.slow
async def test_the_status_follows_connections(process: Process, manager: ServiceManager) -> None:
    await manager.listen()
    harness = (await process.start()).harness
    await manager.wait_for("READY")
    user = await harness.user(1)
    await user.get("connect_queue")
    await manager.wait_for("STATUS", "sockets: 1, users in queue: 1")


@pytest.mark.gen_test
async def test_a_reload_is_announced_with_its_time_and_ends_in_ready(
    process: Process, manager: ServiceManager, tmp_path: Path
) -> None:
    process.files = [tmp_path / "own.ini"]
    process.files[0].write_text("[limits]\nburst = 10\n")
    await manager.listen()
    await process.start()
    await manager.wait_for("READY", "1")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    heard = len(manager.notifications)
    os.kill(process.pid, signal.SIGHUP)
    reloading = await manager.wait_for("RELOADING", "1", after=heard)
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    await manager.wait_for("READY", "1", after=heard)

    heard = len(manager.notifications)
    process.files[0].write_text("[limits]\nbrust = 10\n")
    os.kill(process.pid, signal.SIGHUP)
    ready = await manager.wait_for("READY", "1", after=heard)
    assert ready["STATUS"].endswith("; not reloaded: the configuration has mistakes, see the log")
    await process.stop()
    assert len(process.forget('did you mean "burst"\\?')) == 1


@pytest.mark.gen_test
async def test_the_status_names_a_plugin_that_was_not_reloaded(
    process: Process, manager: ServiceManager, tmp_path: Path
) -> None:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    write_plugin(
        folder,
        "moody",
        """
@hookimpl
def reload(self):
    if (pathlib.Path(__file__).parent / 'bad').exists():
        raise KeyError('bad')
""",
    )
    process.options.append(f"plugins.paths={folder}")
    await manager.listen()
    await process.start()
    await manager.wait_for("READY", "1")
    for is_bad in (True, False):
        (folder / "bad").touch() if is_bad else (folder / "bad").unlink()
        heard = len(manager.notifications)
        os.kill(process.pid, signal.SIGHUP)
        ready = await manager.wait_for("READY", "1", after=heard)
        assert ("not reloaded: plugin moody, see the log" in ready["STATUS"]) is is_bad
    await process.stop()
    assert process.forget("plugin moody keeps its previous settings|moody")


@pytest.mark.gen_test
async def test_a_failed_start_is_reported_to_the_manager(process: Process, manager: ServiceManager) -> None:
    (process.directory / "secret").write_text("short")
    await manager.listen()
    with pytest.raises(AssertionError, match="can be guessed"):
        await process.start()
    assert await process.stop() == 2
    assert "has 5 bytes and can be guessed" in manager.notifications[-1]["STATUS"]
    assert not any("READY" in each for each in manager.notifications)


@pytest.mark.gen_test
async def test_the_watchdog_is_notified_until_the_loop_blocks_and_the_log_names_the_place(
    process: Process, manager: ServiceManager, tmp_path: Path
) -> None:
    plugins = stuck_plugin(tmp_path)
    await manager.listen(watchdog=0.4)
    harness = (await process.start(f"plugins.paths={plugins}")).harness
    visitor = await harness.chat(VISITOR, await harness.session())
    for _ in range(5):
        await manager.wait_for("WATCHDOG", "1", after=len(manager.notifications))
    await visitor.send_json({"msg": "stop"})
    await process.wait_for_log("^held$")
    heard = len(manager.notifications)
    await asyncio.sleep(1)
    assert len(manager.notifications) == heard
    assert await process.stop(signal.SIGABRT) == -signal.SIGABRT  # the signal that systemd sends then
    assert process.forget(r"stuck\.py.*line 7 in filter_message")


@pytest.mark.gen_test
async def test_a_missing_manager_is_logged_once(process: Process, manager: ServiceManager) -> None:
    await manager.listen(watchdog=0.1)
    harness = (await process.start()).harness
    await manager.wait_for("WATCHDOG")
    manager.close()
    (process.directory / "notify").unlink()
    await process.wait_for_log("the status cannot be sent to the service manager")
    await asyncio.sleep(0.3)  # several intervals of the watchdog
    assert (await harness.api("GET", "/healthz")).code == 200
    await process.stop()
    assert len(process.forget("the status cannot be sent")) == 1


@pytest.mark.gen_test
async def test_child_processes_do_not_inherit_the_managers_variables(
    process: Process, manager: ServiceManager, tmp_path: Path
) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "child.py").write_text(
        "import subprocess\n"
        "from tornado_chat import Plugin, hookimpl\n"
        "class Child(Plugin):\n"
        "    @hookimpl\n"
        "    async def startup(self, context):\n"
        f"        open({str(tmp_path / 'env')!r}, 'wb').write(subprocess.check_output(['env']))\n"
    )
    manager.hold(listening_socket(("127.0.0.1", 0)))
    await manager.listen(watchdog=60)
    await process.start(f"plugins.paths={plugins}")
    seen = (tmp_path / "env").read_text()
    assert "PATH=" in seen
    assert not re.findall("NOTIFY_SOCKET|WATCHDOG_|LISTEN_", seen)


# --- passed sockets ---


@pytest.mark.gen_test
async def test_passed_sockets_are_served_instead_of_the_configured_ones(
    process: Process, manager: ServiceManager, tmp_path: Path
) -> None:
    tcp, path = listening_socket(("127.0.0.1", 0)), str(tmp_path / "passed.sock")
    manager.hold(tcp, listening_socket(path))
    own = tmp_path / "own.sock"
    there = Path(path)
    await process.start("server.port=1", f"server.unix_socket={own}")  # a port that requires root
    assert process.url == f"http://127.0.0.1:{tcp.getsockname()[1]}"
    assert (await process.harness.api("GET", "/healthz")).code == 200
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in await reader.readline()
    writer.close()
    assert not own.exists()
    await process.stop()
    # The manager's socket was neither unlinked nor shut down.
    assert there.exists()  # noqa: ASYNC240
    assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    _, writer = await asyncio.open_connection(*tcp.getsockname())
    writer.close()


@pytest.mark.gen_test
async def test_a_socket_that_does_not_listen_is_refused(process: Process, manager: ServiceManager) -> None:
    manager.hold(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    with pytest.raises(AssertionError, match=r"passed a socket that does not listen .*Accept=no"):
        await process.start()
    assert await process.stop() == 1


@pytest.mark.gen_test
async def test_a_connection_during_a_restart_is_served_by_the_next_process(
    process: Process, manager: ServiceManager
) -> None:
    tcp = listening_socket(("127.0.0.1", 0))
    manager.hold(tcp)
    await process.start()
    session = await process.harness.session()
    await process.stop()
    url = f"ws://127.0.0.1:{tcp.getsockname()[1]}"

    async def connect() -> int | None:
        async with ChatClient(url, VISITOR, session) as visitor:
            return (await visitor.send("is anybody there?")).seq

    coming = asyncio.create_task(connect())
    await asyncio.wait({coming}, timeout=0.3)
    assert not coming.done()
    await process.start()
    assert await coming == 1


class Activated:
    """The unit's own command line under ``systemd-socket-activate``, and started again when it ends, as by
    systemd. The sockets stay open meanwhile."""

    AGAIN = 'while :; do sh -c "LISTEN_PID=\\$\\$ exec \\"\\$@\\"" sh "$@" || exit; done'

    def __init__(self, directory: Path) -> None:
        state = directory / "state"
        (directory / "secret").write_bytes(SECRET)
        self.ini = directory / "tornado-chat.ini"
        self.ini.write_text(
            f"[server]\nstate_dir = {state}\ndrain_seconds = 0.2\n[auth]\nsecret_file = {directory}/secret\n"
        )
        with listening_socket(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.log: list[str] = []
        self._ready = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        unit = (ROOT / "etc/systemd/tornado-chat.service").read_text()
        line = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert line is not None
        program, *arguments = shlex.split(line[1])
        # The program is in the tests' environment instead of /opt.
        command = [str(Path(sys.executable).with_name(Path(program).name)), *arguments]
        self._process = await asyncio.create_subprocess_exec(
            "systemd-socket-activate",
            f"--listen=127.0.0.1:{self.port}",
            f"--setenv=TORNADO_CHAT_CONFIG={self.ini}",
            *("/bin/sh", "-c", self.AGAIN, "sh", *command),
            stderr=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read())
        while not any("Listening on" in line for line in self.log):  # noqa: ASYNC110 - read by another task
            await asyncio.sleep(0.01)

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(line.decode().rstrip())
            if " ready " in self.log[-1]:
                self._ready.set()

    async def ready(self) -> None:
        """Wait until a process serves."""
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            await self._ready.wait()

    async def restart(self) -> None:
        self._ready.clear()
        os.kill(self._server, signal.SIGTERM)
        await self.ready()

    @property
    def _server(self) -> int:
        assert self._process is not None
        pid = self._process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    async def stop(self) -> None:
        """End the shell, which would restart the server, and then the server."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, ValueError):
            server = self._server
            os.kill(self._process.pid, signal.SIGKILL)
            os.kill(server, signal.SIGTERM)
        await self._process.wait()
        assert self._reader is not None
        await self._reader  # ends when the server has closed its end, too


@pytest.fixture
def activated(io_loop: IOLoop, tmp_path: Path) -> Iterator[Activated]:
    activated = Activated(tmp_path)
    yield activated
    io_loop.run_sync(activated.stop, timeout=WAIT_TIMEOUT_SECONDS)
    assert not [line for line in activated.log if re.search(r"\b(WARNING|ERROR|Traceback)\b", line)]


@pytest.mark.gen_test
@pytest.mark.slow
async def test_ten_restarts_refuse_no_connection_and_lose_no_message(activated: Activated) -> None:
    await activated.start()
    url = f"http://127.0.0.1:{activated.port}"
    harness = Harness(_Address(url), config.Config(), [])  # type: ignore[arg-type]
    session = await harness.session()  # the first connection starts the server
    over = False
    answers: list[bytes] = []

    async def connect_repeatedly() -> None:
        """Open one connection after the other; each must be answered."""
        while not over:
            reader, writer = await asyncio.open_connection("127.0.0.1", activated.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers.append(await reader.read())
            writer.close()

    async with (
        ChatClient(harness.ws, VISITOR, session) as visitor,
        ChatClient(harness.ws, COUNSELLOR, session) as counsellor,
    ):
        knocking = [asyncio.create_task(connect_repeatedly()) for _ in range(5)]
        sent = 0
        for _ in range(10):
            sending = [asyncio.create_task(visitor.send(f"{sent + n}")) for n in range(20)]
            sent += 20
            await sending[0]
            await activated.restart()
            await asyncio.gather(*sending)
        over = True
        await asyncio.gather(*knocking)
        heard: list[str] = []
        while len(heard) < sent:
            frame = await counsellor.receive(WAIT_TIMEOUT_SECONDS)
            if not frame.system:
                heard.append(frame.msg)
    assert heard == [str(n) for n in range(sent)]
    assert sum("stopping" in line for line in activated.log) == 10
    assert len(answers) > 50
    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)
