"""Import from SQLite into MariaDB: the copy is complete, or an error is reported."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee as pw
import pytest
from click.testing import CliRunner, Result

from tests.helpers.mariadb import MariaDB
from tests.storage.conftest import upgrade_before
from tornado_chat import config
from tornado_chat.cli import main
from tornado_chat.core.types import Kind, Person, Role
from tornado_chat.storage import conversations, import_sqlite, numbers, schema
from tornado_chat.storage.database import open_database
from tornado_chat.storage.exclusive_lock import run_transaction

USER, WAITER = Person(Role.USER, "7"), Person(Role.WAITER, "anne")

Run = Callable[..., Result]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite database with conversations and messages."""
    path = tmp_path / "chat.sqlite3"
    with closing(open_database(config.Storage(url=f"sqlite:///{path}"))) as database:
        schema.upgrade(database)
        first = run_transaction(
            database, lambda tx: conversations.join(tx, USER, "小林 😀", "u-1", {"priority": 2})
        )
        run_transaction(
            database, lambda tx: conversations.assign(tx, first, WAITER, None, "w-1", "next in line")
        )
        run_transaction(database, lambda tx: conversations.end(tx, first.id, USER))
        run_transaction(database, lambda tx: conversations.join(tx, USER, None, "u-2"))
        for model, values in ROWS:
            model.insert_many(values).execute(database)
    return path


def _message(number: int) -> dict[str, Any]:
    return {
        "kind": Kind.SUPPORT.value,
        "thread_id": 1,
        "seq": number,
        "sender": USER.key,
        "text": f"第{number} 😀 it's 100 % \\ done",
        "media": "text",
        "time": 1_700_000_000_000_000 + number,
    }


ROWS: list[tuple[type[pw.Model], list[dict[str, Any]]]] = [
    (import_sqlite.models.Message, [_message(number) for number in range(1, 1203)]),
]


@pytest.fixture
def name(mariadb: MariaDB) -> Iterator[str]:
    with mariadb.database() as name:
        yield name


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(config, "ETC_DIR", tmp_path / "etc")
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(url: str, *words: str) -> Result:
        return CliRunner().invoke(main, ["db", "import", *words, "--set", f"storage.url={url}"])

    return run


def rows(database: pw.Database) -> dict[str, list[Any]]:
    return {
        model._meta.table_name: sorted(map(repr, model.select().tuples().execute(database)))
        for model in import_sqlite.COPIED_MODELS
    }


def test_all_rows_are_copied_unchanged_and_the_copy_can_be_used(
    run: Run, mariadb: MariaDB, name: str, file: Path
) -> None:
    with closing(open_database(config.Storage(url=mariadb.url(name)))) as target:
        # A server with `[counselling] first_number` has started on the target.
        schema.upgrade(target)
        run_transaction(target, lambda tx: numbers.begin_at(tx, 1000))
    done = run(mariadb.url(name), str(file), "--yes")
    assert done.exit_code == 0, done.output
    assert "1,202  message" in done.output
    assert "2  support_conversation" in done.output
    with (
        closing(open_database(config.Storage(url=f"sqlite:///{file}"))) as source,
        closing(open_database(config.Storage(url=mariadb.url(name)))) as target,
    ):
        assert rows(target) == rows(source)
        waiting = conversations.unfinished(target)
        assert [each.last_waiter for each in waiting] == [WAITER]
        third = run_transaction(
            target, lambda tx: conversations.join(tx, Person(Role.USER, "8"), None, "u-3")
        )
        assert third.id == waiting[0].id + 1


def test_a_target_with_rows_is_refused(run: Run, mariadb: MariaDB, name: str, file: Path) -> None:
    assert run(mariadb.url(name), str(file), "--yes").exit_code == 0
    again = run(mariadb.url(name), str(file), "--yes")
    assert again.exit_code == 1
    assert "is not empty, it has rows in" in again.output


def test_invalid_sources_and_targets_are_reported(
    run: Run, mariadb: MariaDB, name: str, file: Path, tmp_path: Path
) -> None:
    def error(url: str, *words: str) -> str:
        result = run(url, *words)
        assert result.exit_code == 1
        assert "Traceback" not in result.output
        return result.output

    assert "first set [storage] url to the new database" in error(f"sqlite:///{tmp_path}/other", str(file))
    assert "does not exist" in error(mariadb.url(name), str(tmp_path / "none"))
    (tmp_path / "text").write_text("no database")
    error(mariadb.url(name), str(tmp_path / "text"), "--yes")
    older = tmp_path / "older.sqlite3"
    with closing(open_database(config.Storage(url=f"sqlite:///{older}"))) as database:
        last, _ = schema.migration_status(database)[-1]
        upgrade_before(database, last, tmp_path / "earlier")
    assert "the schema of another version" in error(mariadb.url(name), str(older), "--yes")
