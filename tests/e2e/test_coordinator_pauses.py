"""A coordinator or a Redis that stands still while users of another process come and go.

No conversation that has ended returns, none that has a waiter is assigned again, and no place is lost.
"""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, Peer
from tests.helpers.chaos import NAME, SILENT, WARNING, Cluster
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.cluster.leader_election import ElectionTimings
from tornado_chat.core.types import ConversationState

pytestmark = pytest.mark.slow

WAITING, ACTIVE, ENDED = (state.value for state in ConversationState)
CAPACITY = 5
TRANSITION_SECONDS = 1.5  # after a pause, until everything that was held up has been handled


class Line:
    """Two processes, of which the first coordinates, with their database."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.coordinator, self.other = cluster.servers

    @property
    def here(self) -> Harness:
        """The coordinator's process."""
        return self.coordinator.harness

    @property
    def there(self) -> Harness:
        return self.other.harness

    def rows(self) -> list[tuple[int, str, str | None, int]]:
        """Return id, state, waiter and number of changes of each conversation."""
        return self.cluster.mariadb.run(
            f"USE {NAME}", "SELECT id, state, waiter, changes FROM support_conversation ORDER BY id"
        )  # type: ignore[return-value]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not condition():  # noqa: ASYNC110 - the database has no event
                await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def paused(self, part: str, seconds: float) -> AsyncIterator[None]:
        """Suspend the coordinator or Redis for the block, and for at least ``seconds``."""
        pid = self.coordinator.pid if part == "coordinator" else self.cluster.redis.pid
        end = asyncio.get_running_loop().time() + seconds
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
            await asyncio.sleep(end - asyncio.get_running_loop().time())
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def line(io_loop: IOLoop, tmp_path: Path, own_mariadb: MariaDB, own_redis: RedisServer) -> Iterator[Line]:
    cluster = Cluster(tmp_path, own_mariadb, own_redis, 2, children=False)
    for server in cluster.servers:
        graces = ["support.rejoin_grace=600", "support.leave_grace=600"]
        server.options += [f"support.capacity={CAPACITY}", *graces]
    io_loop.run_sync(cluster.start, timeout=WAIT_TIMEOUT_SECONDS)
    yield Line(cluster)
    io_loop.run_sync(cluster.stop, timeout=WAIT_TIMEOUT_SECONDS)
    # Redis may count as away when it answers late on a busy machine.
    expected = f"{SILENT}|receive no events of each other"
    assert not [text for text in cluster.warnings() if WARNING.search(text) and not re.search(expected, text)]


@pytest.mark.gen_test(timeout=300)
@pytest.mark.parametrize(
    ("part", "seconds"), [("coordinator", 0.3), ("redis", 0.1), ("redis", 0.4), ("redis", 0.8)]
)
async def test_users_that_come_and_go_during_a_pause_do_not_return(
    line: Line, part: str, seconds: float
) -> None:
    waiter = await line.here.waiter(7)
    for count in range(1, CAPACITY + 2):
        async with line.paused(part, seconds):
            user = await line.there.user(count)
            await line.until(lambda count=count: len(line.rows()) == count)  # type: ignore[misc]
            await user.send_frame("disconnect")
            await line.until(lambda: all(state == ENDED for _, state, _, _ in line.rows()))
        await asyncio.sleep(TRANSITION_SECONDS if count == CAPACITY + 1 else 0.2)
    assert {(state, waiter) for _, state, waiter, _ in line.rows()} == {(ENDED, None)}
    # All places are free, and the waiter was told of no other user.
    users = [await line.there.user(100 + n) for n in range(CAPACITY)]
    for user in users:
        await user.until("connect_success")
    addresses = {(await waiter.get("new_connection"))["payload"]["uuid"] for _ in users}
    assert addresses == {user.uuid for user in users}


@pytest.mark.gen_test(timeout=300)
async def test_a_coordinator_that_was_suspended_assigns_no_active_conversation_again(line: Line) -> None:
    users: list[Peer] = [await line.there.user(n) for n in range(1, 7)]
    for user in users:
        await user.get("connect_queue")
    async with line.paused("coordinator", 10.0):
        for id in (7, 8):
            await line.there.waiter(id)
        for user in users:
            await user.until("connect_success")
        before = line.rows()
        assert [(state, changes) for _, state, _, changes in before] == [(ACTIVE, 1)] * 6
    await line.coordinator.wait_for_log("coordinates now, and this process no more")
    await asyncio.sleep(TRANSITION_SECONDS)
    assert line.rows() == before
    # The free places, and no more, are given to further users.
    more = [await line.there.user(100 + n) for n in range(2 * CAPACITY - 6)]
    for user in more:
        await user.until("connect_success")
    late = await line.there.user(200)
    assert (await late.get("connect_queue"))["payload"]["location"] == 1
    await users[0].send_frame("disconnect")
    await late.until("connect_success")
    served = [row_waiter for _, state, row_waiter, _ in line.rows() if state == ACTIVE]
    assert {row_waiter: served.count(row_waiter) for row_waiter in served} == {
        "waiter:7": CAPACITY,
        "waiter:8": CAPACITY,
    }


@pytest.mark.gen_test(timeout=300)
async def test_no_user_is_matched_after_the_lease_until_redis_is_back(line: Line) -> None:
    waiter = await line.here.waiter(7)
    before = await line.here.user(1)
    await before.until("connect_success")
    async with line.paused("redis", 0.0):
        await line.coordinator.wait_for_log("receive no events of each other")
        await asyncio.sleep(ElectionTimings().ttl_seconds)  # since the last renewal, at the latest
        user = await line.here.user(2)
        await line.until(lambda: len(line.rows()) == 2)
        await asyncio.sleep(TRANSITION_SECONDS)
        assert [state for _, state, _, _ in line.rows()] == [ACTIVE, WAITING]
        await before.send_frame("message_text", {"message": "still here"})
        assert (await waiter.until("message_text"))["payload"]["message"] == "still here"
    await user.until("connect_success")
    assert [(state, changes) for _, state, _, changes in line.rows()] == [(ACTIVE, 1)] * 2
