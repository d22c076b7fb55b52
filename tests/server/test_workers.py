"""Worker slots, worker states and the notification socket, without real worker processes."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.server.systemd import ServiceManager
from tornado_chat.server.workers import process_manager
from tornado_chat.server.workers import worker as worker_module
from tornado_chat.server.workers.notify_socket import NotifySocket
from tornado_chat.server.workers.process_manager import ProcessManager
from tornado_chat.server.workers.worker import WorkerProcess, WorkerState
from tornado_chat.server.workers.worker_slots import (
    FIRST_RESTART_DELAY_SECONDS,
    MAX_RESTART_DELAY_SECONDS,
    STEADY_SECONDS,
    WorkerSlot,
)


def make_worker() -> WorkerProcess:
    return WorkerProcess(1, os.getpid(), 0, 30.0, asyncio.get_running_loop())


@pytest.mark.gen_test
async def test_restart_delays_grow_until_a_worker_has_served_for_a_while() -> None:
    slot = WorkerSlot(1)
    delays = []
    for served in (*[0.5] * 7, STEADY_SECONDS, 0.5):
        slot.worker = make_worker()
        slot.worker.on_exit(-9)
        slot.worker.served_seconds = served
        delays.append(slot.next_restart_delay())
    assert delays[:3] == [0.0, FIRST_RESTART_DELAY_SECONDS, 2 * FIRST_RESTART_DELAY_SECONDS]
    assert delays[6:] == [MAX_RESTART_DELAY_SECONDS, 0.0, FIRST_RESTART_DELAY_SECONDS]


@pytest.mark.gen_test
async def test_a_worker_has_the_state_that_its_notifications_report() -> None:
    one = make_worker()
    one.on_notify({"STATUS": "starting"})
    assert (one.state, one.status) == (WorkerState.STARTING, "starting")
    one.on_notify(
        {"READY": "1", "STATUS": "sockets: 3", "X_SOCKETS": "3", "X_WAITING": "1", "X_COMPLAINT": "oh"}
    )
    assert (one.state, one.sockets, one.waiting, one.problem) == (WorkerState.SERVING, 3, 1, "oh")
    one.on_notify({"WATCHDOG": "1"})
    assert (one.sockets, one.problem) == (3, "oh")
    one.on_notify({"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "35000000"})
    assert one.state is WorkerState.STOPPING
    one.on_notify({"READY": "1"})  # a reload has finished while the worker stops
    assert one.state is WorkerState.STOPPING
    one.on_exit(0)
    assert (one.state, one.sockets) == (WorkerState.ENDED, 0)


def test_the_notification_socket_names_the_sender_and_drops_malformed_datagrams() -> None:
    listener = NotifySocket()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        for datagram in (b"READY=1\nSTATUS=a=b", b"nonsense", b"\xff=1", b"WATCHDOG=1"):
            speaker.sendto(datagram, f"\0{listener.address[1:]}")
    assert list(listener.receive()) == [
        (os.getpid(), {"READY": "1", "STATUS": "a=b"}),
        (os.getpid(), {"WATCHDOG": "1"}),
    ]
    listener.close()


@pytest.mark.gen_test
async def test_sigchld_after_the_end_of_the_last_worker_is_ignored() -> None:
    parent = ProcessManager(config.Config(), ServiceManager(), config.Config)
    parent._notify_socket = NotifySocket()
    parent._notify_socket.close()
    with pytest.raises(OSError, match="descriptor"):
        parent._reap_workers()
    parent._finished.set_result(0)
    parent._reap_workers()  # the signal may arrive twice


# --- processes that hang ---

CHILD = """
import os, signal, socket, sys, time
def notify(text):
    speaker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    speaker.sendto(text, "\\0" + os.environ["NOTIFY_SOCKET"][1:])
    speaker.close()
behaviour = open(sys.argv[1]).read()
def on_term(number, frame):
    notify(b"STOPPING=1\\nEXTEND_TIMEOUT_USEC=900000000")
    if behaviour != "deaf":
        os._exit(0)
signal.signal(signal.SIGTERM, on_term)
signal.signal(signal.SIGABRT, signal.SIG_IGN)
if behaviour != "hangs at its start":
    notify(b"READY=1")
while True:
    time.sleep(60)
"""
"""A worker: "good" stops when it is asked to, "deaf" asks for time and goes on."""


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "STOP_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(worker_module, "ABORT_TIMEOUT_SECONDS", 0.2)


@asynccontextmanager
async def running_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> AsyncIterator[tuple[ProcessManager, "asyncio.Task[int]", Callable[[str], int]]]:
    """Run a parent with two workers.

    Yields it, its task, and a function that sets the behaviour of workers that start later.
    """
    script, behaviour_file = tmp_path / "child.py", tmp_path / "behaviour"
    script.write_text(CHILD)
    behaviour_file.write_text(behaviour)
    monkeypatch.setattr(
        process_manager, "own_command", lambda: [sys.executable, "-S", str(script), str(behaviour_file)]
    )
    settings = config.Config(
        server=config.Server(port=0, processes=2, drain_seconds=0.1, state_dir=str(tmp_path), handover=False)
    )
    parent = ProcessManager(settings, ServiceManager(), lambda: settings)
    task = asyncio.create_task(parent.run())
    try:
        yield parent, task, behaviour_file.write_text
    finally:
        for pid in list(parent._workers):
            os.kill(pid, signal.SIGKILL)
        await asyncio.wait((task,), timeout=WAIT_TIMEOUT_SECONDS)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.01)


@pytest.mark.gen_test
@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("stopped", [False, True])
async def test_a_parent_that_is_told_to_stop_ends_although_a_worker_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str], stopped: bool
) -> None:
    expected_logs.append("a process did not stop, and has been ended")
    async with running_parent(tmp_path, monkeypatch, "good" if stopped else "deaf") as (parent, task, _):
        await until(lambda: parent._has_started)
        if stopped:
            os.kill(next(iter(parent._workers)), signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, WAIT_TIMEOUT_SECONDS) == 128 + signal.SIGKILL
        assert not parent._workers


@pytest.mark.gen_test
@pytest.mark.usefixtures("short_timeouts")
async def test_a_parent_that_is_told_to_stop_ends_although_a_worker_hangs_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    expected_logs.append("a process did not stop, and has been ended")
    async with running_parent(tmp_path, monkeypatch, "hangs at its start") as (parent, task, _):
        await until(lambda: bool(parent._workers))
        os.kill(next(iter(parent._workers)), signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, WAIT_TIMEOUT_SECONDS)
        assert not parent._workers


@pytest.mark.gen_test
@pytest.mark.usefixtures("short_timeouts")
async def test_a_rolling_restart_ends_workers_that_do_not_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    expected_logs.append("a process did not stop, and has been ended")
    async with running_parent(tmp_path, monkeypatch, "deaf") as (parent, task, set_behaviour):
        await until(lambda: parent._has_started)
        before = set(parent._workers)
        set_behaviour("good")
        os.kill(os.getpid(), signal.SIGUSR2)
        await until(lambda: len(parent._workers) == 2 and not before & set(parent._workers))
        await until(lambda: not parent._current_command)
        assert not parent._config_problem
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, WAIT_TIMEOUT_SECONDS) == 0


@pytest.mark.gen_test
@pytest.mark.usefixtures("short_timeouts")
async def test_a_rolling_restart_whose_new_worker_hangs_at_its_start_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    expected_logs += ["a process did not stop, and has been ended", "the new process did not start"]
    async with running_parent(tmp_path, monkeypatch, "good") as (parent, task, set_behaviour):
        await until(lambda: parent._has_started)
        before = set(parent._workers)
        set_behaviour("hangs at its start")
        os.kill(os.getpid(), signal.SIGUSR2)
        await until(lambda: len(parent._workers) == 3)
        os.kill((set(parent._workers) - before).pop(), signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, WAIT_TIMEOUT_SECONDS)
        assert not parent._workers


def test_a_parent_ends_within_the_time_that_the_unit_gives() -> None:
    unit = (Path(__file__).parents[2] / "etc" / "systemd" / "tornado-chat.service").read_text()
    seconds = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and line[0] != "#")
    needed = (
        config.Server().drain_seconds
        + worker_module.STOP_TIMEOUT_SECONDS
        + worker_module.ABORT_TIMEOUT_SECONDS
    )
    assert needed < config.Server().drain_seconds + process_manager.STOP_TIMEOUT_SECONDS
    assert needed < float(seconds["TimeoutStopSec"])
    assert seconds["TimeoutStartSec"] == "15min"
    assert worker_module.START_TIMEOUT_SECONDS + worker_module.ABORT_TIMEOUT_SECONDS < 15 * 60
