"""Last sequence numbers of threads, and positions of readers beyond them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import peewee as pw

from tornado_chat.aio.chunks import chunks
from tornado_chat.core.types import Kind, Thread
from tornado_chat.storage import models
from tornado_chat.storage.raw_sql import fetch_rows

THREAD_TABLES: Mapping[Kind, Any] = {
    Kind.SESSION: models.ConsultationSession,
    Kind.RECORD: models.SupervisorConsultation,
    Kind.SUPPORT: models.SupportConversation,
    Kind.INBOX: models.Inbox,
}

MAX_IDS = 128
"""Ids in one query. The lists are filled up to this length or to one id, so there are two statements."""


def last_sequence_numbers(database: pw.Database, threads: Sequence[Thread]) -> list[tuple[Thread, int]]:
    """Return each existing thread of ``threads`` with its last ``seq``."""
    found: list[tuple[Thread, int]] = []
    for kind, table in THREAD_TABLES.items():
        for ids in chunks([thread.id for thread in threads if thread.kind is kind], MAX_IDS):
            padded = ids if len(ids) == 1 else [*ids, *[ids[-1]] * (MAX_IDS - len(ids))]
            marks = ", ".join("?" * len(padded))
            query = f"SELECT id, last_seq FROM {table._meta.table_name} WHERE id IN ({marks})"  # noqa: S608
            found += [(Thread(kind, id), seq) for id, seq in fetch_rows(database, query, *padded)]
    return found


def is_ahead(database: pw.Database, thread: Thread, seq: int) -> bool:
    """Return True if ``seq`` is beyond the last item of ``thread``.

    A reader has such a position only if the database has gone back to an older copy.
    """
    return any(seq > last for _, last in last_sequence_numbers(database, [thread]))


def time_of_item(database: pw.Database, thread: Thread, seq: int) -> int | None:
    """Return the time of the item ``seq`` of ``thread`` in microseconds since 1970; None if there is none."""
    if thread.kind is Kind.INBOX:
        query, values = "SELECT time FROM notification WHERE inbox_id = ? AND seq = ?", [thread.id, seq]
    else:
        query = "SELECT time FROM message WHERE kind = ? AND thread_id = ? AND seq = ?"
        values = [thread.kind.value, thread.id, seq]
    rows = fetch_rows(database, query, *values)
    return rows[0][0] if rows else None


def positions_ahead(database: pw.Database, positions: Any) -> list[tuple[Thread, str]]:
    """Return the rows of ``positions`` beyond the last item of their thread, by thread and reader's key.

    :arg positions: a table with the columns ``kind``, ``thread_id``, ``reader`` and ``seq``.
    """
    found: list[tuple[Thread, str]] = []
    for kind, table in THREAD_TABLES.items():
        query = (
            positions.select(positions.thread_id, positions.reader)
            .join(table, on=(table.id == positions.thread_id))
            .where((positions.kind == kind.value) & (positions.seq > table.last_seq))
        )
        found += [(Thread(kind, id), reader) for id, reader in query.tuples().execute(database)]
    return found


def remove_positions(database: pw.Database, positions: Any, found: Iterable[tuple[Thread, str]]) -> int:
    """Remove those rows of ``found`` that are still ahead of their thread; return their number."""
    rows = list(found)
    ends = dict(last_sequence_numbers(database, list({thread for thread, _ in rows})))
    removed = 0
    for thread, reader in rows:
        if thread in ends:
            removed += (
                positions.delete()
                .where(
                    (positions.kind == thread.kind.value)
                    & (positions.thread_id == thread.id)
                    & (positions.reader == reader)
                    & (positions.seq > ends[thread])
                )
                .execute(database)
            )
    return removed
