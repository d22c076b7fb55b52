"""Worker slots, worker states and the notification socket, without real worker processes."""

import asyncio
import os
import socket

import pytest

from tornado_chat import config
from tornado_chat.server.systemd import ServiceManager
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
