"""One at a time, and nobody for ever."""

import peewee as pw

from tests.storage.conftest import transact
from tornado_chat.storage import leases
from tornado_chat.storage.writer import Transaction

SECOND = 1_000_000


def test_a_lease_is_one_holders_until_it_runs_out_or_is_let_go(database: pw.Database) -> None:
    def take(holder: str, now: int) -> bool:
        free = leases.is_available(database, "x", holder, now)
        taken: bool
        taken, _ = transact(
            database, lambda tx: leases.acquire(Transaction(tx.database, now), "x", holder, 10)
        )
        assert taken is free  # who looks first is not wrong, as long as nobody comes in between
        return taken

    assert take("a", 0)
    assert not take("b", 9 * SECOND)
    assert take("a", 9 * SECOND)
    assert take("a", 9 * SECOND)  # at the same time again
    assert not take("b", 18 * SECOND)
    assert take("b", 20 * SECOND)  # a is late
    assert not take("a", 21 * SECOND)
    transact(database, lambda tx: leases.release(tx, "x", "a"))  # it has not heard of that yet
    assert not take("c", 21 * SECOND)
    transact(database, lambda tx: leases.release(tx, "x", "b"))
    assert take("c", 21 * SECOND)


def test_leases_of_other_names_are_others(database: pw.Database) -> None:
    for name in ("x", "y"):
        transact(database, lambda tx, name=name: leases.acquire(tx, name, "a", 10))
    transact(database, lambda tx: leases.release(tx, "x", "a"))
    assert leases.is_available(database, "x", "b", 1)
    assert not leases.is_available(database, "y", "b", 1)
