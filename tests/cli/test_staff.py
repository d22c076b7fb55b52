"""The command ``tornado-chat staff``."""

import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from tornado_chat import config
from tornado_chat.cli import main
from tornado_chat.services.auth import passwords
from tornado_chat.storage import schema, staff
from tornado_chat.storage.database import open_database

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Operator:
    """An operator at the terminal of a machine with a server's database."""

    def __init__(self, home: Path) -> None:
        self.path = home / "state" / "tornado-chat.sqlite3"
        self._state = home / "state"

    def run(self, *arguments: str, stdin: str = "", code: int = 0, more: tuple[str, ...] = ()) -> str:
        given = [*arguments, "--set", f"server.state_dir={self._state}", *more]
        result: Result = CliRunner().invoke(main, ["staff", *given], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.output
        return result.output

    def query(self, sql: str) -> list[tuple[object, ...]]:
        database = sqlite3.connect(self.path)
        try:
            return list(database.execute(sql))
        finally:
            database.close()

    def sign_in(self, name: str) -> None:
        """Open a session of the account without its password."""
        database = open_database(config.Storage(url=f"sqlite:///{self.path}"))
        found = staff.find_account(database, name)
        assert found is not None
        now = time.time_ns() // 1000
        assert staff.open_session(database, f"key of {name}", name, found[1], now, now + 10**9, 0)
        database.close()


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setattr(config, "ETC_DIR", tmp_path / "etc")
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: CHEAP)
    monkeypatch.delenv("TORNADO_CHAT_CONFIG", raising=False)
    operator = Operator(tmp_path)
    operator.path.parent.mkdir(parents=True)
    database = open_database(config.Storage(url=f"sqlite:///{operator.path}"))
    schema.upgrade(database)
    database.close()
    return operator


def matches(operator: Operator, name: str, password: str) -> bool:
    ((stored,),) = operator.query(f"SELECT password FROM staff_account WHERE name = '{name}'")
    return passwords.Passwords()._verify(str(stored), password)


def test_adding_an_account_prompts_for_the_password_twice(operator: Operator) -> None:
    output = operator.run("add", "Chen", "--role", "consultant", stdin="correct horse\ncorrect horse\n")
    assert "chen is a consultant with the id staff-chen" in output
    assert "horse" not in output
    assert matches(operator, "chen", "correct horse")
    output = operator.run("add", "bob", "--role", "waiter", stdin="correct horse\nanother horse\n", code=1)
    assert "do not match" in output


def test_without_a_terminal_the_options_are_named(operator: Operator) -> None:
    for arguments in (("add", "chen", "--role", "consultant"), ("password", "bob")):
        if arguments[0] == "password":
            operator.run("add", "bob", "--role", "waiter", "--generate")
        command = subprocess.run(
            [
                *(sys.executable, "-m", "tornado_chat", "staff", *arguments),
                *("--set", f"server.state_dir={operator.path.parent}"),
            ],
            input="correct horse\ncorrect horse\n",
            capture_output=True,
            text=True,
            start_new_session=True,  # without a controlling terminal
        )
        assert command.returncode == 2
        assert command.stdout == ""
        usage, hint, _, error = command.stderr.splitlines()
        assert (usage[:7], hint[:4]) == ("Usage: ", "Try ")
        assert error == (
            "Error: there is no terminal to ask for the password on: add --password-stdin or --generate"
        )


def test_a_password_from_standard_input(operator: Operator) -> None:
    output = operator.run("add", "chen", "--role", "consultant", "--password-stdin", stdin="correct horse\n")
    assert output == "chen is a consultant with the id staff-chen\n"
    assert matches(operator, "chen", "correct horse")


def test_a_generated_password_is_shown_once(operator: Operator) -> None:
    output = operator.run("add", "chen", "--role", "supervisor", "--generate")
    password = output.splitlines()[-1].removeprefix("password: ")
    assert len(password) == 23
    assert matches(operator, "chen", password)
    assert password not in operator.run("list")
    assert "use only one of" in operator.run("password", "chen", "--generate", "--password-stdin", code=2)


def test_there_is_no_option_for_a_password(operator: Operator) -> None:
    assert "No such option" in operator.run("add", "chen", "--role", "waiter", "--password", "x", code=2)


@pytest.mark.parametrize(
    ("password", "why"), [("short", "at least 10"), ("chen-xiaoming", "the name itself"), ("", "at least 10")]
)
def test_weak_passwords_are_refused(operator: Operator, password: str, why: str) -> None:
    output = operator.run(
        "add", "chen-xiaoming", "--role", "admin", "--password-stdin", stdin=password, code=1
    )
    assert why in output
    assert operator.query("SELECT * FROM staff_account") == []


@pytest.mark.parametrize("name", ["c", "-x", "陈老师", "a b", "x" * 59, ""])
def test_invalid_names_are_refused(operator: Operator, name: str) -> None:
    output = operator.run("add", "--role", "waiter", "--generate", "--", name, code=2)
    assert "is not a valid name to sign in with" in output


def test_the_longest_name_still_makes_an_id(operator: Operator) -> None:
    name = "x" * 58
    assert f"the id staff-{name}" in operator.run("add", name, "--role", "waiter", "--generate")


def test_a_name_and_a_person_have_one_account(operator: Operator) -> None:
    operator.run("add", "chen", "--role", "waiter", "--id", "7", "--generate")
    assert "the account chen already exists" in operator.run(
        "add", "CHEN", "--role", "admin", "--generate", code=1
    )
    output = operator.run("add", "bob", "--role", "waiter", "--id", "7", "--generate", code=1)
    assert "the waiter 7 already has the account chen" in output
    operator.run("add", "bob", "--role", "consultant", "--id", "7", "--generate")  # another person


def test_the_list(operator: Operator) -> None:
    assert "there is no account" in operator.run("list")
    operator.run("add", "chen", "--role", "consultant", "--display-name", "陈老师", "--generate")
    operator.run("add", "bob", "--role", "waiter", "--id", "7", "--generate")
    operator.run("disable", "bob")
    operator.sign_in("chen")
    head, bob, chen = operator.run("list", more=("--set", "server.timezone=Asia/Shanghai")).splitlines()
    assert head.split("  ")[0] == "NAME"
    assert bob.split() == ["bob", "waiter", "7", "disabled", "never"]
    assert re.fullmatch(r"chen  consultant  staff-chen  陈老师 +enabled +\d{4}-\d\d-\d\d \d\d:\d\d", chen)
    assert head.index("STATE") == bob.index("disabled") == chen.index("enabled") + 3  # wide characters


@pytest.mark.parametrize(
    "command", [["password", "chen", "--generate"], ["disable", "chen"], ["enable", "chen"],
                ["remove", "chen", "--yes"]],
)  # fmt: skip
def test_each_change_signs_out_only_its_account(operator: Operator, command: list[str]) -> None:
    for name in ("chen", "bob"):
        operator.run("add", name, "--role", "waiter", "--generate")
        operator.sign_in(name)
    operator.run(*command)
    assert operator.query("SELECT key FROM staff_session") == [("key of bob",)]
    assert "there is no account dora" in operator.run(command[0], "dora", *command[2:], code=1)


CRISIS = ("--set", "group:crisis.roles=waiter")


def test_a_trainee(operator: Operator) -> None:
    operator.run("add", "chen", "--role", "consultant", "--generate", "--trainee")
    assert operator.run("list").splitlines()[1].split()[-1] == "yes"
    operator.sign_in("chen")
    assert operator.run("trainee", "chen", "off") == "chen is no trainee, and is signed out\n"
    assert operator.query("SELECT count(*) FROM staff_session") == [(0,)]
    assert operator.query("SELECT trainee FROM staff_account") == [(None,)]
    assert "there is no account bob" in operator.run("trainee", "bob", "on", code=1)


def test_the_groups_of_an_account(operator: Operator) -> None:
    arguments = ("add", "chen", "--role", "waiter", "--generate", "--groups")
    refused = operator.run(*arguments, "crisis", code=1)
    assert "there is no group crisis: the configuration has default; add [group:crisis]" in refused
    operator.run(*arguments, "crisis, default", more=CRISIS)
    assert operator.query("SELECT group_names FROM staff_account") == [("crisis,default",)]
    assert operator.run("list").splitlines()[1].endswith("crisis, default")
    operator.sign_in("chen")
    output = operator.run("groups", "chen", "crisis", more=CRISIS)
    assert output == "chen serves crisis, and is signed out\n"
    assert operator.query("SELECT count(*) FROM staff_session") == [(0,)]
    assert "no group legal" in operator.run("groups", "chen", "crisis,legal", code=1, more=CRISIS)
    assert "there is no account bob" in operator.run("groups", "bob", "", code=1)
    assert "the groups of its role" in operator.run("groups", "chen", "")
    assert operator.query("SELECT group_names FROM staff_account") == [(None,)]


def test_removing_asks_for_confirmation_and_deletes_the_hash(operator: Operator) -> None:
    operator.run("add", "chen", "--role", "waiter", "--generate")
    assert "add --yes" in operator.run("remove", "chen", code=2)  # no terminal
    operator.run("remove", "chen", stdin="n\n", code=1)
    assert "chen" in operator.run("list")
    operator.run("remove", "chen", stdin="y\n")
    assert "there is no account" in operator.run("list")
    assert operator.query("SELECT password FROM staff_account") == [("",)]


def test_a_reused_name_does_not_take_over_the_person_by_accident(operator: Operator) -> None:
    operator.run("add", "chen", "--role", "consultant", "--generate")
    operator.run("remove", "chen", "--yes")
    output = operator.run("add", "chen", "--role", "consultant", "--generate", code=1)
    assert "add --id staff-chen" in output
    operator.run("add", "chen", "--role", "consultant", "--id", "staff-chen2", "--generate")
    operator.run("remove", "chen", "--yes")
    operator.run("add", "chen", "--role", "consultant", "--id", "staff-chen", "--generate")
    assert len(operator.query("SELECT * FROM staff_account")) == 1


def test_without_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "ETC_DIR", tmp_path / "etc")
    operator = Operator(tmp_path)
    output = operator.run("add", "chen", "--role", "waiter", "--generate", code=1)
    assert "the server creates it when it starts" in output
    assert not operator.path.exists()


def test_with_a_database_of_an_older_version(operator: Operator) -> None:
    database = sqlite3.connect(operator.path)
    database.execute("DROP TABLE staff_session")
    database.execute("DELETE FROM schema_migration WHERE name = '0004_staff'")
    database.commit()
    database.close()
    assert "tornado-chat db upgrade" in operator.run("list", code=1)


def test_it_warns_when_signing_in_is_disabled(operator: Operator) -> None:
    output = operator.run(
        "add", "chen", "--role", "waiter", "--generate", more=("--set", "staff.enabled=off")
    )
    assert "[staff] enabled is off" in output
