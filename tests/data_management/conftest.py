"""A SQLite database and its file."""

from pathlib import Path

import pytest

from tests.storage.conftest import database, database_file

__all__ = ["database", "database_file", "database_url"]


@pytest.fixture
def database_url(database_file: Path) -> str:
    """SQLite only: these tests are about its files."""
    return f"sqlite:///{database_file}"
