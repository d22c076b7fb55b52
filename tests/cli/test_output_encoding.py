"""All commands print their texts in a locale without UTF-8."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import home
from tornado_chat.cli import output_encoding

__all__ = ["home"]

NAME = "陈老师\U0001f600"


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "encoding", "errors", "printed"),
    [
        (io.TextIOWrapper, "ascii", "strict", b"\\u9648 \\udc80"),
        (io.TextIOWrapper, "ascii", "surrogateescape", b"\\u9648 \\udc80"),
        (io.TextIOWrapper, "latin-1", "strict", b"\\u9648 \\udc80"),
        (io.TextIOWrapper, "gbk", "strict", b"\xb3\xc2 \\udc80"),
        (io.TextIOWrapper, "utf-8", "strict", b"\xe9\x99\x88 \\udc80"),
        (io.TextIOWrapper, "utf-8", "surrogateescape", b"\xe9\x99\x88 \x80"),
        (Terminal, "ascii", "strict", b"? ?"),
        (Terminal, "ascii", "surrogateescape", b"? ?"),
        (Terminal, "utf-8", "strict", b"\xe9\x99\x88 ?"),
    ],
)
def test_any_text_is_printed(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[io.TextIOWrapper],
    encoding: str,
    errors: str,
    printed: bytes,
) -> None:
    written = io.BytesIO()
    stream = kind(written, encoding=encoding, errors=errors)
    monkeypatch.setattr(sys, "stdout", stream)
    output_encoding.replace_unprintable()
    monkeypatch.undo()
    stream.write("陈 \udc80")  # a character, and a byte of a file name
    stream.flush()
    assert written.getvalue() == printed


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, NAME),
        ({"LANG": "C"}, NAME),
        ({"PYTHONIOENCODING": "latin-1"}, "\\u9648\\u8001\\u5e08\\U0001f600"),
        ({"PYTHONIOENCODING": "gbk"}, "陈老师\\U0001f600"),
    ],
)
def test_commands_print_names_and_paths(home: Path, environment: dict[str, str], printed: str) -> None:
    state = home / "state"

    def run(command: str, environment: dict[str, str]) -> str:
        encoding = environment.get("PYTHONIOENCODING", "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "tornado_chat", *command.split(), "--set", f"server.state_dir={state}"],
            capture_output=True,
            env={**os.environ, **environment},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode(encoding)

    run("db upgrade", {})
    run(f"staff add chen --role consultant --display-name {NAME} --generate", {})
    assert printed in run("staff list", environment)
    assert "valid backup" in run(f"backup {home}/备份.sqlite3", environment)
    for command in ("check-config", "db status", "db operations", "plugins", "revocations"):
        run(command, environment)


def test_the_help_of_the_group_is_ascii() -> None:
    """It is printed before the output is prepared."""
    command = subprocess.run(
        [sys.executable, "-m", "tornado_chat", "--help"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert command.returncode == 0
    assert command.stdout.isascii()


def test_a_full_disk_behind_the_output_gets_a_sentence(home: Path) -> None:
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "tornado_chat", "plugins", "--set", f"server.state_dir={home}"],
            env={**os.environ, "TORNADO_CHAT_CONFIG": os.devnull},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert found.returncode == 1
    assert found.stderr == "Error: the output cannot be written: No space left on device\n"
