"""The life cycle of rooms at the start of a coordinator's term."""

import asyncio
from typing import Any

import pytest

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.services.books import Books
from tests.storage.conftest import new_session
from tornado_chat import config
from tornado_chat.cluster.facts import RoomPresence, always_certain
from tornado_chat.core.events import Event, PresenceChanged
from tornado_chat.core.types import Role, Room, SessionState
from tornado_chat.services.counselling.room_lifecycle import RoomLifecycle
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
    assert life.told == [PresenceChanged(room.thread, {Role.USER: False, Role.CONSULTANT: True})]
    life.on_report(
        "b", RoomPresence(room, room.asker, "Lin"), already_known=True
    )  # its process was slow to say so
    assert life.told[1:] == [PresenceChanged(room.thread, {Role.USER: True, Role.CONSULTANT: True})]
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
