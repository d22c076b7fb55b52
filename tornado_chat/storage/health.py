"""Whether the database takes writes, and how large it is."""

import os

import peewee as pw

from tornado_chat.storage.models import Receipt
from tornado_chat.storage.writer import Transaction


def probe_write(tx: Transaction) -> None:
    """Really write something: only that tells a full disk from a healthy one."""
    query = Receipt.replace(kind=0, thread_id=0, reader="probe", seq=tx.now)  # type: ignore[no-untyped-call]
    query.execute(tx.database)


def size(database: pw.Database) -> int | None:
    """Bytes of the database with its write-ahead log; None if it is no file here."""
    if not isinstance(database, pw.SqliteDatabase):
        return None
    path, found = str(database.database), 0
    for suffix in ("", "-wal"):
        try:
            found += os.stat(path + suffix).st_size
        except OSError:
            if not suffix:
                return None
    return found
