"""The check of stored positions after each start."""

import asyncio

import pytest

from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat.core.types import Person, Thread
from tornado_chat.services.messaging.position_check import PositionCheck
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import models
from tornado_chat.storage.writer import Transaction


def store_positions(tx: Transaction, thread: Thread, reader: Person, seq: int) -> None:
    for table in (models.Receipt, models.ReadMark):
        table.insert(kind=thread.kind.value, thread_id=thread.id, reader=reader.key, seq=seq).execute(
            tx.database
        )


@pytest.mark.gen_test
async def test_positions_beyond_the_end_of_their_thread_are_removed(
    store: Store, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.append("positions of readers were ahead of their conversations")
    room = await store.write(lambda tx: new_session(tx, 7))
    thread = room.thread
    await store.write(lambda tx: models.ConsultationSession.update(last_seq=5).execute(tx.database))
    await store.write(lambda tx: store_positions(tx, thread, VISITOR, 5))
    await store.write(lambda tx: store_positions(tx, thread, COUNSELLOR, 6))
    check = PositionCheck(store, asyncio.get_running_loop())
    await check.run()
    for table in (models.Receipt, models.ReadMark):
        readers = await store.read(lambda db, table=table: [row.reader for row in table.select().execute(db)])
        assert readers == [VISITOR.key]
    assert len(caplog.records) == 2
    await check.run()
    assert len(caplog.records) == 2


@pytest.mark.gen_test
async def test_no_receipt_is_stored_after_another_process_has_reported_an_older_copy(store: Store) -> None:
    room = await store.write(lambda tx: new_session(tx, 7))
    await store.write(lambda tx: models.ConsultationSession.update(last_seq=5).execute(tx.database))
    receipts = ReceiptStore(store, asyncio.get_running_loop())
    await receipts.begin(room.thread, VISITOR, 2)
    receipts.record(room.thread, VISITOR, 5)
    store.forget_positions()
    await receipts.flush()
    assert await receipts.get(room.thread, VISITOR) == 2
