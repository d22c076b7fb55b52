"""The audit records and their hash chain, by which a change of a record is detected.

Strategy: each record has a number, and a code (HMAC-SHA256) over all its values and the code of the
record before. So an edited record does not match its code, and a missing, added or moved record breaks the
sequence of numbers or the next record's code. One more row, the head, has a code over the last number and
code, so that records missing at the end are detected too. The key is in a file beside the database, not in
it: an attacker who can only write to the database cannot compute codes.

A new record continues the chain only if the head and its record are there. Else the server first writes a
record "break" behind everything that is there, which names the last record that can be trusted: so records
that were deleted at the end are not covered up by the next event.

A head that an attacker copied before some records were written is valid again when these records are deleted.
So the server also remembers the newest head, outside of the database (``seen_heads``): a chain without that
record has gone back. The "break" gets a higher number than all records that the server has seen.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.plugin_api import MAX_PAGE_ITEMS, Kind, ServerData, Thread

PAGE_RECORDS = 5000  # records that are read at a time
INSERTED_ROWS = 100  # records in one statement, as a statement has a limited number of values
PERSON_CHARS = 80
DETAIL_CHARS = 255
ACTION_CHARS = 24

OPERATION_KIND = 0
"""The ``kind`` of a record about an operator's command.

Its ``thread_id`` is the id of the row in ``data_operation``; the code covers that row too.
"""

SERVER_KIND = -1
"""The ``kind`` of a record that is about no thread, for example a sign-in; ``thread_id`` is 0."""

CHAIN_KIND = -2
"""The ``kind`` of a record about the chain itself; ``thread_id`` is 0."""

MESSAGE_KINDS = frozenset({Kind.SESSION, Kind.RECORD, Kind.SUPPORT})
"""The values of ``kind`` of records about a thread with messages."""

POSTED = "posted"
BEGINS = "begins"
BREAK = "break"  # ``message`` is the number of the last record that can be trusted
ACKNOWLEDGED = "acknowledges break"  # ``message`` is the number of the break


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
    action = pw.CharField(ACTION_CHARS)
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    message = pw.BigIntegerField(null=True)
    code = pw.CharField(64)

    class Meta:
        indexes = ((("kind", "thread_id", "message"), False), (("actor",), False))


class AuditDetail(Table):
    """More about the record ``number``, for example the person that was revoked; its code covers the text."""

    number = pw.BigIntegerField(primary_key=True)
    text = pw.CharField(DETAIL_CHARS)


class AuditHead(Table):
    """A table of one row: the last record's number and code."""

    id = pw.SmallIntegerField(primary_key=True)
    number = pw.BigIntegerField()
    last = pw.CharField(64)
    code = pw.CharField(64)


TABLES = (AuditRecord, AuditDetail, AuditHead)
GENESIS_CODE = "0" * 64
"""The previous code of the first record."""


class AuditEntry(NamedTuple):
    """The values of a new audit record."""

    actor: str
    action: str
    kind: int
    thread_id: int
    message: int | None = None


class Head(NamedTuple):
    """The number and the code of the last record at one moment."""

    number: int
    code: str


class ChainEnd(NamedTuple):
    """The end of the chain, for the next record.

    :ivar next: the number of the next record.
    :ivar trusted: the number of the last record that can be trusted, as far as the end shows; 0: none.
    :ivar code: the code of that record.
    :ivar fault: the fault at the end, a sentence without a full stop; empty if there is none.
    """

    next: int
    trusted: int
    code: str
    fault: str

    @property
    def head(self) -> Head:
        """The head of an end without a fault."""
        return Head(self.trusted, self.code)


def append(
    database: pw.Database,
    key: bytes,
    entry: AuditEntry,
    now: int,
    detail: str | None = None,
    seen: Head | None = None,
) -> Head | None:
    """Append a record, inside the caller's transaction. A message is recorded only once.

    If the end of the chain is not as it was written, a record "break" is written before.

    :arg seen: the newest head that is known from outside of the database.
    :return: the new head; None if the message was recorded already.
    """
    if entry.message is not None and _is_recorded(database, entry):
        return None
    return _append_all(database, key, [entry], now, detail, seen)


def _append_all(
    database: pw.Database,
    key: bytes,
    entries: Sequence[AuditEntry],
    now: int,
    detail: str | None,
    seen: Head | None,
) -> Head:
    """Append records that are not there yet; ``detail`` belongs to the last of them."""
    if isinstance(database, pw.MySQLDatabase):
        # Other processes may append too: this update locks the head's row until the commit.
        AuditHead.update(id=1).where(AuditHead.id == 1).execute(database)
    end = read_end(database, key, seen)
    if end.fault:
        end = write_break(database, key, now, seen)
    return _insert(database, key, end.next, entries, now, end.code, detail)


def append_about(
    database: pw.Database,
    key: bytes,
    entry: AuditEntry,
    now: int,
    detail: str | None = None,
    seen: Head | None = None,
) -> Head:
    """Append a record about a thread, after its messages that are stored and not recorded yet.

    The server delivers messages to plugins later than other events; so a person is not recorded to have left
    before it posted. Messages that are older than the chain are not recorded. Otherwise as ``append``.
    """
    posted = _unrecorded_messages(database, entry) if entry.kind in MESSAGE_KINDS else []
    return _append_all(database, key, [*posted, entry], now, detail, seen)


def _unrecorded_messages(database: pw.Database, entry: AuditEntry) -> list[AuditEntry]:
    """Return the entries of the messages of the thread of ``entry`` that are not recorded yet."""
    record, data = AuditRecord, ServerData(database)
    thread = Thread(Kind(entry.kind), entry.thread_id)
    of_thread = (record.kind == entry.kind) & (record.thread_id == entry.thread_id)
    last: int | None = record.select(pw.fn.MAX(record.message)).where(of_thread).scalar(database)
    if last is None:
        began = record.select(record.time).order_by(record.number).limit(1).scalar(database) or 0
        last = data.last_seq_before(thread, began)
    posted: list[AuditEntry] = []
    following: int | None = last
    while following is not None:
        page, following = data.messages(thread, after=following, limit=MAX_PAGE_ITEMS)
        posted += [
            AuditEntry(each.sender.key, POSTED, entry.kind, entry.thread_id, each.seq) for each in page
        ]
    return posted


def write_break(
    database: pw.Database, key: bytes, now: int, seen: Head | None = None, trusted: Head | None = None
) -> ChainEnd:
    """Write a record "break" at the end, inside the caller's transaction. Return the new end.

    :arg trusted: the last record that can be trusted; by default the last one before the fault at the end.
    """
    end = read_end(database, key, seen)
    trusted = trusted or end.head
    number, code = _insert(database, key, end.next, [_break_entry(trusted.number)], now, trusted.code)
    return ChainEnd(number + 1, number, code, "")


def begin(database: pw.Database, key: bytes, now: int) -> None:
    """Write the first record of a new chain into the empty tables, inside the caller's transaction."""
    _insert(database, key, 1, [AuditEntry("-", BEGINS, CHAIN_KIND, 0)], now, GENESIS_CODE)


def begin_with_new_key(database: pw.Database, key: bytes, now: int, seen: Head | None = None) -> None:
    """Begin anew behind the records of a lost key: a "break" that trusts none of them."""
    number = max(head(database).number, seen.number if seen else 0) + 1
    _insert(database, key, number, [_break_entry(0)], now, GENESIS_CODE)


def is_empty(database: pw.Database) -> bool:
    """Return True if there is neither a record nor a head."""
    return not (AuditRecord.select().exists(database) or AuditHead.select().exists(database))


def read_end(database: pw.Database, key: bytes, seen: Head | None = None) -> ChainEnd:
    """Return the end of the chain. May be called outside of a transaction, while other processes append.

    :arg seen: as of ``append``.
    """
    end = _read_end(database, key)
    if seen is None or seen == end.head or not _has_gone_back(database, seen):
        return end
    fault = (
        f"record {seen.number}, which the server has seen, is missing: the log was emptied, or an older copy "
        "of it was put back"
    )
    return end._replace(next=max(end.next, seen.number + 1), fault=end.fault or fault)


def _has_gone_back(database: pw.Database, seen: Head) -> bool:
    """Return True if the chain has neither the record ``seen`` nor a "break" after it."""
    record = AuditRecord
    later_break = (record.kind == CHAIN_KIND) & (record.action == BREAK) & (record.number > seen.number)
    return code_of(database, seen.number) != seen.code and not (
        record.select(record.number).where(later_break).exists(database)
    )


def _read_end(database: pw.Database, key: bytes) -> ChainEnd:
    row = _head_row(database)
    if row is None:
        number, code = head(database)
        return ChainEnd(number + 1, number, code, "the head is missing" if number else "there is no record")
    if record_code(key, [row.number], row.last) != row.code:
        number, code = head(database)
        return ChainEnd(number + 1, number, code, "the head was changed, or the key is another one")
    highest = row.highest or 0
    next_number = max(row.number, highest) + 1
    if row.of_record != row.last:
        trusted = _last_before(database, row.number)
        return ChainEnd(next_number, *trusted, f"record {row.number} is missing, or was changed")
    extra = f"record {highest} did not exist when the head was written" if highest > row.number else ""
    return ChainEnd(next_number, row.number, row.last, extra)


def head(database: pw.Database) -> Head:
    """Return the last record's number and code, to be stored elsewhere; (0, …) if there is no record."""
    return _last_before(database, None)


def code_of(database: pw.Database, number: int) -> str | None:
    """Return the code of one record; None if there is no such record."""
    if number == 0:
        return GENESIS_CODE
    code: str | None = (
        AuditRecord.select(AuditRecord.code).where(AuditRecord.number == number).scalar(database)
    )
    return code


def records_from(database: pw.Database, number: int) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Yield the records from ``number`` on, each with the values that its code covers.

    They are read in pages, so that a long chain needs little memory.
    """
    while True:
        query = AuditRecord.select().where(AuditRecord.number >= number)
        page = list(query.order_by(AuditRecord.number).limit(PAGE_RECORDS).dicts().execute(database))
        if not page:
            return
        last = page[-1]["number"]
        texts = AuditDetail.select().where(AuditDetail.number.between(page[0]["number"], last))
        details = {row["number"]: row["text"] for row in texts.dicts().execute(database)}
        for record in page:
            yield record, _values(database, record, details.get(record["number"]))
        if len(page) < PAGE_RECORDS:
            return
        number = last + 1


def record_code(key: bytes, values: list[Any], previous_code: str) -> str:
    """Return the code of a record with these values, or of the head with its number."""
    text = json.dumps([*values, previous_code], ensure_ascii=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _is_recorded(database: pw.Database, entry: AuditEntry) -> bool:
    table = AuditRecord
    of_message = (
        (table.kind == entry.kind) & (table.thread_id == entry.thread_id) & (table.message == entry.message)
    )
    return table.select(table.number).where(of_message).exists(database)


def _break_entry(trusted: int) -> AuditEntry:
    return AuditEntry("-", BREAK, CHAIN_KIND, 0, trusted)


def _insert(
    database: pw.Database,
    key: bytes,
    number: int,
    entries: Sequence[AuditEntry],
    now: int,
    previous_code: str,
    detail: str | None = None,
) -> Head:
    """Insert records from ``number`` on, and move the head to the last one. Return the new head.

    :arg detail: of the last record.
    """
    detail = detail and detail[:DETAIL_CHARS]
    last = number + len(entries) - 1
    code = previous_code
    records = []
    for record_number, entry in enumerate(entries, number):
        record = {"number": record_number, "time": now, **entry._asdict()}
        code = record_code(key, _values(database, record, detail if record_number == last else None), code)
        records.append({**record, "code": code})
    for rows in pw.chunked(records, INSERTED_ROWS):
        AuditRecord.insert_many(rows).execute(database)
    if detail:
        AuditDetail.insert(number=last, text=detail).on_conflict_replace().execute(database)
    AuditHead.insert(
        id=1, number=last, last=code, code=record_code(key, [last], code)
    ).on_conflict_replace().execute(database)
    return Head(last, code)


def _values(database: pw.Database, record: dict[str, Any], detail: str | None) -> list[Any]:
    values = [record[field] for field in ("number", "time", *AuditEntry._fields)]
    values += _operation(database, record["kind"], record["thread_id"])
    return values if not detail else [*values, detail]


def _operation(database: pw.Database, kind: int, id: int) -> list[Any]:
    """Return the values of the operation that a record is about; empty for all other records."""
    if kind != OPERATION_KIND:
        return []
    found = ServerData(database).operation(id)
    if found is None:
        return []
    return [found.id, found.time, found.operator, found.action, found.state, found.person, found.counts]


def _last_before(database: pw.Database, number: int | None) -> Head:
    query = AuditRecord.select(AuditRecord.number, AuditRecord.code).order_by(AuditRecord.number.desc())
    if number is not None:
        query = query.where(AuditRecord.number < number)
    last = query.tuples().first(database)
    return Head(*last) if last else Head(0, GENESIS_CODE)


class _HeadRow(NamedTuple):
    """The head, with the code of the record that it names and the highest number of a record, if any."""

    number: int
    last: str
    code: str
    of_record: str | None
    highest: int | None


def _head_row(database: pw.Database) -> _HeadRow | None:
    """Return the head. One statement reads all of it, so no other process can append in between."""
    record, every = AuditRecord, AuditRecord.alias()
    highest = every.select(pw.fn.MAX(every.number))
    query = (
        AuditHead.select(AuditHead.number, AuditHead.last, AuditHead.code, record.code, highest)
        .left_outer_join(record, on=(record.number == AuditHead.number))
        .where(AuditHead.id == 1)
    )
    row = query.tuples().first(database)
    return None if row is None else _HeadRow(*row)
