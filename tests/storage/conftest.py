"""A migrated database, SQLite and MariaDB in turn, and transactions without a writer thread."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import peewee as pw
import pytest

from tornado_chat import config
from tornado_chat.core.events import Event
from tornado_chat.core.types import Person, Role, Room
from tornado_chat.storage import rooms, schema
from tornado_chat.storage.database import open_database
from tornado_chat.storage.writer import Transaction

T = TypeVar("T")

NOW = 1_700_000_000_000_000
VISITOR = Person(Role.USER, "1")
COUNSELLOR = Person(Role.CONSULTANT, "2")


def open_at(path: Path) -> pw.Database:
    """Open a SQLite database."""
    return open_url(f"sqlite:///{path}")


def open_url(url: str) -> pw.Database:
    """Open a database; the folder of a SQLite file is created."""
    folder = Path(url.removeprefix("sqlite:///")).parent
    return open_database(config.Storage(url=url, durability="normal"), state_dir=folder)


def upgrade_before(database: pw.Database, migration: str, folder: Path) -> None:
    """Apply the migrations before ``migration``, as an earlier version did.

    :arg folder: a folder for copies of them.
    """
    folder.mkdir()
    for file in schema.MIGRATIONS.glob("[0-9]*.py"):
        if file.stem < migration:
            (folder / file.name).write_bytes(file.read_bytes())
    with patch.object(schema, "MIGRATIONS", folder):
        schema.upgrade(database)


@pytest.fixture(params=["sqlite", "mariadb"])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
on_mariadb = pytest.mark.parametrize("database_kind", ["mariadb"], indirect=True)


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


@pytest.fixture
def database(database_url: str) -> Iterator[pw.Database]:
    database = open_url(database_url)
    schema.upgrade(database)
    yield database
    database.close()


def transact(
    database: pw.Database, work: Callable[[Transaction], T], now: int = NOW
) -> tuple[T, list[Event]]:
    """Run ``work`` in a transaction. Return its result and its events."""
    tx = Transaction(database, now)
    with database.atomic():
        result = work(tx)
    return result, tx.events


def new_session(tx: Transaction, session_id: int | None = None) -> Room:
    room, created = rooms.create_session(
        tx, user_id="1", consultant_id="2", user_name="小林", consultant_name=None, session_id=session_id
    )
    assert created
    return room
