"""Receipts: up to which message each reader of a thread is known to have received everything."""

from collections.abc import Iterable

import peewee as pw

from tornado_chat.core.types import Person, Thread
from tornado_chat.storage.raw_sql import fetch_rows

_GET = "SELECT seq FROM receipt WHERE kind = ? AND thread_id = ? AND reader = ?"


def get(database: pw.Database, thread: Thread, reader: Person) -> int | None:
    """Return the reader's receipt, or None before the first one."""
    rows = fetch_rows(database, _GET, thread.kind.value, thread.id, reader.key)
    return rows[0][0] if rows else None


def advance_receipts(database: pw.Database, receipts: Iterable[tuple[Thread, Person, int]]) -> None:
    """Store receipts; a receipt that is lower than the stored one changes nothing.

    Each connected reader can produce two per second, so one statement stores hundreds of receipts.
    """
    # All processes lock the rows in the same order, so that there is no deadlock.
    rows = sorted((thread.kind.value, thread.id, reader.key, seq) for thread, reader, seq in receipts)
    if isinstance(database, pw.SqliteDatabase):
        known = "ON CONFLICT (kind, thread_id, reader) DO UPDATE SET seq = max(seq, excluded.seq)"
    else:
        known = "ON DUPLICATE KEY UPDATE seq = GREATEST(seq, VALUES(seq))"
    marks = ", ".join([database.param] * 4)
    cursor = database.cursor()  # type: ignore[no-untyped-call]  # absent from the stubs
    cursor.executemany(f"INSERT INTO receipt (kind, thread_id, reader, seq) VALUES ({marks}) {known}", rows)  # noqa: S608
