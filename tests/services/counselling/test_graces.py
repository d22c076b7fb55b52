"""How long the coordinator waits for the participants of a room, on a clock that jumps."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from scripts.simulation.clock import VirtualLoop
from tests.services.books import Books
from tests.storage.conftest import new_session
from tornado_chat import config
from tornado_chat.cluster.facts import RoomPresence, WaitRequest, always_certain, room_key
from tornado_chat.core.errors import Conflict
from tornado_chat.core.events import Event, PresenceChanged, RoomEnded
from tornado_chat.core.types import EndReason, Person, Role, Room, SessionState
from tornado_chat.services.counselling.room_lifecycle import RoomLifecycle
from tornado_chat.storage import rooms

CLOCK = 1_700_000_000_000_000
SETTINGS = config.Counselling()  # the tests state the default times


class World:
    """A coordinator with a database, whose events come back to it.

    :ivar told: the published events, with their times in seconds since the begin of the test.
    """

    def __init__(self, books: Books) -> None:
        self.books = books
        self.told: list[tuple[float, Event]] = []
        self._loop = asyncio.get_running_loop()
        books.publish = self._publish
        self.life = self._make_life()

    def _make_life(self) -> RoomLifecycle:
        return RoomLifecycle(
            SETTINGS,
            self.books,  # type: ignore[arg-type]
            self._loop,
            self._tell,
            self.clock,
            always_certain,
        )

    def clock(self) -> int:
        return CLOCK + round(self._loop.time() * 1e6)

    def _tell(self, event: Event) -> None:
        self.told.append((self._loop.time(), event))

    def _publish(self, event: Event) -> None:
        self._tell(event)
        self.life.on_event(event)

    async def restart(self) -> None:
        """Replace the coordinator by that of a restarted server."""
        self.life.end()
        self.life = self._make_life()
        await self.life.begin()

    def room(self, *, active: bool) -> Room:
        room: Room = self.books.commit(new_session)
        if active:
            room = self.books.commit(lambda tx: rooms.start(tx, room.thread))
        return room

    def come(self, room: Room, person: Person, process: str = "a") -> None:
        self.life.on_report(process, RoomPresence(self.stored(room), person, "Lin"))

    def go(self, room: Room, person: Person, process: str = "a", *, has_left: bool = False) -> None:
        self.life.on_withdraw(process, room_key(room.thread, person), has_left=has_left)

    def stored(self, room: Room) -> Room:
        return rooms.get(self.books.database, room.thread)

    @property
    def ends(self) -> list[tuple[float, SessionState, EndReason | None]]:
        """The ends of rooms: when, how and why."""
        return [
            (pytest.approx(time), event.state, event.room.end_reason if event.room else None)
            for time, event in self.told
            if isinstance(event, RoomEnded)
        ]

    @property
    def presences(self) -> list[PresenceChanged]:
        return [event for _, event in self.told if isinstance(event, PresenceChanged)]


@pytest.fixture
def play(books: Books) -> Callable[[Callable[[World], Awaitable[Any]]], None]:
    """Run a story in a world of its own."""

    def run(story: Callable[[World], Awaitable[Any]]) -> None:
        async def whole() -> None:
            world = World(books)
            await world.life.begin()
            await story(world)
            world.life.end()

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(whole())

    return run


Play = Callable[[Callable[[World], Awaitable[Any]]], None]
COMPLETED, CANCELLED = SessionState.COMPLETED, SessionState.CANCELLED


@pytest.mark.parametrize(
    ("has_left", "seconds", "reason"), [(True, 10, EndReason.LEFT), (False, 120, EndReason.GRACE)]
)
def test_a_client_that_left_is_awaited_for_the_leave_grace_and_a_lost_one_for_the_rejoin_grace(
    play: Play, has_left: bool, seconds: float, reason: EndReason
) -> None:
    async def story(world: World) -> None:
        room = world.room(active=True)
        world.come(room, room.asker)
        world.come(room, room.helper)
        world.go(room, room.asker, has_left=has_left)
        assert world.presences[-1].until == {Role.USER: CLOCK + seconds * 1_000_000}
        await asyncio.sleep(1000)
        assert world.ends == [(seconds, COMPLETED, reason)]

    play(story)


def test_a_reload_within_the_leave_grace_ends_nothing(play: Play) -> None:
    async def story(world: World) -> None:
        room = world.room(active=True)
        world.come(room, room.asker)
        world.come(room, room.helper)
        for _ in range(3):
            world.go(room, room.asker, has_left=True)
            await asyncio.sleep(9)
            world.come(room, room.asker)
            assert world.presences[-1].until == {}
        await asyncio.sleep(1000)
        assert world.ends == []

    play(story)


def test_the_last_process_of_a_participant_decides(play: Play) -> None:
    async def story(world: World) -> None:
        room = world.room(active=True)
        world.come(room, room.helper)
        for process in ("a", "b"):
            world.come(room, room.asker, process)
        world.go(room, room.asker, "a", has_left=True)
        await asyncio.sleep(1000)
        world.go(room, room.asker, "b")  # the process has died
        await asyncio.sleep(1000)
        assert world.ends == [(1120, COMPLETED, EndReason.GRACE)]

    play(story)


def test_a_client_that_left_while_the_start_was_being_stored_is_awaited_for_the_leave_grace(
    play: Play,
) -> None:
    async def story(world: World) -> None:
        room = world.room(active=False)
        world.come(room, room.helper)
        world.come(room, room.asker)
        world.go(room, room.asker, has_left=True)
        await asyncio.sleep(1000)
        assert world.ends == [(10, COMPLETED, EndReason.LEFT)]

    play(story)


@pytest.mark.parametrize("has_left", [True, False])
@pytest.mark.parametrize("waiting", [True, False])
def test_a_session_whose_visitor_gave_up_is_cancelled_after_the_ready_grace(
    play: Play, has_left: bool, waiting: bool
) -> None:
    async def story(world: World) -> None:
        room = world.room(active=False)
        world.come(room, room.asker)
        world.go(room, room.asker, has_left=has_left)
        if waiting:
            await asyncio.sleep(100)
            world.come(room, room.helper)
            assert world.presences[-1].until == {Role.USER: CLOCK + 300_000_000}
        await asyncio.sleep(1000)
        assert world.ends == [(300, CANCELLED, EndReason.NOT_STARTED)]
        assert not list(world.life.live())

    play(story)


def test_a_visitor_that_returns_within_the_ready_grace_starts_the_session(play: Play) -> None:
    async def story(world: World) -> None:
        room = world.room(active=False)
        world.come(room, room.asker)
        world.go(room, room.asker)
        world.come(room, room.helper)
        await asyncio.sleep(299)
        world.come(room, room.asker)
        await asyncio.sleep(1000)
        assert world.stored(room).state is SessionState.ACTIVE
        assert world.ends == []

    play(story)


def test_a_consultant_who_leaves_before_the_start_cancels_nothing(play: Play) -> None:
    async def story(world: World) -> None:
        room = world.room(active=False)
        world.come(room, room.helper)
        world.go(room, room.helper, has_left=True)
        await asyncio.sleep(10_000)
        assert world.stored(room).state is SessionState.READY
        assert not list(world.life.live())

    play(story)


def test_a_restarted_server_gives_all_the_full_grace_and_awaits_visitors_that_have_come(play: Play) -> None:
    async def story(world: World) -> None:
        talking = world.room(active=True)
        abandoned = world.room(active=False)
        booked = world.room(active=False)
        for room in (talking, abandoned):
            world.come(room, room.asker)
        world.come(talking, talking.helper)
        await asyncio.sleep(1)
        world.go(talking, talking.asker, has_left=True)
        await asyncio.sleep(5)
        await world.restart()
        await asyncio.sleep(10_000)
        assert world.ends == [
            (126, COMPLETED, EndReason.GRACE),
            (306, CANCELLED, EndReason.NOT_STARTED),
        ]
        assert world.stored(booked).state is SessionState.READY

    play(story)


def test_a_participant_lets_the_session_wait_longer_up_to_the_longest_grace(play: Play) -> None:
    async def story(world: World) -> None:
        room = world.room(active=True)
        world.come(room, room.asker)
        world.come(room, room.helper)
        with pytest.raises(Conflict, match="not_awaited"):
            world.life.wait_longer(WaitRequest(room.thread, room.helper, 60))
        world.go(room, room.asker, has_left=True)
        await asyncio.sleep(5)
        world.life.wait_longer(WaitRequest(room.thread, room.helper, 60))
        assert world.presences[-1].until == {Role.USER: CLOCK + 70_000_000}
        with pytest.raises(Conflict, match="not_awaited"):
            world.life.wait_longer(WaitRequest(room.thread, room.asker, 60))
        await asyncio.sleep(60)
        world.life.wait_longer(WaitRequest(room.thread, room.helper, 3600))
        assert world.presences[-1].until == {Role.USER: CLOCK + 900_000_000}
        with pytest.raises(Conflict, match="waits_longest"):
            world.life.wait_longer(WaitRequest(room.thread, room.helper, 60))
        await asyncio.sleep(10_000)
        assert world.ends == [(900, COMPLETED, EndReason.LEFT)]
        with pytest.raises(Conflict, match="not_awaited"):
            world.life.wait_longer(WaitRequest(room.thread, room.helper, 60))

    play(story)


def test_a_restart_does_not_shorten_an_extended_wait(play: Play) -> None:
    async def story(world: World) -> None:
        room = world.room(active=True)
        world.come(room, room.asker)
        world.come(room, room.helper)
        world.go(room, room.asker)
        world.life.wait_longer(WaitRequest(room.thread, room.helper, 480))
        await asyncio.sleep(60)
        await world.restart()
        world.come(room, room.helper)
        assert world.presences[-1].until == {Role.USER: CLOCK + 600_000_000}
        await asyncio.sleep(10_000)
        assert world.ends == [(600, COMPLETED, EndReason.GRACE)]

    play(story)


def test_a_session_that_has_not_started_waits_longer_too(play: Play) -> None:
    async def story(world: World) -> None:
        room = world.room(active=False)
        world.come(room, room.asker)
        world.go(room, room.asker)
        world.come(room, room.helper)
        world.life.wait_longer(WaitRequest(room.thread, room.helper, 200))
        await asyncio.sleep(1)
        await world.restart()
        world.come(room, room.helper)
        await asyncio.sleep(10_000)
        assert world.ends == [(500, CANCELLED, EndReason.NOT_STARTED)]

    play(story)
