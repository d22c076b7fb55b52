"""Receipts: collected, stored with a delay, and kept after a failure."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.delivery.conftest import Clock, turns
from tests.services.books import Books
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat.core.errors import Unavailable
from tornado_chat.core.types import Thread
from tornado_chat.services.messaging.receipts import FLUSH_INTERVAL_SECONDS, ReceiptStore
from tornado_chat.storage import models, receipts
from tornado_chat.storage.writer import Transaction


class Storage(Books):
    """A store whose writes fail on demand."""

    fails = False

    async def look_up(self, query: Callable[..., Any], *arguments: Any) -> Any:
        return await self.read(query, *arguments)

    async def write(self, work: Callable[[Transaction], Any]) -> Any:
        if self.fails:
            raise Unavailable("database_away")
        return await super().write(work)


@pytest.fixture
def storage(books: Books) -> Storage:
    return Storage(books.database)


@pytest.fixture
def thread(storage: Storage) -> Thread:
    room, _ = storage.change(new_session)
    thread: Thread = room.thread
    models.ConsultationSession.update(last_seq=9).execute(storage.database)
    return thread


@pytest.mark.gen_test
async def test_receipts_are_known_at_once_and_stored_after_the_interval(
    storage: Storage, thread: Thread
) -> None:
    clock = Clock()
    receipt_store = ReceiptStore(storage, clock)  # type: ignore[arg-type]
    for seq in (1, 3, 2):
        receipt_store.record(thread, VISITOR, seq)
    assert await receipt_store.get(thread, VISITOR) == 3
    assert await receipt_store.get(thread, COUNSELLOR) is None
    assert receipts.get(storage.database, thread, VISITOR) is None
    clock.advance(FLUSH_INTERVAL_SECONDS)
    await turns()
    assert receipts.get(storage.database, thread, VISITOR) == 3


@pytest.mark.gen_test
async def test_a_failed_flush_keeps_the_receipts_for_the_next_one(
    storage: Storage, thread: Thread, expected_logs: list[str]
) -> None:
    expected_logs.append("receipts could not be stored yet")
    clock = Clock()
    receipt_store = ReceiptStore(storage, clock)  # type: ignore[arg-type]
    receipt_store.record(thread, VISITOR, 5)
    storage.fails = True
    await receipt_store.flush()
    storage.fails = False
    assert receipts.get(storage.database, thread, VISITOR) is None
    assert await receipt_store.get(thread, VISITOR) == 5
    clock.advance(FLUSH_INTERVAL_SECONDS)
    await turns()
    assert receipts.get(storage.database, thread, VISITOR) == 5


@pytest.mark.gen_test
async def test_the_start_of_a_reader_is_stored_at_once(storage: Storage, thread: Thread) -> None:
    receipt_store = ReceiptStore(storage, Clock())  # type: ignore[arg-type]
    await receipt_store.begin(thread, VISITOR, 7)
    assert receipts.get(storage.database, thread, VISITOR) == 7
    assert await receipt_store.get(thread, VISITOR) == 7


@pytest.mark.gen_test
async def test_the_newest_receipt_wins_over_the_stored_one(storage: Storage, thread: Thread) -> None:
    receipt_store = ReceiptStore(storage, Clock())  # type: ignore[arg-type]
    assert receipt_store.latest(thread, VISITOR, None) is None
    assert receipt_store.latest(thread, VISITOR, 2) == 2
    receipt_store.record(thread, VISITOR, 4)
    assert receipt_store.latest(thread, VISITOR, 2) == 4
    assert receipt_store.latest(thread, VISITOR, 9) == 9
