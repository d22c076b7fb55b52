"""The names that commands may give to the files that they write."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_cli import home, state
from tests.data_management.test_commands import Run, file, run
from tornado_chat.cli.output_files import OutputFiles
from tornado_chat.storage import database_copies
from tornado_chat.storage.database_copies import find_copies, temporary_folder

__all__ = ["file", "home", "run", "state"]


@pytest.fixture
def live(file: Path) -> Iterator[Path]:
    """The database while a connection uses it, so that -wal and -shm are beside it; with the other files."""
    (file.parent / "secret").write_text("the secret")
    (file.parent / "audit.key").write_text("the key")
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE IF NOT EXISTS probe (x)")
    database.commit()
    yield file
    database.close()


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the inode and the bytes of each file, except SQLite's index, which readers change."""
    return {
        path.name: (path.lstat().st_ino, b"" if path.name.endswith("-shm") else path.read_bytes())
        for path in folder.iterdir()
        if path.is_file()
    }


SERVER_NAMES = [
    "tornado-chat.sqlite3",
    "tornado-chat.sqlite3-wal",
    "tornado-chat.sqlite3-shm",
    "tornado-chat.sqlite3-journal",
    "secret",
    "audit.key",
    "a-new-name",
]


@pytest.mark.parametrize("name", SERVER_NAMES)
def test_no_command_writes_over_a_file_of_the_server(run: Run, live: Path, home: Path, name: str) -> None:
    before = contents(live.parent)
    (home / "link").symlink_to(live.parent)
    for target in (live.parent / name, home / "link" / name, home / "x" / ".." / "link" / name):
        (home / "x").mkdir(exist_ok=True)
        for command in (
            ("backup", str(target), "--force"),
            ("backup", str(target)),
            ("export", "--user", "1", "--output", str(target)),
            ("erase", "--user", "1", "--yes", "--report", str(target)),
        ):
            result = run(*command)
            assert result.exit_code in (1, 2), (command, result.stdout)
            assert "use another name" in result.stderr or "use another folder" in result.stderr, result.stderr
    assert contents(live.parent) == before


def test_a_database_beside_its_server_is_safe_wherever_it_is(run: Run, live: Path, home: Path) -> None:
    """A command with the defaults must not replace the database of another configuration."""
    other = home / "other"
    other.mkdir()
    assert run("backup", str(other / "chat.sqlite3")).exit_code == 0
    with sqlite3.connect(other / "chat.sqlite3") as database:
        database.execute("PRAGMA journal_mode = WAL")
    database.close()
    before = (other / "chat.sqlite3").read_bytes()
    for target in (other / "chat.sqlite3", other / "chat.sqlite3-wal"):
        assert run("backup", str(target), "--force").exit_code in (1, 2)
    assert (other / "chat.sqlite3").read_bytes() == before
    assert [path.name for path in other.iterdir()] == ["chat.sqlite3"]
    # The log of a database that was deleted would be applied to the new file.
    (home / "gone-wal").write_bytes(b"log")
    assert run("backup", str(home / "gone")).exit_code == 2
    os.link(live, home / "hard")
    assert run("backup", str(home / "hard"), "--force").exit_code == 2


def test_only_a_backup_is_replaced(run: Run, live: Path, home: Path) -> None:
    backup = home / "b.sqlite3"
    assert run("backup", str(backup)).exit_code == 0
    (home / "notes").write_text("mine")
    (home / "to-backup").symlink_to(backup)
    (home / "to-nothing").symlink_to(home / "nothing")
    (home / "folder.zip").mkdir()
    os.mkfifo(home / "fifo")
    with sqlite3.connect(home / "foreign") as foreign:
        foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    inodes = {path: path.lstat().st_ino for path in home.iterdir()}
    for name, said in (
        ("notes", "is not a backup"),
        ("foreign", "is not a backup"),
        ("to-backup", "is a symbolic link"),
        ("to-nothing", "is a symbolic link"),
        ("fifo", "is a FIFO"),
        ("/dev/null", "is a device"),
    ):
        target = home / name
        for command in (("backup", str(target), "--force"), ("backup", str(target))):
            result = run(*command)
            assert (result.exit_code, said in result.stderr) == (1, True), (command, result.stderr)
        for option, command in (("--output", ("export",)), ("--report", ("erase", "--yes"))):
            result = run(*command, "--user", "1", option, str(target))
            assert (result.exit_code, "already exists" in result.stderr) == (2, True), (
                command,
                result.stderr,
            )
    assert run("export", "--user", "1", "--output", str(home / "folder.zip")).exit_code == 2
    assert {path: path.lstat().st_ino for path in home.iterdir()} == inodes
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    assert run("backup", str(backup), "--force").exit_code == 0
    assert backup.lstat().st_ino != inodes[backup]
    assert run("backup", "--verify", str(backup)).exit_code == 0


def test_a_name_that_appears_meanwhile_is_not_replaced(live: Path, home: Path) -> None:
    outputs = OutputFiles(live.parent, live)
    target = home / "b"
    outputs.check_backup(target, force=True)
    target.write_text("mine")
    (home / "complete").write_text("new")
    for publish in (
        lambda: outputs.publish_backup(home / "complete", target, force=True),
        lambda: outputs.publish_new(home / "complete", target),
    ):
        with pytest.raises(Exception, match="already exists"):
            publish()
    assert target.read_text() == "mine"


def test_restore_replaces_no_link_and_reads_no_fifo(run: Run, file: Path, home: Path) -> None:
    run("backup", str(home / "b"))
    os.mkfifo(home / "fifo")
    result = run("restore", str(home / "fifo"), "--yes")
    assert (result.exit_code, "is not a file" in result.stderr) == (1, True)
    (home / "link.sqlite3").symlink_to(file)
    option = ("--set", f"storage.url=sqlite:///{home}/link.sqlite3")
    result = run("restore", str(home / "b"), "--yes", *option)
    assert (result.exit_code, f"--set storage.url=sqlite:///{file}" in result.stderr) == (1, True)
    assert (home / "link.sqlite3").is_symlink()


def test_keeping_the_newest_backups_removes_backups_only(run: Run, file: Path, home: Path) -> None:
    folder = home / "backups"
    folder.mkdir()
    names = [f"tornado-chat-2020010{day}T000000Z.sqlite3" for day in range(1, 5)]
    (folder / names[0]).mkdir()
    (folder / names[1]).symlink_to(file)
    (folder / names[2]).write_text("old")
    # A database with the name of a backup.
    file.rename(folder / names[3])
    option = ("--set", f"storage.url=sqlite:///{folder / names[3]}")
    assert run("backup", str(folder), "--keep", "1", *option).exit_code == 0
    assert [name for name in names if os.path.lexists(folder / name)] == [names[0], names[1], names[3]]


def test_a_report_and_an_archive_are_complete_or_absent(run: Run, file: Path, home: Path) -> None:
    assert run("export", "--user", "1", "--output", str(home / "lin.zip")).exit_code == 0
    with zipfile.ZipFile(home / "lin.zip") as archive:
        assert archive.testzip() is None
    report = home / "report.json"
    assert run("erase", "--user", "1", "--yes", "--report", str(report)).exit_code == 0
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert sorted(path.name for path in home.iterdir()) == [".local", "lin.zip", "report.json"]


def test_what_a_killed_command_left_is_found_and_removed(run: Run, file: Path, home: Path) -> None:
    """A folder of a running command is locked; the lock ends with the process."""
    left = file.parent / f".{file.name}.abcd_123"
    left.mkdir()
    (left / file.name).write_bytes(file.read_bytes())
    mine = file.parent / ".other.sqlite3.abcd_123"
    mine.mkdir()
    with temporary_folder(file) as used:
        (used / file.name).write_text("half a copy")
        assert [copy.path for copy in find_copies(file)] == [left]
    (home / ".b.abcd_123").mkdir()
    (home / ".b.abcd_123" / "b").write_text("half")
    result = run("backup", str(home / "b"))
    assert f"removed {home}/.b.abcd_123" in result.stdout
    assert [path.name for path in home.iterdir() if path.name.startswith(".b")] == []

    assert run("restore", str(home / "b"), "--yes").exit_code == 0
    assert not left.exists()
    assert mine.exists()
    (kept,) = (copy.path for copy in find_copies(file))
    result = run("restore", "--discard")
    assert (result.exit_code, kept.exists()) == (2, True)
    result = run("restore", "--discard", "--yes")
    assert (result.exit_code, f"{kept}: " in result.stdout) == (0, True)
    assert [path.name for path in file.parent.iterdir()] == [mine.name, file.name] or not find_copies(file)
    assert run("restore", "--discard", "--yes").stdout == f"there is no replaced database beside {file}\n"
    assert run("restore").exit_code == run("restore", str(home / "b"), "--discard").exit_code == 2


@pytest.mark.parametrize("name", ["lin", "lin.zip"])
def test_what_a_killed_export_left_is_removed(run: Run, file: Path, home: Path, name: str) -> None:
    code = (
        "import os, sys; from tornado_chat.cli import main; from tornado_chat.data_management import "
        "operation_log\n"
        "operation_log.OperationRecorder.record_state = lambda *arguments: os.kill(os.getpid(), 9)\n"
        "main(sys.argv[1:])"
    )
    words = ("export", "--user", "1", "--output")
    for next_command in (
        (*words, str(home / name)),
        (*words, str(home / "other")),
        ("backup", str(home / "b")),
    ):
        died = subprocess.run([sys.executable, "-c", code, *words, str(home / name)], capture_output=True)
        assert died.returncode == -9, died.stderr
        (left,) = home.glob(f".{name}.*")
        assert (left / "person" / "person.json").exists()
        result = run(*next_command)
        assert (result.exit_code, f"removed {left}: " in result.stdout) == (0, True), result.stderr
        assert list(home.glob(f".{name}.*")) == []
        target = Path(next_command[-1])
        assert target.exists()
        shutil.rmtree(target) if target.is_dir() else target.unlink()


def test_the_names_of_replaced_databases(tmp_path: Path) -> None:
    database = tmp_path / "chat[1].sqlite3"
    for end in (
        ".replaced-20250320T033012Z",
        ".replaced-20250320T033012Z-2",
        ".replaced-20250320T033012Z-wal",
        ".replaced-20259999T033012Z",
        ".replaced-by-hand",
        "2.replaced-20250320T033012Z",
    ):
        database.with_name(database.name + end).write_text("x")
    found = [copy.path.name.removeprefix(database.name) for copy in find_copies(database)]
    assert found == [
        ".replaced-20250320T033012Z",
        ".replaced-20250320T033012Z-2",
        ".replaced-20250320T033012Z-wal",
    ]
    assert {copy.made for copy in find_copies(database)} == {1742441412.0}
    for copy in find_copies(database):
        database_copies.remove(copy)
    assert find_copies(database) == []
