"""The verification of the chain of audit records."""

from collections.abc import Callable
from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.plugin_api import models

from .chain import (
    ACKNOWLEDGED,
    BREAK,
    CHAIN_KIND,
    GENESIS_CODE,
    OPERATION_KIND,
    AuditRecord,
    code_of,
    head,
    is_empty,
    read_end,
    record_code,
    records_from,
)

DATA_TABLES = (
    models.Message,
    models.ConsultationSession,
    models.SupportConversation,
    models.DataOperation,
)
REMEDY = "run `tornado-chat audit verify`, and find out who can write to the database"


class ChainFault(NamedTuple):
    """A fault in the chain.

    :ivar number: the number of the first record that cannot be trusted; 0 for the head.
    :ivar text: a sentence without a full stop, for example "record 3 is missing".
    """

    number: int
    text: str


class _Verified(NamedTuple):
    """The record that was verified last."""

    number: int
    code: str


def verify(
    database: pw.Database, key: bytes, progress: Callable[[int], object] = lambda count: None
) -> ChainFault | None:
    """Verify the whole chain. Returns the first fault, or None.

    A "break" that was acknowledged is none. The server may append records meanwhile.

    :arg progress: called with the number of records that were verified since the last call.
    """
    last, breaks = _Verified(0, GENESIS_CODE), dict[int, ChainFault]()
    while True:
        for record, values in records_from(database, last.number + 1):
            fault = _fault_of(key, last, record, values)
            if fault is not None:
                resumed = _break_after(database, key, last)
                if resumed is None:
                    return fault
                record = resumed
            if record["kind"] == CHAIN_KIND:
                _note_break(breaks, last.number, record)
            last = _Verified(record["number"], record["code"])
            progress(1)
            if fault is not None:
                break  # read on behind the break
        else:
            if head(database)[0] <= last.number:
                return _end_fault(database, key, last) or next(iter(breaks.values()), None)


def find_problem(database: pw.Database, key: bytes) -> str | None:
    """Return the problem of the chain that can be seen without reading it all, as a sentence, or None."""
    end = read_end(database, key)
    breaks = unacknowledged_breaks(database)
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


def unacknowledged_breaks(database: pw.Database) -> list[int]:
    """Return the numbers of the "break" records that no operator has acknowledged."""
    table = AuditRecord
    query = table.select(table.number, table.action, table.message).where(
        (table.kind == CHAIN_KIND) & (table.thread_id == 0)
    )
    rows = list(query.order_by(table.number).tuples().execute(database))
    done = {message for _, action, message in rows if action == ACKNOWLEDGED}
    return [number for number, action, _ in rows if action == BREAK and number not in done]


def unrecorded_operations(database: pw.Database) -> list[dict[str, Any]]:
    """Return the operators' commands since the chain began that have no audit record.

    They ran with the plugin switched off.
    """
    record, operation = AuditRecord, models.DataOperation
    began = record.select(record.time).order_by(record.number).limit(1).scalar(database)
    if began is None:
        return []
    recorded = record.select(record.thread_id).where(record.kind == OPERATION_KIND)
    query = operation.select().where((operation.time >= began) & operation.id.not_in(recorded))
    return list(query.order_by(operation.id).dicts().execute(database))


def unrecorded_text(operations: list[dict[str, Any]]) -> str:
    """Name the operations, as the subject of a sentence."""
    first = operations[0]
    name = f"the command {first['action']} of {first['operator']} (operation {first['id']})"
    more = len(operations) - 1
    return f"{name} and {more} more are" if more else f"{name} is"


def has_data(database: pw.Database) -> bool:
    """Return True if the server has stored messages, sessions, conversations or operations."""
    return any(table.select().exists(database) for table in DATA_TABLES)


def missing_chain(database: pw.Database) -> ChainFault | None:
    """Return a fault if there is no record at all although the server has data."""
    if is_empty(database) and has_data(database):
        return ChainFault(
            0, "there is no record at all, although the server has data and the audit has a key"
        )
    return None


def _fault_of(key: bytes, last: _Verified, record: dict[str, Any], values: list[Any]) -> ChainFault | None:
    expected = last.number + 1
    if record["number"] != expected:
        return ChainFault(expected, f"record {expected} is missing")
    if record_code(key, values, last.code) != record["code"]:
        return ChainFault(
            expected, f"record {expected} was changed, or the record before it was removed or moved"
        )
    return None


def _break_after(database: pw.Database, key: bytes, last: _Verified) -> dict[str, Any] | None:
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
            gone = f"records {last + 1} to {number - 1}"
        breaks[number] = ChainFault(
            last + 1,
            f"record {number} says that the chain was broken: {gone} may be missing, or cannot be verified",
        )
    elif record["action"] == ACKNOWLEDGED:
        breaks.pop(record["message"], None)


def _end_fault(database: pw.Database, key: bytes, last: _Verified) -> ChainFault | None:
    """Compare the head with the last verified record."""
    end = read_end(database, key)
    if end.next - 1 == last.number:
        return ChainFault(0, end.fault) if end.fault and not is_empty(database) else None
    if code_of(database, last.number + 1) is not None:  # appended meanwhile
        return None
    return ChainFault(last.number + 1, f"record {last.number + 1} and all records after it are missing")
