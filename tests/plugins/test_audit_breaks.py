"""The audit log after its end was tampered with, or its key was lost: later records cover nothing up."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee as pw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado_chat_plugins.audit import chain, key_file, verification
from tornado_chat_plugins.audit.chain import AuditDetail, AuditEntry, AuditHead, AuditRecord

from tests.plugins.test_audit import KEY, fill
from tornado_chat.storage import models


def entry(action: str = "joined") -> AuditEntry:
    return AuditEntry("user:1", action, 1, 7)


def go_on(database: pw.Database, records: int = 3) -> None:
    for n in range(records):
        chain.append(database, KEY, entry(), 2000 + n)


def acknowledge(database: pw.Database) -> None:
    for number in verification.unacknowledged_breaks(database, KEY):
        chain.append(database, KEY, AuditEntry("root", chain.ACKNOWLEDGED, chain.CHAIN_KIND, 0, number), 3000)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[pw.Database]:
    """Twelve records."""
    database = pw.SqliteDatabase(str(tmp_path / "audit.sqlite3"))
    fill(database)
    yield database
    database.close()


def delete(database: pw.Database, *numbers: int) -> None:
    AuditRecord.delete().where(AuditRecord.number.in_(numbers)).execute(database)


def empty(database: pw.Database) -> None:
    AuditRecord.delete().execute(database)
    AuditHead.delete().execute(database)


def change_head(database: pw.Database) -> None:
    delete(database, 11, 12)
    AuditHead.update(number=10, last=chain.code_of(database, 10)).execute(database)


def add_forged(database: pw.Database) -> None:
    row = AuditRecord.select().where(AuditRecord.number == 5).dicts().get(database)
    AuditRecord.insert({**row, "number": 13}).execute(database)


# The faults at the end, with the number of the record that the "break" trusts.
TAMPERINGS: dict[str, tuple[Callable[[pw.Database], Any], int]] = {
    "the last record deleted": (lambda db: delete(db, 12), 11),
    "the last five deleted": (lambda db: delete(db, 8, 9, 10, 11, 12), 7),
    "all records deleted": (lambda db: delete(db, *range(1, 13)), 0),
    "the head deleted": (lambda db: AuditHead.delete().execute(db), 12),
    "the last record and the head deleted": (
        lambda db: (delete(db, 12), AuditHead.delete().execute(db)),
        11,
    ),
    "both tables emptied": (empty, 0),
    "the last ones deleted, the head changed": (change_head, 10),
    "a record added behind the head": (add_forged, 12),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_later_records_do_not_cover_up_what_is_missing(database: pw.Database, name: str) -> None:
    tamper, trusted = TAMPERINGS[name]
    tamper(database)
    assert verification.find_problem(database, KEY) is not None
    go_on(database)
    fault = verification.verify(database, KEY)
    assert fault is not None, "the deletion is covered up"
    assert fault.number == trusted + 1
    assert "broken" in fault.text
    problem = verification.find_problem(database, KEY)
    assert problem is not None
    assert "audit verify" in problem


@pytest.mark.parametrize("name", TAMPERINGS)
def test_an_acknowledged_break_stays_in_a_chain_that_is_valid(database: pw.Database, name: str) -> None:
    TAMPERINGS[name][0](database)
    go_on(database)
    acknowledge(database)
    assert verification.verify(database, KEY) is None
    assert verification.find_problem(database, KEY) is None
    actions = [action for (action,) in AuditRecord.select(AuditRecord.action).tuples().execute(database)]
    assert actions.count(chain.BREAK) == 1
    assert actions.count(chain.ACKNOWLEDGED) == 1
    delete(database, chain.head(database)[0])
    assert verification.verify(database, KEY) is not None
    go_on(database)
    assert verification.verify(database, KEY) is not None


@given(st.lists(st.sampled_from(["append", "delete last", "delete head"]), max_size=12))
def test_no_deletion_at_the_end_is_lost(steps: list[str]) -> None:
    database = pw.SqliteDatabase(":memory:")
    fill(database)
    tampered = False
    for step in steps:
        if step == "append":
            go_on(database, 1)
        elif step == "delete last":
            tampered |= bool(chain.head(database)[0])
            delete(database, chain.head(database)[0])
        else:
            AuditHead.delete().execute(database)
            tampered = True
    empties = chain.is_empty(database)
    assert (verification.verify(database, KEY) is not None) == (tampered and not empties)
    database.close()


def test_a_break_cannot_be_written_or_acknowledged_without_the_key(database: pw.Database) -> None:
    delete(database, 12)
    chain.append(database, b"x" * 32, entry(), 2000)
    fault = verification.verify(database, KEY)
    assert fault is not None
    assert fault.number == 12


def test_no_record_at_all_is_a_fault_if_the_server_has_data(database: pw.Database) -> None:
    empty(database)
    assert verification.verify(database, KEY) is None
    assert verification.missing_chain(database) is None  # a server that has stored nothing
    models.DataOperation.insert(time=1, operator="root", action="erase", state="done").execute(database)
    fault = verification.missing_chain(database)
    assert fault is not None
    assert "no record at all" in fault.text


def test_a_detail_cannot_be_changed_or_removed(database: pw.Database) -> None:
    chain.append(database, KEY, AuditEntry("admin:1", "revoked", chain.SERVER_KIND, 0), 2000, "user:9")
    assert verification.verify(database, KEY) is None
    AuditDetail.update(text="user:8").execute(database)
    assert verification.verify(database, KEY) is not None
    AuditDetail.delete().execute(database)
    assert verification.verify(database, KEY) is not None


def test_a_command_that_ran_without_the_plugin_is_found(database: pw.Database) -> None:
    row = {"operator": "root", "action": "export", "state": "done"}
    models.DataOperation.insert(time=1, **row).execute(database)  # before the chain began
    assert verification.unrecorded_operations(database) == []
    id = models.DataOperation.insert(time=5000, **row).execute(database)
    (found,) = verification.unrecorded_operations(database)
    assert found.id == id
    assert "export of root" in (verification.find_problem(database, KEY) or "")
    chain.append(database, KEY, AuditEntry("root", "late", chain.OPERATION_KIND, id), 6000)
    assert verification.find_problem(database, KEY) is None


def test_a_chain_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """Earlier versions wrote no "begins", and no details: the codes are computed here as they did."""
    database = pw.SqliteDatabase(str(tmp_path / "audit.sqlite3"))
    fill(database)
    empty(database)

    def code(*values: object) -> str:
        text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
        return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()

    last = "0" * 64
    for n in range(1, 6):
        values = (n, 1000 + n, f"user:{n}", "posted", 1, 7, n)
        last = code(*values, last)
        fields = ("number", "time", "actor", "action", "kind", "thread_id", "message", "code")
        AuditRecord.insert(dict(zip(fields, (*values, last), strict=True))).execute(database)
    AuditHead.insert(id=1, number=5, last=last, code=code(5, last)).execute(database)
    assert verification.verify(database, KEY) is None
    go_on(database)
    assert verification.verify(database, KEY) is None
    assert chain.head(database)[0] == 8
    database.close()


def test_a_new_key_begins_anew_and_says_so(database: pw.Database) -> None:
    new = b"n" * 32
    chain.begin_with_new_key(database, new, 4000)
    chain.append(database, new, entry(), 4001)
    fault = verification.verify(database, new)
    assert fault is not None
    assert fault.text.startswith("record 13 says that the chain was broken: records 1 to 12 may be missing")
    chain.append(database, new, AuditEntry("root", chain.ACKNOWLEDGED, chain.CHAIN_KIND, 0, 13), 4002)
    assert verification.verify(database, new) is None


def test_messages_are_recorded_before_a_later_event_of_their_thread(database: pw.Database) -> None:
    row = {"kind": 1, "thread_id": 7, "sender": "user:1", "media": "text", "text": "-"}
    models.Message.insert(seq=1, time=1, **row).execute(database)  # older than the chain
    models.Message.insert(seq=2, time=2000, **row).execute(database)
    models.Message.insert(seq=3, time=2001, **row).execute(database)
    chain.append_about(database, KEY, entry("left"), 2002)
    chain.append(database, KEY, AuditEntry("user:1", "posted", 1, 7, 3), 2003)  # delivered later
    query = AuditRecord.select(AuditRecord.action, AuditRecord.message).where(AuditRecord.number > 12)
    found = list(query.order_by(AuditRecord.number).tuples().execute(database))
    assert found == [("posted", 2), ("posted", 3), ("left", None)]
    assert verification.verify(database, KEY) is None


def test_a_person_leaves_after_hundreds_of_messages_that_are_recorded_with_it(database: pw.Database) -> None:
    row = {"kind": 1, "thread_id": 7, "sender": "user:1", "media": "text", "text": "m", "time": 2000}
    models.Message.insert_many([{**row, "seq": seq} for seq in range(1, 251)]).execute(database)
    statements: list[str] = []
    database.connection().set_trace_callback(statements.append)
    chain.append_about(database, KEY, entry("left"), 2002, "by hand")
    assert len(statements) < 15  # all other writes of the server wait meanwhile
    query = AuditRecord.select(AuditRecord.action, AuditRecord.message).where(AuditRecord.number > 12)
    found = list(query.order_by(AuditRecord.number).tuples().execute(database))
    assert found == [*(("posted", seq) for seq in range(1, 251)), ("left", None)]
    assert verification.verify(database, KEY) is None


# The key file


def test_a_key_is_created_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    assert key_file.create_key(path)
    key = key_file.load_key(path)
    assert not key_file.create_key(path)
    assert key_file.load_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["audit.key"]


@pytest.mark.parametrize("content", [b"", b"\n", b"not hexadecimal", b"abcd", b"\xff" * 32, b"0" * 63])
def test_an_invalid_key_is_explained(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "audit.key"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="audit new-key"):
        key_file.load_key(path)
