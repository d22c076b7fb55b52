"""Read marks: up to which message a reader has read, as the reader's page reports.

``receipts`` is different: it says up to which message everything has arrived.
"""

from typing import Any

import peewee as pw

from tornado_chat.core.events import ReadAdvanced
from tornado_chat.core.types import Person, Thread
from tornado_chat.storage.models import Message, ReadMark
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.writer import Transaction

_MARKS = "SELECT reader, seq FROM read_mark WHERE kind = ? AND thread_id = ?"


def read_marks(database: pw.Database, thread: Thread) -> list[ReadAdvanced]:
    """Return the read marks of all readers of ``thread``."""
    rows = fetch_rows(database, _MARKS, thread.kind.value, thread.id)
    return [ReadAdvanced(thread, Person.from_key(reader), seq) for reader, seq in rows]


def set_read_mark(tx: Transaction, thread: Thread, reader: Person, seq: int) -> None:
    """Record that ``reader`` has read up to ``seq``, at most the last message.

    A lower mark changes nothing.
    """
    last = Message.select(pw.fn.MAX(Message.seq)).where(_in_thread(Message, thread)).scalar(tx.database) or 0
    seq = min(seq, last)
    mine = _in_thread(ReadMark, thread) & (ReadMark.reader == reader.key)
    known = ReadMark.select(ReadMark.seq).where(mine).scalar(tx.database)
    if known is None:
        ReadMark.insert(kind=thread.kind.value, thread_id=thread.id, reader=reader.key, seq=seq).execute(
            tx.database
        )
    elif known < seq:
        ReadMark.update(seq=seq).where(mine).execute(tx.database)
    else:
        return
    tx.emit(ReadAdvanced(thread, reader, seq))


def _in_thread(table: Any, thread: Thread) -> Any:
    return (table.kind == thread.kind.value) & (table.thread_id == thread.id)
