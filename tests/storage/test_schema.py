"""The migrations and the models describe the same database."""

from collections.abc import Iterator
from pathlib import Path

import peewee as pw
import pytest

from tests.storage.conftest import open_at
from tornado_chat.storage import models, schema

FILES = sorted(path.stem for path in schema.MIGRATIONS.glob("[0-9]*.py"))
HISTORY = "schema_migration"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[pw.Database]:
    database = open_at(tmp_path / "empty" / "new.db")
    yield database
    database.close()


def shape(database: pw.Database) -> dict[tuple[str, str], object]:
    """Every table with its columns and foreign keys, every index with its columns and SQL."""

    def rows(sql: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in database.execute_sql(sql)]

    found: dict[tuple[str, str], object] = {}
    for kind, name, table, sql in rows("SELECT type, name, tbl_name, sql FROM sqlite_master"):
        if table in (HISTORY, "sqlite_sequence"):
            continue
        if kind == "table":
            columns = rows(f"PRAGMA table_info('{name}')")
            found[str(kind), str(name)] = (sql, columns, rows(f"PRAGMA foreign_key_list('{name}')"))
        else:
            found[str(kind), str(name)] = (sql, rows(f"PRAGMA index_info('{name}')"))
    return found


def test_the_migrations_make_exactly_the_tables_columns_and_indexes_of_the_models(
    database: pw.Database, empty: pw.Database
) -> None:
    with empty.bind_ctx(models.TABLES):
        empty.create_tables(models.TABLES)
    assert len(shape(empty)) > len(models.TABLES)
    assert shape(database) == shape(empty)


def test_every_model_of_the_module_has_a_table() -> None:
    defined = {
        model
        for model in vars(models).values()
        if isinstance(model, type) and issubclass(model, models.Table) and model is not models.Table
    }
    assert defined == set(models.TABLES)


def test_upgrading_applies_what_is_missing_and_a_second_time_nothing(empty: pw.Database) -> None:
    assert schema.status(empty) == [(name, False) for name in FILES]
    assert schema.upgrade(empty) == FILES
    assert schema.status(empty) == [(name, True) for name in FILES]
    before = shape(empty)
    assert schema.upgrade(empty) == []
    assert shape(empty) == before


def test_asking_for_the_status_changes_nothing(empty: pw.Database) -> None:
    schema.status(empty)
    assert schema.unknown(empty) == []
    assert empty.get_tables() == []


def test_a_migration_of_a_newer_version_is_unknown_and_not_part_of_the_status(database: pw.Database) -> None:
    assert schema.unknown(database) == []
    database.execute_sql(f"INSERT INTO {HISTORY} (name, applied) VALUES ('9999_future', '2040-01-01')")
    assert schema.unknown(database) == ["9999_future"]
    assert schema.status(database) == [(name, True) for name in FILES]
    assert schema.upgrade(database) == []


def test_a_failed_migration_leaves_nothing_behind(empty: pw.Database) -> None:
    empty.execute_sql("CREATE TABLE receipt (x)")  # the last table of the first migration is in the way
    with pytest.raises(pw.OperationalError, match="already exists"):
        schema.upgrade(empty)
    assert set(empty.get_tables()) <= {"receipt", HISTORY}
    assert schema.status(empty) == [(name, False) for name in FILES]
    empty.execute_sql("DROP TABLE receipt")
    assert schema.upgrade(empty) == FILES


def test_the_database_syncs_as_it_is_told_and_watches_its_references(database: pw.Database) -> None:
    def pragma(name: str) -> object:
        return database.execute_sql(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 1
    assert pragma("foreign_keys") == 1
