"""Sessions and records for the HTTP API: rights, notifications and results."""

import asyncio
from typing import Any

import pytest

from tests.services.plugins import StubPlugin, manage
from tests.storage.conftest import COUNSELLOR, VISITOR
from tornado_chat import config, hookimpl
from tornado_chat.core.errors import Conflict, Forbidden, NotFound
from tornado_chat.core.types import (
    Action,
    HostSession,
    Identity,
    Kind,
    Notification,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.delivery.hub import Hub
from tornado_chat.domain.groups import Groups
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.counselling import sessions_api
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.counselling.sessions_api import Sessions
from tornado_chat.services.messaging import transcripts
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.supervision.rights import SupervisionRights
from tornado_chat.storage import models, notifications, rooms
from tornado_chat.storage.messages import AppendRequest

VISITOR_TOKEN, COUNSELLOR_TOKEN = Identity(VISITOR, "Lin"), Identity(COUNSELLOR, "Chen")
HOST = Identity(Person(Role.SERVICE, "backend"))
SUPERVISOR = Identity(Person(Role.SUPERVISOR, "3"))
STRANGER = Identity(Person(Role.USER, "99"))


class Ending:
    """The part of ``Counselling`` that the API uses."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def end(self, thread: Thread, by: Person) -> Room:
        return await self._store.write(lambda tx: rooms.finish(tx, thread, SessionState.COMPLETED))


def make_sessions(store: Store, *plugins: StubPlugin) -> Sessions:
    loop = asyncio.get_running_loop()
    manager = manage(*plugins)
    receipts = ReceiptStore(store, loop)
    hub = Hub(
        loop,
        store.items_after,
        on_receipt=receipts.record,
        ping_interval=20,
        ping_timeout=8,
    )
    access_control = AccessControl(None, manager)  # type: ignore[arg-type]
    return Sessions(
        store,
        Notifications(store, hub, receipts, manager, "en", config.Notifications()),
        Ending(store),  # type: ignore[arg-type]
        RoomLookup(store, manager),
        access_control,
        manager,
        SupervisionRights(store, access_control, manager, config.Counselling(), lambda: Groups.single(1)),
        lambda group: None,
    )


async def open_session(sessions: Sessions, **options: Any) -> Room:
    room, created = await sessions.open(HOST, user_id="1", consultant_id="2", **options)
    assert created
    return room


async def inbox(store: Store, owner: Person) -> list[Notification]:
    thread = await store.read(notifications.find_inbox, owner)
    return [] if thread is None else [*(await store.items_after(thread, 0, 100, 1_000_000)).items]


@pytest.mark.gen_test
async def test_opening_notifies_the_consultant_once(store: Store) -> None:
    sessions = make_sessions(store)
    room = await open_session(sessions, session_id=7)
    assert (room.thread, room.asker, room.helper) == (Thread(Kind.SESSION, 7), VISITOR, COUNSELLOR)
    again, created = await sessions.open(HOST, user_id="1", consultant_id="2", session_id=7)
    assert (again, created) == (room, False)
    assert [note.data for note in await inbox(store, COUNSELLOR)] == [{"sessionId": 7}]
    with pytest.raises(Conflict):
        await sessions.open(HOST, user_id="5", consultant_id="2", session_id=7)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("identity", "allowed"),
    [(HOST, True), (VISITOR_TOKEN, True), (STRANGER, False), (COUNSELLOR_TOKEN, False), (SUPERVISOR, False)],
)
async def test_hosts_open_sessions_and_users_their_own(
    store: Store, identity: Identity, allowed: bool
) -> None:
    sessions = make_sessions(store)
    if allowed:
        assert (await sessions.open(identity, user_id="1", consultant_id="2"))[1]
    else:
        with pytest.raises(Forbidden):
            await sessions.open(identity, user_id="1", consultant_id="2")
        assert await inbox(store, COUNSELLOR) == []


@pytest.mark.gen_test
async def test_the_supervisor_of_a_session_may_read_it(store: Store) -> None:
    sessions = make_sessions(store)
    session = await open_session(sessions)
    with pytest.raises(Forbidden):
        await sessions.read(SUPERVISOR, session.thread)
    with pytest.raises(Forbidden):
        await sessions.call_supervisor(VISITOR_TOKEN, session.thread, supervisor_id="3")
    record, _ = await sessions.call_supervisor(COUNSELLOR_TOKEN, session.thread, supervisor_id="3")
    (note,) = await inbox(store, SUPERVISOR.person)
    assert note.data == {"sessionId": record.thread.id, "observeSessionId": session.thread.id}
    for reader in (VISITOR_TOKEN, COUNSELLOR_TOKEN, HOST, SUPERVISOR):
        assert await sessions.read(reader, session.thread) == session
    with pytest.raises(Forbidden):
        await sessions.read(VISITOR_TOKEN, record.thread)  # the client does not see the supervision
    with pytest.raises(Forbidden):
        await sessions.read(STRANGER, session.thread)


@pytest.mark.gen_test
async def test_messages_are_read_in_pages_and_as_a_transcript(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "CHUNK_MESSAGES", 2)
    sessions = make_sessions(store)
    thread = (await open_session(sessions)).thread
    await store.write(lambda tx: rooms.start(tx, thread))
    for text in "abcd":
        await store.append(AppendRequest(thread, VISITOR, text, text), 0.0)
    page, has_more = await sessions.page(HOST, thread, 1, 2)
    assert ([message.text for message in page], has_more) == (["b", "c"], True)
    page, has_more = await sessions.page(HOST, thread, 3, 2)
    assert ([message.text for message in page], has_more) == (["d"], False)
    _, chunks = await sessions.transcript(COUNSELLOR_TOKEN, thread)
    await store.append(AppendRequest(thread, VISITOR, "too late", "e"), 0.0)
    assert [[message.text for message in chunk] async for chunk in chunks] == [["a", "b"], ["c", "d"]]
    with pytest.raises(Forbidden):
        await sessions.page(STRANGER, thread, 0, 10)


@pytest.mark.gen_test
async def test_a_page_ends_early_if_its_messages_are_large(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_api, "MAX_PAGE_BYTES", 10)
    sessions = make_sessions(store)
    thread = (await open_session(sessions)).thread
    for text in ("12345", "67890", "1", "a" * 99):
        await store.append(AppendRequest(thread, VISITOR, text, text), 0.0)
    pages, after = [], 0
    while True:
        page, has_more = await sessions.page(HOST, thread, after, 100)
        pages.append([message.seq for message in page])
        if not has_more:
            break
        after = page[-1].seq
    assert pages == [[1, 2], [3, 4]]


@pytest.mark.gen_test
async def test_a_transcript_whose_messages_are_removed_meanwhile_is_no_whole_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "CHUNK_MESSAGES", 2)
    sessions = make_sessions(store)
    thread = (await open_session(sessions)).thread
    for text in "abcd":
        await store.append(AppendRequest(thread, VISITOR, text, text), 0.0)
    _, chunks = await sessions.transcript(HOST, thread)
    assert [message.text for message in await anext(chunks)] == ["a", "b"]
    await store.write(lambda tx: models.Message.delete().execute(tx.database))
    with pytest.raises(NotFound):
        await anext(chunks)


@pytest.mark.gen_test
async def test_participants_end_a_session_and_the_visitor_rates_it(store: Store) -> None:
    sessions = make_sessions(store)
    number = (await open_session(sessions)).thread.id
    with pytest.raises(Forbidden):
        await sessions.end(STRANGER, number)
    assert (await sessions.end(COUNSELLOR_TOKEN, number)).state is SessionState.COMPLETED
    with pytest.raises(Forbidden):
        await sessions.rate(COUNSELLOR_TOKEN, number, 5, None)
    await sessions.rate(VISITOR_TOKEN, number, 2, "too short")
    assert (await sessions.rate(VISITOR_TOKEN, number, 4, None)).rate == 4
    with pytest.raises(NotFound):
        await sessions.end(HOST, 12345)


class Policy(StubPlugin):
    """Allows all callers to read and none to end; knows the host's session 7."""

    @hookimpl
    def authorize(self, identity: Identity, action: Action, thread: Thread | None) -> bool | None:
        return {Action.READ: True, Action.END: False}.get(action)

    @hookimpl
    def find_session(self, session_id: int) -> HostSession | None:
        return HostSession("1", "2") if session_id == 7 else None


@pytest.mark.gen_test
async def test_plugins_overrule_the_rights_and_find_sessions(store: Store) -> None:
    sessions = make_sessions(store, Policy())
    assert await sessions.page(STRANGER, Thread(Kind.SESSION, 7), 0, 10) == ([], False)
    with pytest.raises(Forbidden):
        await sessions.end(HOST, 7)
