"""Fixtures for the tests of services: databases, stores and the events that they publish."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.services.books import Books
from tests.storage.conftest import open_at
from tornado_chat.core.events import Event
from tornado_chat.observability.metrics import Metrics
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import schema


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    database = open_at(tmp_path / "chat.sqlite3")
    schema.upgrade(database)
    yield Books(database)
    database.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def published() -> list[Event]:
    """The events that ``store`` has published."""
    return []


def open_store(
    directory: Path, loop: asyncio.AbstractEventLoop, published: list[Event], metrics: Metrics
) -> Store:
    """Return a real store with its threads, on a SQLite database in ``directory``."""
    database = open_at(directory / "store.sqlite3")
    schema.upgrade(database)
    database.close()  # this thread's connection; the threads of the store open their own
    return Store(database, published.append, loop, metrics, timeout_seconds=5.0)


@pytest.fixture
def store(io_loop: IOLoop, tmp_path: Path, metrics: Metrics, published: list[Event]) -> Iterator[Store]:
    store = open_store(tmp_path, io_loop.asyncio_loop, published, metrics)  # type: ignore[attr-defined]
    yield store
    store.close()
