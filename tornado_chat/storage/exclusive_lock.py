"""Transactions of a command, which runs in its own process beside the server."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import peewee as pw

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.storage.writer import Transaction

T = TypeVar("T")

LOCK_TIMEOUT_SECONDS = 60  # how long a command waits for SQLite's write lock: the server writes all the time


def raise_lock_timeout(database: pw.Database) -> None:
    """Make a command wait longer for a lock than the server does: operators prefer a wait to a failure."""
    if isinstance(database, pw.SqliteDatabase):
        database.execute_sql(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_SECONDS * 1000}")  # type: ignore[no-untyped-call]


def write_transaction(database: pw.Database) -> AbstractContextManager[Any]:
    """Return a transaction that may change the database beside a running server.

    On SQLite it waits for the write lock at its beginning, as the writer does: a transaction that reads first
    fails at its first change, without a wait, if the server has committed in between.
    """
    begin = ("IMMEDIATE",) if isinstance(database, pw.SqliteDatabase) else ()
    transaction: AbstractContextManager[Any] = database.atomic(*begin)
    return transaction


def run_transaction(
    database: pw.Database,
    work: Callable[[Transaction], T],
    *,
    dry_run: bool = False,
    clock: Callable[[], int] = now_microseconds,
) -> T:
    """Run ``work`` in its own transaction and return its result. The events of ``work`` are not published.

    :arg dry_run: roll the transaction back at the end.
    """
    with write_transaction(database) as transaction:
        result = work(Transaction(database, clock()))
        if dry_run:
            transaction.rollback()
    return result
