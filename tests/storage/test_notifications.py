"""Inboxes, and the receipts of all threads."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import peewee as pw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.mariadb import MariaDB
from tests.storage.conftest import COUNSELLOR, NOW, VISITOR, new_session, open_url, transact
from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import Kind, Notification, Person, Role, SessionState, Thread
from tornado_chat.storage import health, models, notifications, read_marks, receipts, rooms, schema
from tornado_chat.storage.writer import Transaction

DATA = {"apointmentId": 3, "consultantId": 5}


def notify(database: pw.Database, owner: Person, msg: str, now: int = NOW) -> Notification:
    return transact(database, lambda tx: notifications.create(tx, owner, 1, msg, DATA), now)[0]


def test_an_inbox_is_created_once_and_belongs_to_one_person(database: pw.Database) -> None:
    assert notifications.find_inbox(database, VISITOR) is None
    made, events = transact(database, lambda tx: notifications.open_inbox(tx, VISITOR))
    assert made.kind is Kind.INBOX
    assert events == []
    assert transact(database, lambda tx: notifications.open_inbox(tx, VISITOR))[0] == made
    assert notifications.find_inbox(database, VISITOR) == made
    assert notifications.find_inbox(database, COUNSELLOR) is None


def test_a_notification_is_published_as_it_is_stored(database: pw.Database) -> None:
    made, events = transact(database, lambda tx: notifications.create(tx, VISITOR, 1, "您好", DATA))
    assert events == [made]
    assert (made.seq, made.type, made.msg, made.data, made.time, made.read) == (
        1,
        1,
        "您好",
        DATA,
        NOW,
        False,
    )
    assert notifications.page_after(database, made.thread, 0, 10, 1000).items == [made]


def test_the_position_of_a_client_may_be_ahead_of_an_older_copy(database: pw.Database) -> None:
    made, _ = transact(database, lambda tx: notifications.create(tx, VISITOR, 1, "您好", DATA))
    for after, expected in ((0, [made]), (1, []), (2, [made])):
        page = notifications.page_for_client(database, made.thread, after, 10, 1000)
        assert page.items == expected


@pytest.mark.parametrize("data", [None, {}, {"sessionId": 4, "nested": [1, {"a": None, "名": "值"}]}])
def test_data_comes_back_as_it_was(database: pw.Database, data: dict[str, object] | None) -> None:
    made, _ = transact(database, lambda tx: notifications.create(tx, VISITOR, 2, "m", data))
    (read,) = notifications.page_after(database, made.thread, 0, 1, 1000).items
    assert read.data == data


def test_each_inbox_has_its_own_numbers_and_is_read_in_pages(database: pw.Database) -> None:
    mine = [notify(database, VISITOR, str(n)) for n in range(1, 6)]
    other = notify(database, COUNSELLOR, "other")
    inbox = mine[0].thread
    assert [n.seq for n in mine] == [1, 2, 3, 4, 5]
    assert other.seq == 1
    assert notifications.page_after(database, inbox, 0, 2, 1000).items == mine[:2]
    assert notifications.page_after(database, inbox, 2, 2, 1000).items == mine[2:4]
    assert notifications.page_after(database, inbox, 5, 2, 1000).items == []


def test_invitations_to_rooms_that_have_ended_are_marked_as_over(database: pw.Database) -> None:
    def invite(data: dict[str, object] | None, type: int = 2) -> None:
        transact(database, lambda tx: notifications.create(tx, COUNSELLOR, type, "m", data))

    over, open = (transact(database, new_session)[0] for _ in range(2))
    record, _ = transact(
        database,
        lambda tx: rooms.create_record(tx, over.view, supervisor_id="3", supervisor_name=None, record_id=9),
    )[0]
    transact(database, lambda tx: rooms.finish(tx, over.thread, SessionState.COMPLETED))
    transact(database, lambda tx: rooms.finish(tx, record.thread, SessionState.COMPLETED))
    number = over.thread.id
    invite({"sessionId": number})
    invite({"sessionId": open.thread.id})
    invite({"sessionId": record.thread.id, "observeSessionId": number})
    invite({"sessionId": open.thread.id, "observeSessionId": number})  # a record of this number is unknown
    invite({"sessionId": number}, type=1)
    for data in (None, {}, {"sessionId": "x"}, {"sessionId": 999}, {"other": 1}):
        invite(data)
    inbox = notifications.find_inbox(database, COUNSELLOR)
    assert inbox is not None
    page = notifications.page_to_deliver(database, inbox, 0, 9, 10_000)
    assert [item.is_over for item in page.items] == [True, False, True, *[False] * 6]
    assert page.has_more
    plain = notifications.page_after(database, inbox, 0, 9, 10_000)
    assert [item.id for item in page.items] == [item.id for item in plain.items]
    assert not any(item.is_over for item in plain.items)


def test_reading_marks_the_notification_and_keeps_the_first_time(database: pw.Database) -> None:
    made, other = notify(database, VISITOR, "a"), notify(database, VISITOR, "b")
    for now in (NOW + 1, NOW + 2):
        read, _ = transact(database, lambda tx: notifications.mark_read(tx, VISITOR, made.id), now)
        assert read.read
        assert (read.id, read.msg, read.data) == (made.id, "a", DATA)
    assert [n.read for n in notifications.page_after(database, made.thread, 0, 10, 1000).items] == [
        True,
        False,
    ]
    assert (
        models.Notification.select().where(models.Notification.id == made.id).first(database).read == NOW + 1
    )
    assert not other.read


def test_a_notification_of_another_person_cannot_be_read(database: pw.Database) -> None:
    made = notify(database, VISITOR, "a")
    for owner, id in ((COUNSELLOR, made.id), (VISITOR, made.id + 1)):
        with pytest.raises(NotFound, match="no_such_notification"):
            transact(database, lambda tx, owner=owner, id=id: notifications.mark_read(tx, owner, id))
    assert not notifications.page_after(database, made.thread, 0, 1, 1000).items[0].read


# --- notifications that are delivered again ---


def unread(database: pw.Database, inbox: Thread, received: int, max_repeats: int = 3) -> list[str]:
    found = notifications.unread_up_to(database, inbox, received, max_repeats, 1_000_000)
    return [each.msg for each in found]


def test_unread_notifications_up_to_the_receipt_may_be_delivered_again(database: pw.Database) -> None:
    made = [notify(database, VISITOR, str(n)) for n in range(1, 6)]
    notify(database, COUNSELLOR, "of another person")
    inbox = made[0].thread
    assert unread(database, inbox, 0) == []
    assert unread(database, inbox, 4) == ["1", "2", "3", "4"]
    transact(database, lambda tx: notifications.mark_read(tx, VISITOR, made[1].id))
    assert unread(database, inbox, 4) == ["1", "3", "4"]
    assert unread(database, inbox, 4, 0) == []


def test_a_notification_is_delivered_again_so_many_times(database: pw.Database) -> None:
    made = [notify(database, VISITOR, str(n)) for n in range(1, 4)]
    inbox = made[0].thread
    for _ in range(2):
        transact(database, lambda tx: notifications.count_repeats(tx, made[:2]))
    transact(database, lambda tx: notifications.count_repeats(tx, made[:1]))
    assert unread(database, inbox, 3) == ["2", "3"]
    assert unread(database, inbox, 3, 4) == ["1", "2", "3"]  # the option was raised
    assert unread(database, inbox, 3, 1) == ["3"]  # and lowered


def test_repeats_are_not_counted_when_the_database_has_gone_back(database: pw.Database) -> None:
    made = notify(database, VISITOR, "1")

    def count(tx: Transaction) -> None:
        tx.went_back = True
        notifications.count_repeats(tx, [made])

    transact(database, count)
    assert unread(database, made.thread, 1, 1) == ["1"]


def test_only_the_last_notifications_are_delivered_again(database: pw.Database) -> None:
    window = notifications.REPEAT_WINDOW
    made = [notify(database, VISITOR, str(n)) for n in range(1, window + 4)]
    inbox = made[0].thread
    assert unread(database, inbox, window + 2) == [str(n) for n in range(3, window + 3)]
    transact(database, lambda tx: notifications.count_repeats(tx, made[2:]))
    assert unread(database, inbox, window + 2, 1) == []  # older ones do not take their places
    large = notifications.unread_up_to(database, inbox, window + 2, 3, 4)
    assert [each.msg for each in large] == [str(window + 1), str(window + 2)]  # the newest, of many bytes


# --- a database of an earlier version ---


def test_received_notifications_of_an_earlier_version_are_not_delivered_again(
    database_kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that had not arrived before the upgrade are like new ones."""
    earlier = tmp_path / "migrations"
    earlier.mkdir()
    for path in schema.MIGRATIONS.glob("[0-9]*.py"):
        if path.name < "0014":
            shutil.copy(path, earlier)
    with ExitStack() as stack:
        if database_kind == "sqlite":
            url = f"sqlite:///{tmp_path / 'old.db'}"
        else:
            server: MariaDB = request.getfixturevalue("mariadb")
            url = server.url(stack.enter_context(server.database()))
        database = open_url(url)
        stack.callback(database.close)
        with monkeypatch.context() as patched:
            patched.setattr(schema, "MIGRATIONS", earlier)
            schema.upgrade(database)
        for number, (owner, received) in enumerate((("user:1", 2), ("user:2", None), ("user:3", 4)), 1):
            models.Inbox.insert(id=number, owner=owner, last_seq=4).execute(database)
            if received:
                models.Receipt.insert(kind=4, thread_id=number, reader=owner, seq=received).execute(database)
            for seq in range(1, 5):
                database.execute_sql(
                    "INSERT INTO notification (inbox_id, seq, type, msg, time)"
                    f" VALUES ({number}, {seq}, 0, '{owner} {seq}', 0)"
                )
        # The thread of a session with the number of an inbox: not a receipt of notifications.
        models.Receipt.insert(kind=1, thread_id=2, reader="user:2", seq=9).execute(database)

        assert "0014_notification_repeats" in schema.upgrade(database)
        again = {n: unread(database, Thread(Kind.INBOX, n), 4) for n in (1, 2, 3)}
        assert again == {
            1: ["user:1 3", "user:1 4"],
            2: ["user:2 1", "user:2 2", "user:2 3", "user:2 4"],
            3: [],
        }
        assert unread(database, notify(database, Person(Role.USER, "3"), "new").thread, 5) == ["new"]
        table = models.Notification
        counts = table.select(table.repeats).where(table.inbox == 1).order_by(table.seq).tuples()
        assert [count for (count,) in counts.execute(database)] == [None, None, 0, 0]


# --- receipts ---

A, B = Thread(Kind.SESSION, 1), Thread(Kind.RECORD, 1)


@pytest.fixture
def _threads(database: pw.Database) -> None:
    for table in (models.ConsultationSession, models.SupervisorConsultation):
        make_thread(database, table, last_seq=9)


def make_thread(database: pw.Database, table: Any, last_seq: int) -> None:
    """Insert the thread 1 of a kind."""
    row = {"id": 1, "asker": "user:1", "helper": "consultant:2", "state": "active", "created": NOW}
    if table is models.SupervisorConsultation:
        row["session"] = 1
    table.insert(last_seq=last_seq, **row).execute(database)


@pytest.mark.usefixtures("_threads")
def test_there_is_no_receipt_before_the_first_one(database: pw.Database) -> None:
    assert receipts.get(database, A, VISITOR) is None
    receipts.advance_receipts(database, [(A, VISITOR, 0)])
    assert receipts.get(database, A, VISITOR) == 0


def test_the_health_probe_writes_a_row_and_can_be_repeated(database: pw.Database) -> None:
    transact(database, health.probe_write, NOW)
    transact(database, health.probe_write, NOW + 1)
    assert [row.seq for row in models.Receipt.select().execute(database)] == [NOW + 1]


some_receipt = st.tuples(st.sampled_from([A, B]), st.sampled_from([VISITOR, COUNSELLOR]), st.integers(0, 9))


@settings(max_examples=50, deadline=None)
@given(batches=st.lists(st.lists(some_receipt, max_size=6), max_size=4), last=st.integers(0, 9))
def test_a_receipt_never_goes_back_and_is_never_ahead_of_its_thread(
    batches: list[list[tuple[Thread, Person, int]]], last: int
) -> None:
    database = pw.SqliteDatabase(":memory:")
    schema.upgrade(database)
    for table in (models.ConsultationSession, models.SupervisorConsultation):
        make_thread(database, table, last)
    highest: dict[tuple[Thread, Person], int] = {}
    try:
        for batch in batches:
            receipts.advance_receipts(database, batch)
            for thread, reader, seq in batch:
                if seq <= last:
                    highest[thread, reader] = max(seq, highest.get((thread, reader), 0))
        for thread in (A, B):
            for reader in (VISITOR, COUNSELLOR):
                assert receipts.get(database, thread, reader) == highest.get((thread, reader))
    finally:
        database.close()


# --- positions that are ahead of their threads, as tables of different copies were mixed ---


def set_positions(database: pw.Database, table: Any, seq: int) -> None:
    table.insert(kind=A.kind.value, thread_id=A.id, reader=VISITOR.key, seq=seq).execute(database)


@pytest.mark.usefixtures("_threads")
def test_a_receipt_ahead_of_its_thread_counts_as_none_and_is_removed(database: pw.Database) -> None:
    set_positions(database, models.Receipt, 10)
    assert receipts.get(database, A, VISITOR) is None
    found = receipts.find_ahead(database)
    assert found == [(A, VISITOR.key)]
    assert transact(database, lambda tx: receipts.remove_ahead(tx, found))[0] == 1
    assert not receipts.find_ahead(database)
    receipts.advance_receipts(database, [(A, VISITOR, 2)])
    assert receipts.get(database, A, VISITOR) == 2
    assert transact(database, lambda tx: receipts.remove_ahead(tx, found))[0] == 0  # not ahead any more


@pytest.mark.usefixtures("_threads")
def test_a_read_mark_ahead_of_its_thread_is_not_shown_and_is_removed_or_replaced(
    database: pw.Database,
) -> None:
    set_positions(database, models.ReadMark, 10)
    models.Message.insert(
        kind=A.kind.value, thread_id=A.id, seq=3, sender=VISITOR.key, text="x", time=NOW, media="text"
    ).execute(database)
    assert read_marks.read_marks(database, A) == []
    found = read_marks.find_ahead(database)
    assert found == [(A, VISITOR.key)]
    transact(database, lambda tx: read_marks.set_read_mark(tx, A, VISITOR, 2))
    assert [mark.seq for mark in read_marks.read_marks(database, A)] == [2]
    assert transact(database, lambda tx: read_marks.remove_ahead(tx, found))[0] == 0
