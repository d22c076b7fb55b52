"""What only one process at a time may do, by a row with its name and an end.

Whoever holds one extends it; who dies lets it run out. Processes go by their own clocks: those of machines that share a
database have to agree to a second or two.
"""

import peewee as pw

from tornado_chat.storage import models
from tornado_chat.storage.writer import Transaction


def is_available(database: pw.Database, name: str, holder: str, now: int) -> bool:
    """Whether it is worth while to ``acquire`` it, which locks the row. :arg now: in microseconds."""
    lease = models.Lease
    row = lease.select(lease.holder, lease.until).where(lease.name == name).tuples().first(database)
    return row is None or row[0] == holder or row[1] < now


def is_any_held(database: pw.Database, prefix: str, now: int) -> bool:
    """Whether somebody holds one whose name begins with ``prefix``. :arg now: in microseconds."""
    lease = models.Lease
    return bool(lease.select().where(lease.name.startswith(prefix) & (lease.until > now)).exists(database))


def acquire(tx: Transaction, name: str, holder: str, seconds: float) -> bool:
    """Whether it is ``holder``'s from now on, or still."""
    lease = models.Lease
    until = tx.now + round(seconds * 1_000_000)
    mine = (lease.name == name) & ((lease.holder == holder) | (lease.until < tx.now))
    lease.update(holder=holder, until=until).where(mine).execute(tx.database)
    lease.insert(name=name, holder=holder, until=until).on_conflict_ignore().execute(tx.database)
    held: str = lease.select(lease.holder).where(lease.name == name).scalar(tx.database)
    return held == holder


def release(tx: Transaction, name: str, holder: str) -> None:
    """Somebody else may have it at once."""
    lease = models.Lease
    lease.update(until=0).where((lease.name == name) & (lease.holder == holder)).execute(tx.database)
