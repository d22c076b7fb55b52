"""The commands for backups and personal data, as an operator types them."""

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee as pw
import pytest
from click.testing import CliRunner, Result

from tests.cli.test_cli import home, state
from tests.storage.conftest import open_at, transact
from tests.storage.people import LIN, SECRET, build_sample, everything, rows
from tornado_chat.cli import main
from tornado_chat.cli.person_data import mysql_arguments
from tornado_chat.core.types import Person, Role
from tornado_chat.observability import logs
from tornado_chat.storage import notifications, schema
from tornado_chat.storage.database import MAX_WAL_BYTES

__all__ = ["home", "state"]

Run = Callable[..., Result]


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(logs, "configure", lambda settings: None)

    def run(*arguments: str, input: str = "") -> Result:
        result = CliRunner().invoke(main, arguments, input=input)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def file(state: Path) -> Iterator[Path]:
    """The database of the home folder, with finished sample conversations."""
    database = open_at(state / "tornado-chat.sqlite3")
    schema.upgrade(database)
    build_sample(database)
    database.close()
    return state / "tornado-chat.sqlite3"


def opened(file: Path, look: Callable[[pw.Database], Any]) -> Any:
    database = open_at(file)
    try:
        return look(database)
    finally:
        database.close()


# backup and restore


def test_a_backup_is_verified_and_described(run: Run, file: Path, home: Path) -> None:
    (file.parent / "secret").write_text("x")
    result = run("backup", str(home / "b.sqlite3"))
    assert result.exit_code == 0, result.stderr
    assert "b.sqlite3: valid backup\n" in result.stdout
    assert "conversations  1 session, 1 supervision record, 1 support conversation\n" in result.stdout
    assert re.search(r"messages +7, from 2023-11-1\d ", result.stdout)
    assert f"not in the backup; copy these secrets to another place: {file.parent}/secret\n" in result.stdout
    assert stat.S_IMODE((home / "b.sqlite3").stat().st_mode) == 0o600
    assert sorted(path.name for path in home.iterdir()) == [".local", "b.sqlite3"], (
        "no temporary file is left"
    )

    result = run("backup", "--verify", str(home / "b.sqlite3"))
    assert (result.exit_code, "valid backup" in result.stdout) == (0, True)
    result = run("backup", str(home / "b.sqlite3"))
    assert (result.exit_code, "already exists; --force replaces it" in result.stderr) == (1, True)
    assert run("backup", "--force", str(home / "b.sqlite3")).exit_code == 0


def test_an_invalid_backup_is_refused(run: Run, file: Path, home: Path) -> None:
    (home / "text").write_text("no database")
    sqlite3.connect(home / "empty").close()
    with sqlite3.connect(home / "other") as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    run("backup", str(home / "damaged"))
    with (home / "damaged").open("r+b") as damaged:
        damaged.seek(30_000)
        damaged.write(b"\xff" * 30_000)
    for name, said in (
        ("text", "file is not a database"),
        ("empty", "is not a database of tornado-chat"),
        ("other", "is not a database of tornado-chat"),
        ("damaged", "is damaged: "),
        ("none", "does not exist"),
    ):
        result = run("backup", "--verify", str(home / name))
        assert (result.exit_code, said in result.stderr) == (1, True), (name, result.stderr)
        if name != "none":
            result = run("restore", str(home / name), "--yes")
            assert result.exit_code == 1, name
    assert len(opened(file, everything)) > 100
    assert [path.name for path in file.parent.iterdir()] == ["tornado-chat.sqlite3"], "nothing was changed"


SPY = (
    "CREATE TRIGGER spy AFTER INSERT ON message BEGIN UPDATE message SET text = 'x' WHERE id = NEW.id; END",
    "CREATE VIEW everything AS SELECT * FROM message",
)


def test_a_database_with_a_trigger_or_view_is_no_backup(run: Run, file: Path, home: Path) -> None:
    assert run("backup", str(home / "forged")).exit_code == 0
    for path in (home / "forged", file):
        with sqlite3.connect(path) as database:
            for statement in SPY:
                database.execute(statement)
        database.close()
    before = file.read_bytes()
    for command, path in (
        (("backup", "--verify", str(home / "forged")), home / "forged"),
        (("restore", str(home / "forged"), "--yes"), home / "forged"),
        (("backup", str(home / "new")), file),
    ):
        result = run(*command)
        assert result.exit_code == 1
        names = 'the trigger "spy" on message, the view "everything"'
        assert f"{path} has what tornado-chat did not create: {names}. " in result.stderr
        assert "Find out who made it" in result.stderr
    assert file.read_bytes() == before
    assert not (home / "new").exists()


def test_backups_in_a_folder_are_named_by_time_and_the_newest_are_kept(
    run: Run, file: Path, home: Path
) -> None:
    folder = home / "backups"
    folder.mkdir()
    for day in range(1, 6):
        (folder / f"tornado-chat-2020010{day}T000000Z.sqlite3").write_text("old")
    (folder / "mine.sqlite3").write_text("not made by us")
    result = run("backup", str(folder), "--keep", "3")
    assert result.exit_code == 0, result.stderr
    names = sorted(path.name for path in folder.iterdir())
    assert names[:3] == [
        "mine.sqlite3",
        "tornado-chat-20200104T000000Z.sqlite3",
        "tornado-chat-20200105T000000Z.sqlite3",
    ]
    assert len(names) == 4
    assert result.stdout.count("removed ") == 3
    assert run("backup", str(home / "f"), "--keep", "3").exit_code == 2
    assert run("backup", str(home / "none" / "f")).exit_code == 1


def test_nothing_to_back_up(run: Run, home: Path, state: Path) -> None:
    result = run("backup", str(home / "b"))
    assert (result.exit_code, "does not exist yet" in result.stderr) == (1, True)
    assert not state.exists()


def test_missing_disk_space_is_reported_before_the_copy(
    run: Run, file: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        f_bavail, f_frsize = 1, 4096

    monkeypatch.setattr(os, "statvfs", lambda path: Full)
    for command in (["backup", str(home / "b")], ["restore", str(file), "--yes"]):
        if command[0] == "restore":
            (home / "b").write_bytes(file.read_bytes())
            command[1] = str(home / "b")
        result = run(*command)
        assert (result.exit_code, "4.0 KiB free, but" in result.stderr) == (1, True), result.stderr


def test_mysql_backup_gets_advice(home: Path) -> None:
    assert (
        mysql_arguments("mysql://chat:hush@db.example:3307/chat?charset=utf8mb4")
        == "--host db.example --port 3307 --user chat --password chat"
    )
    assert mysql_arguments("mysql:///chat") == "chat"
    assert "hush" not in mysql_arguments("mysql://chat:hush@[broken/chat")


def test_restore_replaces_the_database_and_keeps_the_old_one(run: Run, file: Path, home: Path) -> None:
    run("backup", str(home / "b"))
    opened(file, lambda database: database.execute_sql("DELETE FROM message WHERE id > 3"))
    result = run("restore", str(home / "b"), "--yes")
    assert result.exit_code == 0, result.stderr
    assert "the present database, to be replaced\n" in result.stdout
    assert "is restored\n" in result.stdout
    assert opened(file, lambda database: rows(database, "message")) == 7
    (aside,) = file.parent.glob("*.replaced-*")
    assert f"the former database is kept as {aside}" in result.stdout
    assert opened(aside, lambda database: rows(database, "message")) == 3
    assert (home / "b").exists()
    assert opened(file, lambda database: database.execute_sql("PRAGMA journal_mode").fetchone()[0]) == "wal"


def test_restore_asks_for_confirmation(run: Run, file: Path, home: Path) -> None:
    run("backup", str(home / "b"))
    before = file.read_bytes()
    assert run("restore", str(home / "b"), input="n\n").exit_code == 1
    result = run("restore", str(home / "b"))
    assert (result.exit_code, "add --yes" in result.stderr) == (2, True)
    assert file.read_bytes() == before
    assert run("restore", str(home / "b"), input="y\n").exit_code == 0
    assert run("restore", str(file), "--yes").exit_code == 2


def test_restore_without_a_database_and_of_another_version(run: Run, file: Path, home: Path) -> None:
    run("backup", str(home / "b"))
    with sqlite3.connect(home / "b") as old:
        old.execute("DROP TABLE data_operation")
        old.execute(f"DELETE FROM {schema.HISTORY_TABLE} WHERE name = '0005_keeping'")
    old.close()
    file.unlink()
    result = run("restore", str(home / "b"), "--yes")
    assert result.exit_code == 0, result.stderr
    assert "the database lacks 0005_keeping: run `tornado-chat db upgrade` before the start" in result.stdout
    assert "kept as" not in result.stdout
    assert run("db", "upgrade").exit_code == 0

    with sqlite3.connect(home / "b") as new:
        new.execute(
            f"INSERT INTO {schema.HISTORY_TABLE} (name, applied) VALUES ('9999_future', '2040-01-01')"
        )
    new.close()
    result = run("restore", str(home / "b"), "--yes")
    assert (result.exit_code, "comes from a newer version (it has 9999_future)" in result.stderr) == (1, True)


def test_restore_names_people_to_be_erased_again(run: Run, file: Path, home: Path) -> None:
    run("backup", str(home / "b"))
    assert run("erase", "--user", "1", "--yes").exit_code == 0
    result = run("restore", str(home / "b"), "--yes")
    assert "    tornado-chat erase --role user --user 1\n" in result.stdout
    assert SECRET in opened(file, everything)
    assert "erased after" not in run("restore", str(home / "b"), "--yes").stdout


def test_commands_refuse_a_database_in_use(run: Run, file: Path, home: Path) -> None:
    run("backup", str(home / "b"))
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        "c.execute('SELECT 1 FROM message').fetchall();"
        "print('open', flush=True); sys.stdin.read()"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert user.stdout is not None
    user.stdout.readline()
    for command in (["restore", str(home / "b"), "--yes"], ["db", "compact"]):
        result = run(*command)
        assert result.exit_code == 1
        assert "is in use" in result.stderr
        assert "stop the server first" in result.stderr
    assert run("backup", str(home / "b2")).exit_code == 0
    user.communicate()
    assert run("db", "compact").exit_code == 0


# db


def test_status_describes_the_database(run: Run, file: Path) -> None:
    said = run("db", "status").stdout
    assert "journal mode wal" in said
    assert re.search(
        r"^size +[\d.]+ KiB, [\d.]+ (?:KiB|bytes) of it free for new rows; write-ahead log 0 bytes",
        said,
        re.M,
    ), said
    assert re.search(r"^conversations +1 session, 1 supervision record, 1 support conversation$", said, re.M)
    assert re.search(r"^rows .*\bmessage 7\b", said, re.M)
    found = json.loads(run("db", "status", "--json").stdout)
    assert found["rows"]["message"] == 7
    assert found["missing"] == []
    assert found["file"]["size"] == file.stat().st_size


def test_prune(run: Run, file: Path) -> None:
    assert run("db", "prune", "--yes").exit_code == 2
    result = run("db", "prune", "--dry-run", "--set", "storage.retention_days=365")
    said = "1 session, 1 supervision record, 1 support conversation, with 7 messages; 1 notification"
    assert result.stdout == f"older than 365 days: {said}\nnothing was changed\n"
    assert opened(file, lambda database: rows(database, "message")) == 7
    assert run("db", "prune", "--older-than", "100", input="n\n").exit_code == 1
    for command in ("db prune --dry-run --older-than 36501", f"db operations --last {2**63}"):
        assert run(*command.split()).exit_code == 2
    result = run("db", "prune", "--older-than", "100", "--yes")
    assert result.exit_code == 0, result.stderr
    assert SECRET not in opened(file, everything)
    said = run("db", "operations").stdout
    assert "prune begun" in said
    assert '"message":7' in said


def test_a_database_of_an_older_version_is_not_changed(run: Run, file: Path) -> None:
    opened(
        file,
        lambda database: database.execute_sql(f"DELETE FROM {schema.HISTORY_TABLE} WHERE name LIKE '0005%'"),
    )
    for command in ("db prune --older-than 1 --yes", "erase --user 1 --yes", "export --user 1 --output x"):
        result = run(*command.split())
        assert result.exit_code == 1
        assert "lacks 0005_keeping: make a backup, then run `tornado-chat db upgrade`" in result.stderr


def test_a_large_log_is_truncated(file: Path) -> None:
    limit = opened(file, lambda database: database.execute_sql("PRAGMA journal_size_limit").fetchone()[0])
    assert limit == MAX_WAL_BYTES
    assert opened(file, lambda database: database.execute_sql("PRAGMA secure_delete").fetchone()[0]) == 1


# export


def test_export_into_a_folder(run: Run, file: Path, home: Path) -> None:
    result = run("export", "--user", "1", "--output", str(home / "lin"))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{home}/lin: all data of user 1: 1 session, 1 support conversation\n"
    assert sorted(path.name for path in (home / "lin").iterdir()) == ["person.html", "person.json"]
    assert stat.S_IMODE((home / "lin").stat().st_mode) == 0o700
    assert json.loads((home / "lin" / "person.json").read_text())["person"]["id"] == "1"
    assert 'lang="zh-CN"' in (home / "lin" / "person.html").read_text()
    assert "export done  user:1" in run("db", "operations").stdout
    assert run("export", "--user", "1", "--output", str(home / "lin")).exit_code == 2
    assert [path.name for path in home.iterdir() if path.name.startswith(".lin")] == []


def test_export_into_an_archive(run: Run, file: Path, home: Path) -> None:
    output = home / "chen.zip"
    result = run(
        "export",
        "--user",
        "2",
        "--role",
        "consultant",
        "--output",
        str(output),
        "--set",
        "server.language=en",
    )
    assert result.exit_code == 0, result.stderr
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    with zipfile.ZipFile(output) as archive:
        assert archive.namelist() == ["person.html", "person.json"]
        assert b'lang="en"' in archive.read("person.html")


def test_export_of_an_unknown_person(run: Run, file: Path, home: Path) -> None:
    result = run("export", "--user", "99", "--output", str(home / "x"))
    assert (result.exit_code, result.stderr) == (1, "Error: no data are stored about user 99\n")
    result = run("export", "--user", "2", "--output", str(home / "x"))
    assert "there is a consultant with this id: use --role" in result.stderr
    assert run("db", "operations").stdout == "no operation is recorded\n"


def test_an_export_folder_is_private_and_a_backup_folder_may_be_a_disk(
    run: Run, file: Path, home: Path
) -> None:
    assert run("export", "--user", "1", "--output", str(home / "new" / "lin")).exit_code == 0
    assert [stat.S_IMODE((home / path).stat().st_mode) & 0o77 for path in ("new", "new/lin")] == [0, 0]
    (home / "new" / "file").touch()
    result = run("export", "--user", "1", "--output", str(home / "new" / "file" / "x"))
    assert (result.exit_code, "cannot be created: " in result.stderr) == (1, True)
    result = run("backup", str(home / "disk" / "b"))
    assert (result.exit_code, f"install -d -m 700 {home}/disk" in result.stderr) == (1, True)
    assert not (home / "disk").exists()


# erase


def test_erase_reports_before_and_after(run: Run, file: Path, home: Path) -> None:
    result = run("erase", "--user", "1", "--dry-run", "--report", str(home / "plan.json"))
    assert result.exit_code == 0, result.stderr
    assert "user 1, to be erased:\n" in result.stdout
    assert "nothing was changed\n" in result.stdout
    assert SECRET in opened(file, everything)
    result = run("erase", "--user", "1", input="n\n")
    assert result.exit_code == 1
    result = run("erase", "--user", "1")
    assert (result.exit_code, "add --yes" in result.stderr) == (2, True)
    assert SECRET in opened(file, everything)

    result = run("erase", "--user", "1", "--report", str(home / "report.json"), input="y\n")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"^  message +3  emptied$", result.stdout, re.M)
    assert "- earlier backups still contain all data" in result.stdout
    assert SECRET not in opened(file, everything)
    plan, report = (json.loads((home / name).read_text()) for name in ("plan.json", "report.json"))
    assert plan["done"] == report["done"]
    assert (plan["dry_run"], report["dry_run"]) == (True, False)
    assert report["person"] == {"role": "user", "id": "1"}
    assert {"table": "message", "what": "emptied", "rows": 3} in report["done"]
    said = run("db", "operations").stdout
    assert "erase begun  user:1" in said
    assert "erase done   user:1" in said
    for wrong in ("report.json", "none/report.json"):
        assert run("erase", "--user", "1", "--yes", "--report", str(home / wrong)).exit_code == 2


def test_erased_texts_are_in_no_file(run: Run, file: Path) -> None:
    assert SECRET.encode() in file.read_bytes()
    assert run("erase", "--user", "1", "--yes").exit_code == 0
    for path in file.parent.iterdir():
        assert SECRET.encode() not in path.read_bytes(), path
    assert "[内容已删除]".encode() in file.read_bytes()


def test_without_compacting_the_remaining_steps_are_named(run: Run, file: Path) -> None:
    result = run("erase", "--user", "1", "--yes", "--no-compact")
    assert "run `tornado-chat db compact` when the server is stopped" in result.stdout


def test_open_conversations_have_to_end_first(run: Run, file: Path) -> None:
    opened(file, lambda database: build_sample(database, over=False))
    result = run("erase", "--user", "1", "--yes")
    said = (
        "these conversations are open: session 2 (active), support conversation 2 (active). "
        "End them first, or use --end-open"
    )
    assert (result.exit_code, result.stderr) == (1, f"Error: {said}\n")
    assert SECRET in opened(file, everything)
    result = run("erase", "--user", "1", "--dry-run")
    assert f"- {said}\n" in result.stdout
    assert run("erase", "--user", "1", "--yes", "--end-open").exit_code == 0
    assert SECRET not in opened(file, everything)


def test_tables_of_disabled_plugins_are_named(run: Run, file: Path, home: Path) -> None:
    opened(file, lambda database: database.execute_sql("CREATE TABLE shop_visit (who TEXT)"))
    assert "shop_visit" not in run("erase", "--user", "1", "--dry-run").stdout
    opened(file, lambda database: database.execute_sql("INSERT INTO shop_visit VALUES ('user:1')"))
    result = run("erase", "--user", "1", "--dry-run")
    assert (
        "belong to plugins that are not enabled, and were left out: shop_visit; add the plugins to"
        in result.stdout
    )
    result = run("export", "--user", "1", "--output", str(home / "x"))
    assert "were left out: shop_visit" in result.stderr


def test_an_interrupted_erasure_says_how_to_continue(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tornado_chat.data_management.erasure import Erasure

    def stop(*arguments: object, **more: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Erasure, "_erase_rest", stop)
        result = run("erase", "--user", "1", "--yes")
    assert (result.exit_code, "run the same command again to " in result.stderr) == (1, True)
    assert "erase stopped" in run("db", "operations").stdout
    assert run("erase", "--user", "1", "--yes").exit_code == 0
    assert SECRET not in opened(file, everything)


def test_an_interrupted_prune_says_how_to_continue(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tornado_chat.storage import retention

    with monkeypatch.context() as patched:
        patched.setattr(retention, "delete_emptied_rows", lambda tx: os.kill(os.getpid(), signal.SIGTERM))
        result = run("db", "prune", "--older-than", "1", "--yes")
    assert (result.exit_code, "run the same command again to " in result.stderr) == (1, True)
    assert "prune stopped" in run("db", "operations").stdout


def test_an_interrupted_backup_leaves_no_file(
    run: Run, file: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tornado_chat.storage import sqlite_files

    def stop(path: Path, tick: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(sqlite_files, "check_integrity", stop)
    assert run("backup", str(home / "b")).exit_code == 1
    assert run("restore", str(_copied(file, home / "c")), "--yes").exit_code == 1
    assert sorted(path.name for path in home.iterdir()) == [".local", "c"]
    assert [path.name for path in file.parent.iterdir()] == ["tornado-chat.sqlite3"]


def _copied(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes())
    return target


@pytest.mark.parametrize("role", ["user", "consultant", "waiter"])
def test_ids_of_any_role(run: Run, file: Path, home: Path, role: str) -> None:
    opened(
        file,
        lambda database: transact(
            database,
            lambda tx: notifications.create(tx, Person(Role(role), "mary jane"), 0, "hi", None),
        ),
    )
    arguments = ["--user", "mary jane", "--role", role]
    assert run("export", *arguments, "--output", str(home / "x")).exit_code == 0
    assert run("erase", *arguments, "--yes").exit_code == 0
    assert run("export", *arguments, "--output", str(home / "y")).exit_code == 1
    assert LIN.key in opened(file, everything)
