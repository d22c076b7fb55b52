"""The verification of the chain of audit records."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.plugin_api import MAX_PAGE_ITEMS, Operation, ServerData

from .chain import (
    ACKNOWLEDGED,
    BREAK,
    CHAIN_KIND,
    GENESIS_CODE,
    OPERATION_KIND,
    AuditRecord,
    Head,
    code_of,
    head,
    is_empty,
    read_end,
    record_code,
    records_from,
)

REMEDY = "run `tornado-chat audit verify`, and find out who can write to the database"


class ChainFault(NamedTuple):
    """A fault in the chain.

    :ivar number: the number of the first record that cannot be trusted; 0 for the head.
    :ivar text: a sentence without a full stop, for example "record 3 is missing".
    """

    number: int
    text: str


def verify(
    database: pw.Database,
    key: bytes,
    progress: Callable[[int], object] = lambda count: None,
    seen: Head | None = None,
) -> ChainFault | None:
    """Verify the whole chain. Returns the first fault, or None.

    A "break" that was acknowledged is none. The server may append records meanwhile.

    :arg progress: called with the number of records that were verified since the last call.
    :arg seen: the newest head that is known from outside of the database.
    """
    fault, last, breaks = _read_through(database, key, progress)
    return fault or _end_fault(database, key, last, seen) or next(iter(breaks.values()), None)


def find_changed_record(
    database: pw.Database, key: bytes, progress: Callable[[int], object] = lambda count: None
) -> ChainFault | None:
    """Return the first fault that no "break" is written for, or None. The end of the chain is not checked."""
    return _read_through(database, key, progress)[0]


def _read_through(
    database: pw.Database, key: bytes, progress: Callable[[int], object]
) -> tuple[ChainFault | None, Head, dict[int, ChainFault]]:
    """Read all records. Return the first fault, the last record before it, and the breaks by number.

    A fault that a "break" is written for is one of the breaks, unless it was acknowledged.
    """
    last, breaks = Head(0, GENESIS_CODE), dict[int, ChainFault]()
    while True:
        for record, values in records_from(database, last.number + 1):
            fault = _fault_of(key, last, record, values)
            if fault is not None:
                resumed = _break_after(database, key, last)
                if resumed is None:
                    return fault, last, breaks
                record = resumed
            if record["kind"] == CHAIN_KIND:
                _note_break(breaks, last.number, record)
            last = Head(record["number"], record["code"])
            progress(1)
            if fault is not None:
                break  # read on behind the break
        else:
            if head(database).number <= last.number:
                return None, last, breaks


def is_other_key(database: pw.Database, key: bytes) -> bool:
    """Return True if neither the head, nor the first, nor the last record was written with the key."""
    table = AuditRecord
    numbers = table.select(pw.fn.MIN(table.number), pw.fn.MAX(table.number))
    first, last = numbers.scalar(database, as_tuple=True)
    if first is None or not read_end(database, key).fault:
        return False
    return not (_is_genuine(database, key, first) or _is_genuine(database, key, last))


def find_problem(
    database: pw.Database, key: bytes, seen: Head | None = None, known_breaks: Collection[int] = ()
) -> str | None:
    """Return the problem of the chain that can be seen without reading it all, as a sentence, or None.

    :arg seen: as of ``verify``.
    :arg known_breaks: numbers of records that were a "break" before.
    """
    end = read_end(database, key, seen)
    breaks = unacknowledged_breaks(database, key, known_breaks)
    missing = unrecorded_operations(database)
    if end.fault:
        text = f"the audit log is broken: {end.fault}"
    elif breaks:
        text = f"the audit log was broken before record {breaks[0]}"
    elif missing:
        text = f"{unrecorded_text(missing)} not in the audit log"
    else:
        return None
    return f"{text}; {REMEDY}"


def unacknowledged_breaks(database: pw.Database, key: bytes, known: Collection[int] = ()) -> list[int]:
    """Return the numbers of the "break" records that no operator has acknowledged.

    :arg known: numbers of records that were a "break" before; to change or delete them does not acknowledge
        them.
    """
    table = AuditRecord
    query = table.select(table.number, table.action, table.message).where(
        (table.kind == CHAIN_KIND) & (table.thread_id == 0)
    )
    rows = list(query.order_by(table.number).tuples().execute(database))
    done = {
        message
        for number, action, message in rows
        if action == ACKNOWLEDGED and _is_genuine(database, key, number)
    }
    breaks = {number: message for number, action, message in rows if action == BREAK}
    # An acknowledged "break" concerns all records between the last trusted one and itself.
    covered = {each for each in known for last in done & breaks.keys() if breaks[last] < each <= last}
    return sorted({*breaks, *known} - covered - done)


def _is_genuine(database: pw.Database, key: bytes, number: int) -> bool:
    """Return True if a record was written with the key, behind the record that it follows."""
    record, values = next(records_from(database, number))
    is_break = record["kind"] == CHAIN_KIND and record["action"] == BREAK
    before = code_of(database, record["message"] if is_break else number - 1)
    return before is not None and record_code(key, values, before) == record["code"]


def unrecorded_operations(database: pw.Database) -> list[Operation]:
    """Return the operators' commands since the chain began that have no audit record.

    They ran with the plugin switched off.
    """
    record, data = AuditRecord, ServerData(database)
    began = record.select(record.time).order_by(record.number).limit(1).scalar(database)
    if began is None:
        return []
    query = record.select(record.thread_id).where(record.kind == OPERATION_KIND).tuples()
    recorded = {id for (id,) in query.execute(database)}
    missing: list[Operation] = []
    following: int | None = 0
    while following is not None:
        page, following = data.operations(after=following, since=began, limit=MAX_PAGE_ITEMS)
        missing += [operation for operation in page if operation.id not in recorded]
    return missing


def unrecorded_text(operations: list[Operation]) -> str:
    """Name the operations, as the subject of a sentence."""
    first = operations[0]
    name = f"the command {first.action} of {first.operator} (operation {first.id})"
    more = len(operations) - 1
    return f"{name} and {more} more are" if more else f"{name} is"


def has_data(database: pw.Database) -> bool:
    """Return True if the server has stored messages, sessions, conversations or operations."""
    return ServerData(database).has_data()


def has_recorded_data(database: pw.Database, since: int) -> bool:
    """Return True if the server has stored data since a time (µs) that every version of the plugin records.

    An earlier version did not record, for example, that a session was opened. So a server that was upgraded
    may have data, a key, and no record.
    """
    return ServerData(database).has_data(since)


def missing_chain(database: pw.Database) -> ChainFault | None:
    """Return a fault if there is no record at all although the server has data."""
    if is_empty(database) and has_data(database):
        return ChainFault(
            0, "there is no record at all, although the server has data and the audit has a key"
        )
    return None


def _fault_of(key: bytes, last: Head, record: dict[str, Any], values: list[Any]) -> ChainFault | None:
    expected = last.number + 1
    if record["number"] != expected:
        return ChainFault(expected, f"record {expected} is missing")
    if record_code(key, values, last.code) != record["code"]:
        return ChainFault(
            expected, f"record {expected} was changed, or the record before it was removed or moved"
        )
    return None


def _break_after(database: pw.Database, key: bytes, last: Head) -> dict[str, Any] | None:
    """Return the "break" that goes on after the record ``last``, if it was written with the key."""
    table = AuditRecord
    query = table.select(table.number).where(
        (table.kind == CHAIN_KIND)
        & (table.thread_id == 0)
        & (table.message == last.number)
        & (table.action == BREAK)
        & (table.number > last.number)
    )
    for (number,) in list(query.order_by(table.number).tuples().execute(database)):
        record, values = next(records_from(database, number))
        if record["number"] == number and record_code(key, values, last.code) == record["code"]:
            return record
    return None


def _note_break(breaks: dict[int, ChainFault], last: int, record: dict[str, Any]) -> None:
    """Add a "break" to ``breaks``, or remove the one that the record acknowledges.

    :arg last: the number of the record that was verified before.
    """
    number = record["number"]
    if record["action"] == BREAK:
        gone = "all records before it" if last == 0 else f"records after {last}"
        if number > last + 1:
            one = number == last + 2
            gone = f"record {last + 1}" if one else f"records {last + 1} to {number - 1}"
        breaks[number] = ChainFault(
            last + 1,
            f"record {number} says that the chain was broken: {gone} may be missing, or cannot be verified",
        )
    elif record["action"] == ACKNOWLEDGED:
        breaks.pop(record["message"], None)


def _end_fault(database: pw.Database, key: bytes, last: Head, seen: Head | None) -> ChainFault | None:
    """Compare the head with the last verified record."""
    end = read_end(database, key)
    if end.next - 1 == last.number:
        if end.fault and not is_empty(database):
            return ChainFault(0, end.fault)
    elif code_of(database, last.number + 1) is None:  # else appended meanwhile
        return ChainFault(last.number + 1, f"record {last.number + 1} and all records after it are missing")
    gone_back = read_end(database, key, seen).fault if seen is not None else ""
    return ChainFault(last.number + 1, gone_back) if gone_back else None
