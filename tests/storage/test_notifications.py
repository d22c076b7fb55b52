"""Inboxes, and the receipts of all threads."""

from typing import Any

import peewee as pw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.conftest import COUNSELLOR, NOW, VISITOR, transact
from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import Kind, Notification, Person, Thread
from tornado_chat.storage import health, models, notifications, read_marks, receipts, schema

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
