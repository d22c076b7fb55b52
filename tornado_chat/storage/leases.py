"""Database leases: a named row gives one process the exclusive right to a task until a time.

The holder extends its lease; the lease of a process that died runs out. Each process uses its own clock, so
the clocks of machines that share a database have to agree to a second or two.

A name that is *reserved* until a time has no holder until then: no process can acquire its lease before.
"""

import peewee as pw

from tornado_chat.storage import models
from tornado_chat.storage.writer import Transaction

RESERVED = "reserved"
"""The holder of a name that no process can acquire yet. Processes have other names."""


def is_available(database: pw.Database, name: str, holder: str, now: int) -> bool:
    """Return True if ``acquire``, which locks the row, can succeed. :arg now: microseconds since 1970."""
    lease = models.Lease
    row = lease.select(lease.holder, lease.until).where(lease.name == name).tuples().first(database)
    return row is None or row[0] == holder or row[1] < now


def is_any_held(database: pw.Database, prefix: str, now: int) -> bool:
    """Return True if a lease whose name begins with ``prefix`` is held. :arg now: microseconds since 1970."""
    lease = models.Lease
    return bool(lease.select().where(lease.name.startswith(prefix) & (lease.until > now)).exists(database))


def acquire(tx: Transaction, name: str, holder: str, seconds: float) -> bool:
    """Take or extend the lease ``name``. Return True if ``holder`` has it for ``seconds`` from now on."""
    lease = models.Lease
    until = tx.now + round(seconds * 1_000_000)
    mine = (lease.name == name) & ((lease.holder == holder) | (lease.until < tx.now))
    lease.update(holder=holder, until=until).where(mine).execute(tx.database)
    lease.insert(name=name, holder=holder, until=until).on_conflict_ignore().execute(tx.database)
    held: str = lease.select(lease.holder).where(lease.name == name).scalar(tx.database)
    return held == holder


def release(tx: Transaction, name: str, holder: str) -> None:
    """Give the lease up, so that another process can take it at once."""
    lease = models.Lease
    lease.update(until=0).where((lease.name == name) & (lease.holder == holder)).execute(tx.database)


def reserved_until(database: pw.Database, name: str) -> int:
    """Return the time until which ``name`` is reserved, in microseconds since 1970; 0: it never was."""
    lease = models.Lease
    query = lease.select(lease.until).where((lease.name == name) & (lease.holder == RESERVED))
    until: int | None = query.scalar(database)
    return until or 0


def reserve(tx: Transaction, name: str, holder: str | None, until: int) -> bool:
    """Reserve ``name`` until a time. Return False if ``holder`` does not hold it any more.

    :arg holder: the process that gives its lease up; None: there is one process only.
    """
    lease = models.Lease
    values = {"holder": RESERVED, "until": until}
    condition = lease.name == name
    if holder is not None:
        return bool(lease.update(values).where(condition & (lease.holder == holder)).execute(tx.database))
    lease.delete().where(condition).execute(tx.database)
    lease.insert(name=name, **values).execute(tx.database)
    return True


def bring_forward(tx: Transaction, name: str, until: int) -> None:
    """End the reservation of ``name`` at ``until``, if it ends later."""
    lease = models.Lease
    later = (lease.name == name) & (lease.holder == RESERVED) & (lease.until > until)
    lease.update(until=until).where(later).execute(tx.database)


def copy_reserved(source: pw.Database, target: pw.Database) -> None:
    """Copy the reservations, and no lease of a process, into another database."""
    lease = models.Lease
    rows = list(lease.select().where(lease.holder == RESERVED).dicts().execute(source))
    if rows:
        lease.insert_many(rows).on_conflict_ignore().execute(target)
