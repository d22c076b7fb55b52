"""Erasures that were killed: the same command completes them, files and record included."""

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_cli import home, state
from tests.data_management.test_commands import Run, file, opened, run
from tests.storage.people import LIN, SECRET
from tornado_chat.core.types import Operation
from tornado_chat.storage import operations, sqlite_files

__all__ = ["file", "home", "run", "state"]

KILLED_IN = """
import os, sys
from tornado_chat.cli import main
from tornado_chat.data_management.erasure import Erasure
erase = sys.modules["tornado_chat.cli.erase"]
{place} = lambda *arguments, **more: os.kill(os.getpid(), 9)
main(sys.argv[1:])
"""


@pytest.fixture
def server(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that keeps the write-ahead log, with the person's words in it."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("UPDATE message SET text = text || ?", (" again",))
    yield connection
    connection.close()


def erase_and_die(place: str, *options: str) -> None:
    code = KILLED_IN.format(place=place)
    killed = subprocess.run(
        [sys.executable, "-c", code, "erase", "--user", "1", "--yes", *options],
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -9, killed.stderr


def recorded(file: Path) -> list[Operation]:
    found: list[Operation] = opened(file, lambda database: operations.for_person(database, LIN))
    return found


def files_with_the_secret(file: Path) -> list[str]:
    return sorted(
        path.name for path in file.parent.iterdir() if path.is_file() and SECRET.encode() in path.read_bytes()
    )


@pytest.mark.parametrize(
    "place", ["erase._remove_fragments", "erase._record", "Erasure._erase_rest", "Erasure._erase_some"]
)
def test_a_killed_erasure_is_completed_by_the_same_command(
    run: Run, file: Path, home: Path, server: sqlite3.Connection, place: str
) -> None:
    erase_and_die(place)
    left = [SECRET.encode() in file.with_name(file.name + end).read_bytes() for end in ("", "-wal")]
    assert any(left) or place == "erase._record"
    assert {each.state for each in recorded(file)} == {"begun"}
    before = recorded(file)
    if place == "Erasure._erase_rest":  # some data are left, and an export does not end the erasure
        assert run("export", "--user", "1", "--output", str(home / "x")).exit_code == 0
        assert recorded(file)[:-1] == before

    result = run("erase", "--user", "1", "--yes", "--report", str(home / "report.json"))
    assert result.exit_code == 0, result.stderr
    assert "an erasure of user 1 by " in result.stdout
    assert "was not completed: this one completes it\n" in result.stdout
    assert files_with_the_secret(file) == []
    assert [each.state for each in recorded(file) if each.action == "erase"] == ["begun", "begun", "done"]
    # The counts are those of the whole erasure, also those of the killed run.
    counts = json.loads(recorded(file)[-1].counts or "")
    assert counts["message"] == 3
    assert counts["consultation_session"] == counts["support_conversation"] == counts["inbox"] == 1
    done = json.loads((home / "report.json").read_text())["done"]
    assert {"table": "message", "what": "emptied", "rows": 3} in done

    result = run("erase", "--user", "1", "--yes")
    assert (result.exit_code, result.stderr) == (1, "Error: no data are stored about user 1\n")


def test_counts_of_a_completed_erasure_do_not_count_for_the_next(run: Run, file: Path) -> None:
    assert run("erase", "--user", "1", "--yes").exit_code == 0
    assert run("erase", "--user", "2", "--role", "consultant", "--yes").exit_code == 0
    assert [each.state for each in recorded(file)] == ["begun", "done"]


def test_a_dry_run_of_a_killed_erasure_changes_nothing(
    run: Run, file: Path, server: sqlite3.Connection
) -> None:
    erase_and_die("erase._remove_fragments")
    before = recorded(file)
    result = run("erase", "--user", "1", "--dry-run")
    assert (result.exit_code, "was not completed" in result.stdout) == (0, True)
    assert recorded(file) == before


def test_a_log_in_use_leaves_the_erasure_open(
    run: Run, file: Path, server: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["tornado_chat.cli.erase"], "WAL_TIMEOUT_SECONDS", 0.1)
    server.execute("BEGIN")
    server.execute("SELECT count(*) FROM message").fetchone()  # a reader needs the log as it is
    result = run("erase", "--user", "1", "--yes", "--no-compact")
    assert result.exit_code == 1
    assert "user 1 is not erased completely:\n" in result.stdout
    assert "run the same command again" in result.stdout
    assert [each.state for each in recorded(file)] == ["begun", "stopped"]
    assert files_with_the_secret(file) != []
    server.execute("COMMIT")
    assert run("erase", "--user", "1", "--yes", "--no-compact").exit_code == 0
    assert files_with_the_secret(file) == []
    assert [each.state for each in recorded(file)] == ["begun", "stopped", "begun", "done"]


def test_erase_names_the_copies_of_the_database(run: Run, file: Path, home: Path) -> None:
    assert run("backup", str(home / "b")).exit_code == 0
    assert "copies of the database" not in run("erase", "--user", "1", "--dry-run").stdout
    assert run("restore", str(home / "b"), "--yes").exit_code == 0
    (kept,) = file.parent.glob("*.replaced-*")
    left = file.parent / f".{file.name}.12345678"
    left.mkdir()
    sqlite_files.copy_database(file, left / file.name, lambda done, total: None)
    for options in (("--dry-run",), ("--yes",)):
        result = run("erase", "--user", "1", *options)
        assert result.exit_code == 0
        assert f"these copies of the database still contain all data: {left}, {kept}; " in result.stdout
    assert run("restore", "--discard", "--yes").exit_code == 0
    with contextlib.closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert files_with_the_secret(file) == []


def test_whole_conversations_of_a_killed_erasure_are_counted_once(
    run: Run, file: Path, home: Path, server: sqlite3.Connection
) -> None:
    run("erase", "--user", "1", "--dry-run", "--whole-conversations", "--report", str(home / "plan.json"))
    erase_and_die("Erasure._erase_rest", "--whole-conversations")
    result = run(
        "erase", "--user", "1", "--yes", "--whole-conversations", "--report", str(home / "report.json")
    )
    assert result.exit_code == 0, result.stderr
    plan, report = (json.loads((home / f"{name}.json").read_text()) for name in ("plan", "report"))
    assert report["done"] == plan["done"]
    assert files_with_the_secret(file) == []


def test_the_copy_of_a_killed_restore_is_named_and_removed(run: Run, file: Path, home: Path) -> None:
    assert run("backup", str(home / "b")).exit_code == 0
    code = (
        "import os, sys; from tornado_chat.cli import main; from tornado_chat.storage import sqlite_files\n"
        "sqlite_files.replace_database = lambda *arguments: os.kill(os.getpid(), 9)\n"
        "main(sys.argv[1:])"
    )
    killed = subprocess.run([sys.executable, "-c", code, "restore", str(home / "b"), "--yes"])
    assert killed.returncode == -9
    (left,) = (path for path in file.parent.iterdir() if path.is_dir())
    result = run("erase", "--user", "1", "--yes")
    assert f"these copies of the database still contain all data: {left}; " in result.stdout
    assert SECRET.encode() in (left / file.name).read_bytes()
    assert run("restore", "--discard", "--yes").exit_code == 0
    assert not left.exists()


def test_pruning_empties_the_log(
    run: Run, file: Path, server: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["tornado_chat.cli.maintenance"], "WAL_TIMEOUT_SECONDS", 0.1)
    server.execute("BEGIN")
    server.execute("SELECT count(*) FROM message").fetchone()  # a reader needs the log as it is
    result = run("db", "prune", "--older-than", "30", "--yes")
    assert (result.exit_code, "the write-ahead log was in use" in result.stdout) == (1, True)
    server.execute("COMMIT")
    result = run("db", "prune", "--older-than", "30", "--yes")
    assert (result.exit_code, "the write-ahead log" in result.stdout) == (0, False), result.stderr
    assert files_with_the_secret(file) == []
