"""Objects of a database file that this server has not created."""

from collections.abc import Iterator
from pathlib import Path

import peewee as pw
import pytest

from tests.storage.conftest import open_at
from tornado_chat.storage import schema
from tornado_chat.storage.foreign_objects import find_foreign_objects


@pytest.fixture
def file(tmp_path: Path) -> Iterator[pw.SqliteDatabase]:
    database = open_at(tmp_path / "chat.db")
    assert isinstance(database, pw.SqliteDatabase)
    schema.upgrade(database)
    yield database
    database.close()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "CREATE TRIGGER spy AFTER INSERT ON message BEGIN UPDATE message SET text = 'x'; END",
            'the trigger "spy" on message',
        ),
        ("CREATE VIEW everything AS SELECT * FROM message", 'the view "everything"'),
        ("CREATE VIRTUAL TABLE found USING fts5(text)", 'the virtual table "found"'),
        ("CREATE UNIQUE INDEX one ON message(sender)", 'the index "one" of message'),
        ("ALTER TABLE message ADD COLUMN more TEXT", 'the column "more" of message'),
        (
            "ALTER TABLE message ADD COLUMN made TEXT GENERATED ALWAYS AS (upper(text)) VIRTUAL",
            'the column "made" of message',
        ),
        (
            "CREATE TRIGGER sqlite AFTER DELETE ON schema_migration BEGIN SELECT 1; END",
            'the trigger "sqlite" on schema_migration',
        ),
    ],
)
def test_what_acts_by_itself_or_changes_a_table_is_named(
    file: pw.SqliteDatabase, statement: str, named: str
) -> None:
    assert find_foreign_objects(file) == []
    file.execute_sql(statement)
    assert find_foreign_objects(file) == [named]


def test_tables_of_plugins_stay(file: pw.SqliteDatabase) -> None:
    file.execute_sql("CREATE TABLE casework_note (id INTEGER PRIMARY KEY, text TEXT UNIQUE)")
    file.execute_sql("CREATE INDEX casework_note_text ON casework_note(text)")
    file.execute_sql("ANALYZE")
    assert find_foreign_objects(file) == []


@pytest.mark.parametrize("count", range(1, len(list(schema.MIGRATIONS.glob("[0-9]*.py")))))
def test_a_database_of_an_earlier_version_has_nothing_foreign(tmp_path: Path, count: int) -> None:
    database = open_at(tmp_path / "old.db")
    assert isinstance(database, pw.SqliteDatabase)
    names = [name for name, _ in schema.migration_status(database)][:count]
    schema.apply(database, names)
    assert find_foreign_objects(database) == []
    database.execute_sql("CREATE VIEW everything AS SELECT * FROM message")
    assert find_foreign_objects(database) == ['the view "everything"']
    database.close()
