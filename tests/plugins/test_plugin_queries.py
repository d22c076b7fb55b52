"""The queries of keyword_filter, and those of people for the plugin context, on each database."""

from collections.abc import Sequence
from typing import Any

import peewee as pw
import pytest
from tornado_chat_plugins.keyword_filter import alert_queries
from tornado_chat_plugins.keyword_filter.alert_queries import (
    Finding,
    KeywordFilterAlert,
    KeywordFilterNotified,
    KeywordFilterRecord,
    Stage,
)
from tornado_chat_plugins.keyword_filter.data_keeper import AlertKeeper

from tests.storage.conftest import NOW, database, database_kind, new_session, transact  # noqa: F401
from tornado_chat.core.types import Kind, Person, Role, StaffAccount, Thread
from tornado_chat.storage import notifications, revocations, staff
from tornado_chat.storage.messages import AppendRequest, MessageAppender
from tornado_chat.storage.schema import create_missing_tables

VISITOR, COUNSELLOR = Person(Role.USER, "1"), Person(Role.CONSULTANT, "2")
SUPERVISOR = Person(Role.SUPERVISOR, "3")
SESSION = Thread(Kind.SESSION, 1)


@pytest.fixture
def tables(database: pw.Database) -> pw.Database:  # noqa: F811
    create_missing_tables(database, [KeywordFilterAlert, KeywordFilterRecord, KeywordFilterNotified])
    return database


def add(
    tables: pw.Database, seq: int | None, *lists: str, sender: Person = VISITOR, severe: Sequence[str] = ()
) -> bool:
    found = Finding(SESSION, seq, sender, lists)
    raised, _ = transact(tables, lambda tx: alert_queries.add(tx, found, severe, Stage.ADMIN))
    return raised


def test_alerts_are_merged_for_the_same_list_and_sender(tables: pw.Database) -> None:
    assert add(tables, 1, "mild")
    assert not add(tables, 1, "mild")  # the same message again
    assert not add(tables, 2, "mild")
    assert add(tables, 3, "mild", sender=COUNSELLOR)
    assert add(tables, 4, "mild", "severe", severe=["severe"])
    assert add(tables, 5, "severe", severe=["severe"])
    assert not add(tables, None, "mild")
    assert add(tables, None, "x" * 300)
    assert not add(tables, 1, "mild", "new")  # a list that was added before the message came again
    table = KeywordFilterRecord
    query = table.select(table.alert, table.seq, table.list).order_by(table.id).tuples()
    rows = [(alert, seq, list[:6]) for alert, seq, list in query.execute(tables)]
    assert rows == [
        (1, 1, "mild"),
        (1, 2, "mild"),
        (2, 3, "mild"),
        (1, 4, "mild"),
        (3, 4, "severe"),
        (4, 5, "severe"),
        (1, -1, "mild"),
        (5, -2, "xxxxxx"),
        (1, 1, "new"),
    ]


def test_a_read_alert_takes_no_further_ones(tables: pw.Database) -> None:
    assert add(tables, 1, "mild")
    [alert] = alert_queries.find_due(tables, NOW)

    def notify(tx: Any) -> int:
        told = notifications.create(tx, SUPERVISOR, 0, "look", None)
        alert_queries.record_notified(tx, alert, told.id, SUPERVISOR)
        return int(told.id)

    notification, _ = transact(tables, notify)
    assert not add(tables, 2, "mild")
    transact(tables, lambda tx: notifications.mark_read(tx, SUPERVISOR, notification))
    assert add(tables, 3, "mild")
    assert alert_queries.find_sender(tables, alert) == [VISITOR]
    read = alert_queries.find_read(tables)
    assert [id for id, _ in read] == [alert.id]


def test_the_alerts_about_a_person_are_exported(tables: pw.Database) -> None:
    session, _ = transact(tables, new_session)
    requests = [AppendRequest(session.thread, sender, "text") for sender in (VISITOR, COUNSELLOR, VISITOR)]
    with tables.atomic():
        MessageAppender(tables).append(requests, NOW)
    for seq in (1, 2):  # alerts of an earlier version have no record
        row = {"kind": 1, "thread_id": session.thread.id, "seq": seq, "list": "earlier", "created": NOW}
        KeywordFilterAlert.insert(**row, stage="admin").execute(tables)
    add(tables, 3, "mild")
    add(tables, None, "mild", sender=COUNSELLOR)
    keeper = AlertKeeper()

    def exported(person: Person) -> list[tuple[int, str]]:
        return [(row["seq"], row["list"]) for row in keeper.of_person(tables, person)["keyword_filter_alert"]]

    assert exported(VISITOR) == [(1, "earlier"), (3, "mild")]
    assert exported(COUNSELLOR) == [(2, "earlier"), (-1, "mild")]
    transact(tables, lambda tx: keeper.erase_person(tx, VISITOR))
    assert exported(VISITOR) == [(1, "earlier")]  # until its message is erased


def test_one_process_claims_a_step(tables: pw.Database) -> None:
    add(tables, 1, "mild")
    [alert] = alert_queries.find_due(tables, NOW)
    claims = [transact(tables, lambda tx: alert_queries.claim(tx, alert, 1000))[0] for _ in range(2)]
    assert claims == [True, False]
    assert alert_queries.find_due(tables, NOW) == []
    assert alert_queries.find_due(tables, NOW + 1000) == [alert._replace(due=NOW + 1000)]


def test_people_who_can_be_notified(tables: pw.Database) -> None:
    people = [Person(Role.ADMIN, str(id)) for id in range(1, 9)]

    def fill(tx: Any) -> None:
        for person in people[:5]:
            notifications.create(tx, person, 0, "hello", None)
        for index, name in [(1, "disabled"), (2, "removed"), (3, "again"), (5, "new"), (6, "off")]:
            account = StaffAccount(name, None, people[index], NOW, name in ("disabled", "off"))
            staff.add(tx.database, account, "hash")
        for name in ("removed", "again"):
            staff.remove(tx.database, name, NOW)
        staff.add(tx.database, StaffAccount("other", None, people[3], NOW), "hash")
        revocations.add(tx.database, people[4], NOW, NOW + 10, True, "test")
        revocations.add(tx.database, people[0], NOW, NOW + 10, False, "test")

    transact(tables, fill)
    present = [people[0], people[3], people[5]]
    assert notifications.people(tables, Role.ADMIN, NOW) == present
    assert notifications.people(tables, Role.ADMIN, NOW + 10) == [people[0], *people[3:6]]
    assert notifications.people(tables, Role.SUPERVISOR, NOW) == []
