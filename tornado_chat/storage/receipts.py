"""Up to where each reader of a thread is known to have received everything."""

from collections.abc import Iterable

import peewee as pw

from tornado_chat.storage.models import Receipt
from tornado_chat.types import Person, Thread


def get(database: pw.Database, thread: Thread, reader: Person) -> int | None:
    """The reader's receipt, or None before the first one."""
    query = Receipt.select(Receipt.seq).where(
        (Receipt.kind == thread.kind.value)
        & (Receipt.thread_id == thread.id)
        & (Receipt.reader == reader.key)
    )
    seq: int | None = query.scalar(database)
    return seq


def advance(database: pw.Database, receipts: Iterable[tuple[Thread, Person, int]]) -> None:
    """Store receipts; one that is behind what is stored changes nothing."""
    for thread, reader, seq in receipts:
        at = (
            (Receipt.kind == thread.kind.value)
            & (Receipt.thread_id == thread.id)
            & (Receipt.reader == reader.key)
        )
        known = Receipt.select(Receipt.seq).where(at).scalar(database)
        if known is None:
            Receipt.insert(kind=thread.kind.value, thread_id=thread.id, reader=reader.key, seq=seq).execute(
                database
            )
        elif known < seq:
            Receipt.update(seq=seq).where(at & (Receipt.seq < seq)).execute(database)
