"""Health of the database: whether it accepts writes, and its size."""

import os

import peewee as pw

from tornado_chat.storage.models import Receipt
from tornado_chat.storage.writer import Transaction


def probe_write(tx: Transaction) -> None:
    """Write a row: only a real write fails on a full disk."""
    query = Receipt.replace(kind=0, thread_id=0, reader="probe", seq=tx.now)  # type: ignore[no-untyped-call]
    query.execute(tx.database)


def database_bytes(database: pw.Database) -> int | None:
    """Return the size of a SQLite file with its write-ahead log; None for other databases."""
    if not isinstance(database, pw.SqliteDatabase):
        return None
    path, total = str(database.database), 0
    for suffix in ("", "-wal"):
        try:
            total += os.stat(path + suffix).st_size
        except OSError:
            if not suffix:
                return None
    return total
