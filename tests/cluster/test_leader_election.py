"""Tests of the leader election and of the calls to the coordinator, with a real Redis."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from tests.cluster.conftest import LINK_TIMINGS, SHORT_LINK_TIMINGS, THREAD, USER, message, settings
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.cluster import own_facts
from tornado_chat.cluster.facts import (
    CoordinatorRequest,
    PresenceFact,
    RoomPresence,
    RoomPresenceRequest,
    TransferRequest,
    WaiterPresence,
)
from tornado_chat.cluster.leader_election import ClusterMember, ElectionTimings
from tornado_chat.cluster.messages import FactReported
from tornado_chat.cluster.redis_bus import COORDINATOR_CHANNEL, RedisBus
from tornado_chat.cluster.redis_link import LinkTimings
from tornado_chat.core.errors import Conflict, Refused, Unavailable
from tornado_chat.core.events import Event, RoomEnded
from tornado_chat.core.types import Kind, Person, Role, Room, SessionState, Thread

LOST = "until it is back, the processes receive no events of each other"
SILENT = "has been silent for"
ELECTION_TIMINGS = ElectionTimings(
    heartbeat_seconds=0.05, ttl_seconds=1, dead_after_seconds=1, timeout_seconds=20
)

ROOM = Room(
    thread=THREAD,
    asker=USER,
    helper=Person(Role.CONSULTANT, "2"),
    asker_name=None,
    helper_name=None,
    state=SessionState.ACTIVE,
    last_seq=0,
    session_id=THREAD.id,
    created=1,
)

_counter = itertools.count(1)


class FakeCoordinator:
    """A coordinator that records its calls."""

    def __init__(self) -> None:
        self.begin_count = 0
        self.end_count = 0
        self.active = False
        self.failures_left = 0
        self.facts: dict[tuple[str, str], PresenceFact] = {}
        self.changes: list[tuple[str, str, bool]] = []
        self.requests: list[CoordinatorRequest] = []
        self.answers: Callable[[CoordinatorRequest], Any] = lambda request: ["yes"]
        self.may_begin = asyncio.Event()
        self.may_begin.set()

    async def begin(self) -> None:
        await self.may_begin.wait()
        if self.failures_left:
            self.failures_left -= 1
            raise Unavailable("database_away")
        self.begin_count += 1
        self.active = True
        self.facts.clear()

    def end(self) -> None:
        self.end_count += 1
        self.active = False
        self.facts.clear()

    def on_report(self, process: str, fact: PresenceFact, *, already_known: bool = False) -> None:
        assert self.active
        self.facts[process, fact.key] = fact
        self.changes.append((process, fact.key, already_known))

    def on_withdraw(self, process: str, key: str, *, has_left: bool = False) -> None:
        assert self.active
        self.facts.pop((process, key), None)
        self.changes.append((process, f"gone {key}", has_left))

    async def answer(self, request: CoordinatorRequest) -> Any:
        assert self.active
        self.requests.append(request)
        answer = self.answers(request)
        return await answer if asyncio.iscoroutine(answer) else answer


class Node:
    """A process: its bus, its cluster member, and its own coordinator."""

    def __init__(
        self,
        cluster: config.Cluster,
        election_timings: ElectionTimings = ELECTION_TIMINGS,
        link_timings: LinkTimings = LINK_TIMINGS,
    ) -> None:
        self.name = f"box-2-{next(_counter)}"
        self.bus = RedisBus(cluster, self.name, link_timings=link_timings)
        self.coordinator = FakeCoordinator()
        self.member = ClusterMember(
            self.bus.link, self.coordinator, asyncio.get_running_loop(), election_timings
        )
        self._stopped = False

    async def start(self) -> None:
        await self.bus.start()
        await self.member.start()

    async def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            await self.member.stop()
            await self.bus.stop()

    async def die(self) -> None:
        """End as by kill -9: the connections break without a message to the others."""
        self._stopped = True
        for task in (self.member._task, self.bus.link._task):
            assert task is not None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def suspend(self) -> None:
        """Stop sending as by kill -STOP; unlike a stopped process, the node still receives."""
        assert self.member._task is not None
        self.member._task.cancel()
        await asyncio.gather(self.member._task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event for all the conditions
            await asyncio.sleep(0.005)


@asynccontextmanager
async def nodes(
    cluster: config.Cluster,
    count: int,
    election_timings: ElectionTimings = ELECTION_TIMINGS,
    link_timings: LinkTimings = LINK_TIMINGS,
) -> AsyncIterator[list[Node]]:
    """``count`` started nodes, of which the first coordinates and is known to the others."""
    members = [Node(cluster, election_timings, link_timings) for _ in range(count)]
    try:
        for each in members:
            await each.start()
        await until(lambda: all(each.member.status()["coordinator"] == members[0].name for each in members))
        yield members
    finally:
        for each in members:
            await each.stop()


def in_room(id: int, name: str = "Wang") -> RoomPresence:
    return RoomPresence(ROOM, Person(Role.USER, str(id)), name)


@pytest.mark.gen_test
async def test_a_single_process_coordinates_and_its_coordinator_is_called_directly(
    redis: RedisServer,
) -> None:
    async with nodes(settings(redis), 1) as (node,):
        assert node.member.is_coordinator
        node.member.report(in_room(1))
        assert node.coordinator.facts == {(node.name, in_room(1).key): in_room(1)}
        node.member.withdraw(in_room(1).key)
        assert not node.coordinator.facts
        assert await node.member.call(RoomPresenceRequest(THREAD)) == ["yes"]
        assert node.member.status() == {
            "part": "coordinator",
            "coordinator": node.name,
            "processes": [node.name],
        }
    assert node.coordinator.end_count == 1


@pytest.mark.gen_test
async def test_one_of_several_processes_that_start_at_once_coordinates(redis: RedisServer) -> None:
    cluster = settings(redis)
    members = [Node(cluster) for _ in range(5)]
    await asyncio.gather(*(each.start() for each in members))
    await until(lambda: all(len(each.member.status()["processes"]) == 5 for each in members))
    assert sum(each.coordinator.active for each in members) == 1
    assert len({each.member.status()["coordinator"] for each in members}) == 1
    assert sorted(each.member.status()["part"] for each in members) == ["coordinator"] + ["process"] * 4
    await asyncio.gather(*(each.stop() for each in members))
    assert not any(each.coordinator.active for each in members)


@pytest.mark.gen_test
async def test_the_coordinator_receives_all_changes_of_facts_in_order(redis: RedisServer) -> None:
    async with nodes(settings(redis), 2) as (first, second):
        for count in range(200):
            second.member.report(in_room(count % 7, str(count)))
        second.member.withdraw(in_room(0).key, has_left=True)
        second.member.withdraw("nobody")
        second.member.report(
            WaiterPresence(Person(Role.WAITER, "1"), True, None, "address", {"skills": ["en"]})
        )
        await until(lambda: (second.name, "waiter waiter:1") in first.coordinator.facts)
        assert len(first.coordinator.facts) == 7
        assert first.coordinator.facts[second.name, in_room(3).key] == in_room(3, "199")
        keys = [in_room(count % 7).key for count in range(200)] + [
            f"gone {in_room(0).key}",
            "waiter waiter:1",
        ]
        assert first.coordinator.changes == [(second.name, key, key.startswith("gone")) for key in keys]
        assert not second.coordinator.changes


@pytest.mark.gen_test
async def test_facts_from_before_the_begin_of_a_coordinator_are_already_known(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_facts, "CHUNK_FACTS", 3)
    async with nodes(settings(redis), 3) as (first, second, third):
        for count in range(10):
            third.member.report(in_room(count))
        second.member.report(in_room(100))
        await until(lambda: len(first.coordinator.facts) == 11)
        await first.stop()
        await until(lambda: second.coordinator.active or third.coordinator.active)
        last, other = (second, third) if second.coordinator.active else (third, second)
        await until(lambda: len(last.coordinator.facts) == 11)
        assert all(already_known for _, _, already_known in last.coordinator.changes)
        other.member.report(in_room(200))
        await until(lambda: len(last.coordinator.facts) == 12)
        assert last.coordinator.changes[-1] == (other.name, in_room(200).key, False)


@pytest.mark.gen_test
async def test_another_process_coordinates_after_the_coordinator_is_killed(redis: RedisServer) -> None:
    async with nodes(settings(redis), 3) as (first, second, third):
        second.member.report(in_room(1))
        third.member.report(in_room(2))
        await until(lambda: len(first.coordinator.facts) == 2)
        await first.die()
        await until(lambda: second.coordinator.active or third.coordinator.active)
        last = second if second.coordinator.active else third
        await until(lambda: len(last.coordinator.facts) == 2)
        assert not (second.coordinator.active and third.coordinator.active)


@pytest.mark.gen_test
async def test_a_graceful_stop_hands_over_at_once(redis: RedisServer) -> None:
    slow = ElectionTimings(heartbeat_seconds=30, ttl_seconds=60, dead_after_seconds=120, timeout_seconds=60)
    async with nodes(settings(redis), 2) as (first, second):
        assert first.coordinator.active
    async with nodes(cluster := settings(redis), 1, slow) as (first,):
        second = Node(cluster, slow)
        await second.start()
        assert not second.coordinator.active
        await first.stop()
        await until(lambda: second.coordinator.active)
        await second.stop()


@pytest.mark.gen_test
async def test_the_facts_of_a_process_that_stops_are_withdrawn_at_once(redis: RedisServer) -> None:
    async with nodes(
        settings(redis), 2, ElectionTimings(heartbeat_seconds=0.05, ttl_seconds=5, dead_after_seconds=60)
    ) as (first, second):
        second.member.report(in_room(1))
        await until(lambda: len(first.coordinator.facts) == 1)
        await second.stop()
        await until(lambda: not first.coordinator.facts)


@pytest.mark.gen_test
async def test_a_new_coordinator_does_not_expect_a_process_that_has_stopped(redis: RedisServer) -> None:
    election_timings = ElectionTimings(heartbeat_seconds=0.05, ttl_seconds=5, dead_after_seconds=60)
    async with nodes(cluster := settings(redis), 3, election_timings) as (first, second, third):
        await second.member.stop()  # its bus still receives the announcement of the next coordinator
        second.member.report(in_room(1))
        await first.stop()
        await until(lambda: third.coordinator.active)
        fourth = Node(cluster, election_timings)
        await fourth.start()
        fourth.member.report(in_room(2))
        await until(lambda: bool(third.coordinator.facts))
        assert third.member.status()["processes"] == sorted((third.name, fourth.name))
        await fourth.stop()


@pytest.mark.gen_test
async def test_the_facts_of_a_process_that_dies_are_withdrawn_after_a_while(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(SILENT)
    async with nodes(settings(redis), 3) as (first, second, third):
        second.member.report(in_room(1))
        third.member.report(in_room(2))
        await until(lambda: len(first.coordinator.facts) == 2)
        await second.die()
        await until(lambda: len(first.coordinator.facts) == 1)
        await until(lambda: (third.name, in_room(2).key) in first.coordinator.facts)
        assert first.coordinator.changes[-1] == (second.name, f"gone {in_room(1).key}", False)
        await until(lambda: third.member.status()["processes"] == sorted((first.name, third.name)))


@pytest.mark.gen_test
async def test_the_coordinator_requests_missed_changes(redis: RedisServer) -> None:
    async with nodes(settings(redis), 2) as (first, second):
        for id in (1, 2, 3):
            second.member.report(in_room(id))
        await until(lambda: len(first.coordinator.facts) == 3)
        first.coordinator.changes.clear()
        # The coordinator receives no facts for a moment.
        first.bus.link.unsubscribe("coordinator")
        await first.bus.link.subscribe("elsewhere")
        second.member.report(in_room(2, "Li"))
        second.member.withdraw(in_room(1).key)
        second.member.report(in_room(4))
        await second.bus.link.flush()
        await first.bus.link.subscribe("coordinator")
        await until(lambda: (second.name, in_room(4).key) in first.coordinator.facts)
        assert len(first.coordinator.facts) == 3
        # Only the differences are passed on, and they are not already known.
        assert sorted(first.coordinator.changes) == sorted(
            (second.name, key, False) for key in (f"gone {in_room(1).key}", in_room(2).key, in_room(4).key)
        )


@pytest.mark.gen_test
async def test_a_redis_that_restarts_empty_keeps_the_coordinator_which_begins_anew(
    own_redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    async with nodes(settings(own_redis), 3) as (first, second, third):
        second.member.report(in_room(1))
        third.member.report(in_room(2))
        await until(lambda: len(first.coordinator.facts) == 2)
        own_redis.stop()
        await until(lambda: not any(each.bus.link.is_connected for each in (first, second, third)))
        # Meanwhile the holder coordinates its own participants, and the others wait.
        first.member.report(in_room(3))
        assert len(first.coordinator.facts) == 3
        second.member.report(in_room(4))
        second.member.withdraw(in_room(1).key)
        with pytest.raises(Unavailable, match="no_coordinator"):
            await second.member.call(RoomPresenceRequest(THREAD))
        assert await first.member.call(RoomPresenceRequest(THREAD)) == ["yes"]
        await asyncio.sleep(1.5 * ELECTION_TIMINGS.dead_after_seconds)  # long enough to count as dead
        assert len(first.coordinator.facts) == 3
        own_redis.start()
        await until(lambda: (second.name, in_room(4).key) in first.coordinator.facts)
        assert (second.name, in_room(1).key) not in first.coordinator.facts
        await until(lambda: (third.name, in_room(2).key) in first.coordinator.facts)
        assert (third.name, f"gone {in_room(2).key}", False) not in first.coordinator.changes
        assert await second.member.call(RoomPresenceRequest(THREAD)) == ["yes"]
        # Another process might have held the lease and lost it in between.
        assert (first.coordinator.begin_count, first.coordinator.end_count) == (2, 1)
        assert second.coordinator.begin_count == third.coordinator.begin_count == 0


@pytest.mark.gen_test
async def test_a_redis_that_hangs(own_redis: RedisServer, expected_logs: list[str]) -> None:
    expected_logs.append(LOST)
    async with nodes(settings(own_redis), 2, link_timings=SHORT_LINK_TIMINGS) as (first, second):
        second.member.report(in_room(1))
        await until(lambda: len(first.coordinator.facts) == 1)
        own_redis.freeze()
        await until(lambda: not first.bus.link.is_connected and not second.bus.link.is_connected)
        own_redis.resume()
        await until(lambda: first.bus.link.is_connected and second.bus.link.is_connected)
        assert await second.member.call(RoomPresenceRequest(THREAD)) == ["yes"]
        await until(lambda: first.coordinator.active != second.coordinator.active)


@pytest.mark.gen_test
async def test_a_coordinator_that_was_suspended_longer_than_its_lease_ends_at_once(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(SILENT)
    async with nodes(settings(redis), 2) as (first, second):
        await first.suspend()
        await until(lambda: second.coordinator.active)
        assert first.coordinator.active
        first.member._task = asyncio.create_task(first.member._run())
        await until(lambda: not first.coordinator.active)
        assert first.member.status()["part"] == "process"
        await until(lambda: first.member.status()["coordinator"] == second.name)
        first.member.report(in_room(1))
        await until(lambda: len(second.coordinator.facts) == 1)


@pytest.mark.gen_test
async def test_a_coordinator_that_was_suspended_is_not_certain(redis: RedisServer) -> None:
    async with nodes(settings(redis), 2) as (first, second):
        await until(lambda: first.member.is_certain)
        await first.suspend()
        await until(lambda: second.coordinator.active)
        assert first.member.is_coordinator  # it has not noticed the change yet
        assert not first.member.is_certain
        assert not first.member.holds_lease
        second.member.report(in_room(1))
        first.coordinator.changes.clear()
        second.bus.link.publish(FactReported(1, in_room(2)), COORDINATOR_CHANNEL)
        await second.bus.link.flush()
        await first.bus.link.subscribe("another channel")  # all messages before the confirmation have arrived
        assert first.coordinator.changes == []


@pytest.mark.gen_test
async def test_a_coordinator_whose_lease_was_interrupted_begins_anew(redis: RedisServer) -> None:
    async with nodes(settings(redis), 2) as (first, second):
        second.member.report(in_room(1))
        await until(lambda: len(first.coordinator.facts) == 1)
        assert first.coordinator.begin_count == 1
        await first.bus.link.execute("DEL", first.bus.link.key("lease"))
        # Which of the two takes the free lease is left to chance.
        await until(lambda: first.coordinator.begin_count + second.coordinator.begin_count == 2)
        leader = first if first.coordinator.begin_count == 2 else second
        await until(lambda: (second.name, in_room(1).key) in leader.coordinator.facts)
        await until(lambda: leader.member.holds_lease)


@pytest.mark.gen_test
async def test_all_processes_resync_after_a_process_or_coordinator_has_died(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(SILENT)
    async with nodes(settings(redis), 3) as members:
        resyncs = dict.fromkeys(members, 0)
        for each in members:
            each.bus.link.add_callbacks(on_resync=partial(count_resync, resyncs, each))
        await members[2].die()  # detected by the coordinator
        await until(lambda: resyncs[members[0]] > 0 and resyncs[members[1]] > 0)
        before = resyncs[members[1]]
        await members[0].die()  # the coordinator
        await until(lambda: resyncs[members[1]] > before)


def count_resync(resyncs: dict[Node, int], node: Node) -> None:
    resyncs[node] += 1


@pytest.mark.gen_test
async def test_a_process_whose_coordinator_cannot_begin_leaves_the_lease_to_another(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append("cannot coordinate now: database_away")
    cluster = settings(redis)
    first, second = Node(cluster), Node(cluster)
    first.coordinator.failures_left = 1000
    await first.start()
    assert not first.coordinator.active
    await second.start()
    await until(lambda: second.coordinator.active)
    await until(lambda: first.member.status()["coordinator"] == second.name)
    first.coordinator.failures_left = 0
    await second.stop()
    await until(lambda: first.coordinator.active)
    await first.stop()


@pytest.mark.gen_test
async def test_a_process_whose_coordinator_cannot_begin_tries_again(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append("cannot coordinate now: database_away")
    node = Node(settings(redis))
    node.coordinator.failures_left = 2
    await node.start()
    node.member.report(in_room(1))
    await until(lambda: node.coordinator.active)
    assert list(node.coordinator.facts) == [(node.name, in_room(1).key)]
    assert node.coordinator.changes == [(node.name, in_room(1).key, True)]
    await node.stop()


@pytest.mark.gen_test
async def test_facts_from_during_the_begin_of_a_coordinator_are_new(redis: RedisServer) -> None:
    node = Node(settings(redis))
    node.coordinator.may_begin.clear()
    await node.bus.start()
    node.member.report(in_room(1))
    starting = asyncio.ensure_future(node.member.start())
    await until(lambda: node.member.status()["part"] == "beginning")
    asking = asyncio.ensure_future(node.member.call(RoomPresenceRequest(THREAD)))
    await asyncio.sleep(0)
    node.member.report(in_room(2))
    node.coordinator.may_begin.set()
    await starting
    assert node.coordinator.changes == [(node.name, in_room(1).key, True), (node.name, in_room(2).key, False)]
    assert await asking == ["yes"]
    await node.stop()


# --- requests ---


@pytest.mark.gen_test
async def test_requests_reach_the_coordinator_and_its_errors_are_returned(redis: RedisServer) -> None:
    async with nodes(settings(redis), 2) as (first, second):
        request = TransferRequest(7, Person(Role.WAITER, "1"), Person(Role.WAITER, "2"))
        assert await second.member.call(request) == ["yes"]
        assert first.coordinator.requests == [request]
        first.coordinator.answers = lambda request: {"line": [{"place": 1}], "none": None}
        assert await second.member.call(RoomPresenceRequest(THREAD)) == {"line": [{"place": 1}], "none": None}

        def refuse(request: CoordinatorRequest) -> Any:
            raise Refused("Not now", "请稍后")

        def conflict(request: CoordinatorRequest) -> Any:
            raise Conflict("not_your_user", id=7)

        first.coordinator.answers = refuse
        with pytest.raises(Refused) as refused:
            await second.member.call(request)
        assert refused.value.detail_in("zh_CN") == {"reason": "请稍后"}
        first.coordinator.answers = conflict
        with pytest.raises(Conflict) as caught:
            await second.member.call(request)
        assert (caught.value.code, caught.value.detail) == ("not_your_user", {"id": 7})


@pytest.mark.gen_test
async def test_a_request_to_a_coordinator_that_dies_is_sent_to_the_next(
    redis: RedisServer,
) -> None:
    async with nodes(settings(redis), 3) as (first, second, third):

        async def never(request: CoordinatorRequest) -> Any:
            await asyncio.Event().wait()

        first.coordinator.answers = lambda request: never(request)
        asking = asyncio.gather(
            second.member.call(RoomPresenceRequest(THREAD)), third.member.call(RoomPresenceRequest(THREAD))
        )
        await until(lambda: len(first.coordinator.requests) == 2)
        await first.die()
        assert await asking == [["yes"], ["yes"]]
        assert sorted((second.coordinator.active, third.coordinator.active)) == [False, True]


@pytest.mark.gen_test
async def test_a_request_without_a_response_times_out(redis: RedisServer) -> None:
    short_timeout = ElectionTimings(
        heartbeat_seconds=0.05, ttl_seconds=5, dead_after_seconds=5, timeout_seconds=0.1
    )
    async with nodes(settings(redis), 2, short_timeout) as (first, second):

        async def never(request: CoordinatorRequest) -> Any:
            await asyncio.Event().wait()

        first.coordinator.answers = lambda request: never(request)
        with pytest.raises(Unavailable, match="no_coordinator"):
            await second.member.call(RoomPresenceRequest(THREAD))


@pytest.mark.gen_test
async def test_an_unexpected_error_of_the_coordinator_is_returned_as_unavailable(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append("the coordinator failed on RoomPresenceRequest")
    async with nodes(settings(redis), 2) as (first, second):
        first.coordinator.answers = lambda request: 1 / 0
        with pytest.raises(Unavailable, match="no_coordinator"):
            await second.member.call(RoomPresenceRequest(THREAD))


# --- events ---


@pytest.mark.gen_test
async def test_the_coordinator_receives_the_end_of_rooms_of_all_processes(redis: RedisServer) -> None:
    async with nodes(settings(redis), 3) as (first, second, third):
        received: list[Event] = []
        others: list[Event] = []
        first.bus.add_handler(received.append, RoomEnded)
        second.bus.add_handler(others.append, RoomEnded)
        ended = RoomEnded(Thread(Kind.SESSION, 9), SessionState.COMPLETED, 1)
        third.bus.publish(ended)
        third.bus.publish(message(1))
        third.member.report(in_room(1))
        await until(lambda: len(first.coordinator.facts) == 1)
        assert received == [ended]
        assert not others
