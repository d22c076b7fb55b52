"""The store: transactions, their events, and reading in chunks."""

import asyncio
from pathlib import Path
from typing import Any

import peewee as pw
import pytest

from tests.services.conftest import open_store
from tests.storage.conftest import VISITOR, new_session
from tornado_chat.core.errors import NotFound, Unavailable
from tornado_chat.core.events import Event, RoomEnded, RoomStarted, SystemNotice
from tornado_chat.core.types import Message, Notification, Page, SessionState
from tornado_chat.observability.metrics import Metrics
from tornado_chat.services.messaging import store as store_module
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.storage import notifications, rooms
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.writer import Transaction


@pytest.mark.gen_test
async def test_events_are_published_in_the_order_of_the_commits(store: Store, published: list[Event]) -> None:
    room = await store.write(new_session)
    await store.write(lambda tx: rooms.start(tx, room.thread))
    await store.append(AppendRequest(room.thread, VISITOR, "hello", "1"), 0.0)
    await store.write(lambda tx: rooms.finish(tx, room.thread, SessionState.COMPLETED))
    assert [type(event) for event in published] == [SystemNotice, RoomStarted, Message, RoomEnded]


@pytest.mark.gen_test
async def test_a_failed_write_changes_and_publishes_nothing(store: Store, published: list[Event]) -> None:
    def work(tx: Transaction) -> None:
        room = new_session(tx)
        rooms.start(tx, room.thread)
        raise NotFound("no_session")

    with pytest.raises(NotFound):
        await store.write(work)
    assert await store.read(rooms.active_rooms) == []
    assert published == []


@pytest.mark.gen_test
async def test_items_of_messages_and_of_notifications_are_read_after_a_seq(store: Store) -> None:
    room = await store.write(new_session)
    await store.write(lambda tx: rooms.start(tx, room.thread))
    for text in "abc":
        await store.append(AppendRequest(room.thread, VISITOR, text, text), 0.0)
    page = await store.items_after(room.thread, 1, 1, 1000)
    assert [item.text for item in page.items if isinstance(item, Message)] == ["b"]
    assert page.has_more
    note = await store.write(lambda tx: notifications.create(tx, VISITOR, 0, "first", None))
    found = await store.items_after(note.thread, 0, 10, 1000)
    assert [item.msg for item in found.items if isinstance(item, Notification)] == ["first"]
    assert not found.has_more
    assert await store.items_after(note.thread, 1, 10, 1000) == Page([], False)


@pytest.mark.gen_test
async def test_queries_that_the_database_does_not_answer_are_counted(store: Store, metrics: Metrics) -> None:
    def fail(database: pw.Database) -> None:
        raise pw.OperationalError("away")

    with pytest.raises(Unavailable):
        await store.read(fail)
    with pytest.raises(Unavailable):
        await store.look_up(fail)
    assert metrics.read_errors == 2


@pytest.mark.gen_test
async def test_many_keys_are_read_in_several_queries(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "CHUNK_KEYS", 3)
    queries: list[list[int]] = []

    def query(database: pw.Database, keys: Any) -> list[int]:
        queries.append(list(keys))
        return [key * 10 for key in keys]

    assert [found async for found in read_in_chunks(store, query, range(7))] == [0, 10, 20, 30, 40, 50, 60]
    assert queries == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.gen_test
async def test_closing_commits_the_waiting_work(tmp_path: Path, metrics: Metrics) -> None:
    store = open_store(tmp_path, asyncio.get_running_loop(), [], metrics)
    waiting = store.write(lambda tx: notifications.create(tx, VISITOR, 0, "last", None))
    store.close()
    assert (await waiting).msg == "last"
