"""The life cycle of rooms at the start of a coordinator's term."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from tests.delivery.conftest import turns
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.services.books import Books
from tests.storage.conftest import new_session
from tornado_chat import config
from tornado_chat.cluster.facts import RoomPresence, always_certain
from tornado_chat.core.errors import InternalError, Unavailable
from tornado_chat.core.events import Event, PresenceChanged
from tornado_chat.core.types import Role, Room, SessionState
from tornado_chat.services.counselling import room_lifecycle as module
from tornado_chat.services.counselling.room_lifecycle import RoomLifecycle
from tornado_chat.services.leadership import retries
from tornado_chat.storage import rooms


class Life(RoomLifecycle):
    """A life cycle that keeps the published events in ``told``."""

    def __init__(self, books: Books, **options: Any) -> None:
        self.told: list[Event] = []
        super().__init__(
            config.Counselling(rejoin_grace=60),
            books,  # type: ignore[arg-type]
            asyncio.get_running_loop(),
            self.told.append,
            lambda: 0,
            is_certain=always_certain,
            **options,
        )


@pytest.fixture
def room(books: Books) -> Room:
    """An active room."""
    ready, _ = books.change(new_session)
    active, _ = books.change(lambda tx: rooms.start(tx, ready.thread))
    assert isinstance(active, Room)
    return active


@pytest.mark.gen_test
async def test_an_end_during_the_reading_of_a_new_coordinator_is_not_missed(books: Books, room: Room) -> None:
    life = Life(books)

    def finish() -> None:
        _, events = books.change(lambda tx: rooms.finish(tx, room.thread, SessionState.COMPLETED))
        for event in events:
            life.on_event(event)

    books.meanwhile = finish
    await life.begin()
    assert not list(life.live())
    life.end()


@pytest.mark.gen_test
async def test_a_new_coordinator_publishes_each_presence_once(books: Books, room: Room) -> None:
    """The other participant's process may have died together with the former coordinator."""
    life = Life(books, settle_seconds=0.05)
    await life.begin()
    life.on_report("a", RoomPresence(room, room.helper, "Chen"), already_known=True)
    assert life.told == []
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not life.told:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    grace = {Role.USER: 60.0, Role.CONSULTANT: 60.0}
    present, until = {Role.USER: False, Role.CONSULTANT: True}, {Role.USER: 60_000_000}
    assert life.told == [PresenceChanged(room.thread, present, until, grace)]
    life.on_report(
        "b", RoomPresence(room, room.asker, "Lin"), already_known=True
    )  # its process was slow to say so
    both = {Role.USER: True, Role.CONSULTANT: True}
    assert life.told[1:] == [PresenceChanged(room.thread, both, grace=grace)]
    life.end()


@pytest.mark.gen_test
async def test_an_active_room_without_reports_is_found_by_a_resync(books: Books) -> None:
    """A former coordinator started the room as its term ended, and both participants left at once."""
    life = Life(books)
    await life.begin()
    ready, _ = books.change(new_session)
    books.change(lambda tx: rooms.start(tx, ready.thread))
    await life.resync()
    assert [room.thread for room, _ in life.live()] == [ready.thread]
    life.end()


def finish_with_events(books: Books, life: Life, room: Room) -> None:
    _, events = books.change(lambda tx: rooms.finish(tx, room.thread, SessionState.COMPLETED))
    for event in events:
        life.on_event(event)


@pytest.mark.gen_test
async def test_a_room_that_came_and_ended_during_a_resync_is_not_added(books: Books) -> None:
    life = Life(books)
    await life.begin()
    ready, _ = books.change(new_session)
    active, _ = books.change(lambda tx: rooms.start(tx, ready.thread))
    books.meanwhile = lambda: finish_with_events(books, life, active)
    await life.resync()
    assert not list(life.live())
    life.on_report("a", RoomPresence(active, active.asker, "Lin"))  # a late report
    assert not list(life.live())
    life.end()


@pytest.mark.gen_test
@pytest.mark.parametrize("interruption", ["lease", "term"])
async def test_a_grace_ends_no_room_when_the_lease_or_its_term_has_ended(
    books: Books,
    room: Room,
    interruption: str,
    expected_logs: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)
    expected_logs.append("an end could not be stored, trying again: no_coordinator")
    has_lease, write = True, books.write
    life = Life(books, holds_lease=lambda: has_lease)
    tried = asyncio.Event()

    def interrupt(work: Any, thread: Any = None) -> asyncio.Future[Any]:
        """The process is suspended between the decision and the commit."""
        nonlocal has_lease
        if interruption == "lease":
            has_lease = False
        else:
            life.end()
        tried.set()
        return write(work, thread)

    monkeypatch.setattr(books, "write", interrupt)
    life.reconfigure(config.Counselling(rejoin_grace=0.01))
    await life.begin()
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        await tried.wait()
    await turns(20)
    assert rooms.get(books.database, room.thread).state is SessionState.ACTIVE
    life.end()


@pytest.mark.gen_test
async def test_an_end_that_was_decided_on_another_state_changes_nothing(books: Books, room: Room) -> None:
    cancelled = SessionState.CANCELLED
    same, events = books.change(
        lambda tx: rooms.finish(tx, room.thread, cancelled, expected=SessionState.READY)
    )
    assert (same, events) == (room, [])


@pytest.mark.gen_test
async def test_a_start_goes_on_after_an_error_of_the_program(
    books: Books, monkeypatch: pytest.MonkeyPatch, expected_logs: list[str]
) -> None:
    for constants, name in ((module, "RETRY_SECONDS"), (retries, "FAULT_RETRY_SECONDS")):
        monkeypatch.setattr(constants, name, 0.02)
    expected_logs.append("a start could not be stored, trying again: an error of the program")
    life, write = Life(books), books.write
    await life.begin()
    ready, _ = books.change(new_session)

    def fail(work: Any, thread: Any = None) -> asyncio.Future[Any]:
        monkeypatch.setattr(books, "write", write)
        raise ValueError("an error of the program")

    monkeypatch.setattr(books, "write", fail)
    come = replace(ready, arrived=1)  # so the start is the first write
    for person in (come.asker, come.helper):
        life.on_report("a", RoomPresence(come, person, "Lin"))
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while rooms.get(books.database, ready.thread).state is not SessionState.ACTIVE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    life.end()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("error", "pause"),
    [(Unavailable("not_stored"), module.RETRY_SECONDS), (InternalError("x"), retries.FAULT_RETRY_SECONDS)],
)
async def test_an_end_that_fails_by_a_fault_of_the_program_is_tried_again_much_later(
    books: Books,
    room: Room,
    error: Exception,
    pause: float,
    monkeypatch: pytest.MonkeyPatch,
    expected_logs: list[str],
) -> None:
    expected_logs.append("an end could not be stored, trying again")
    life = Life(books)
    life.reconfigure(config.Counselling(rejoin_grace=0.01))
    started: list[float] = []

    def fail(work: Any, thread: Any = None) -> asyncio.Future[Any]:
        monkeypatch.setattr(life._grace_timers, "start", lambda key, seconds: started.append(seconds))
        raise error

    monkeypatch.setattr(books, "write", fail)
    await life.begin()
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert set(started) == {pause}
    life.end()
