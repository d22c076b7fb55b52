"""Participants: written where people join, are assigned and leave; filled for conversations from before."""

from typing import Any

import peewee as pw

from tests.storage.conftest import COUNSELLOR, NOW, VISITOR, new_session, transact
from tests.storage.people import BOB, CHEN, DAY, EVE, LIN, SECRET, WU, build_sample
from tornado_chat.core.events import ParticipantNamed
from tornado_chat.core.types import Conversation, Kind, Part, Person, Role, SessionState, Thread
from tornado_chat.storage import conversations, models, participants, retention, rooms, schema
from tornado_chat.storage.writer import Transaction

MIGRATION = "0013_participants"


def stays(database: pw.Database, thread: Thread) -> list[tuple[Any, ...]]:
    """Return the rows of a conversation, with times after ``NOW``."""
    return [
        (each.person, each.part, each.name, each.joined - NOW, None if each.left is None else each.left - NOW)
        for each in participants.of_thread(database, thread)
    ]


def test_a_session_and_a_record_have_their_two_people_until_the_end(database: pw.Database) -> None:
    session = transact(database, new_session)[0]
    record, _ = transact(
        database,
        lambda tx: rooms.create_record(tx, session.view, supervisor_id="3", supervisor_name="Wu"),
        NOW + 1,
    )[0]
    assert stays(database, session.thread) == [
        (VISITOR, Part.CLIENT, "小林", 0, None),
        (COUNSELLOR, Part.AGENT, None, 0, None),
    ]
    assert stays(database, record.thread) == [
        (COUNSELLOR, Part.AGENT, None, 1, None),
        (WU, Part.SUPERVISOR, "Wu", 1, None),
    ]
    for _ in range(2):  # a finished session stays as it is
        transact(database, lambda tx: rooms.finish(tx, session.thread, SessionState.COMPLETED), NOW + 9)
    assert [stay[4] for stay in stays(database, session.thread)] == [9, 9]
    assert [stay[4] for stay in stays(database, record.thread)] == [None, None]


def test_a_session_that_exists_already_is_not_joined_again(database: pw.Database) -> None:
    for _ in range(2):
        transact(
            database,
            lambda tx: rooms.create_session(
                tx, user_id="1", consultant_id="2", user_name=None, consultant_name=None, session_id=7
            ),
        )
    assert len(stays(database, Thread(Kind.SESSION, 7))) == 2


def test_the_agents_of_a_support_conversation_come_and_go(database: pw.Database) -> None:
    def run(work: Any, later: int) -> Conversation:
        row: Conversation = transact(database, work, NOW + later)[0]
        return row

    row = run(lambda tx: conversations.join(tx, LIN, "Lin", "u"), 0)
    assert run(lambda tx: conversations.join(tx, LIN, "Lin", "other"), 1) == row
    row = run(lambda tx: conversations.assign(tx, row, BOB, "Bob", "b", "free"), 2)
    row = run(lambda tx: conversations.transfer(tx, row, EVE, "Eve", "e", "asked"), 5)
    row = run(lambda tx: conversations.requeue(tx, row), 7)
    row = run(lambda tx: conversations.assign(tx, row, EVE, None, "e2", "back"), 8)
    assert stays(database, row.thread) == [
        (LIN, Part.CLIENT, "Lin", 0, None),
        (BOB, Part.AGENT, "Bob", 2, 5),
        (EVE, Part.AGENT, "Eve", 5, 7),
        (EVE, Part.AGENT, None, 8, None),
    ]
    people = participants.of_thread(database, row.thread)
    assert participants.names(people) == {LIN: "Lin", BOB: "Bob", EVE: "Eve"}, "a name once known is kept"
    run(lambda tx: conversations.leave(tx, row.id, LIN), 9)
    assert [stay[4] for stay in stays(database, row.thread)] == [9, 5, 7, 9]


def test_another_name_is_stored_and_published_once(database: pw.Database) -> None:
    thread = transact(database, new_session)[0].thread

    def rename(tx: Transaction) -> None:
        participants.rename(tx, thread, COUNSELLOR, "陈老师")

    assert transact(database, rename)[1] == [ParticipantNamed(thread, COUNSELLOR, "陈老师")]
    assert transact(database, rename)[1] == []
    assert [stay[2] for stay in stays(database, thread)] == ["小林", "陈老师"]


def test_people_without_a_row_are_those_of_the_conversation(database: pw.Database) -> None:
    """A process of the version before stores conversations without participants during an upgrade."""
    sample = build_sample(database)
    models.Participant.delete().where(models.Participant.person << [LIN.key, EVE.key]).execute(database)
    assert [stay[:3] for stay in stays(database, sample.support)] == [
        (LIN, Part.CLIENT, f"Lin {SECRET}"),
        (BOB, Part.AGENT, "Bob"),
        (EVE, Part.AGENT, "Eve"),
    ]
    assert [stay[0] for stay in stays(database, sample.session)] == [LIN, CHEN]
    assert participants.of_thread(database, Thread(Kind.SUPPORT, 404)) == []


def test_retention_removes_them_with_their_conversation(database: pw.Database) -> None:
    sample = build_sample(database)
    young = build_sample(database, NOW + DAY)
    threads = [sample.record, sample.session, sample.support]
    counts, gone = transact(database, lambda tx: retention.remove_conversations(tx, threads, 100))[0]
    assert gone == threads
    assert counts["participant"] == 2 + 2 + 3
    assert models.Participant.select().count(database) == 7
    assert len(stays(database, young.support)) == 3


def go_back_before_the_migration(database: pw.Database) -> None:
    database.execute_sql("DROP TABLE participant")
    database.execute_sql(f"DELETE FROM {schema.HISTORY_TABLE} WHERE name = '{MIGRATION}'")


def test_the_migration_fills_the_table_from_conversations_of_each_kind(database: pw.Database) -> None:
    sample = build_sample(database)
    waiting = transact(database, lambda tx: conversations.join(tx, Person(Role.USER, "9"), None, "w"))[0]
    ready = transact(database, new_session)[0]
    expected = {
        thread: stays(database, thread)
        for thread in (sample.session, sample.record, sample.support, waiting.thread, ready.thread)
    }
    go_back_before_the_migration(database)
    assert schema.upgrade(database) == [MIGRATION]
    rows = models.Participant.select().count(database)
    assert rows == sum(map(len, expected.values())), "all people have rows of their own"
    # Bob's own messages are what is known of him: the first and the last one, and no name.
    bob = expected[sample.support].index((BOB, Part.AGENT, "Bob", 0, 0))
    expected[sample.support][bob] = (BOB, Part.AGENT, None, 0, 0)
    assert {thread: stays(database, thread) for thread in expected} == expected


def test_the_migration_names_an_earlier_waiter_by_another_conversation(database: pw.Database) -> None:
    sample = build_sample(database)
    for name in ("Bobby", None):
        row = transact(database, lambda tx: conversations.join(tx, WU, None, "w"))[0]
        transact(
            database,
            lambda tx, row=row, name=name: conversations.assign(tx, row, BOB, name, "b", ""),  # type: ignore[misc]
        )
        transact(database, lambda tx, row=row: conversations.leave(tx, row.id, WU))  # type: ignore[misc]
    go_back_before_the_migration(database)
    schema.upgrade(database)
    assert (BOB, Part.AGENT, "Bobby", 0, 0) in stays(database, sample.support)


def test_the_migration_leaves_out_rows_that_the_retention_has_emptied(database: pw.Database) -> None:
    sample = build_sample(database)
    threads = [sample.record, sample.session, sample.support]
    transact(database, lambda tx: retention.remove_conversations(tx, threads, 100))
    go_back_before_the_migration(database)
    schema.upgrade(database)
    assert models.Participant.select().count(database) == 0
