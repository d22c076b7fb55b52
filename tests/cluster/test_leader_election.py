"""One coordinator for all processes, and the way to it, over a real Redis."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from tests.cluster.conftest import QUICK, THREAD, TIMES, USER, message, settings
from tests.patience import PATIENCE
from tests.redis_server import RedisServer
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
from tornado_chat.cluster.redis_bus import RedisBus
from tornado_chat.cluster.redis_link import LinkTimings
from tornado_chat.core.errors import Conflict, Refused, Unavailable
from tornado_chat.core.events import Event, RoomEnded
from tornado_chat.core.types import Kind, Person, Role, Room, SessionState, Thread

LOST = "until it is back, the processes do not hear of each other"
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


class Desk:
    """A coordinator that notes what it is told."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.active = False
        self.away = 0
        self.facts: dict[tuple[str, str], PresenceFact] = {}
        self.notes: list[tuple[str, str, bool]] = []
        self.asked: list[CoordinatorRequest] = []
        self.answers: Callable[[CoordinatorRequest], Any] = lambda question: ["yes"]
        self.hold = asyncio.Event()
        self.hold.set()

    async def begin(self) -> None:
        await self.hold.wait()
        if self.away:
            self.away -= 1
            raise Unavailable("database_away")
        self.begun += 1
        self.active = True
        self.facts.clear()

    def end(self) -> None:
        self.ended += 1
        self.active = False
        self.facts.clear()

    def on_report(self, process: str, fact: PresenceFact, *, already_known: bool = False) -> None:
        assert self.active
        self.facts[process, fact.key] = fact
        self.notes.append((process, fact.key, already_known))

    def on_withdraw(self, process: str, key: str) -> None:
        assert self.active
        self.facts.pop((process, key), None)
        self.notes.append((process, f"gone {key}", False))

    async def answer(self, question: CoordinatorRequest) -> Any:
        assert self.active
        self.asked.append(question)
        answer = self.answers(question)
        return await answer if asyncio.iscoroutine(answer) else answer


class Node:
    """One process: its bus, its way to the coordinator, and the coordinator that it could be."""

    def __init__(
        self,
        cluster: config.Cluster,
        election_timings: ElectionTimings = ELECTION_TIMINGS,
        link_timings: LinkTimings = TIMES,
    ) -> None:
        self.name = f"box-2-{next(_counter)}"
        self.bus = RedisBus(cluster, self.name, link_timings=link_timings)
        self.desk = Desk()
        self.way = ClusterMember(self.bus.link, self.desk, asyncio.get_running_loop(), election_timings)
        self._stopped = False

    async def start(self) -> None:
        await self.bus.start()
        await self.way.start()

    async def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            await self.way.stop()
            await self.bus.stop()

    async def die(self) -> None:
        """As by kill -9: its connections end, and nobody is told."""
        self._stopped = True
        for task in (self.way._task, self.bus.link._task):
            assert task is not None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def retry_seconds(self) -> None:
        """As by kill -STOP, but that it goes on listening."""
        assert self.way._task is not None
        self.way._task.cancel()
        await asyncio.gather(self.way._task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - any of many things may make it true
            await asyncio.sleep(0.005)


@asynccontextmanager
async def nodes(
    cluster: config.Cluster,
    count: int,
    election_timings: ElectionTimings = ELECTION_TIMINGS,
    link_timings: LinkTimings = TIMES,
) -> AsyncIterator[list[Node]]:
    """The first of them coordinates, and the others know it."""
    those = [Node(cluster, election_timings, link_timings) for _ in range(count)]
    try:
        for each in those:
            await each.start()
        await until(lambda: all(each.way.status()["coordinator"] == those[0].name for each in those))
        yield those
    finally:
        for each in those:
            await each.stop()


def in_room(id: int, name: str = "Wang") -> RoomPresence:
    return RoomPresence(ROOM, Person(Role.USER, str(id)), name)


@pytest.mark.gen_test
async def test_one_process_coordinates_and_is_told_of_its_people_by_a_call(redis: RedisServer) -> None:
    async with nodes(settings(redis), 1) as (node,):
        assert node.way.is_coordinator
        node.way.report(in_room(1))
        assert node.desk.facts == {(node.name, in_room(1).key): in_room(1)}
        node.way.withdraw(in_room(1).key)
        assert not node.desk.facts
        assert await node.way.call(RoomPresenceRequest(THREAD)) == ["yes"]
        assert node.way.status() == {
            "part": "coordinator",
            "coordinator": node.name,
            "processes": [node.name],
        }
    assert node.desk.ended == 1


@pytest.mark.gen_test
async def test_of_many_that_start_at_once_one_coordinates(redis: RedisServer) -> None:
    cluster = settings(redis)
    those = [Node(cluster) for _ in range(5)]
    await asyncio.gather(*(each.start() for each in those))
    await until(lambda: all(len(each.way.status()["processes"]) == 5 for each in those))
    assert sum(each.desk.active for each in those) == 1
    assert len({each.way.status()["coordinator"] for each in those}) == 1
    assert sorted(each.way.status()["part"] for each in those) == ["coordinator"] + ["process"] * 4
    await asyncio.gather(*(each.stop() for each in those))
    assert not any(each.desk.active for each in those)


@pytest.mark.gen_test
async def test_the_coordinator_hears_of_everybody_in_order(redis: RedisServer) -> None:
    async with nodes(settings(redis), 2) as (first, second):
        for count in range(200):
            second.way.report(in_room(count % 7, str(count)))
        second.way.withdraw(in_room(0).key)
        second.way.withdraw("nobody")
        second.way.report(WaiterPresence(Person(Role.WAITER, "1"), True, None, "address", {"skills": ["en"]}))
        await until(lambda: (second.name, "waiter waiter:1") in first.desk.facts)
        assert len(first.desk.facts) == 7
        assert first.desk.facts[second.name, in_room(3).key] == in_room(3, "199")
        keys = [in_room(count % 7).key for count in range(200)] + [
            f"gone {in_room(0).key}",
            "waiter waiter:1",
        ]
        assert first.desk.notes == [(second.name, key, False) for key in keys]
        assert not second.desk.notes


@pytest.mark.gen_test
async def test_what_was_known_before_a_coordinator_begins_is_no_news_to_it(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_facts, "CHUNK_FACTS", 3)
    async with nodes(settings(redis), 3) as (first, second, third):
        for count in range(10):
            third.way.report(in_room(count))
        second.way.report(in_room(100))
        await until(lambda: len(first.desk.facts) == 11)
        await first.stop()
        await until(lambda: second.desk.active or third.desk.active)
        last, other = (second, third) if second.desk.active else (third, second)
        await until(lambda: len(last.desk.facts) == 11)
        assert all(already_known for _, _, already_known in last.desk.notes)
        other.way.report(in_room(200))
        await until(lambda: len(last.desk.facts) == 12)
        assert last.desk.notes[-1] == (other.name, in_room(200).key, False)


@pytest.mark.gen_test
async def test_a_holder_that_is_killed_is_followed_by_another(redis: RedisServer) -> None:
    async with nodes(settings(redis), 3) as (first, second, third):
        second.way.report(in_room(1))
        third.way.report(in_room(2))
        await until(lambda: len(first.desk.facts) == 2)
        await first.die()
        await until(lambda: second.desk.active or third.desk.active)
        last = second if second.desk.active else third
        await until(lambda: len(last.desk.facts) == 2)
        assert not (second.desk.active and third.desk.active)


@pytest.mark.gen_test
async def test_a_graceful_stop_hands_over_at_once(redis: RedisServer) -> None:
    slow = ElectionTimings(heartbeat_seconds=30, ttl_seconds=60, dead_after_seconds=120, timeout_seconds=60)
    async with nodes(settings(redis), 2) as (first, second):
        assert first.desk.active
    async with nodes(cluster := settings(redis), 1, slow) as (first,):
        second = Node(cluster, slow)
        await second.start()
        assert not second.desk.active
        await first.stop()
        await until(lambda: second.desk.active)
        await second.stop()


@pytest.mark.gen_test
async def test_a_process_that_says_goodbye_is_gone_at_once(redis: RedisServer) -> None:
    async with nodes(
        settings(redis), 2, ElectionTimings(heartbeat_seconds=0.05, ttl_seconds=5, dead_after_seconds=60)
    ) as (first, second):
        second.way.report(in_room(1))
        await until(lambda: len(first.desk.facts) == 1)
        await second.stop()
        await until(lambda: not first.desk.facts)


@pytest.mark.gen_test
async def test_who_has_said_goodbye_is_not_missed_by_a_new_coordinator(redis: RedisServer) -> None:
    election_timings = ElectionTimings(heartbeat_seconds=0.05, ttl_seconds=5, dead_after_seconds=60)
    async with nodes(cluster := settings(redis), 3, election_timings) as (first, second, third):
        await second.way.stop()  # its bus still hears the next one say that it coordinates
        second.way.report(in_room(1))
        await first.stop()
        await until(lambda: third.desk.active)
        fourth = Node(cluster, election_timings)
        await fourth.start()
        fourth.way.report(in_room(2))
        await until(lambda: bool(third.desk.facts))
        assert third.way.status()["processes"] == sorted((third.name, fourth.name))
        await fourth.stop()


@pytest.mark.gen_test
async def test_a_process_that_dies_is_gone_after_a_while(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(SILENT)
    async with nodes(settings(redis), 3) as (first, second, third):
        second.way.report(in_room(1))
        third.way.report(in_room(2))
        await until(lambda: len(first.desk.facts) == 2)
        await second.die()
        await until(lambda: len(first.desk.facts) == 1)
        assert (third.name, in_room(2).key) in first.desk.facts
        assert first.desk.notes[-1] == (second.name, f"gone {in_room(1).key}", False)
        await until(lambda: third.way.status()["processes"] == sorted((first.name, third.name)))


@pytest.mark.gen_test
async def test_changes_that_were_missed_are_asked_for(redis: RedisServer) -> None:
    async with nodes(settings(redis), 2) as (first, second):
        for id in (1, 2, 3):
            second.way.report(in_room(id))
        await until(lambda: len(first.desk.facts) == 3)
        first.desk.notes.clear()
        # The coordinator's ears are closed for a moment.
        first.bus.link.unsubscribe("coordinator")
        await first.bus.link.subscribe("elsewhere")
        second.way.report(in_room(2, "Li"))
        second.way.withdraw(in_room(1).key)
        second.way.report(in_room(4))
        await second.bus.link.flush()
        await first.bus.link.subscribe("coordinator")
        await until(lambda: (second.name, in_room(4).key) in first.desk.facts)
        assert len(first.desk.facts) == 3
        # What has not changed is not said again, and what has is news.
        assert sorted(first.desk.notes) == sorted(
            (second.name, key, False) for key in (f"gone {in_room(1).key}", in_room(2).key, in_room(4).key)
        )


@pytest.mark.gen_test
async def test_a_redis_that_restarts_empty_changes_nothing(
    own_redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(LOST)
    async with nodes(settings(own_redis), 3) as (first, second, third):
        second.way.report(in_room(1))
        third.way.report(in_room(2))
        await until(lambda: len(first.desk.facts) == 2)
        own_redis.stop()
        await until(lambda: not any(each.bus.link.is_connected for each in (first, second, third)))
        # Meanwhile: the holder goes on for its own, and the others wait.
        first.way.report(in_room(3))
        assert len(first.desk.facts) == 3
        second.way.report(in_room(4))
        second.way.withdraw(in_room(1).key)
        with pytest.raises(Unavailable, match="no_coordinator"):
            await second.way.call(RoomPresenceRequest(THREAD))
        assert await first.way.call(RoomPresenceRequest(THREAD)) == ["yes"]
        await asyncio.sleep(1.5 * ELECTION_TIMINGS.dead_after_seconds)  # long enough to count as dead
        assert len(first.desk.facts) == 3
        own_redis.start()
        await until(lambda: (second.name, in_room(4).key) in first.desk.facts)
        assert (second.name, in_room(1).key) not in first.desk.facts
        assert (third.name, in_room(2).key) in first.desk.facts
        assert (third.name, f"gone {in_room(2).key}", False) not in first.desk.notes
        assert await second.way.call(RoomPresenceRequest(THREAD)) == ["yes"]
        assert (first.desk.begun, first.desk.ended) == (1, 0)
        assert second.desk.begun == third.desk.begun == 0


@pytest.mark.gen_test
async def test_a_redis_that_hangs(own_redis: RedisServer, expected_logs: list[str]) -> None:
    expected_logs.append(LOST)
    async with nodes(settings(own_redis), 2, link_timings=QUICK) as (first, second):
        second.way.report(in_room(1))
        await until(lambda: len(first.desk.facts) == 1)
        own_redis.freeze()
        await until(lambda: not first.bus.link.is_connected and not second.bus.link.is_connected)
        own_redis.resume()
        await until(lambda: first.bus.link.is_connected and second.bus.link.is_connected)
        assert await second.way.call(RoomPresenceRequest(THREAD)) == ["yes"]
        await until(lambda: first.desk.active != second.desk.active)


@pytest.mark.gen_test
async def test_a_holder_that_slept_through_its_lease_ends_at_once(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(SILENT)
    async with nodes(settings(redis), 2) as (first, second):
        await first.retry_seconds()
        await until(lambda: second.desk.active)
        assert first.desk.active
        first.way._task = asyncio.create_task(first.way._run())
        await until(lambda: not first.desk.active)
        assert first.way.status()["part"] == "process"
        await until(lambda: first.way.status()["coordinator"] == second.name)
        first.way.report(in_room(1))
        await until(lambda: len(second.desk.facts) == 1)


@pytest.mark.gen_test
async def test_a_holder_that_was_held_up_is_not_sure_from_the_first_moment(redis: RedisServer) -> None:
    async with nodes(settings(redis), 2) as (first, second):
        await until(lambda: first.way.is_certain)
        await first.retry_seconds()
        await until(lambda: second.desk.active)
        assert first.way.is_coordinator  # as it thinks
        assert not first.way.is_certain


@pytest.mark.gen_test
async def test_who_follows_one_that_died_lets_all_look_for_what_it_has_not_told(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append(SILENT)
    async with nodes(settings(redis), 3) as those:
        looked = dict.fromkeys(those, 0)
        for each in those:
            each.bus.link.add_callbacks(on_resync=partial(on_resync, looked, each))
        await those[2].die()  # whom the coordinator finds silent
        await until(lambda: looked[those[0]] > 0 and looked[those[1]] > 0)
        before = looked[those[1]]
        await those[0].die()  # whom its successor follows
        await until(lambda: looked[those[1]] > before)


def on_resync(looked: dict[Node, int], who: Node) -> None:
    looked[who] += 1


@pytest.mark.gen_test
async def test_a_coordinator_that_cannot_begin_leaves_it_to_another(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append("cannot coordinate now: database_away")
    cluster = settings(redis)
    first, second = Node(cluster), Node(cluster)
    first.desk.away = 1000
    await first.start()
    assert not first.desk.active
    await second.start()
    await until(lambda: second.desk.active)
    await until(lambda: first.way.status()["coordinator"] == second.name)
    first.desk.away = 0
    await second.stop()
    await until(lambda: first.desk.active)
    await first.stop()


@pytest.mark.gen_test
async def test_one_that_cannot_begin_tries_again(redis: RedisServer, expected_logs: list[str]) -> None:
    expected_logs.append("cannot coordinate now: database_away")
    node = Node(settings(redis))
    node.desk.away = 2
    await node.start()
    node.way.report(in_room(1))
    await until(lambda: node.desk.active)
    assert list(node.desk.facts) == [(node.name, in_room(1).key)]
    assert node.desk.notes == [(node.name, in_room(1).key, True)]
    await node.stop()


@pytest.mark.gen_test
async def test_who_comes_while_a_coordinator_begins_is_news(redis: RedisServer) -> None:
    node = Node(settings(redis))
    node.desk.hold.clear()
    await node.bus.start()
    node.way.report(in_room(1))
    starting = asyncio.ensure_future(node.way.start())
    await until(lambda: node.way.status()["part"] == "beginning")
    asking = asyncio.ensure_future(node.way.call(RoomPresenceRequest(THREAD)))
    await asyncio.sleep(0)
    node.way.report(in_room(2))
    node.desk.hold.set()
    await starting
    assert node.desk.notes == [(node.name, in_room(1).key, True), (node.name, in_room(2).key, False)]
    assert await asking == ["yes"]
    await node.stop()


# --- questions ---


@pytest.mark.gen_test
async def test_questions_reach_the_coordinator_and_its_errors_come_back(redis: RedisServer) -> None:
    async with nodes(settings(redis), 2) as (first, second):
        question = TransferRequest(7, Person(Role.WAITER, "1"), Person(Role.WAITER, "2"))
        assert await second.way.call(question) == ["yes"]
        assert first.desk.asked == [question]
        first.desk.answers = lambda question: {"line": [{"place": 1}], "none": None}
        assert await second.way.call(RoomPresenceRequest(THREAD)) == {"line": [{"place": 1}], "none": None}

        def refuse(question: CoordinatorRequest) -> Any:
            raise Refused("Not now", "请稍后")

        def conflict(question: CoordinatorRequest) -> Any:
            raise Conflict("not_your_user", id=7)

        first.desk.answers = refuse
        with pytest.raises(Refused) as refused:
            await second.way.call(question)
        assert refused.value.detail_in("zh_CN") == {"reason": "请稍后"}
        first.desk.answers = conflict
        with pytest.raises(Conflict) as caught:
            await second.way.call(question)
        assert (caught.value.code, caught.value.detail) == ("not_your_user", {"id": 7})


@pytest.mark.gen_test
async def test_a_question_that_the_coordinator_does_not_outlive_is_asked_of_the_next(
    redis: RedisServer,
) -> None:
    async with nodes(settings(redis), 3) as (first, second, third):

        async def never(question: CoordinatorRequest) -> Any:
            await asyncio.Event().wait()

        first.desk.answers = lambda question: never(question)
        asking = asyncio.gather(
            second.way.call(RoomPresenceRequest(THREAD)), third.way.call(RoomPresenceRequest(THREAD))
        )
        await until(lambda: len(first.desk.asked) == 2)
        await first.die()
        assert await asking == [["yes"], ["yes"]]
        assert sorted((second.desk.active, third.desk.active)) == [False, True]


@pytest.mark.gen_test
async def test_a_question_that_nobody_answers_ends(redis: RedisServer) -> None:
    impatient = ElectionTimings(
        heartbeat_seconds=0.05, ttl_seconds=5, dead_after_seconds=5, timeout_seconds=0.1
    )
    async with nodes(settings(redis), 2, impatient) as (first, second):

        async def never(question: CoordinatorRequest) -> Any:
            await asyncio.Event().wait()

        first.desk.answers = lambda question: never(question)
        with pytest.raises(Unavailable, match="no_coordinator"):
            await second.way.call(RoomPresenceRequest(THREAD))


@pytest.mark.gen_test
async def test_a_coordinator_that_fails_on_a_question_says_so(
    redis: RedisServer, expected_logs: list[str]
) -> None:
    expected_logs.append("the coordinator failed on RoomPresenceRequest")
    async with nodes(settings(redis), 2) as (first, second):
        first.desk.answers = lambda question: 1 / 0
        with pytest.raises(Unavailable, match="no_coordinator"):
            await second.way.call(RoomPresenceRequest(THREAD))


# --- events ---


@pytest.mark.gen_test
async def test_the_coordinator_hears_what_ends_wherever_it_ends(redis: RedisServer) -> None:
    async with nodes(settings(redis), 3) as (first, second, third):
        heard: list[Event] = []
        others: list[Event] = []
        first.bus.add_handler(heard.append, RoomEnded)
        second.bus.add_handler(others.append, RoomEnded)
        ended = RoomEnded(Thread(Kind.SESSION, 9), SessionState.COMPLETED, 1)
        third.bus.publish(ended)
        third.bus.publish(message(1))
        third.way.report(in_room(1))
        await until(lambda: len(first.desk.facts) == 1)
        assert heard == [ended]
        assert not others
