"""Read marks: up to which message a reader has read, as the reader's page reports.

``receipts`` is different: it says up to which message everything has arrived.
"""

from collections.abc import Iterable
from typing import Any

import peewee as pw

from tornado_chat.core.events import ReadAdvanced
from tornado_chat.core.types import Person, Thread
from tornado_chat.storage.models import Message, ReadMark
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.threads import THREAD_TABLES, positions_ahead, remove_positions
from tornado_chat.storage.writer import Transaction

_MARKS = {
    kind: (
        f"SELECT r.reader, r.seq FROM read_mark r JOIN {table._meta.table_name} t ON t.id = r.thread_id "  # noqa: S608
        "WHERE r.kind = ? AND r.thread_id = ? AND r.seq <= t.last_seq"
    )
    for kind, table in THREAD_TABLES.items()
}


def read_marks(database: pw.Database, thread: Thread) -> list[ReadAdvanced]:
    """Return the read marks of all readers of ``thread``, except those that are ahead of it."""
    rows = fetch_rows(database, _MARKS[thread.kind], thread.kind.value, thread.id)
    return [ReadAdvanced(thread, Person.from_key(reader), seq) for reader, seq in rows]


def set_read_mark(tx: Transaction, thread: Thread, reader: Person, seq: int) -> None:
    """Record that ``reader`` has read up to ``seq``, at most the last message.

    A lower mark changes nothing, unless the stored one is ahead of the thread.
    """
    last = Message.select(pw.fn.MAX(Message.seq)).where(_in_thread(Message, thread)).scalar(tx.database) or 0
    seq = min(seq, last)
    mine = _in_thread(ReadMark, thread) & (ReadMark.reader == reader.key)
    known = ReadMark.select(ReadMark.seq).where(mine).scalar(tx.database)
    if known is None:
        ReadMark.insert(kind=thread.kind.value, thread_id=thread.id, reader=reader.key, seq=seq).execute(
            tx.database
        )
    elif known < seq or known > last:
        ReadMark.update(seq=seq).where(mine).execute(tx.database)
    else:
        return
    tx.emit(ReadAdvanced(thread, reader, seq))


def find_ahead(database: pw.Database) -> list[tuple[Thread, str]]:
    """Return the read marks that are ahead of their threads, by thread and reader's key."""
    return positions_ahead(database, ReadMark)


def remove_ahead(tx: Transaction, found: Iterable[tuple[Thread, str]]) -> int:
    """Remove those of ``found`` that are still ahead of their threads; return their number."""
    return remove_positions(tx.database, ReadMark, found)


def _in_thread(table: Any, thread: Thread) -> Any:
    return (table.kind == thread.kind.value) & (table.thread_id == thread.id)
