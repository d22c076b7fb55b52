"""Leases: one holder at a time, until a lease expires or is released."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import peewee as pw

from tests.storage.conftest import transact
from tornado_chat.storage import leases, models
from tornado_chat.storage.schema import create_missing_tables
from tornado_chat.storage.writer import Transaction

SECOND = 1_000_000


def test_a_lease_has_one_holder_until_it_expires_or_is_released(database: pw.Database) -> None:
    def take(holder: str, now: int) -> bool:
        free = leases.is_available(database, "x", holder, now)
        taken: bool
        taken, _ = transact(
            database, lambda tx: leases.acquire(Transaction(tx.database, now), "x", holder, 10)
        )
        assert taken is free  # is_available is right if no other process acquires the lease in between
        return taken

    assert take("a", 0)
    assert not take("b", 9 * SECOND)
    assert take("a", 9 * SECOND)
    assert take("a", 9 * SECOND)  # again at the same time
    assert not take("b", 18 * SECOND)
    assert take("b", 20 * SECOND)  # a is late
    assert not take("a", 21 * SECOND)
    transact(database, lambda tx: leases.release(tx, "x", "a"))  # a does not know that it lost the lease
    assert not take("c", 21 * SECOND)
    transact(database, lambda tx: leases.release(tx, "x", "b"))
    assert take("c", 21 * SECOND)


def test_leases_with_different_names_are_independent(database: pw.Database) -> None:
    for name in ("x", "y"):
        transact(database, lambda tx, name=name: leases.acquire(tx, name, "a", 10))
    transact(database, lambda tx: leases.release(tx, "x", "a"))
    assert leases.is_available(database, "x", "b", 1)
    assert not leases.is_available(database, "y", "b", 1)


def test_a_reserved_name_has_no_holder_until_its_time(database: pw.Database) -> None:
    def write(work: Callable[[Transaction], Any], now: int) -> Any:
        return transact(database, lambda tx: work(Transaction(tx.database, now)))[0]

    assert leases.reserved_until(database, "x") == 0
    assert write(lambda tx: leases.acquire(tx, "x", "a", 10), 0)
    assert not write(lambda tx: leases.reserve(tx, "x", "b", 90 * SECOND), 1)  # which does not hold it
    assert write(lambda tx: leases.reserve(tx, "x", "a", 90 * SECOND), 1)
    assert not write(lambda tx: leases.acquire(tx, "x", "a", 10), 80 * SECOND)
    write(lambda tx: leases.bring_forward(tx, "x", 95 * SECOND), 80 * SECOND)
    assert leases.reserved_until(database, "x") == 90 * SECOND
    write(lambda tx: leases.bring_forward(tx, "x", 70 * SECOND), 80 * SECOND)
    assert write(lambda tx: leases.acquire(tx, "x", "b", 10), 80 * SECOND)
    assert write(lambda tx: leases.reserve(tx, "x", None, 99 * SECOND), 80 * SECOND)
    write(lambda tx: leases.acquire(tx, "y", "a", 10), 0)
    with closing(pw.SqliteDatabase(":memory:")) as other:
        create_missing_tables(other, [models.Lease])
        leases.copy_reserved(database, other)
        assert leases.reserved_until(other, "x") == 99 * SECOND
        assert leases.is_available(other, "y", "b", 0)
