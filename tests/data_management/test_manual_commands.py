"""The commands in the manual and in the systemd units exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tornado_chat.cli import main

ROOT = Path(__file__).parents[2]
MANUALS = ("operations.md", "data.md", "monitoring.md", "signin.md", "mysql.md")
BACKUP = ROOT / "etc" / "systemd" / "tornado-chat-backup.service"


def commands() -> Iterator[str]:
    """Yield every line of the manual that calls the program, without its comment."""
    for manual in MANUALS:
        for line in (ROOT / "docs" / manual).read_text().splitlines():
            found = re.search(
                r"^ {4}(?:[*0-9 ]+ {2}root {2}/usr/local/bin/)?(tornado-chat .+?)(?: +#.*| >/dev/null)?$",
                line,
            )
            if found:
                yield found[1]


def parse(line: str) -> click.Context:
    """Parse a command line. :raises click.UsageError: there is no such command or option."""
    command: click.Command = main
    context, words = click.Context(main), shlex.split(line)[1:]
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        context = click.Context(command, context, info_name=name)
    command.parse_args(context, words)
    return context


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_of_the_manual_exists(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = tmp_path / "chat.sqlite3"
    backup.touch()
    parse(re.sub(r"(?<=restore )/\S+", str(backup), re.sub(r"\$\(.*?\)", "x", line)))


def test_the_manual_has_commands() -> None:
    assert len(list(commands())) > 15


def test_the_units_backup_goes_where_the_unit_may_write() -> None:
    unit = BACKUP.read_text()
    line = re.search(r"^ExecStart=/opt/tornado-chat/bin/(tornado-chat .+)$", unit, re.M)
    assert line is not None
    context = parse(line[1])
    assert context.params["keep"] == 14
    directories = re.search(r"^StateDirectory=(.+)$", unit, re.M)
    assert directories is not None
    own, backups = directories[1].split()
    assert (own, str(context.params["file"])) == ("tornado-chat", f"%S/{backups}")
