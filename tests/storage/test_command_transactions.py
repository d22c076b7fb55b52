"""Transactions of commands beside a running server."""

from pathlib import Path
from typing import Any

import peewee as pw
import pytest

from tests.storage.conftest import open_url
from tornado_chat.storage.exclusive_lock import write_transaction


def test_a_command_that_reads_first_can_change_the_database_beside_a_server(tmp_path: Path) -> None:
    server, command = (open_url(f"sqlite:///{tmp_path / 'chat.db'}") for _ in range(2))
    on_server: Any = server.execute_sql
    by_command: Any = command.execute_sql
    on_server("CREATE TABLE counter (number INTEGER)")
    on_server("INSERT INTO counter VALUES (0)")
    on_server("PRAGMA busy_timeout = 0")
    with write_transaction(command):
        (number,) = by_command("SELECT number FROM counter").fetchone()
        with pytest.raises(pw.OperationalError, match="locked"):  # the server waits for the command
            on_server("UPDATE counter SET number = 7")
        by_command("UPDATE counter SET number = ?", (number + 1,))
    assert on_server("SELECT number FROM counter").fetchone() == (1,)
    command.close()
    server.close()
