"""The lookup of rooms: in the database, then by plugins."""

import pytest

from tests.services.plugins import StubPlugin, manage
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat import hookimpl
from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import HostRecord, HostSession, Kind, Page, Person, Role, Thread
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import rooms
from tornado_chat.storage.messages import AppendRequest


class Host(StubPlugin):
    """A host system with session 7, and with record 9 about it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int]] = []

    @hookimpl
    async def find_session(self, session_id: int) -> HostSession | None:
        self.asked.append(("session", session_id))
        return HostSession("1", "2", user_name="Lin") if session_id == 7 else None

    @hookimpl
    def find_record(self, record_id: int) -> HostRecord | None:
        self.asked.append(("record", record_id))
        return HostRecord(7, "3", "Wu") if record_id == 9 else None


@pytest.mark.gen_test
async def test_a_room_of_the_database_needs_no_plugin(store: Store) -> None:
    host = Host()
    room = await store.write(new_session)
    assert await RoomLookup(store, manage(host)).get(room.thread) == room
    assert host.asked == []


@pytest.mark.gen_test
async def test_a_session_of_the_host_is_created_once(store: Store) -> None:
    host = Host()
    lookup = RoomLookup(store, manage(host))
    room = await lookup.get(Thread(Kind.SESSION, 7))
    assert (room.asker, room.helper, room.asker_name) == (VISITOR, COUNSELLOR, "Lin")
    assert await lookup.get(room.thread) == room
    assert host.asked == [("session", 7)]


@pytest.mark.gen_test
async def test_a_record_of_the_host_brings_its_session(store: Store) -> None:
    lookup = RoomLookup(store, manage(Host()))
    record = await lookup.get(Thread(Kind.RECORD, 9))
    assert (record.asker, record.helper) == (COUNSELLOR, Person(Role.SUPERVISOR, "3"))
    assert record.session_id == 7
    assert (await lookup.get(Thread(Kind.SESSION, 7))).asker == VISITOR


@pytest.mark.gen_test
@pytest.mark.parametrize("thread", [Thread(Kind.SESSION, 8), Thread(Kind.RECORD, 8)])
async def test_a_room_that_neither_knows_is_not_found(store: Store, thread: Thread) -> None:
    for lookup in (RoomLookup(store, manage(Host())), RoomLookup(store, manage())):
        with pytest.raises(NotFound):
            await lookup.get(thread)


@pytest.mark.gen_test
async def test_missed_messages_come_with_the_room_also_of_the_host(store: Store) -> None:
    lookup = RoomLookup(store, manage(Host()))
    thread = Thread(Kind.SESSION, 7)
    room, missed = await lookup.get_with_missed(thread, VISITOR)
    assert (room.thread, missed.page, missed.receipt) == (thread, Page([], False), None)
    await store.write(lambda tx: rooms.start(tx, thread))
    await store.append(AppendRequest(thread, COUNSELLOR, "hello", "1"), 0.0)
    _, missed = await lookup.get_with_missed(thread, VISITOR)
    assert [item.text for item in missed.page.items] == ["hello"]
