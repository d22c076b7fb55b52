"""``tornado-chat staff``, as somebody types it."""

import re
import sqlite3
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


class Place:
    """A machine with a server's database, and somebody at its terminal."""

    def __init__(self, home: Path) -> None:
        self.path = home / "state" / "tornado-chat.sqlite3"
        self._state = home / "state"

    def run(self, *arguments: str, typed: str = "", code: int = 0, more: tuple[str, ...] = ()) -> str:
        given = [*arguments, "--set", f"server.state_dir={self._state}", *more]
        result: Result = CliRunner().invoke(main, ["staff", *given], input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.output
        return result.output

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        database = sqlite3.connect(self.path)
        try:
            return list(database.execute(sql))
        finally:
            database.close()

    def sign_in(self, name: str) -> None:
        """As a browser would, with whatever password there is."""
        database = open_database(config.Storage(url=f"sqlite:///{self.path}"))
        found = staff.find_account(database, name)
        assert found is not None
        now = time.time_ns() // 1000
        assert staff.open_session(database, f"key of {name}", name, found[1], now, now + 10**9, 0)
        database.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(config, "ETC_DIR", tmp_path / "etc")
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: CHEAP)
    monkeypatch.delenv("TORNADO_CHAT_CONFIG", raising=False)
    place = Place(tmp_path)
    database = open_database(config.Storage(url=f"sqlite:///{place.path}"))
    schema.upgrade(database)
    database.close()
    return place


def matches(place: Place, name: str, password: str) -> bool:
    ((stored,),) = place.ask(f"SELECT password FROM staff_account WHERE name = '{name}'")
    return passwords.Passwords()._verify(str(stored), password)


def test_an_account_is_made_with_a_password_that_is_asked_for_twice(place: Place) -> None:
    said = place.run("add", "Chen", "--role", "consultant", typed="correct horse\ncorrect horse\n")
    assert "chen is a consultant with the id staff-chen" in said
    assert "horse" not in said
    assert matches(place, "chen", "correct horse")
    said = place.run("add", "bob", "--role", "waiter", typed="correct horse\nanother horse\n", code=1)
    assert "do not match" in said


def test_from_standard_input(place: Place) -> None:
    said = place.run("add", "chen", "--role", "consultant", "--password-stdin", typed="correct horse\n")
    assert said == "chen is a consultant with the id staff-chen\n"
    assert matches(place, "chen", "correct horse")


def test_a_generated_one_is_shown_once(place: Place) -> None:
    said = place.run("add", "chen", "--role", "supervisor", "--generate")
    password = said.splitlines()[-1].removeprefix("password: ")
    assert len(password) == 23
    assert matches(place, "chen", password)
    assert password not in place.run("list")
    assert "take one of" in place.run("password", "chen", "--generate", "--password-stdin", code=2)


def test_there_is_no_option_for_a_password(place: Place) -> None:
    assert "No such option" in place.run("add", "chen", "--role", "waiter", "--password", "x", code=2)


@pytest.mark.parametrize(
    ("password", "why"), [("short", "at least 10"), ("chen-xiaoming", "the name itself"), ("", "at least 10")]
)
def test_weak_ones_are_refused(place: Place, password: str, why: str) -> None:
    said = place.run("add", "chen-xiaoming", "--role", "admin", "--password-stdin", typed=password, code=1)
    assert why in said
    assert place.ask("SELECT * FROM staff_account") == []


@pytest.mark.parametrize("name", ["c", "-x", "陈老师", "a b", "x" * 59, ""])
def test_names_to_sign_in_with_are_plain(place: Place, name: str) -> None:
    said = place.run("add", "--role", "waiter", "--generate", "--", name, code=2)
    assert "no name to sign in with" in said


def test_the_longest_name_still_makes_an_id(place: Place) -> None:
    name = "x" * 58
    assert f"the id staff-{name}" in place.run("add", name, "--role", "waiter", "--generate")


def test_nobody_is_two(place: Place) -> None:
    place.run("add", "chen", "--role", "waiter", "--id", "7", "--generate")
    assert "there is an account chen already" in place.run(
        "add", "CHEN", "--role", "admin", "--generate", code=1
    )
    said = place.run("add", "bob", "--role", "waiter", "--id", "7", "--generate", code=1)
    assert "the waiter 7 is chen already" in said
    place.run("add", "bob", "--role", "consultant", "--id", "7", "--generate")  # another person


def test_the_list(place: Place) -> None:
    assert "there is no account" in place.run("list")
    place.run("add", "chen", "--role", "consultant", "--display-name", "陈老师", "--generate")
    place.run("add", "bob", "--role", "waiter", "--id", "7", "--generate")
    place.run("disable", "bob")
    place.sign_in("chen")
    head, bob, chen = place.run("list", more=("--set", "server.timezone=Asia/Shanghai")).splitlines()
    assert head.split("  ")[0] == "NAME"
    assert bob.split() == ["bob", "waiter", "7", "disabled", "never"]
    assert re.fullmatch(r"chen  consultant  staff-chen  陈老师 +enabled +\d{4}-\d\d-\d\d \d\d:\d\d", chen)
    assert head.index("STATE") == bob.index("disabled") == chen.index("enabled") + 3  # which are wide


@pytest.mark.parametrize(
    "command", [["password", "chen", "--generate"], ["disable", "chen"], ["enable", "chen"],
                ["remove", "chen", "--yes"]],
)  # fmt: skip
def test_every_change_signs_out_the_account_and_nobody_else(place: Place, command: list[str]) -> None:
    for name in ("chen", "bob"):
        place.run("add", name, "--role", "waiter", "--generate")
        place.sign_in(name)
    place.run(*command)
    assert place.ask("SELECT key FROM staff_session") == [("key of bob",)]
    assert "there is no account dora" in place.run(command[0], "dora", *command[2:], code=1)


def test_removing_asks_first_and_takes_the_hash_along(place: Place) -> None:
    place.run("add", "chen", "--role", "waiter", "--generate")
    place.run("remove", "chen", typed="n\n", code=1)
    assert "chen" in place.run("list")
    place.run("remove", "chen", typed="y\n")
    assert "there is no account" in place.run("list")
    assert place.ask("SELECT password FROM staff_account") == [("",)]


def test_who_comes_after_somebody_is_not_that_person_by_accident(place: Place) -> None:
    place.run("add", "chen", "--role", "consultant", "--generate")
    place.run("remove", "chen", "--yes")
    said = place.run("add", "chen", "--role", "consultant", "--generate", code=1)
    assert "add --id staff-chen" in said
    place.run("add", "chen", "--role", "consultant", "--id", "staff-chen2", "--generate")
    place.run("remove", "chen", "--yes")
    place.run("add", "chen", "--role", "consultant", "--id", "staff-chen", "--generate")
    assert len(place.ask("SELECT * FROM staff_account")) == 1


def test_before_there_is_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "ETC_DIR", tmp_path / "etc")
    place = Place(tmp_path)
    said = place.run("add", "chen", "--role", "waiter", "--generate", code=1)
    assert "the server makes it when it starts" in said
    assert not place.path.exists()


def test_with_a_database_of_an_older_version(place: Place) -> None:
    database = sqlite3.connect(place.path)
    database.execute("DROP TABLE staff_session")
    database.execute("DELETE FROM schema_migration WHERE name = '0004_staff'")
    database.commit()
    database.close()
    assert "tornado-chat db upgrade" in place.run("list", code=1)


def test_it_tells_when_nobody_can_sign_in(place: Place) -> None:
    said = place.run("add", "chen", "--role", "waiter", "--generate", more=("--set", "staff.enabled=off"))
    assert "[staff] enabled is off" in said
