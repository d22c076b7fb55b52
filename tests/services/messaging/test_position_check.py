"""The check of stored positions after each start."""

import asyncio

import peewee as pw
import pytest

from tests.storage.conftest import COUNSELLOR, VISITOR, new_session
from tornado_chat.core.errors import Unavailable
from tornado_chat.core.types import Person, Thread
from tornado_chat.services.messaging import position_check
from tornado_chat.services.messaging.position_check import PositionCheck
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import models, receipts
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
    receipt_store = ReceiptStore(store, asyncio.get_running_loop())
    await receipt_store.begin(room.thread, VISITOR, 2)
    receipt_store.record(room.thread, VISITOR, 5)
    store.forget_positions()
    await receipt_store.flush()
    assert await receipt_store.get(room.thread, VISITOR) == 2


@pytest.mark.gen_test
async def test_a_check_that_fails_is_repeated(
    store: Store, expected_logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_logs += ["the check of the receipts failed", "positions of readers were ahead"]
    room = await store.write(lambda tx: new_session(tx, 7))
    await store.write(lambda tx: store_positions(tx, room.thread, VISITOR, 5))
    monkeypatch.setattr(position_check, "RETRY_SECONDS", 0.01)
    find, fails = receipts.find_ahead, [ValueError("an error of the program"), Unavailable("database_away")]

    def find_or_fail(database: pw.Database) -> list[tuple[Thread, str]]:
        if fails:
            raise fails.pop()
        return find(database)

    monkeypatch.setattr(receipts, "find_ahead", find_or_fail)
    check = PositionCheck(store, asyncio.get_running_loop())
    check.start()
    while await store.read(lambda db: models.Receipt.select().count(db)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await check.stop()
    assert not fails
