"""What the tests of services share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.books import Books
from tests.storage.conftest import open_at
from tornado_chat.storage import schema


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    database = open_at(tmp_path / "chat.sqlite3")
    schema.upgrade(database)
    yield Books(database)
    database.close()
