"""Accepting connections, also while there are no file descriptors left."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.service_manager import listening_socket
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.aio import descriptors
from tornado_chat.aio.shared_load import SharedLoads
from tornado_chat.web.http import accepting
from tornado_chat.web.http.accept_balancing import AcceptBalancer
from tornado_chat.web.http.accepting import Acceptor


class Room:
    """Says whether there is room, as the test wants."""

    def __init__(self) -> None:
        self.is_there = True
        self.asked = 0

    def __call__(self, descriptor: int) -> bool:
        self.asked += 1
        return self.is_there


class Process:
    """Accepts connections and keeps them; ``other`` connections count in addition."""

    def __init__(self, listening: socket.socket, loads: SharedLoads | None = None, other: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self.room = Room()
        self.accepted: list[socket.socket] = []
        self.listening = listening.dup()
        self.listening.setblocking(False)
        acceptor = (
            Acceptor(loop, self.room)
            if loads is None
            else AcceptBalancer(loads, loop, lambda: other + len(self.accepted), self.room)
        )
        self.acceptor = acceptor
        self.stop = acceptor.accept(self.listening, self._keep)

    def _keep(self, connection: socket.socket, address: Any) -> None:
        self.accepted.append(connection)

    def close(self) -> None:
        self.stop()
        for each in (self.listening, *self.accepted):
            each.close()

    async def wait(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not met():  # noqa: ASYNC110 - counts, not events
                await asyncio.sleep(0.001)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with listening_socket(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.01)


async def connect(listening: socket.socket, count: int) -> None:
    for _ in range(count):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        writer.close()


@pytest.mark.parametrize("is_balanced", [False, True])
@pytest.mark.gen_test
async def test_without_room_a_process_pauses_says_it_once_and_goes_on(
    listening: socket.socket,
    caplog: pytest.LogCaptureFixture,
    expected_logs: list[str],
    is_balanced: bool,
) -> None:
    expected_logs.append("too few file descriptors")
    loads = SharedLoads.create(1) if is_balanced else None
    process = Process(listening, loads)
    process.room.is_there = False
    await connect(listening, 3)
    await process.wait(lambda: process.room.asked >= 5)
    assert process.accepted == []
    assert process.acceptor.is_full
    assert caplog.text.count("too few file descriptors are left") == 1
    process.room.is_there = True
    await process.wait(lambda: len(process.accepted) == 3)
    await connect(listening, 3)
    await process.wait(lambda: len(process.accepted) == 6)
    assert not process.acceptor.is_full
    process.close()
    if loads is not None:
        os.close(loads.descriptor)


@pytest.mark.gen_test
async def test_a_process_that_has_waited_for_another_and_finds_no_room_watches_again(
    listening: socket.socket, expected_logs: list[str]
) -> None:
    expected_logs.append("too few file descriptors")
    loads = SharedLoads.create(2)
    stuck = SharedLoads(loads.descriptor, 1)
    stuck.set_connections(0)
    process = Process(listening, loads, other=100)  # more than the other, which does not accept
    process.room.is_there = False
    await connect(listening, 1)
    await process.wait(lambda: process.room.asked >= 2)
    process.room.is_there = True
    await process.wait(lambda: len(process.accepted) == 1)
    process.close()
    os.close(loads.descriptor)


@pytest.mark.gen_test
async def test_other_processes_do_not_wait_for_a_process_without_room(
    listening: socket.socket, expected_logs: list[str]
) -> None:
    expected_logs.append("too few file descriptors")
    loads = SharedLoads.create(2)
    full = Process(listening, SharedLoads(loads.descriptor, 0))
    full.room.is_there = False
    await connect(listening, 1)
    await full.wait(lambda: full.room.asked >= 1)
    other = Process(listening, SharedLoads(loads.descriptor, 1), other=100)
    await other.wait(lambda: len(other.accepted) == 1)
    assert other.accepted
    full.close()
    other.close()
    os.close(loads.descriptor)


@pytest.mark.gen_test
async def test_an_error_of_accept_is_a_pause_as_well(
    listening: socket.socket, expected_logs: list[str]
) -> None:
    expected_logs.append("too few file descriptors")
    process = Process(listening)
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(listening.getsockname())
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, old[1]))
    try:
        await process.wait(lambda: process.room.asked >= 3)  # the room says yes, and accept fails
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
    await process.wait(lambda: len(process.accepted) == 1)
    client.close()
    process.close()


@pytest.mark.gen_test
async def test_a_stopped_process_accepts_no_more(listening: socket.socket) -> None:
    process = Process(listening)
    process.room.is_there = True
    process.stop()
    await connect(listening, 1)
    await asyncio.sleep(0.05)
    assert process.accepted == []
    process.close()


def test_the_reserve_keeps_some_descriptors_free() -> None:
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = descriptors.open_count()
    assert used is not None
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 40, old[1]))
    opened: list[int] = []
    try:
        room = descriptors.room()
        assert room is not None
        while descriptors.has_room(0):
            opened.append(os.dup(0))
        assert len(opened) >= room  # more, if descriptors with high numbers were open before
        assert descriptors.room() == 0
        reserve = len(opened)
        with contextlib.suppress(OSError):
            while True:
                opened.append(os.dup(0))
        assert len(opened) - reserve >= descriptors.MIN_RESERVED // 2
        assert not descriptors.has_room(0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
        for each in opened:
            os.close(each)
