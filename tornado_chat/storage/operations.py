"""The record of operations on personal data: its rows are added and never changed."""

from collections.abc import Mapping

import msgspec
import peewee as pw

from tornado_chat.core.types import Operation, Person
from tornado_chat.storage.models import DataOperation
from tornado_chat.storage.writer import Transaction


def add(
    tx: Transaction,
    operator: str,
    action: str,
    state: str,
    person: Person | None = None,
    counts: Mapping[str, int] | None = None,
) -> Operation:
    """Record that ``operator`` has ``begun``, ``done`` or ``stopped`` (``state``) an operation ``action``.

    :arg counts: rows by table.
    """
    counts_json = None if counts is None else msgspec.json.encode(dict(counts)).decode()
    id = DataOperation.insert(
        time=tx.now,
        operator=operator[:80],
        action=action,
        state=state,
        person=person.key if person else None,
        counts=counts_json,
    ).execute(tx.database)
    found = DataOperation.select().where(DataOperation.id == id).dicts().execute(tx.database)
    return _operation(next(iter(found)))


def latest(database: pw.Database, limit: int) -> list[Operation]:
    """Return the newest ``limit`` operations, oldest first."""
    query = DataOperation.select().order_by(DataOperation.id.desc()).limit(limit)
    return [_operation(row) for row in query.dicts().execute(database)][::-1]


def for_person(database: pw.Database, person: Person) -> list[Operation]:
    """Return the operations on one person's data, oldest first."""
    query = DataOperation.select().where(DataOperation.person == person.key).order_by(DataOperation.id)
    return [_operation(row) for row in query.dicts().execute(database)]


def erasures(database: pw.Database) -> set[tuple[int, Person]]:
    """Return the time (microseconds since 1970) and person of every erasure that was begun."""
    table = DataOperation
    query = table.select(table.time, table.person).where(
        (table.action == "erase") & table.person.is_null(False)
    )
    return {(time, Person.from_key(key)) for time, key in query.tuples().execute(database)}


def _operation(row: Mapping[str, object]) -> Operation:
    return msgspec.convert(row, Operation)
