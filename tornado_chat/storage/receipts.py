"""Receipts: up to which message each reader of a thread is known to have received everything.

A receipt is never ahead of its thread. If the database has gone back to an older copy, or tables of different
copies were mixed, a receipt beyond the last message would hide the messages that get the same numbers later.
So such a receipt is not stored, counts as none when it is read, and is removed by ``remove_ahead``.
"""

from collections.abc import Iterable, Sequence

import peewee as pw

from tornado_chat.core.events import ReceiptAdvanced
from tornado_chat.core.types import Person, Thread
from tornado_chat.storage.models import Receipt
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.threads import (
    THREAD_TABLES,
    last_sequence_numbers,
    positions_ahead,
    remove_positions,
)
from tornado_chat.storage.writer import Transaction

_GET = {
    kind: (
        f"SELECT r.seq FROM receipt r JOIN {table._meta.table_name} t ON t.id = r.thread_id "  # noqa: S608
        "WHERE r.kind = ? AND r.thread_id = ? AND r.reader = ? AND r.seq <= t.last_seq"
    )
    for kind, table in THREAD_TABLES.items()
}


def get(database: pw.Database, thread: Thread, reader: Person) -> int | None:
    """Return the reader's receipt; None before the first one, or if it is ahead of the thread."""
    rows = fetch_rows(database, _GET[thread.kind], thread.kind.value, thread.id, reader.key)
    return rows[0][0] if rows else None


def of_threads(database: pw.Database, threads: Sequence[Thread]) -> list[ReceiptAdvanced]:
    """Return the receipts of all readers of ``threads``, except those that are ahead of their thread."""
    ends = dict(last_sequence_numbers(database, threads))
    table = Receipt
    found = []
    for kind in {thread.kind for thread in threads}:
        query = table.select(table.thread_id, table.reader, table.seq).where(
            (table.kind == kind.value)
            & table.thread_id.in_([thread.id for thread in threads if thread.kind is kind])
        )
        for id, reader, seq in query.tuples().execute(database):
            thread = Thread(kind, id)
            if seq <= ends.get(thread, -1):
                found.append(ReceiptAdvanced(thread, Person.from_key(reader), seq))
    return found


def advance_receipts(database: pw.Database, receipts: Iterable[tuple[Thread, Person, int]]) -> None:
    """Store receipts; a receipt that is lower than the stored one changes nothing.

    A receipt beyond the last message of its thread is ignored. Each connected reader can produce two per
    second, so one statement stores hundreds of receipts.
    """
    batch = list(receipts)
    ends = dict(last_sequence_numbers(database, list({thread for thread, _, _ in batch})))
    # All processes lock the rows in the same order, so that there is no deadlock.
    rows = sorted(
        (thread.kind.value, thread.id, reader.key, seq)
        for thread, reader, seq in batch
        if seq <= ends.get(thread, -1)
    )
    if not rows:
        return
    if isinstance(database, pw.SqliteDatabase):
        known = "ON CONFLICT (kind, thread_id, reader) DO UPDATE SET seq = max(seq, excluded.seq)"
    else:
        known = "ON DUPLICATE KEY UPDATE seq = GREATEST(seq, VALUES(seq))"
    marks = ", ".join([database.param] * 4)
    cursor = database.cursor()  # type: ignore[no-untyped-call]  # absent from the stubs
    cursor.executemany(f"INSERT INTO receipt (kind, thread_id, reader, seq) VALUES ({marks}) {known}", rows)  # noqa: S608


def find_ahead(database: pw.Database) -> list[tuple[Thread, str]]:
    """Return the receipts that are ahead of their threads, by thread and reader's key."""
    return positions_ahead(database, Receipt)


def remove_ahead(tx: Transaction, found: Iterable[tuple[Thread, str]]) -> int:
    """Remove those of ``found`` that are still ahead of their threads; return their number.

    Their readers get the conversation again from its start.
    """
    return remove_positions(tx.database, Receipt, found)
