"""What is old goes, with all that belongs to it; what is open, young or not delivered stays; ids do not come back."""

import peewee as pw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.conftest import NOW, new_session, open_at, transact
from tests.storage.people import CHEN, DAY, LIN, SECRET, WU, build, everything, rows, say, texts
from tornado_chat.core.types import Kind, Person, Role, SessionState, Thread
from tornado_chat.data_management.pruning import prune
from tornado_chat.plugins.data_keepers import DataKeepers
from tornado_chat.storage import (
    conversations,
    facts,
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


def test_what_is_old_goes_with_all_that_belongs_to_it(database: pw.Database) -> None:
    build(database)
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
        "notification": 1,
    }
    left = everything(database)
    assert SECRET not in left
    for word in ("I hear you", "go on", "with pleasure", "Chen", "Wu", "Eve", "handed over"):
        assert word not in left
    old = retention.count_expired(database, LATER)
    assert not any((*old.conversations.values(), old.notifications))
    rows = {table: count for table, count in facts.describe(database).rows.items() if count}
    assert rows == {"inbox": 2, "notification": 1, "receipt": 1}, "an emptied row is none"
    assert remove_all(database) == {}


def test_what_is_young_open_or_not_delivered_stays(database: pw.Database) -> None:
    build(database)
    young = build(database, LATER + 1)
    open_ones = build(database, over=False)
    before = texts(database, open_ones.session)
    counts = remove_all(database)
    assert (counts["consultation_session"], counts["support_conversation"]) == (1, 1)
    assert texts(database, open_ones.session) == before
    assert len(texts(database, young.record)) == 2
    # Chen has never had a socket: what is for Chen has not arrived.
    inbox = notifications.find_inbox(database, CHEN)
    assert inbox is not None
    assert len(notifications.after(database, inbox, 0, 10)) == 3


def test_a_session_waits_for_its_records(database: pw.Database) -> None:
    world = build(database)
    transact(
        database,
        lambda tx: rooms.create_record(
            tx, rooms.get(tx.database, world.session), supervisor_id="9", supervisor_name=None
        ),
        LATER,
    )
    assert remove_all(database)["supervisor_consultation"] == 1
    assert len(texts(database, world.session)) == 3, "the younger record is about it"
    # Nobody came to that record: it does not keep the session for ever.
    assert remove_all(database, LATER + 1)["consultation_session"] == 1
    assert texts(database, world.session) == []


def test_a_record_that_goes_on_keeps_its_session(database: pw.Database) -> None:
    world = build(database)
    record, _ = transact(
        database,
        lambda tx: rooms.create_record(
            tx, rooms.get(tx.database, world.session), supervisor_id="9", supervisor_name=None
        ),
    )[0]
    transact(database, lambda tx: rooms.start(tx, record.thread))
    remove_all(database)
    assert len(texts(database, world.session)) == 3
    assert rooms.get(database, record.thread).state is SessionState.ACTIVE


def test_no_id_comes_back(database: pw.Database) -> None:
    world = build(database)
    session, _ = transact(database, new_session)
    say(database, session.thread, LIN, "the last message")
    transact(database, lambda tx: rooms.finish(tx, session.thread, SessionState.COMPLETED))
    last_message = streams.MESSAGES.since(database, 0, 100)[-1][0]
    remove_all(database)
    assert streams.MESSAGES.since(database, 0, 100) == []
    assert notifications.find_inbox(database, LIN) == world.inbox
    assert notifications.after(database, world.inbox, 0, 10) == []

    again = build(database, LATER)
    assert again.session.id > session.thread.id
    assert again.record.id > world.record.id
    assert again.support.id > world.support.id
    assert streams.MESSAGES.since(database, last_message, 100)[0][0] > last_message
    # The emptied rows have done their duty.
    remove_all(database)
    assert rows(database, "consultation_session") == rows(database, "support_conversation") == 1
    assert len(streams.MESSAGES.since(database, 0, 100)) == rows(database, "message") == 7
    assert models.Notification.select().where(models.Notification.type < 0).count(database) == 0


def test_an_emptied_row_says_nothing_of_anybody(database: pw.Database) -> None:
    world = build(database)
    remove_all(database)
    room = rooms.get(database, world.session)
    assert (room.asker.id, room.helper.id, room.asker_name, room.feedback, room.appointment_id) == (
        retention.REMOVED_ID,
        retention.REMOVED_ID,
        None,
        None,
        None,
    )
    assert not rooms.is_supervisor_of(database, world.session.id, WU)
    conversation = conversations.get(database, world.support.id)
    assert conversation is not None
    assert (conversation.claims, conversation.waiter, conversation.reason) == ({}, None, None)


def test_a_long_conversation_goes_in_pieces(database: pw.Database) -> None:
    world = build(database)
    say(database, world.session, LIN, "closed, so nobody hears this")
    transact(database, lambda tx: models.ConsultationSession.update(state="active").execute(tx.database))
    say(database, world.session, LIN, *[f"text {n}" for n in range(25)])
    transact(database, lambda tx: models.ConsultationSession.update(state="completed").execute(tx.database))
    done, pieces = [], 0
    left = [world.session]
    while left:
        (counts, gone), _ = transact(
            database, lambda tx, left=left: retention.remove_conversations(tx, left, 10)
        )  # type: ignore[misc]
        assert counts["message"] <= 10
        done += gone
        left = left[len(gone) :]
        pieces += 1
    assert (done, pieces) == ([world.session], 3)


@given(
    st.lists(
        st.tuples(st.sampled_from(list(retention.CONVERSATION_TABLES)), st.integers(0, 3), st.booleans()),
        max_size=8,
    )
)
@settings(max_examples=40)
def test_whatever_there_is_exactly_the_old_and_finished_goes(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[Kind, int, bool]]
) -> None:
    database = open_at(tmp_path_factory.mktemp("removal") / "chat.db")
    schema.upgrade(database)
    worlds = [
        (build(database, NOW + day * DAY, over=over, waits=Person(Role.USER, f"lin {n}")), kind, day, over)
        for n, (kind, day, over) in enumerate(wanted)
    ]
    remove_all(database, NOW + 2 * DAY)
    for world, _, day, over in worlds:
        gone = over and day < 2
        for thread in (world.session, world.record, world.support):
            assert bool(messages.after(database, thread, 0, 1)) is not gone
    assert list(database.execute_sql("PRAGMA foreign_key_check")) == []
    database.close()


def test_notifications_that_were_read_go_without_a_receipt(database: pw.Database) -> None:
    made = transact(database, lambda tx: notifications.create(tx, CHEN, 0, "hello", None))[0]
    assert retention.expired_notifications(database, LATER, 0, 10) == []
    transact(database, lambda tx: notifications.mark_read(tx, CHEN, made.id))
    assert retention.expired_notifications(database, LATER, 0, 10) == [made.id]
    assert retention.expired_notifications(database, NOW, 0, 10) == []


def test_removing_the_same_thing_twice_does_no_harm(database: pw.Database) -> None:
    world = build(database)
    for _ in range(2):
        transact(
            database,
            lambda tx: retention.remove_conversations(tx, [world.record, world.session, world.support], 1000),
        )
    assert texts(database, world.session) == []
    assert texts(database, Thread(Kind.SUPPORT, 99)) == []
