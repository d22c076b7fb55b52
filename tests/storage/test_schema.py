"""Migrations: they produce the tables of the models, and can be resumed after a failure."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import peewee as pw
import pytest

from tests.helpers.mariadb import MariaDB
from tests.storage.conftest import on_mariadb, on_sqlite, open_url, transact, upgrade_before
from tornado_chat.core.deliveries import Delivery
from tornado_chat.core.types import DEFAULT_GROUP, ConsentForm, Kind, Thread
from tornado_chat.storage import consents, conversations, deliveries, models, rooms, schema, staff
from tornado_chat.storage.mysql import MysqlDatabase

FILES = sorted(path.stem for path in schema.MIGRATIONS.glob("[0-9]*.py"))
STEP_TABLE = "schema_step"
"""The table of interrupted migrations; it is empty if there is none."""


@pytest.fixture
def empty_url(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty' / 'new.db'}"
        return
    server: MariaDB = request.getfixturevalue("mariadb")
    with server.database() as name:
        yield server.url(name)


@pytest.fixture
def empty(empty_url: str) -> Iterator[pw.Database]:
    database = open_url(empty_url)
    yield database
    database.close()


def shape(database: pw.Database) -> dict[tuple[str, str], object]:
    """Return every table with its columns and foreign keys, every index with its columns and SQL."""

    def rows(sql: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in database.execute_sql(sql)]

    found: dict[tuple[str, str], object] = {}
    if isinstance(database, pw.MySQLDatabase):
        for table in set(database.get_tables()) - {schema.HISTORY_TABLE, STEP_TABLE}:
            made = str(rows(f"SHOW CREATE TABLE {table}")[0][1])
            found["table", table] = re.sub(r" AUTO_INCREMENT=\d+", "", made).splitlines()
        return found
    for kind, name, table, sql in rows("SELECT type, name, tbl_name, sql FROM sqlite_master"):
        if table in (schema.HISTORY_TABLE, "sqlite_sequence"):
            continue
        if kind == "table":
            columns = rows(f"PRAGMA table_info('{name}')")
            # A table that the migrator has copied has a space where "NOT NULL" was.
            sql = str(sql).replace(" ,", ",")
            found[str(kind), str(name)] = (sql, columns, rows(f"PRAGMA foreign_key_list('{name}')"))
        else:
            found[str(kind), str(name)] = (sql, rows(f"PRAGMA index_info('{name}')"))
    return found


def test_the_migrations_create_the_tables_columns_and_indexes_of_the_models(
    database: pw.Database, empty: pw.Database
) -> None:
    with empty.bind_ctx(models.TABLES):
        empty.create_tables(models.TABLES)
    assert len(shape(empty)) >= len(models.TABLES)
    assert shape(database) == shape(empty)


def test_every_model_of_the_module_has_a_table() -> None:
    defined = {
        model
        for model in vars(models).values()
        if isinstance(model, type) and issubclass(model, models.Table) and model is not models.Table
    }
    assert defined == set(models.TABLES)


def test_upgrading_applies_missing_migrations_once(empty: pw.Database) -> None:
    assert schema.migration_status(empty) == [(name, False) for name in FILES]
    assert schema.upgrade(empty) == FILES
    assert schema.migration_status(empty) == [(name, True) for name in FILES]
    before = shape(empty)
    assert schema.upgrade(empty) == []
    assert shape(empty) == before


def test_reading_the_migration_status_changes_nothing(empty: pw.Database) -> None:
    schema.migration_status(empty)
    assert schema.unknown_migrations(empty) == []
    assert empty.get_tables() == []


def test_a_migration_of_a_newer_version_is_unknown_and_not_part_of_the_status(database: pw.Database) -> None:
    assert schema.unknown_migrations(database) == []
    database.execute_sql(
        f"INSERT INTO {schema.HISTORY_TABLE} (name, applied) VALUES ('9999_future', '2040-01-01')"
    )
    assert schema.unknown_migrations(database) == ["9999_future"]
    assert schema.migration_status(database) == [(name, True) for name in FILES]
    assert schema.upgrade(database) == []


@on_sqlite
def test_a_failed_migration_is_rolled_back(empty: pw.Database) -> None:
    empty.execute_sql("CREATE TABLE receipt (x)")  # the last table of the first migration exists already
    with pytest.raises(pw.OperationalError, match="already exists"):
        schema.upgrade(empty)
    assert set(empty.get_tables()) <= {"receipt", schema.HISTORY_TABLE}
    assert schema.migration_status(empty) == [(name, False) for name in FILES]
    empty.execute_sql("DROP TABLE receipt")
    assert schema.upgrade(empty) == FILES


@on_mariadb
def test_a_failed_migration_is_resumed(empty: pw.Database) -> None:
    empty.execute_sql("CREATE TABLE receipt (x INT)")
    for _ in range(2):  # the second run must not take the foreign table for its own
        with pytest.raises(pw.OperationalError, match="already exists"):
            schema.upgrade(empty)
    assert schema.migration_status(empty) == [(name, False) for name in FILES]
    empty.execute_sql("DROP TABLE receipt")
    assert schema.upgrade(empty) == FILES
    assert empty.execute_sql(f"SELECT * FROM {STEP_TABLE}").fetchall() == ()


def test_rooms_of_before_migration_0016_have_no_reason_and_await_no_visitor(
    empty: pw.Database, tmp_path: Path
) -> None:
    upgrade_before(empty, "0016_ends", tmp_path / "earlier")
    people = "asker, helper, state, last_seq, created"
    for state in ("ready", "active", "completed"):
        empty.execute_sql(
            f"INSERT INTO consultation_session ({people}) VALUES ('user:1', 'consultant:2', '{state}', 0, 1)"
        )
    empty.execute_sql(
        f"INSERT INTO supervisor_consultation (session_id, {people})"
        " VALUES (2, 'consultant:2', 'supervisor:3', 'active', 0, 1)"
    )
    assert schema.upgrade(empty)[0] == "0016_ends"
    assert [room.thread for room in rooms.awaited_rooms(empty)] == [
        Thread(Kind.SESSION, 2),
        Thread(Kind.RECORD, 1),
    ]
    ended = rooms.get(empty, Thread(Kind.SESSION, 3))
    assert (ended.end_reason, ended.awaited_until, ended.arrived) == (None, None, None)


def test_conversations_of_before_migration_0018_are_in_the_default_group(
    empty: pw.Database, tmp_path: Path
) -> None:
    upgrade_before(empty, "0018_groups", tmp_path / "earlier")
    empty.execute_sql(
        "INSERT INTO support_conversation (user, user_uuid, state, returned, last_seq, created, open_user) "
        "VALUES ('user:1', 'u', 'waiting', 0, 0, 1, 'user:1')"
    )
    empty.execute_sql(
        "INSERT INTO staff_account (name, role, person_id, password, disabled, created) "
        "VALUES ('chen', 'waiter', '7', 'hash', 0, 1)"
    )
    assert schema.upgrade(empty)[0] == "0018_groups"
    (row,) = conversations.unfinished(empty)
    assert (row.user.id, row.group) == ("1", DEFAULT_GROUP)
    assert staff.accounts(empty)[0].groups == ()


def test_conversations_of_before_migration_0023_have_no_consent(empty: pw.Database, tmp_path: Path) -> None:
    upgrade_before(empty, "0023_consent", tmp_path / "earlier")
    empty.execute_sql(
        "INSERT INTO support_conversation (user, user_uuid, state, returned, last_seq, created, open_user) "
        "VALUES ('user:1', 'u', 'waiting', 0, 0, 1, 'user:1')"
    )
    assert schema.upgrade(empty)[0] == "0023_consent"
    (row,) = conversations.unfinished(empty)
    assert consents.of_thread(empty, row.thread) == []
    form = ConsentForm(DEFAULT_GROUP, "1", "en", "text")
    transact(empty, lambda tx: consents.accept(tx, row.thread, row.user, form))
    assert [each.version for each in consents.of_thread(empty, row.thread)] == ["1"]


def test_sessions_and_records_of_before_migration_0019_keep_their_meaning(
    empty: pw.Database, tmp_path: Path
) -> None:
    upgrade_before(empty, "0019_supervision", tmp_path / "earlier")
    empty.execute_sql(
        "INSERT INTO consultation_session (id, asker, helper, state, last_seq, created) "
        "VALUES (7, 'user:1', 'consultant:2', 'active', 0, 1)"
    )
    empty.execute_sql(
        "INSERT INTO supervisor_consultation (id, session_id, asker, helper, state, last_seq, created) "
        "VALUES (5, 7, 'consultant:2', 'supervisor:3', 'ready', 0, 2)"
    )
    assert schema.upgrade(empty)[0] == "0019_supervision"
    session = rooms.get(empty, Thread(Kind.SESSION, 7))
    assert (session.group, session.about) == (DEFAULT_GROUP, session.thread)
    (record,) = rooms.supervision_records(empty, session.thread)
    assert (record.thread.id, record.about, record.conversation_id) == (5, session.thread, None)


def test_sessions_of_before_migration_0020_have_their_first_agent(empty: pw.Database, tmp_path: Path) -> None:
    upgrade_before(empty, "0020_handover", tmp_path / "earlier")
    empty.execute_sql(
        "INSERT INTO consultation_session (asker, helper, state, last_seq, created)"
        " VALUES ('user:1', 'consultant:2', 'active', 7, 1)"
    )
    assert "0020_handover" in schema.upgrade(empty)
    assert rooms.get(empty, Thread(Kind.SESSION, 1)).agent_changes == 0


NOTIFY_DELIVERY = (
    "CREATE TABLE notify_delivery (id BIGINT NOT NULL PRIMARY KEY, notification BIGINT NOT NULL, "
    "target VARCHAR(64) NOT NULL, shown TEXT NOT NULL, event_id VARCHAR(36) NOT NULL, "
    "recipient VARCHAR(80) NOT NULL, type SMALLINT NOT NULL, body TEXT NOT NULL, state VARCHAR(12) NOT NULL, "
    "attempts INTEGER NOT NULL, next_at BIGINT NOT NULL, since BIGINT NOT NULL, created BIGINT NOT NULL, "
    "last_error TEXT)"
)
"""The table as the plugin notify has created it until migration 0017."""

NOTIFY_ROWS = (
    "3, 70, 'key', 'https://host/hook', 'e-1', 'consultant:2', 2, '{}', 'waiting', 4, 50, 40, 30, 'answer'",
    "5, 71, 'key', 'https://host/hook', 'e-2', 'user:1', 0, '{}', 'dead', 9, 60, 41, 31, NULL",
)


def create_notify_deliveries(database: pw.Database, folder: Path) -> None:
    """Create a database of before migration 0017, with deliveries of the plugin notify."""
    upgrade_before(database, "0017_deliveries", folder)
    database.execute_sql(NOTIFY_DELIVERY)
    for row in NOTIFY_ROWS:
        database.execute_sql(f"INSERT INTO notify_delivery VALUES ({row})")


def test_migration_0017_moves_the_deliveries_of_notify(empty: pw.Database, tmp_path: Path) -> None:
    create_notify_deliveries(empty, tmp_path / "earlier")
    assert "0017_deliveries" in schema.upgrade(empty)
    assert "notify_delivery" not in empty.get_tables()
    waiting, dead = deliveries.undelivered(empty, "notify", False, 9)
    assert replace(waiting, id=0) == Delivery(
        id=0,
        plugin="notify",
        outbox="notifications",
        target="key",
        item="70",
        order_key="",
        shown="https://host/hook",
        recipient="consultant:2",
        body="{}",
        event_id="e-1",
        state="waiting",
        attempts=4,
        next_at=50,
        since=40,
        created=30,
        last_error="answer",
    )
    assert (dead.state, dead.item, dead.attempts, dead.last_error) == ("dead", "71", 9, "")
    assert schema.upgrade(empty) == []


class Died(Exception):
    pass


@on_mariadb
def test_migration_0017_interrupted_at_each_statement_is_resumed(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_url(empty_url)
    create_notify_deliveries(first, tmp_path / "earlier")
    first.close()
    run = MysqlDatabase.run_sql
    left = 0  # statements until the next death

    def run_sql(self: MysqlDatabase, sql: str, params: object = None) -> object:
        nonlocal left
        left -= 1
        result = run(self, sql, params)
        if left == 0:
            raise Died
        return result

    monkeypatch.setattr(MysqlDatabase, "run_sql", run_sql)
    deaths = 0
    while True:
        half = open_url(empty_url)
        left = deaths + 1
        try:
            schema.upgrade(half)
        except Died:
            deaths += 1
        else:
            break
        finally:
            half.close()
    monkeypatch.undo()
    whole = open_url(empty_url)
    assert deaths > 5
    assert [each.item for each in deliveries.undelivered(whole, None, False, 9)] == ["70", "71"]
    assert "notify_delivery" not in whole.get_tables()
    whole.close()


@on_mariadb
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_migration_interrupted_at_each_statement_is_resumed(
    database: pw.Database, empty_url: str, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    run = MysqlDatabase.run_sql
    deaths = 0
    left = 0  # statements until the next death

    def run_sql(self: MysqlDatabase, sql: str, params: object = None) -> object:
        nonlocal left
        left -= 1
        if left == 0 and before:
            raise Died
        result = run(self, sql, params)
        if left == 0:
            raise Died
        return result

    monkeypatch.setattr(MysqlDatabase, "run_sql", run_sql)
    while True:
        half = open_url(empty_url)
        left = deaths + 1
        try:
            schema.upgrade(half)
        except Died:
            deaths += 1
        else:
            break
        finally:
            half.close()
    monkeypatch.undo()
    whole = open_url(empty_url)
    assert deaths > 20
    assert shape(whole) == shape(database)
    assert [done for _, done in schema.migration_status(whole)] == [True] * len(FILES)
    whole.close()


@on_mariadb
def test_of_several_processes_one_migrates_and_the_others_wait(empty_url: str) -> None:
    applied: list[list[str]] = []

    def migrate() -> None:
        database = open_url(empty_url)
        applied.append(schema.upgrade(database))
        database.close()

    processes = [threading.Thread(target=migrate) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert sorted(applied) == [[], [], [], FILES]


class Note(pw.Model):
    """A table of a plugin."""

    owner = pw.CharField(80, index=True)
    text = pw.TextField()


def test_missing_tables_of_plugins_are_created(database: pw.Database) -> None:
    for _ in range(2):
        schema.create_missing_tables(database, [Note])
        Note.insert(owner="user:7", text="今天").execute(database)
    assert Note.select().count(database) == 2
    assert len(database.get_indexes("note")) == (1 if isinstance(database, pw.SqliteDatabase) else 2)


@on_sqlite
def test_the_database_has_the_configured_durability_and_foreign_keys(database: pw.Database) -> None:
    def pragma(name: str) -> object:
        return database.execute_sql(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 1
    assert pragma("foreign_keys") == 1


def test_texts_are_compared_by_bytes_and_stored_unchanged(database: pw.Database) -> None:
    names = ["user:a", "user:A", "user:á", "user:a ", "user:ａ", "user:\U0001f600", "user:\U0001f601"]
    for name in names:
        models.Inbox.insert(owner=name).execute(database)
    for name in names:
        query = models.Inbox.select(models.Inbox.owner).where(models.Inbox.owner == name).tuples()
        assert list(query.execute(database)) == [(name,)]


def test_long_texts_are_stored_unchanged(database: pw.Database) -> None:
    text = "汉" * 100_000 + "\0'\"\\%s"
    models.Notification.insert(
        inbox=models.Inbox.insert(owner="user:1").execute(database), seq=1, type=0, msg=text, time=0
    ).execute(database)
    assert models.Notification.select(models.Notification.msg).scalar(database) == text
