"""The record of operations on personal data: its rows are added and never changed.

Beside it, an erasure has a row with its progress: each of its transactions updates the row, and the end of
the erasure removes it, so that an erasure that was killed can be resumed with complete counts.
"""

from collections.abc import Mapping

import msgspec
import peewee as pw

from tornado_chat.core.types import Operation, Person
from tornado_chat.storage.models import DataOperation, ErasureProgress
from tornado_chat.storage.writer import Transaction

ERASE, DONE = "erase", "done"


def add(
    tx: Transaction,
    operator: str,
    action: str,
    state: str,
    person: Person | None = None,
    counts: Mapping[str, int] | None = None,
) -> Operation:
    """Record that ``operator`` has ``begun``, ``done`` or ``stopped`` (``state``) an operation ``action``.

    An erasure that is ``done`` has no progress any more.

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
    if person is not None and (action, state) == (ERASE, DONE):
        ErasureProgress.delete().where(ErasureProgress.person == person.key).execute(tx.database)
    found = DataOperation.select().where(DataOperation.id == id).dicts().execute(tx.database)
    return _operation(next(iter(found)))


def latest(database: pw.Database, limit: int) -> list[Operation]:
    """Return the newest ``limit`` operations, oldest first."""
    query = DataOperation.select().order_by(DataOperation.id.desc()).limit(limit)
    return [_operation(row) for row in query.dicts().execute(database)][::-1]


def get(database: pw.Database, id: int) -> Operation | None:
    row = DataOperation.select().where(DataOperation.id == id).dicts().first(database)
    return _operation(row) if row else None


def page_after(database: pw.Database, id: int, limit: int, since: int) -> list[Operation]:
    """Return the first operations after ``id`` that were recorded at the time ``since`` or later."""
    table = DataOperation
    query = table.select().where((table.id > id) & (table.time >= since)).order_by(table.id).limit(limit)
    return [_operation(row) for row in query.dicts().execute(database)]


def for_person(database: pw.Database, person: Person) -> list[Operation]:
    """Return the operations on one person's data, oldest first."""
    query = DataOperation.select().where(DataOperation.person == person.key).order_by(DataOperation.id)
    return [_operation(row) for row in query.dicts().execute(database)]


def erasures(database: pw.Database) -> set[tuple[int, Person]]:
    """Return the time (microseconds since 1970) and person of every erasure that was begun."""
    table = DataOperation
    query = table.select(table.time, table.person).where(
        (table.action == ERASE) & table.person.is_null(False)
    )
    return {(time, Person.from_key(key)) for time, key in query.tuples().execute(database)}


def unfinished_erasure(database: pw.Database, person: Person) -> Operation | None:
    """Return the newest record that an erasure of the person was begun, if it has not been completed."""
    rows = [each for each in for_person(database, person) if each.action == ERASE]
    if not rows or rows[-1].state == DONE:
        return None
    return next((each for each in reversed(rows) if each.state == "begun"), rows[-1])


def progress(database: pw.Database, person: Person) -> dict[str, int]:
    """Return the counts that the transactions of an unfinished erasure have stored."""
    table = ErasureProgress
    counts = table.select(table.counts).where(table.person == person.key).scalar(database)
    return {} if counts is None else msgspec.json.decode(counts, type=dict[str, int])


def set_progress(tx: Transaction, person: Person, counts: Mapping[str, int]) -> None:
    """Store the counts of an erasure up to and including this transaction."""
    text = msgspec.json.encode(dict(counts)).decode()
    ErasureProgress.insert(person=person.key, counts=text).on_conflict_replace().execute(tx.database)


def _operation(row: Mapping[str, object]) -> Operation:
    return msgspec.convert(row, Operation)
