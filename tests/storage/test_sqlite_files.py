"""Copies, checks and replacements of a SQLite file, also of a file that is in use, damaged or missing."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee as pw
import pytest

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.storage.conftest import open_at
from tests.storage.people import build_sample
from tornado_chat.storage import schema, sqlite_files
from tornado_chat.storage.sqlite_files import CorruptDatabase, DatabaseInUse


def nothing(*arguments: object) -> None:
    pass


@contextmanager
def another_process(path: Path, sql: str = "SELECT count(*) FROM message") -> Iterator[None]:
    """A process that has the database open."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        f"c.execute({sql!r}).fetchall(); print('open', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    yield
    process.communicate()


@pytest.fixture
def database_url(database_file: Path) -> str:
    """SQLite only: these tests are about its files."""
    return f"sqlite:///{database_file}"


@pytest.fixture
def file(database_file: Path) -> Path:
    """A database with sample data, which no process uses."""
    database = open_at(database_file)
    schema.upgrade(database)
    build_sample(database)
    database.close()
    return database_file


def count(path: Path) -> int:
    with sqlite3.connect(path) as database:
        found: int = database.execute("SELECT count(*) FROM message").fetchone()[0]
    database.close()
    return found


def damage(path: Path) -> None:
    """Overwrite a part in the middle; the header stays."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(b"\xff" * 20_000)


def test_use_by_other_processes_is_detected(file: Path, tmp_path: Path) -> None:
    assert not sqlite_files.is_in_use(file)
    with another_process(file):
        assert sqlite_files.is_in_use(file)
    assert not sqlite_files.is_in_use(file)
    assert not sqlite_files.is_in_use(tmp_path / "none")


def test_a_copy_of_a_database_in_use_is_complete_in_one_file(
    database: pw.Database, database_file: Path, tmp_path: Path
) -> None:
    build_sample(database)  # the data are in the log, which is not checkpointed yet
    assert database_file.with_name("chat.db-wal").stat().st_size > 0
    steps: list[tuple[int, int]] = []
    sqlite_files.copy_database(
        database_file, tmp_path / "copy", lambda done, total: steps.append((done, total))
    )
    assert steps[-1][0] == steps[-1][1] > 0
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy"]
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    sqlite_files.check_integrity(tmp_path / "copy", nothing)
    assert count(tmp_path / "copy") == 7


def test_a_copy_is_of_one_moment_and_finishes_despite_writes(
    database: pw.Database, database_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of the copy sees a commit of another connection: a copy that restarts would never end."""
    build_sample(database)
    monkeypatch.setattr(sqlite_files, "COPY_STEP_PAGES", 1)
    written = 0

    def write(done: int, total: int) -> None:
        nonlocal written
        with sqlite3.connect(database_file, timeout=5) as other:
            other.execute("UPDATE consultation_session SET feedback = ?", (f"{written}" * 500,))
            other.execute("UPDATE support_conversation SET feedback = ?", (f"{written}" * 500,))
        other.close()
        written += 1

    sqlite_files.copy_database(database_file, tmp_path / "copy", write)
    assert written > 10
    with sqlite3.connect(tmp_path / "copy") as copy:
        both = copy.execute(
            "SELECT s.feedback, c.feedback FROM consultation_session s, support_conversation c"
        )
        assert both.fetchone() == ("feedback what-lin-said", "feedback what-lin-said")
    copy.close()


def test_invalid_and_damaged_files_are_detected(file: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database")
    for act in (
        lambda: sqlite_files.copy_database(tmp_path / "text", tmp_path / "copy1", nothing),
        lambda: sqlite_files.check_integrity(tmp_path / "text", nothing),
        lambda: sqlite_files.check_integrity(tmp_path / "none", nothing),
    ):
        with pytest.raises(CorruptDatabase):
            act()
    damage(file)
    with pytest.raises(CorruptDatabase, match="is damaged"):
        sqlite_files.check_integrity(file, nothing)


def test_a_broken_foreign_key_is_detected(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("UPDATE supervisor_consultation SET session_id = 99")
    database.close()
    with pytest.raises(CorruptDatabase, match="row 1 of supervisor_consultation refers"):
        sqlite_files.check_integrity(file, nothing)


def test_an_interrupt_of_a_check_is_raised(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "PROGRESS_INSTRUCTIONS", 1)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sqlite_files.check_integrity(file, stop)


class TestReplacing:
    @pytest.fixture
    def new(self, file: Path, tmp_path: Path) -> Path:
        """A copy in which a message is missing."""
        sqlite_files.copy_database(file, tmp_path / "new", nothing)
        with sqlite3.connect(tmp_path / "new") as database:
            database.execute("DELETE FROM message WHERE id = 1")
        database.close()
        return tmp_path / "new"

    def test_the_old_database_is_kept(self, file: Path, new: Path, tmp_path: Path) -> None:
        assert sqlite_files.replace_database(new, file, tmp_path / "aside")
        assert (count(file), count(tmp_path / "aside")) == (6, 7)
        assert not new.exists()

    def test_replacing_a_missing_database(self, new: Path, tmp_path: Path) -> None:
        assert not sqlite_files.replace_database(new, tmp_path / "fresh", tmp_path / "aside")
        assert count(tmp_path / "fresh") == 6
        assert not (tmp_path / "aside").exists()

    def test_a_database_in_use_is_not_replaced(self, file: Path, new: Path, tmp_path: Path) -> None:
        with another_process(file), pytest.raises(DatabaseInUse):
            sqlite_files.replace_database(new, file, tmp_path / "aside")
        assert count(file) == 7
        assert not (tmp_path / "aside").exists()

    def test_the_log_of_a_crash_stays_with_the_old_database(
        self, file: Path, new: Path, tmp_path: Path
    ) -> None:
        code = (
            "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
            "c.execute('DELETE FROM message WHERE id > 2'); c.commit(); os._exit(0)"
        )
        subprocess.run([sys.executable, "-c", code, str(file)], check=True)
        assert file.with_name("chat.db-wal").stat().st_size > 0
        sqlite_files.replace_database(new, file, tmp_path / "aside")
        assert (count(file), count(tmp_path / "aside")) == (6, 2)

    def test_a_damaged_database_is_kept_with_its_side_files(
        self, file: Path, new: Path, tmp_path: Path
    ) -> None:
        file.write_bytes(b"x" * 5000)
        wal = file.with_name("chat.db-wal")
        wal.write_bytes(b"y")
        sqlite_files.replace_database(new, file, tmp_path / "aside")
        assert count(file) == 6
        assert (tmp_path / "aside").read_bytes() == b"x" * 5000
        assert (tmp_path / "aside-wal").read_bytes() == b"y"

    def test_the_log_of_a_deleted_database_is_not_applied_to_the_new_one(
        self, file: Path, new: Path, tmp_path: Path
    ) -> None:
        file.unlink()
        file.with_name("chat.db-wal").write_bytes(b"y")
        sqlite_files.replace_database(new, file, tmp_path / "aside")
        assert count(file) == 6
        assert (tmp_path / "aside-wal").read_bytes() == b"y"


def test_compacting_removes_the_remains_of_deleted_rows(file: Path) -> None:
    with sqlite3.connect(file, isolation_level=None) as database:
        database.execute("PRAGMA secure_delete = 0")
        database.executemany(
            "INSERT INTO notification (inbox_id, seq, type, msg, time) VALUES (1, ?, 0, ?, 0)",
            [(n, f"needle {n} " * 40) for n in range(10, 500)],
        )
        database.execute("DELETE FROM notification WHERE seq >= 10")
    database.close()
    size = file.stat().st_size
    assert b"needle" in file.read_bytes()
    sqlite_files.compact(file, nothing)
    assert sqlite_files.truncate_wal(file, 1)
    assert b"needle" not in file.read_bytes()
    assert file.stat().st_size < size
    assert count(file) == 7


def test_the_log_is_emptied_as_soon_as_no_reader_needs_it(database: pw.Database, database_file: Path) -> None:
    build_sample(database)
    wal = database_file.with_name("chat.db-wal")
    with another_process(database_file, "BEGIN") as _:
        assert sqlite_files.truncate_wal(database_file, 1), (
            "a transaction that has not read yet needs nothing"
        )
    build_sample(database)
    reading, done = threading.Event(), threading.Event()

    def read() -> None:
        reader = sqlite3.connect(database_file, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message").fetchone()
        reading.set()
        done.wait(WAIT_TIMEOUT_SECONDS)
        reader.close()

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(WAIT_TIMEOUT_SECONDS)
    build_sample(database)
    assert not sqlite_files.truncate_wal(database_file, 0)
    assert wal.stat().st_size > 0
    done.set()
    thread.join()
    assert sqlite_files.truncate_wal(database_file, 10)
    assert wal.stat().st_size == 0
