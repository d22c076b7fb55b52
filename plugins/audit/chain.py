"""The audit records and their hash chain, by which a change of a record is detected.

Strategy: each record has a number, and a code (HMAC-SHA256) over all its values and the code of the
record before. So an edited record does not match its code, and a missing, added or moved record breaks the
sequence of numbers or the next record's code. One more row, the head, has a code over the last number and
code, so that records missing at the end are detected too. The key is in a file beside the database, not in
it: an attacker who can only write to the database cannot compute codes.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.plugin_api import models

KEY_BYTES = 32
PERSON_CHARS = 80
PAGE_RECORDS = 5000  # records that are read at a time
OPERATION_KIND = 0
"""The ``kind`` of a record about an operator's operation on personal data.

Its ``thread_id`` is the id of the row in ``data_operation``; the code covers that row too.
"""


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class AuditRecord(Table):
    """An audit record: ``actor`` did ``action`` in a thread at ``time`` (µs since 1970 UTC).

    ``kind`` and ``thread_id`` name the session, record or conversation; ``message`` is the ``seq`` of a
    posted message.
    """

    number = pw.BigIntegerField(primary_key=True)
    time = pw.BigIntegerField()
    actor = pw.CharField(PERSON_CHARS)
    action = pw.CharField(24)
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    message = pw.BigIntegerField(null=True)
    code = pw.CharField(64)

    class Meta:
        indexes = ((("kind", "thread_id", "message"), False), (("actor",), False))


class AuditHead(Table):
    """A table of one row: the last record's number and code."""

    id = pw.SmallIntegerField(primary_key=True)
    number = pw.BigIntegerField()
    last = pw.CharField(64)
    code = pw.CharField(64)


TABLES = (AuditRecord, AuditHead)
GENESIS_CODE = "0" * 64
"""The previous code of the first record."""


class AuditEntry(NamedTuple):
    """The values of a new audit record."""

    actor: str
    action: str
    kind: int
    thread_id: int
    message: int | None = None


class ChainFault(NamedTuple):
    """The first fault in the chain.

    :ivar number: the number of the first record that cannot be trusted; 0 for the head.
    :ivar text: a sentence without a full stop, for example "record 3 is missing".
    """

    number: int
    text: str


def load_key(path: Path, *, create: bool) -> bytes:
    """Return the key of the chain.

    :arg create: create a missing key file.
    :raises FileNotFoundError: the file is missing.
    :raises ValueError: the file has no valid key.
    """
    if create:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(os.urandom(KEY_BYTES).hex())
                file.flush()
                os.fsync(file.fileno())
    key = bytes.fromhex(path.read_text().strip())
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path} has no key of {KEY_BYTES} bytes")
    return key


def append(database: pw.Database, key: bytes, entry: AuditEntry, now: int) -> None:
    """Append a record, inside the caller's transaction. A message is recorded only once."""
    record = AuditRecord
    if entry.message is not None:
        of_message = (
            (record.kind == entry.kind)
            & (record.thread_id == entry.thread_id)
            & (record.message == entry.message)
        )
        if record.select(record.number).where(of_message).exists(database):
            return
    # On a MySQL server other processes may append too: this update locks the head's row until the commit.
    AuditHead.update(id=1).where(AuditHead.id == 1).execute(database)
    last = record.select(record.number, record.code).order_by(record.number.desc()).tuples().first(database)
    number, previous_code = (last[0] + 1, last[1]) if last else (1, GENESIS_CODE)
    code = _record_code(
        key, [number, now, *entry, *_operation(database, entry.kind, entry.thread_id)], previous_code
    )
    record.insert(number=number, time=now, **entry._asdict(), code=code).execute(database)
    AuditHead.insert(
        id=1, number=number, last=code, code=_record_code(key, [number], code)
    ).on_conflict_replace().execute(database)


def verify(
    database: pw.Database, key: bytes, progress: Callable[[int], object] = lambda count: None
) -> ChainFault | None:
    """Verify the whole chain. Returns the first fault, or None.

    :arg progress: called with the number of records that were verified since the last call.
    """
    expected, previous_code = 1, GENESIS_CODE
    for record in _records(database):
        if record["number"] != expected:
            return ChainFault(expected, f"record {expected} is missing")
        values = [record[field] for field in ("number", "time", *AuditEntry._fields)]
        values += _operation(database, record["kind"], record["thread_id"])
        if _record_code(key, values, previous_code) != record["code"]:
            return ChainFault(
                expected, f"record {expected} was changed, or the record before it was removed or moved"
            )
        expected, previous_code = expected + 1, record["code"]
        progress(1)
    head = AuditHead.select().where(AuditHead.id == 1).dicts().first(database)
    if head is None:
        return None if expected == 1 else ChainFault(0, "the head is missing")
    if _record_code(key, [head["number"]], head["last"]) != head["code"]:
        return ChainFault(0, "the head was changed")
    if head["number"] >= expected:
        return ChainFault(expected, f"record {expected} and all records after it are missing")
    if (head["number"], head["last"]) != (expected - 1, previous_code):
        number = head["number"] + 1
        return ChainFault(number, f"record {number} did not exist when the head was written")
    return None


def head(database: pw.Database) -> tuple[int, str]:
    """Return the last record's number and code, to be stored elsewhere; (0, …) if there is no record."""
    record = AuditRecord
    last = record.select(record.number, record.code).order_by(record.number.desc()).tuples().first(database)
    return (last[0], last[1]) if last else (0, GENESIS_CODE)


def code_of(database: pw.Database, number: int) -> str | None:
    """Return the code of one record; None if there is no such record."""
    if number == 0:
        return GENESIS_CODE
    code: str | None = (
        AuditRecord.select(AuditRecord.code).where(AuditRecord.number == number).scalar(database)
    )
    return code


def _records(database: pw.Database) -> Iterator[dict[str, Any]]:
    """Yield all records by number. They are read in pages, so that a long chain needs little memory."""
    last = None
    while True:
        query = AuditRecord.select().order_by(AuditRecord.number).limit(PAGE_RECORDS)
        if last is not None:
            query = query.where(AuditRecord.number > last)
        page = list(query.dicts().execute(database))
        yield from page
        if len(page) < PAGE_RECORDS:
            return
        last = page[-1]["number"]


def _operation(database: pw.Database, kind: int, id: int) -> list[Any]:
    """Return the values of the operation that a record is about; empty for all other records."""
    if kind != OPERATION_KIND:
        return []
    table = models.DataOperation
    row = table.select().where(table.id == id).dicts().first(database)
    return [] if row is None else list(row.values())


def _record_code(key: bytes, values: list[Any], previous_code: str) -> str:
    text = json.dumps([*values, previous_code], ensure_ascii=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
