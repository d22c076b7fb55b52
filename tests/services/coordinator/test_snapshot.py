"""The coordinator's snapshot: its rooms. (The queue and the waiters are tested with the dispatcher.)"""

from collections.abc import Iterator, Mapping

import pytest

from tests.services.books import Books
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat.core.types import Person, Role, Room
from tornado_chat.services.coordinator.snapshot import CoordinatorSnapshot
from tornado_chat.storage import rooms


class LiveRooms:
    """The rooms of a coordinator, with the presence of their participants."""

    def __init__(self) -> None:
        self.rooms: list[tuple[Room, Mapping[Person, bool]]] = []

    def live(self) -> Iterator[tuple[Room, Mapping[Person, bool]]]:
        return iter(self.rooms)


@pytest.fixture
def live(books: Books) -> LiveRooms:
    """A session that is ready, another one that is active, and a record about it."""
    ready, _ = books.change(new_session)
    other, _ = books.change(new_session)
    active, _ = books.change(lambda tx: rooms.start(tx, other.thread))
    (record, _), _ = books.change(
        lambda tx: rooms.create_record(tx, active.view, supervisor_id="3", supervisor_name=None)
    )
    live = LiveRooms()
    live.rooms = [
        (ready, {VISITOR: True, COUNSELLOR: False}),
        (active, {VISITOR: True, COUNSELLOR: True}),
        (record, {COUNSELLOR: True, Person(Role.SUPERVISOR, "3"): False}),
    ]
    return live


def test_rooms_are_counted_by_kind_and_state_with_zeros(live: LiveRooms) -> None:
    snapshot = CoordinatorSnapshot(None, live, None, None)  # type: ignore[arg-type]
    expected = {
        ("session", "ready"): 1,
        ("session", "active"): 1,
        ("record", "ready"): 1,
        ("record", "active"): 0,
    }
    assert snapshot.room_states() == expected
    live.rooms = []
    assert snapshot.room_states() == dict.fromkeys(expected, 0)
