"""Retention: expired data are removed completely; open, young and undelivered data stay; no id is reused."""

import peewee as pw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.conftest import NOW, new_session, open_at, transact
from tests.storage.people import (
    CHEN,
    DAY,
    LIN,
    SECRET,
    WU,
    build_sample,
    everything,
    leave_message,
    post,
    rows,
    texts,
)
from tornado_chat.core.types import Kind, Person, Role, SessionState, Thread
from tornado_chat.data_management.pruning import prune
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.storage import (
    conversations,
    database_info,
    messages,
    models,
    notifications,
    retention,
    rooms,
    schema,
    streams,
)

LATER = NOW + 10 * DAY


def remove_all(database: pw.Database, before: int = LATER) -> dict[str, int]:
    return dict(prune(database, DataKeepers(), before, lambda: None))


def test_expired_conversations_are_removed_with_their_rows(database: pw.Database) -> None:
    build_sample(database)
    old = retention.count_expired(database, LATER)
    assert old.conversations == {Kind.RECORD: 1, Kind.SESSION: 1, Kind.SUPPORT: 1}
    assert (old.messages, old.notifications) == (7, 1)
    counts = remove_all(database)
    assert counts == {
        "message": 7,
        "consultation_session": 1,
        "supervisor_consultation": 1,
        "support_conversation": 1,
        "receipt": 2,
        "read_mark": 1,
        "participant": 7,
        "notification": 1,
    }
    left = everything(database)
    assert SECRET not in left
    for word in ("I hear you", "go on", "with pleasure", "Chen", "Wu", "Eve", "handed over"):
        assert word not in left
    old = retention.count_expired(database, LATER)
    assert not any((*old.conversations.values(), old.notifications))
    rows = {table: count for table, count in database_info.describe(database).rows.items() if count}
    assert rows == {"inbox": 2, "notification": 1, "receipt": 1, "number_sequence": 2}, (
        "emptied rows are not counted"
    )
    assert remove_all(database) == {}


def test_an_expired_left_message_is_removed(database: pw.Database) -> None:
    leave_message(database, LIN, "words")
    counts = remove_all(database)
    assert (counts["message"], counts["support_conversation"], counts["left_message"]) == (1, 1, 1)
    assert "words" not in everything(database)


def test_young_open_and_undelivered_items_stay(database: pw.Database) -> None:
    build_sample(database)
    young = build_sample(database, LATER + 1)
    open_ones = build_sample(database, over=False)
    before = texts(database, open_ones.session)
    counts = remove_all(database)
    assert (counts["consultation_session"], counts["support_conversation"]) == (1, 1)
    assert texts(database, open_ones.session) == before
    assert len(texts(database, young.record)) == 2
    # Chen has never had a socket, so the notifications for Chen have not arrived.
    inbox = notifications.find_inbox(database, CHEN)
    assert inbox is not None
    assert len(notifications.page_after(database, inbox, 0, 10, 1000).items) == 3


def test_a_session_is_removed_after_its_records(database: pw.Database) -> None:
    sample = build_sample(database)
    transact(
        database,
        lambda tx: rooms.create_record(
            tx, rooms.get(tx.database, sample.session).view, supervisor_id="9", supervisor_name=None
        ),
        LATER,
    )
    assert remove_all(database)["supervisor_consultation"] == 1
    assert len(texts(database, sample.session)) == 3, "a younger record keeps its session"
    # That record was never used, so it does not keep the session for ever.
    assert remove_all(database, LATER + 1)["consultation_session"] == 1
    assert texts(database, sample.session) == []


def test_an_active_record_keeps_its_session(database: pw.Database) -> None:
    sample = build_sample(database)
    record, _ = transact(
        database,
        lambda tx: rooms.create_record(
            tx, rooms.get(tx.database, sample.session).view, supervisor_id="9", supervisor_name=None
        ),
    )[0]
    transact(database, lambda tx: rooms.start(tx, record.thread))
    remove_all(database)
    assert len(texts(database, sample.session)) == 3
    assert rooms.get(database, record.thread).state is SessionState.ACTIVE


def test_no_id_is_used_again(database: pw.Database) -> None:
    sample = build_sample(database)
    session, _ = transact(database, new_session)
    post(database, session.thread, LIN, "the last message")
    transact(database, lambda tx: rooms.finish(tx, session.thread, SessionState.COMPLETED))
    last_message = streams.MESSAGES.since(database, 0, 100)[-1][0]
    remove_all(database)
    assert streams.MESSAGES.since(database, 0, 100) == []
    assert notifications.find_inbox(database, LIN) == sample.inbox
    assert notifications.page_after(database, sample.inbox, 0, 10, 1000).items == []

    again = build_sample(database, LATER)
    assert again.session.id > session.thread.id
    assert again.record.id > sample.record.id
    assert again.support.id > sample.support.id
    assert streams.MESSAGES.since(database, last_message, 100)[0][0] > last_message
    # The emptied rows are not needed any more.
    remove_all(database)
    assert rows(database, "consultation_session") == rows(database, "support_conversation") == 1
    assert len(streams.MESSAGES.since(database, 0, 100)) == rows(database, "message") == 7
    assert models.Notification.select().where(models.Notification.type < 0).count(database) == 0


def test_an_emptied_row_has_no_personal_data(database: pw.Database) -> None:
    sample = build_sample(database)
    # The server has yet to reach the session's number, as if a host had chosen it.
    models.NumberSequence.update(last_number=0).execute(database)
    remove_all(database)
    room = rooms.get(database, sample.session)
    assert (room.asker.id, room.helper.id, room.asker_name, room.feedback, room.appointment_id) == (
        retention.REMOVED_ID,
        retention.REMOVED_ID,
        None,
        None,
        None,
    )
    assert not rooms.is_supervisor_of(database, sample.session, WU)
    conversation = conversations.get(database, sample.support.id)
    assert conversation is not None
    assert (conversation.claims, conversation.waiter, conversation.reason) == ({}, None, None)


def test_a_long_conversation_is_removed_in_several_transactions(database: pw.Database) -> None:
    sample = build_sample(database)
    post(database, sample.session, LIN, "refused, as the session is closed")
    transact(database, lambda tx: models.ConsultationSession.update(state="active").execute(tx.database))
    post(database, sample.session, LIN, *[f"text {n}" for n in range(25)])
    transact(database, lambda tx: models.ConsultationSession.update(state="completed").execute(tx.database))
    done, pieces = [], 0
    left = [sample.session]
    while left:
        (counts, gone), _ = transact(
            database, lambda tx, left=left: retention.remove_conversations(tx, left, 10)
        )  # type: ignore[misc]
        assert counts["message"] <= 10
        done += gone
        left = left[len(gone) :]
        pieces += 1
    assert (done, pieces) == ([sample.session], 3)


@given(
    st.lists(
        st.tuples(st.sampled_from(list(retention.CONVERSATION_TABLES)), st.integers(0, 3), st.booleans()),
        max_size=8,
    )
)
@settings(max_examples=40)
def test_exactly_the_expired_conversations_are_removed(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[Kind, int, bool]]
) -> None:
    database = open_at(tmp_path_factory.mktemp("removal") / "chat.db")
    schema.upgrade(database)
    samples = [
        (
            build_sample(database, NOW + day * DAY, over=over, waits=Person(Role.USER, f"lin {n}")),
            kind,
            day,
            over,
        )
        for n, (kind, day, over) in enumerate(wanted)
    ]
    remove_all(database, NOW + 2 * DAY)
    for sample, _, day, over in samples:
        gone = over and day < 2
        for thread in (sample.session, sample.record, sample.support):
            assert bool(messages.after(database, thread, 0, 1)) is not gone
    assert list(database.execute_sql("PRAGMA foreign_key_check")) == []
    database.close()


def test_read_notifications_are_removed_without_a_receipt(database: pw.Database) -> None:
    made = transact(database, lambda tx: notifications.create(tx, CHEN, 0, "hello", None))[0]
    assert retention.expired_notifications(database, LATER, 0, 10) == []
    transact(database, lambda tx: notifications.mark_read(tx, CHEN, made.id))
    assert retention.expired_notifications(database, LATER, 0, 10) == [made.id]
    assert retention.expired_notifications(database, NOW, 0, 10) == []


def test_removing_a_conversation_twice_does_no_harm(database: pw.Database) -> None:
    sample = build_sample(database)
    for _ in range(2):
        transact(
            database,
            lambda tx: retention.remove_conversations(
                tx, [sample.record, sample.session, sample.support], 1000
            ),
        )
    assert texts(database, sample.session) == []
    assert texts(database, Thread(Kind.SUPPORT, 99)) == []
