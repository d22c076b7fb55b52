"""What plugins read of the server's data, on each database."""

from collections.abc import Callable
from functools import partial
from typing import Any

import peewee as pw
import pytest

from tests.storage.conftest import (
    COUNSELLOR,
    NOW,
    VISITOR,
    database,  # noqa: F401
    database_kind,  # noqa: F401
    new_session,
    transact,
)
from tornado_chat.core.lists import MAX_PAGE_ITEMS, KnownPerson, ListPage
from tornado_chat.core.types import (
    Conversation,
    ConversationState,
    Kind,
    Part,
    Person,
    Role,
    SessionState,
    StaffAccount,
    Thread,
)
from tornado_chat.plugins import server_data
from tornado_chat.plugins.server_data import ServerData
from tornado_chat.storage import (
    conversations,
    erasure,
    notifications,
    operations,
    participants,
    retention,
    rooms,
    staff,
)
from tornado_chat.storage.messages import AppendRequest, MessageAppender

WU = Person(Role.SUPERVISOR, "3")
ANN, BEN = Person(Role.WAITER, "ann"), Person(Role.WAITER, "ben")


@pytest.fixture
def data(database: pw.Database) -> ServerData:  # noqa: F811
    return ServerData(database)


def items(read: Callable[..., ListPage[Any, Any]], limit: int, cursor: str = "after") -> list[Any]:
    """Read all pages, and check the length of each."""
    found: list[Any] = []
    more: dict[str, Any] = {}
    while True:
        page = read(limit=limit, **more)
        assert len(page.items) <= limit
        found += page.items
        if page.next is None:
            return found
        more = {cursor: page.next}


def user(number: int) -> Person:
    return Person(Role.USER, str(number))


def wait(tx: Any, person: Person) -> Conversation:
    return conversations.join(tx, person, f"name of {person.id}", f"address {person.id}", {"vip": True})


def assign(tx: Any, conversation: Conversation, waiter: Person) -> Conversation:
    return conversations.assign(tx, conversation, waiter, waiter.id, f"address {waiter.id}", "next in line")


def append(database: pw.Database, thread: Thread, *texts: str, now: int = NOW) -> None:  # noqa: F811
    requests = [AppendRequest(thread, VISITOR, text) for text in texts]
    with database.atomic():
        MessageAppender(database).append(requests, now)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_sessions(database: pw.Database, data: ServerData, limit: int) -> None:  # noqa: F811
    rows = [transact(database, new_session, NOW + number)[0] for number in range(5)]
    started, _ = transact(database, lambda tx: rooms.start(tx, rows[2].thread))
    assert items(data.sessions, limit) == [rows[4], rows[3], started, rows[1], rows[0]]
    assert items(partial(data.sessions, states=[SessionState.ACTIVE]), limit) == [started]
    assert items(partial(data.sessions, consultant=COUNSELLOR, opened_before=NOW + 1), limit) == [rows[0]]
    assert items(partial(data.sessions, user=user(99)), limit) == []
    assert data.room(started.thread) == started
    assert data.room(Thread(Kind.SESSION, 99)) is None
    people = [(each.person, each.part) for each in data.participants(started.thread)]
    assert people == [(VISITOR, Part.CLIENT), (COUNSELLOR, Part.AGENT)]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_conversations(database: pw.Database, data: ServerData, limit: int) -> None:  # noqa: F811
    waiting = [transact(database, lambda tx, n=n: wait(tx, user(n)))[0] for n in range(1, 6)]
    with_ann, _ = transact(database, lambda tx: assign(tx, waiting[1], ANN))
    ended, _ = transact(database, lambda tx: conversations.end(tx, assign(tx, waiting[3], BEN).id, user(4)))
    again, _ = transact(database, lambda tx: wait(tx, user(4)))
    everything = [again, waiting[4], ended, waiting[2], with_ann, waiting[0]]
    assert items(data.conversations, limit) == everything
    assert items(partial(data.conversations, user=user(4)), limit) == [again, ended]
    assert items(partial(data.conversations, waiter=ANN), limit) == [with_ann]
    states = [ConversationState.WAITING, ConversationState.ACTIVE]
    assert items(partial(data.conversations, states=states), limit) == [
        each for each in everything if each.open
    ]
    assert items(partial(data.conversations, user=user(4), states=states), limit) == [again]
    assert data.conversation(again.id) == again
    assert again.claims == {"vip": True}
    assert again.last_waiter == BEN
    assert data.conversation(99) is None


def test_removed_conversations_are_not_listed(database: pw.Database, data: ServerData) -> None:  # noqa: F811
    one, _ = transact(database, lambda tx: wait(tx, user(1)))
    two, _ = transact(database, lambda tx: wait(tx, user(2)))
    for each in (one, two):  # the row of the last one is emptied and stays
        transact(database, lambda tx, each=each: conversations.end(tx, each.id, each.user))
        transact(database, lambda tx, each=each: retention.remove_conversations(tx, [each.thread], 10))
    assert data.conversations() == ListPage([], None)
    assert data.known_people(Role.USER) == ListPage([], None)


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_messages(
    database: pw.Database,  # noqa: F811
    data: ServerData,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    thread = transact(database, new_session)[0].thread
    append(database, thread, *"abc")
    append(database, thread, *"defg", now=NOW + 10)
    texts = [each.text for each in items(partial(data.messages, thread), limit)]
    assert texts == [*"abcdefg"]
    backwards = data.last_messages(thread, limit=limit)
    assert [each.text for each in backwards.items] == [*"abcdefg"][-limit:]
    found: list[str] = []
    page: ListPage[Any, int] = ListPage([], None)
    while True:
        page = data.last_messages(thread, before=page.next, limit=limit)
        found = [*(each.text for each in page.items), *found]
        if page.next is None:
            break
    assert found == texts
    assert [data.last_seq_before(thread, time) for time in (NOW, NOW + 1, NOW + 11)] == [0, 3, 7]
    monkeypatch.setattr(server_data, "MAX_PAGE_BYTES", 2)
    assert [each.text for each in data.messages(thread).items] == ["a", "b"]
    assert [each.text for each in items(partial(data.messages, thread), limit)] == texts


def test_a_transaction_sees_its_own_changes(database: pw.Database) -> None:  # noqa: F811
    def work(tx: Any) -> int:
        thread = new_session(tx).thread
        MessageAppender(tx.database).append([AppendRequest(thread, VISITOR, "hello")], tx.now)
        return len(ServerData(tx.database).messages(thread).items)

    assert transact(database, work)[0] == 1


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_notifications(database: pw.Database, data: ServerData, limit: int) -> None:  # noqa: F811
    def create(tx: Any) -> list[Any]:
        notifications.create(tx, COUNSELLOR, 0, "for another", None)
        return [notifications.create(tx, WU, 0, f"text {number}", {"n": number}) for number in range(3)]

    made, _ = transact(database, create)
    read, _ = transact(database, lambda tx: notifications.mark_read(tx, WU, made[1].id), NOW + 5)
    assert read.read_at == NOW + 5
    assert items(partial(data.notifications, WU), limit) == [made[2], read, made[0]]
    assert data.read_times([made[2].id, read.id, 9999]) == {read.id: NOW + 5}
    assert data.read_times([]) == {}
    assert data.notifications(Person(Role.USER, "none")) == ListPage([], None)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_known_people(database: pw.Database, data: ServerData, limit: int) -> None:  # noqa: F811
    def fill(tx: Any) -> None:
        for number in (1, 2, 10):
            wait(tx, user(number))
        session = rooms.create_session(
            tx, user_id="2", consultant_id="8", user_name="新名", consultant_name=None
        )[0]
        notifications.create(tx, user(7), 0, "hello", None)
        notifications.create(tx, Person(Role.WAITER, "1"), 0, "hello", None)
        staff.add(tx.database, StaffAccount("chen", "Chen", Person(Role.CONSULTANT, "staff-chen"), NOW), "-")
        participants.rename(tx, session.thread, Person(Role.CONSULTANT, "8"), "八")

    transact(database, fill)
    expected = [("1", "name of 1"), ("10", "name of 10"), ("2", "新名"), ("7", None)]
    assert items(partial(data.known_people, Role.USER), limit) == [
        KnownPerson(Person(Role.USER, id), name) for id, name in expected
    ]
    assert [tuple(each) for each in items(partial(data.known_people, Role.CONSULTANT), limit)] == [
        (Person(Role.CONSULTANT, "8"), "八"),
        (Person(Role.CONSULTANT, "staff-chen"), "Chen"),
    ]
    assert data.known_people(Role.ADMIN) == ListPage([], None)


def test_erased_people_are_not_known(database: pw.Database, data: ServerData) -> None:  # noqa: F811
    for number in (1, 2):
        found, _ = transact(database, lambda tx, number=number: wait(tx, user(number)))
        transact(database, lambda tx, found=found: conversations.end(tx, found.id, found.user))
    late, _ = transact(database, lambda tx: wait(tx, Person(Role.USER, "zoe")))
    transact(
        database, lambda tx: erasure.erase_conversation(tx, user(1), Thread(Kind.SUPPORT, 1), "[erased]")
    )
    transact(database, lambda tx: erasure.erase_rest(tx, user(1)))
    assert [each.person for each in items(partial(data.known_people, Role.USER), 1)] == [user(2), late.user]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_operations(database: pw.Database, data: ServerData, limit: int) -> None:  # noqa: F811
    made = [
        transact(database, lambda tx: operations.add(tx, "root", "backup", "done"), NOW + number)[0]
        for number in range(3)
    ]
    assert items(data.operations, limit) == made
    assert items(partial(data.operations, since=NOW + 1), limit) == made[1:]
    assert data.operation(made[1].id) == made[1]
    assert data.operation(99) is None


def test_has_data(database: pw.Database, data: ServerData) -> None:  # noqa: F811
    assert not data.has_data()
    session, _ = transact(database, new_session)
    assert data.has_data()
    assert not data.has_data(since=NOW)  # it has not started
    transact(database, lambda tx: rooms.start(tx, session.thread), NOW + 10)
    assert data.has_data(since=NOW + 10)
    assert not data.has_data(since=NOW + 11)
    append(database, session.thread, "hello", now=NOW + 20)
    assert data.has_data(since=NOW + 20)
    transact(database, lambda tx: operations.add(tx, "root", "backup", "done"), NOW + 30)
    assert data.has_data(since=NOW + 30)


def test_a_page_is_bounded(data: ServerData) -> None:
    for limit in (0, -1, MAX_PAGE_ITEMS + 1):
        reads: list[Callable[..., object]] = [
            data.sessions,
            data.conversations,
            data.operations,
            partial(data.known_people, Role.USER),
            partial(data.notifications, VISITOR),
            partial(data.messages, Thread(Kind.SESSION, 1)),
            partial(data.last_messages, Thread(Kind.SESSION, 1)),
        ]
        for read in reads:
            with pytest.raises(ValueError, match="a page has 1 to 500 items"):
                read(limit=limit)
    with pytest.raises(ValueError, match="a page has 1 to 500 items"):
        data.read_times(range(501))
    for kind in (Kind.INBOX, Kind.SUPPORT):
        assert data.room(Thread(kind, 1)) is None
        assert data.participants(Thread(kind, 1)) == []
        assert data.messages(Thread(kind, 1)) == ListPage([], None)
    with pytest.raises(ValueError, match="is no cursor: pass `next` of the page before"):
        data.sessions(after="7")
