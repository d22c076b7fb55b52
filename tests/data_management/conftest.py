"""A database of SQLite's, and its file."""

from pathlib import Path

import pytest

from tests.storage.conftest import database, database_file

__all__ = ["database", "database_file", "database_url"]


@pytest.fixture
def database_url(database_file: Path) -> str:
    """SQLite only: this is about its files."""
    return f"sqlite:///{database_file}"
