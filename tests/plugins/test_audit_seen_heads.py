"""The audit log after older records were put back, and with another key."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peewee as pw
import pytest
from tornado.ioloop import IOLoop
from tornado_chat_plugins.audit import chain, seen_heads, verification
from tornado_chat_plugins.audit.chain import AuditEntry, AuditHead, AuditRecord, Head

from tests.conftest import Harness, on_both, token
from tests.helpers.mariadb import MariaDB
from tests.plugins.test_audit import KEY, command, database, everything_told, settings
from tests.plugins.test_audit_breaks import acknowledge, delete, entry, go_on
from tests.plugins.test_audit_server import begin_again, chain_database, frequent_checks, problem, write
from tornado_chat import config
from tornado_chat.server.bootstrap import StartError
from tornado_chat.server.server import Server
from tornado_chat.storage.database import open_database
from tornado_chat.storage.schema import create_missing_tables
from tornado_chat.storage.writer import Transaction, Writer

__all__ = ["command", "database", "frequent_checks", "settings"]

OTHER_KEY = b"o" * 32


def put_back(database: pw.Database, number: int, head: dict[str, Any]) -> None:
    """Delete the records after ``number``, and put a copy of the head from that moment back."""
    AuditRecord.delete().where(AuditRecord.number > number).execute(database)
    AuditHead.insert(head).on_conflict_replace().execute(database)


def copied_head(database: pw.Database) -> dict[str, Any]:
    return AuditHead.select().dicts().get(database)


def test_an_older_head_does_not_hide_deleted_records(database: pw.Database) -> None:
    copy = copied_head(database)
    go_on(database)
    seen = chain.head(database)
    put_back(database, 12, copy)
    assert verification.verify(database, KEY) is None  # nothing in the database shows it
    fault = verification.verify(database, KEY, seen=seen)
    assert fault is not None
    assert fault.text.startswith("record 15, which the server has seen, is missing")
    for n in range(2):
        chain.append(database, KEY, entry(), 5000 + n, seen=seen)
    fault = verification.verify(database, KEY, seen=seen)
    assert fault is not None
    assert fault.text.startswith("record 16 says that the chain was broken: records 13 to 15 may be missing")
    numbers = AuditRecord.select(AuditRecord.number).order_by(AuditRecord.number).tuples().execute(database)
    assert [number for (number,) in numbers] == [*range(1, 13), 16, 17, 18]
    acknowledge(database)
    assert verification.verify(database, KEY, seen=seen) is None
    assert verification.find_problem(database, KEY, seen) is None


def test_emptied_tables_are_found_by_the_head_that_was_seen(database: pw.Database) -> None:
    seen = chain.head(database)
    AuditRecord.delete().execute(database)
    AuditHead.delete().execute(database)
    assert verification.verify(database, KEY) is None
    assert verification.verify(database, KEY, seen=seen) is not None


def test_a_break_that_was_changed_or_deleted_is_not_acknowledged(database: pw.Database) -> None:
    delete(database, 12)
    go_on(database)
    (number,) = known = verification.unacknowledged_breaks(database, KEY)
    AuditRecord.update(action="joined", kind=1).where(AuditRecord.number == number).execute(database)
    assert verification.unacknowledged_breaks(database, KEY, known) == [number]
    assert verification.find_problem(database, KEY, known_breaks=known) is not None
    fault = verification.find_changed_record(database, KEY)
    assert fault is not None
    trusted = Head(fault.number - 1, chain.code_of(database, fault.number - 1) or "")
    chain.write_break(database, KEY, 6000, trusted=trusted)
    acknowledge(database)
    assert verification.find_problem(database, KEY, known_breaks=known) is None


def test_an_acknowledgement_without_the_key_does_not_count(database: pw.Database) -> None:
    delete(database, 12)
    go_on(database)
    (number,) = verification.unacknowledged_breaks(database, KEY)
    AuditRecord.update(action=chain.ACKNOWLEDGED, kind=chain.CHAIN_KIND, thread_id=0, message=number).where(
        AuditRecord.number == number + 1
    ).execute(database)
    assert verification.unacknowledged_breaks(database, KEY) == [number]


@pytest.mark.parametrize("text", ["", "12", "12:abc", "x:" + "0" * 64, f"{2**63}:" + "0" * 64, "\xff"])
def test_a_damaged_file_with_the_head_is_explained(tmp_path: Path, text: str) -> None:
    path = tmp_path / seen_heads.HEAD_FILE
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="restore it from its backup, or remove it"):
        seen_heads.load_head(path)


def test_the_newest_head_is_remembered_and_saved(tmp_path: Path) -> None:
    path = tmp_path / seen_heads.HEAD_FILE
    heads = seen_heads.SeenHeads(path)
    heads.save()
    assert not path.exists()
    for number in (3, 5, 4):
        heads.note(Head(number, str(number) * 64))
    heads.note(None)
    heads.save()
    assert seen_heads.SeenHeads(path).newest == Head(5, "5" * 64)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def write_with_another_key(database: pw.Database) -> None:
    for n in range(3):
        chain.append(database, OTHER_KEY, entry(), 4000 + n)
    go_on(database)


HEALED: dict[str, Callable[[pw.Database], Any]] = {
    "records of another key": write_with_another_key,
    "a record in the middle changed": lambda db: (
        AuditRecord.update(actor="user:99").where(AuditRecord.number == 4).execute(db)
    ),
    "a record in the middle deleted": lambda db: delete(db, 4),
    "the first one deleted": lambda db: delete(db, 1),
}


@pytest.mark.parametrize("name", HEALED)
def test_a_fault_in_the_middle_can_be_acknowledged(database: pw.Database, name: str) -> None:
    HEALED[name](database)
    fault = verification.find_changed_record(database, KEY)
    assert fault is not None
    trusted = Head(fault.number - 1, chain.code_of(database, fault.number - 1) or "")
    chain.write_break(database, KEY, 6000, trusted=trusted)
    assert verification.verify(database, KEY) is not None
    acknowledge(database)
    assert verification.verify(database, KEY) is None
    go_on(database)
    delete(database, chain.head(database).number)
    assert verification.verify(database, KEY) is not None, "later faults are found again"


def test_another_key_is_recognised(database: pw.Database) -> None:
    assert verification.is_other_key(database, OTHER_KEY)
    assert not verification.is_other_key(database, KEY)
    delete(database, 1, 12)  # an attacker does not make the right key look wrong so easily
    AuditHead.delete().execute(database)
    assert not verification.is_other_key(database, KEY)
    chain.begin_with_new_key(database, OTHER_KEY, 5000)
    AuditHead.delete().execute(database)
    assert not verification.is_other_key(database, OTHER_KEY)


@pytest.mark.gen_test
async def test_several_processes_write_one_break(io_loop: IOLoop, mariadb: MariaDB, tmp_path: Path) -> None:
    """An older head is put back while three processes append, each with a memory of its own."""
    with mariadb.database(migrated=True) as name:
        databases = [open_database(config.Storage(url=mariadb.url(name))) for _ in range(4)]
        create_missing_tables(databases[0], chain.TABLES)
        chain.begin(databases[0], KEY, 1)
        copy = copied_head(databases[0])
        writers = [Writer(each, lambda event: None, asyncio.get_running_loop()) for each in databases[1:]]
        half = asyncio.Barrier(len(writers) + 1)

        async def record(writer: Writer, n: int) -> None:
            heads = seen_heads.SeenHeads(tmp_path / str(n))
            writer.start()
            for m in range(40):
                if m == 20:
                    await half.wait()
                    await half.wait()

                def work(tx: Transaction, m: int = m) -> Head | None:
                    entry = AuditEntry(f"user:{n}", "joined", 1, m)
                    return chain.append(tx.database, KEY, entry, tx.now, seen=heads.newest)

                heads.note(await writer.run(work))
            writer.close()

        async def attack() -> None:
            await half.wait()
            put_back(databases[0], 1, copy)
            await half.wait()

        await asyncio.gather(attack(), *(record(writer, n) for n, writer in enumerate(writers)))
        fault = verification.verify(databases[0], KEY)
        assert fault is not None
        assert "broken" in fault.text
        acknowledge(databases[0])
        assert verification.verify(databases[0], KEY) is None
        breaks = AuditRecord.select().where(AuditRecord.action == chain.BREAK).count(databases[0])
        assert 1 <= breaks <= len(writers)
        databases[0].close()


# In the server


def exchange_key(settings: config.Config, text: str) -> str:
    """Write another text into the key file, and return the former one."""
    key = Path(settings.state_dir, "audit.key")
    former = key.read_text()
    key.write_text(text)
    return former


@on_both
@pytest.mark.gen_test
async def test_the_server_notices_an_older_head(
    harness: Harness, settings: config.Config, command: Callable[..., Any], expected_logs: list[str]
) -> None:
    expected_logs += ["plugin audit reports a problem: the audit log"]
    session = await harness.session()
    await problem(harness, there=False)
    number, copy = await write(harness, lambda db: (chain.head(db).number, copied_head(db)))
    path = f"/api/v1/sessions/{session}/export"
    assert (await harness.api("GET", path, token("admin", 9))).code == 200
    await write(harness, lambda database: put_back(database, number, copy))
    assert "older copy" in await problem(harness, there=True)
    await harness.session(5, 6)  # the next record
    await begin_again(harness, settings)
    assert "was broken before record" in await problem(harness, there=True)
    broken = command("verify")
    assert (broken.exit_code, "says that the chain was broken" in broken.output) == (1, True)
    assert command("acknowledge", "--yes").exit_code == 0
    assert command("verify").exit_code == 0
    await problem(harness, there=False)


@pytest.mark.gen_test
async def test_an_older_head_before_the_next_start_is_found(
    harness: Harness, settings: config.Config, command: Callable[..., Any], expected_logs: list[str]
) -> None:
    expected_logs += ["plugin audit reports a problem: the audit log"]
    number, copy = await write(harness, lambda db: (chain.head(db).number, copied_head(db)))
    await harness.session()
    await everything_told(harness)
    database = chain_database(settings)
    put_back(database, number, copy)
    database.close()
    assert "which the server has seen" in command("verify").output
    harness.server = Server(settings)
    await harness.server.start()
    assert "which the server has seen" in await problem(harness, there=True)
    assert command("acknowledge", "--yes").exit_code == 0
    await problem(harness, there=False)
    assert command("verify").exit_code == 0


@pytest.mark.gen_test
async def test_another_key_is_not_used(
    harness: Harness, settings: config.Config, command: Callable[..., Any], expected_logs: list[str]
) -> None:
    expected_logs += ["plugin audit failed in startup"]
    await harness.session()
    await everything_told(harness)
    right = exchange_key(settings, OTHER_KEY.hex())
    with pytest.raises(StartError, match="was not written with the key"):
        await Server(settings).start()
    for arguments in (("verify",), ("acknowledge", "--yes")):
        found = command(*arguments)
        assert (found.exit_code, "was not written with the key" in found.output) == (1, True)
    exchange_key(settings, right)
    assert command("verify").exit_code == 0
    exchange_key(settings, OTHER_KEY.hex())
    renewed = command("new-key", "--yes")
    assert "the former file is" in renewed.output
    assert command("acknowledge", "--yes").exit_code == 0
    assert command("verify").exit_code == 0
    harness.server = Server(settings)
    await harness.server.start()


@pytest.mark.gen_test
async def test_a_server_of_an_earlier_version_without_records_has_no_break(
    harness: Harness, settings: config.Config, command: Callable[..., Any]
) -> None:
    """It had the key and the tables, and did not record that a session was opened."""
    await harness.session()
    await everything_told(harness)
    database = chain_database(settings)
    for table in chain.TABLES:
        table.delete().execute(database)
    database.close()
    os.unlink(os.path.join(settings.state_dir, seen_heads.HEAD_FILE))
    harness.server = Server(settings)
    await harness.server.start()
    await problem(harness, there=False)
    assert command("verify").exit_code == 0
