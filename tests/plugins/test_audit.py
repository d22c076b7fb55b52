"""The audit log: its records, and the detection of every change of them."""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import peewee as pw
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tornado.ioloop import IOLoop
from tornado_chat_plugins.audit import chain, verification
from tornado_chat_plugins.audit.chain import AuditEntry, AuditHead, AuditRecord

from tests.conftest import Harness, on_both, token
from tests.helpers.mariadb import MariaDB
from tornado_chat import config
from tornado_chat.cli import main
from tornado_chat.server.server import Server
from tornado_chat.storage import models
from tornado_chat.storage.database import open_database
from tornado_chat.storage.schema import create_missing_tables
from tornado_chat.storage.writer import Writer

KEY = b"k" * 32
SERVER_TABLES = (
    models.DataOperation,
    models.Message,
    models.ConsultationSession,
    models.SupportConversation,
)
"""The server's tables that the audit reads, by ``ServerData``."""
VISITOR, COUNSELLOR, SUPERVISOR = token("user", 1), token("consultant", 2), token("supervisor", 3)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[pw.Database]:
    """Twelve records."""
    database = pw.SqliteDatabase(str(tmp_path / "audit.sqlite3"))
    fill(database)
    yield database
    database.close()


def fill(database: pw.Database) -> None:
    tables = [*chain.TABLES, *SERVER_TABLES]
    with database.bind_ctx(tables):
        database.create_tables(tables)
    chain.begin(database, KEY, 1000)
    for n in range(2, 13):
        chain.append(database, KEY, AuditEntry(f"user:{n}", "posted", 1, n % 3, n), 1000 + n)


def record(number: int) -> Any:
    return AuditRecord.number == number


def forge(database: pw.Database) -> None:
    """Add a record as an attacker without the key would."""
    last = chain.head(database)
    chain.append(database, b"x" * 32, AuditEntry("user:1", "posted", 1, 1, 99), 5000)
    assert chain.head(database) != last


def put_again(database: pw.Database) -> None:
    row = AuditRecord.select().where(record(5)).dicts().get(database)
    AuditRecord.insert({**row, "number": 13}).execute(database)


def swap(database: pw.Database) -> None:
    AuditRecord.update(number=99).where(record(4)).execute(database)
    AuditRecord.update(number=4).where(record(5)).execute(database)
    AuditRecord.update(number=5).where(record(99)).execute(database)


def close_the_gap(database: pw.Database) -> None:
    AuditRecord.delete().where(record(6)).execute(database)
    for number in range(7, 13):
        AuditRecord.update(number=number - 1).where(record(number)).execute(database)


def cut(database: pw.Database, *, head_too: bool) -> None:
    AuditRecord.delete().where(AuditRecord.number > 10).execute(database)
    if head_too:
        AuditHead.update(number=10, last=chain.code_of(database, 10)).execute(database)


TAMPERINGS: dict[str, tuple[Callable[[pw.Database], Any], int]] = {
    "another actor": (lambda db: AuditRecord.update(actor="user:99").where(record(3)).execute(db), 3),
    "another action": (lambda db: AuditRecord.update(action="left").where(record(1)).execute(db), 1),
    "another time": (lambda db: AuditRecord.update(time=1).where(record(12)).execute(db), 12),
    "another session": (lambda db: AuditRecord.update(thread_id=9).where(record(7)).execute(db), 7),
    "another code": (lambda db: AuditRecord.update(code="0" * 64).where(record(6)).execute(db), 6),
    "the first one deleted": (lambda db: AuditRecord.delete().where(record(1)).execute(db), 1),
    "one in the middle deleted": (lambda db: AuditRecord.delete().where(record(6)).execute(db), 6),
    "one deleted, the others renumbered": (close_the_gap, 6),
    "the last ones deleted": (lambda db: cut(db, head_too=False), 11),
    "the last ones deleted, the head changed": (lambda db: cut(db, head_too=True), 0),
    "the head deleted": (lambda db: AuditHead.delete().execute(db), 0),
    "two in another order": (swap, 4),
    "one added without the key": (forge, 13),
    "one put in twice": (put_again, 13),
    "everything deleted but the head": (lambda db: AuditRecord.delete().execute(db), 1),
}


def test_an_unchanged_chain_is_valid(database: pw.Database) -> None:
    assert verification.verify(database, KEY) is None
    assert chain.head(database)[0] == 12


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_and_named(database: pw.Database, name: str) -> None:
    tamper, number = TAMPERINGS[name]
    tamper(database)
    fault = verification.verify(database, KEY)
    assert fault is not None
    assert fault.number == number


FIELDS = ("time", "actor", "action", "kind", "thread_id", "message", "code")


@given(st.integers(1, 12), st.sampled_from(FIELDS), st.data())
def test_any_edit_of_any_field_is_found(number: int, field: str, data: st.DataObject) -> None:
    database = pw.SqliteDatabase(":memory:")
    fill(database)
    before = AuditRecord.select(getattr(AuditRecord, field)).where(record(number)).scalar(database)
    values = st.text(max_size=70) if isinstance(before, str) else st.integers(0, 2**15)
    after = data.draw(values.filter(lambda value: value != before))
    AuditRecord.update({field: after}).where(record(number)).execute(database)
    fault = verification.verify(database, KEY)
    assert fault is not None
    assert fault.number == number
    database.close()


def test_a_message_is_recorded_once(database: pw.Database) -> None:
    chain.append(database, KEY, AuditEntry("user:3", "posted", 1, 0, 3), 9999)
    assert chain.head(database)[0] == 12
    chain.append(database, KEY, AuditEntry("user:3", "left", 1, 0), 9999)
    chain.append(database, KEY, AuditEntry("user:3", "left", 1, 0), 9999)
    assert chain.head(database)[0] == 14


@pytest.mark.gen_test
async def test_several_processes_append_to_one_chain(io_loop: IOLoop, mariadb: MariaDB) -> None:
    with mariadb.database(migrated=True) as name:
        databases = [open_database(config.Storage(url=mariadb.url(name))) for _ in range(3)]
        create_missing_tables(databases[0], chain.TABLES)
        chain.begin(databases[0], KEY, 1)
        writers = [Writer(each, lambda event: None, asyncio.get_running_loop()) for each in databases]

        async def record(writer: Writer, n: int) -> None:
            writer.start()
            for m in range(20):
                entry = AuditEntry(f"user:{n}", "joined", 1, m)
                await writer.run(lambda tx, entry=entry: chain.append(tx.database, KEY, entry, tx.now))
            writer.close()

        await asyncio.gather(*(record(writer, n) for n, writer in enumerate(writers)))
        assert verification.verify(databases[0], KEY) is None
        assert chain.head(databases[0])[0] == 61
        databases[0].close()


# In the server


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return replace(settings, plugins=config.Plugins(paths=(), enabled=("audit",)))


@pytest.fixture
def command(settings: config.Config) -> Callable[..., Any]:
    def command(*arguments: str) -> Any:
        options = [
            f"server.state_dir={settings.server.state_dir}",
            "plugins.enabled=audit",
            f"storage.url={settings.storage.url}",
            f"auth.secret_file={settings.auth.secret_file}",
            "server.timezone=Asia/Shanghai",
        ]
        return CliRunner().invoke(
            main, ["audit", *arguments, *(word for option in options for word in ("--set", option))]
        )

    return command


async def everything_told(harness: Harness) -> None:
    """Stop the server, which lets all plugins finish their writes."""
    for client in harness.clients:
        await client.close()
    await harness.server.stop()


@on_both
@pytest.mark.gen_test
async def test_actions_are_recorded_and_shown(
    harness: Harness, settings: config.Config, command: Callable[..., Any]
) -> None:
    session = await harness.session()
    await harness.record(session)
    visitor, counsellor = await harness.chat(VISITOR, session), await harness.chat(COUNSELLOR, session)
    while (await counsellor.recv_json())["msg"] != "会话已开始":
        pass
    observer = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}")
    await harness.api("GET", f"/api/v1/sessions/{session}/messages", SUPERVISOR)
    await visitor.send_json({"msg": "my secret"})
    assert (await observer.recv_json())["msg"] == "my secret"
    await harness.api("GET", f"/api/v1/sessions/{session}/export", COUNSELLOR)
    await visitor.close(4000)
    while (await counsellor.recv_json())["msg"] != "会话已结束":
        pass
    await everything_told(harness)
    harness.server = Server(settings)
    await harness.server.start()

    shown = command("show", "--session", str(session)).output
    for actor, what in (
        ("user:1", "joined"),
        ("consultant:2", "joined"),
        ("-", "started"),
        ("supervisor:3", "observes"),
        ("supervisor:3", "read"),
        ("user:1", "posted message 1"),
        ("consultant:2", "exported"),
        ("user:1", "left"),
        ("-", "completed"),
        ("supervisor:3", "stops observing"),
    ):
        assert re.search(rf"  {actor} +{what}, session {session}$", shown, re.MULTILINE), (what, shown)
    assert "secret" not in shown
    assert command("show", "--person", "supervisor:3").output.count("supervisor:3") == 3
    assert command("show", "--session", "77").output == "there is no such record\n"

    whole = command("verify")
    assert (whole.exit_code, "all as they were written" in whole.output) == (0, True)
    head = whole.output.splitlines()[-1].removeprefix("head ")
    assert command("verify", "--head", head).exit_code == 0
    assert command("verify", "--head", f"head {head}").exit_code == 0
    for number in ("3", "999", str(2**63 - 1)):
        assert "is not in it" in command("verify", "--head", f"{number}:{'ab' * 32}").output
    for number in ("²", str(2**63), "9" * 5000):
        assert "is not a head" in command("verify", "--head", f"{number}:{'ab' * 32}").output
    for option in ("--session", "--record", "--conversation", "--last"):
        for number in (0, 2**63, 2**64):
            assert command("show", option, str(number)).exit_code == 2
    await harness.server._store.write(
        lambda tx: AuditRecord.update(actor="user:5").where(record(4)).execute(tx.database)
    )
    broken = command("verify")
    assert broken.exit_code == 1
    assert "record 4 was changed" in broken.output


@on_both
@pytest.mark.gen_test
async def test_many_messages_are_recorded_without_a_gap(
    harness: Harness, settings: config.Config, command: Callable[..., Any]
) -> None:
    async def talk(n: int) -> None:
        session = await harness.session(user=100 + n, consultant=200 + n)
        visitor = await harness.chat(token("user", 100 + n), session, features="ack")
        for m in range(50):
            await visitor.send_json({"msg": f"{m}", "id": f"{m}"})
        acknowledged = 0
        while acknowledged < 50:
            acknowledged += "ack" in await visitor.recv_json()

    await asyncio.gather(*(talk(n) for n in range(10)))
    await everything_told(harness)
    harness.server = Server(settings)
    await harness.server.start()
    assert command("verify").exit_code == 0
    assert command("show", "--last", "9999").output.count(" posted message ") == 500
