"""Several processes accept from one socket: none gets many more, and none that is stuck is waited for."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.service_manager import listening_socket
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.aio.shared_load import ENVIRONMENT_VARIABLE, SharedLoads
from tornado_chat.web.http.accept_balancing import AcceptBalancer


class Taker:
    """Simulates a process: keeps the accepted connections, and counts ``other`` connections in addition."""

    def __init__(self, memory: SharedLoads, place: int, listening: socket.socket, other: int = 0) -> None:
        self.other = other
        self.taken: list[socket.socket] = []
        self.loads = SharedLoads(memory.descriptor, place)
        self._listening = listening.dup()
        self._listening.setblocking(False)
        sharing = AcceptBalancer(self.loads, asyncio.get_running_loop(), lambda: self.count)
        self._end = sharing.accept(self._listening, self._take)

    @property
    def count(self) -> int:
        return self.other + len(self.taken)

    def _take(self, connection: socket.socket, address: Any) -> None:
        self.taken.append(connection)

    def close(self) -> None:
        self._end()
        for each in (self._listening, *self.taken):
            each.close()


Makes = Callable[..., Taker]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with listening_socket(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def make(listening: socket.socket) -> Iterator[Makes]:
    memory = SharedLoads.create(6)
    with contextlib.ExitStack() as stack:

        def make(place: int, other: int = 0) -> Taker:
            taker = Taker(memory, place, listening, other)
            stack.callback(taker.close)
            return taker

        yield make
    os.close(memory.descriptor)


async def come(count: int, listening: socket.socket, *takers: Taker) -> None:
    """Open ``count`` connections, and wait until all of them are accepted."""
    wanted = count + sum(len(each.taken) for each in takers)
    for _ in range(count):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        writer.close()
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while sum(len(each.taken) for each in takers) < wanted:  # noqa: ASYNC110 - a count, not an event
            await asyncio.sleep(0.001)


@pytest.mark.gen_test
async def test_processes_get_about_the_same_number(make: Makes, listening: socket.socket) -> None:
    takers = [make(place) for place in (0, 2, 5)]
    await come(90, listening, *takers)
    assert all(28 <= len(each.taken) <= 32 for each in takers)


@pytest.mark.gen_test
async def test_a_new_process_gets_all_connections_until_it_has_as_many(
    make: Makes, listening: socket.socket
) -> None:
    old, new = make(0, other=40), make(1)
    await come(30, listening, old, new)
    assert len(new.taken) == 30
    await come(40, listening, old, new)
    assert abs(old.count - new.count) <= 3


@pytest.mark.gen_test
async def test_a_process_that_does_not_accept_is_not_waited_for(
    make: Makes, listening: socket.socket
) -> None:
    taker, stuck = make(0, other=10), make(1)
    asyncio.get_running_loop().remove_reader(stuck._listening)
    await come(5, listening, taker, stuck)
    assert len(taker.taken) == 5


@pytest.mark.gen_test
async def test_a_stopped_process_does_not_count(make: Makes, listening: socket.socket) -> None:
    taker, gone = make(0, other=10), make(1)
    gone.close()
    assert taker.loads.minimum() == 10


def test_a_child_process_opens_the_shared_memory() -> None:
    parent = SharedLoads.create(2)
    environ = {ENVIRONMENT_VARIABLE: f"{os.dup(parent.descriptor)}:1", "PATH": "/bin"}
    child = SharedLoads.from_environ(environ)
    assert child is not None
    assert environ == {"PATH": "/bin"}
    child.set_connections(7)
    assert parent.minimum() == 7
    parent.clear(1)
    parent.set_connections(9)
    assert child.minimum() == 9
    assert SharedLoads.from_environ(environ) is None
    for each in (parent, child):
        os.close(each.descriptor)
