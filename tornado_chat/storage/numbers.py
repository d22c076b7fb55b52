"""The numbers of sessions and records: those that a host chooses, and the server's own.

Strategy: each of the two tables has a sequence, a row of ``number_sequence`` with the last number that the
server gave by itself. A number that a host chooses does not change the sequence, so a host, or a request
in the name of one, cannot exhaust the range for the server. The sequence skips numbers that are taken.

**The server uses no number again.** The sequence only ascends. If a session or record is removed whose number
is not far ahead of the sequence, because a host chose it, the emptied row keeps the number until the
sequence has passed it (``upcoming``, ``storage/retention.py``).
"""

from collections.abc import Mapping

import peewee as pw

from tornado_chat.core.errors import Conflict, Malformed
from tornado_chat.core.numbers import MAX_NUMBER, MAX_OWN_NUMBER, is_number
from tornado_chat.core.types import Kind
from tornado_chat.storage import models
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.writer import Transaction

SEQUENCE_NAMES: Mapping[Kind, str] = {
    Kind.SESSION: "consultation_session",
    Kind.RECORD: "supervisor_consultation",
}
"""The name of a kind's sequence: that of its table."""

UPCOMING_NUMBERS = 1_000_000
"""How far ahead of the sequence the numbers of removed rows are kept. The rows of a host that chooses numbers
far away, such as snowflakes, are deleted: the sequence does not get there."""

_table = models.NumberSequence


def require_valid(number: int) -> None:
    """Check a number that a host chooses. :raises Malformed: it is out of range."""
    if not is_number(number):
        reason = f"a number from 1 to {MAX_NUMBER} is expected, not {number}"
        raise Malformed("bad_shape", reason=reason)


def take_next(tx: Transaction, kind: Kind) -> int:
    """Return the next free number of the server's own.

    :raises Conflict: there is none left up to ``MAX_OWN_NUMBER``.
    """
    name = SEQUENCE_NAMES[kind]
    advance = _table.update(last_number=_table.last_number + 1).where(_table.name == name)
    if not advance.execute(tx.database):
        _table.insert(name=name, last_number=0).on_conflict_ignore().execute(tx.database)
        advance.execute(tx.database)
    next_number = last_given(tx.database, kind)
    number = _first_free(tx.database, name, next_number)
    if number > MAX_OWN_NUMBER:
        raise Conflict("numbers_used_up")
    if number != next_number:
        _table.update(last_number=number).where(_table.name == name).execute(tx.database)
    return number


def begin_at(tx: Transaction, first: int) -> None:
    """Let the server's own numbers begin at ``first``; a sequence that is beyond it stays as it is."""
    for name in SEQUENCE_NAMES.values():
        _table.insert(name=name, last_number=0).on_conflict_ignore().execute(tx.database)
        behind = (_table.name == name) & (_table.last_number < first - 1)
        _table.update(last_number=first - 1).where(behind).execute(tx.database)


def last_given(database: pw.Database, kind: Kind) -> int:
    """Return the last number that the server gave by itself; 0 before the first."""
    last: int | None = (
        _table.select(_table.last_number).where(_table.name == SEQUENCE_NAMES[kind]).scalar(database)
    )
    return last or 0


def upcoming(database: pw.Database, kind: Kind) -> tuple[int, int]:
    """Return the first and the last of the next ``UPCOMING_NUMBERS`` numbers of the server's own.

    A row with one of them is not deleted before the sequence has passed it, so that the number stays taken.
    """
    last = last_given(database, kind)
    return last + 1, last + UPCOMING_NUMBERS


def _first_free(database: pw.Database, table: str, number: int) -> int:
    """Return ``number`` or the first number behind it that no row of ``table`` has."""
    if not fetch_rows(database, f"SELECT id FROM {table} WHERE id = ?", number):  # noqa: S608 - a constant
        return number
    # A host may have taken many in a row: the first row without a successor is found by one query.
    rows = fetch_rows(
        database,
        f"SELECT taken.id FROM {table} AS taken LEFT JOIN {table} AS following "  # noqa: S608 - constants
        "ON following.id = taken.id + 1 WHERE taken.id >= ? AND taken.id <= ? AND following.id IS NULL "
        "ORDER BY taken.id LIMIT 1",
        number,
        MAX_OWN_NUMBER,
    )
    return rows[0][0] + 1 if rows else MAX_OWN_NUMBER + 1
