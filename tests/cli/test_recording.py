"""Commands that concern access, accounts or copies are recorded, with the plugin audit in its chain."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tornado_chat_plugins.audit import chain, key_file

from tornado_chat import config
from tornado_chat.cli import main
from tornado_chat.storage import schema
from tornado_chat.storage.database import open_database

Run = Callable[..., Result]
AUDIT = ("--set", "plugins.enabled=audit")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory of a server that has run with the plugin."""
    monkeypatch.setattr(config, "ETC_DIR", tmp_path / "etc")
    monkeypatch.delenv("TORNADO_CHAT_CONFIG", raising=False)
    state = tmp_path / "state"
    state.mkdir()
    database = open_database(config.Storage(url=f"sqlite:///{state}/tornado-chat.sqlite3"))
    schema.upgrade(database)
    schema.create_missing_tables(database, chain.TABLES)
    key_file.create_key(state / key_file.KEY_FILE)
    chain.begin(database, key_file.load_key(state / key_file.KEY_FILE), 1)
    database.close()
    return state


@pytest.fixture
def run(state: Path) -> Run:
    def run(*arguments: str, code: int = 0, more: tuple[str, ...] = AUDIT) -> Result:
        given = [*arguments, "--set", f"server.state_dir={state}", *more]
        result = CliRunner().invoke(main, given)
        assert result.exit_code == code, result.output
        return result

    return run


def operations(state: Path) -> list[tuple[str, str | None]]:
    """Return the action and the person of each recorded operation."""
    database = sqlite3.connect(state / "tornado-chat.sqlite3")
    try:
        return list(database.execute("SELECT action, person FROM data_operation ORDER BY id"))
    finally:
        database.close()


def use_every_command(run: Run, state: Path, more: tuple[str, ...] = AUDIT) -> list[tuple[str, str | None]]:
    """Run each command once. Return the operations that have to be recorded."""
    chen, person = "consultant:staff-chen", ("--role", "user", "--id", "7")
    run("staff", "add", "chen", "--role", "consultant", "--generate", more=more)
    run("staff", "password", "chen", "--generate", more=more)
    run("staff", "disable", "chen", more=more)
    run("staff", "enable", "chen", more=more)
    run("staff", "remove", "chen", "--yes", more=more)
    run("token", *person, more=more)
    run("revoke", *person, more=more)
    run("unrevoke", *person, more=more)
    run("backup", str(state.parent / "copy"), more=more)
    return [
        ("staff add", chen),
        ("staff passwd", chen),
        ("staff off", chen),
        ("staff on", chen),
        ("staff remove", chen),
        ("token", "user:7"),
        ("revoke", "user:7"),
        ("unrevoke", "user:7"),
        ("backup", None),
    ]


def test_commands_are_recorded_in_the_chain(run: Run, state: Path) -> None:
    expected = use_every_command(run, state)
    assert operations(state) == expected
    assert "10 records, all as they were written" in run("audit", "verify").output
    shown = run("audit", "show").output
    assert all(f"{action} done, operation" in shown for action, _ in expected)
    listed = run("db", "operations").output
    assert all(action in listed for action, _ in expected)


def test_a_restore_is_recorded_in_the_restored_database(run: Run, state: Path) -> None:
    run("backup", str(state.parent / "copy"))
    run("restore", str(state.parent / "copy"), "--yes")
    assert operations(state) == [("restore", None)]
    assert run("audit", "verify").exit_code == 0


def test_commands_without_the_plugin_leave_a_trace_that_verify_finds(run: Run, state: Path) -> None:
    expected = use_every_command(run, state, more=())
    assert operations(state) == expected
    output = run("audit", "verify", code=1).output
    assert "the audit log is incomplete: the command staff add of " in output
    assert "and 8 more are not in it" in output
    run("audit", "acknowledge", "--yes")
    run("audit", "verify")
    assert "late token done, operation" in run("audit", "show").output


def test_what_cannot_be_recorded_is_not_done(run: Run, state: Path) -> None:
    (state / key_file.KEY_FILE).write_text("")
    for command in (
        ("staff", "add", "chen", "--role", "consultant", "--generate"),
        ("token", "--role", "admin", "--id", "1"),
        ("revoke", "--role", "user", "--id", "7"),
    ):
        result = run(*command, code=1)
        assert "cannot be recorded: the key of the audit log" in result.stderr
        assert result.stdout == ""
    assert operations(state) == []
    assert "there is no account" in run("staff", "list").output
    # A copy is worth more than its record: it is made, and leaves the row that `verify` looks for.
    assert "warning: the command backup is not recorded" in run("backup", str(state.parent / "copy")).stderr
    assert operations(state) == [("backup", None)]


def test_a_token_needs_no_database(run: Run, state: Path) -> None:
    (state / "tornado-chat.sqlite3").unlink()
    assert run("token", "--role", "user", "--id", "7").stderr == ""
    (state / "tornado-chat.sqlite3").write_bytes(b"not a database" * 999)
    refused = run("token", "--role", "user", "--id", "7", code=1)  # the audit could not record it
    assert "cannot be recorded by the plugin audit: the database" in refused.stderr
    assert refused.stdout == ""
    result = run("token", "--role", "user", "--id", "7", more=())
    assert "warning: the command token is not recorded" in result.stderr
