"""Transactions of a command, which is a process of its own beside the server."""

from collections.abc import Callable
from typing import TypeVar

import peewee as pw

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.storage.writer import Transaction

T = TypeVar("T")

LOCK_TIMEOUT_SECONDS = 60  # seconds that a command waits for its turn: the server writes all the time


def raise_lock_timeout(database: pw.Database) -> None:
    """Wait longer for a lock than the server does: people would rather wait than call again."""
    if isinstance(database, pw.SqliteDatabase):
        database.execute_sql(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_SECONDS * 1000}")  # type: ignore[no-untyped-call]


def run_transaction(
    database: pw.Database,
    work: Callable[[Transaction], T],
    *,
    dry_run: bool = False,
    clock: Callable[[], int] = now_microseconds,
) -> T:
    """Run ``work`` in a transaction of its own. Nobody hears of its events.

    :arg dry_run: take everything back in the end.
    """
    # IMMEDIATE as in the writer: waiting for SQLite's write lock later could fail.
    begin = ("IMMEDIATE",) if isinstance(database, pw.SqliteDatabase) else ()
    with database.atomic(*begin) as transaction:
        result = work(Transaction(database, clock()))
        if dry_run:
            transaction.rollback()
    return result
