"""Streams: a follower with a position gets every row once, also when several processes write at a time."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import peewee as pw
import pytest
from tornado.ioloop import IOLoop

from tests.storage.conftest import VISITOR, new_session, on_mariadb, open_url, transact
from tornado_chat.core.types import Kind, Message, Thread
from tornado_chat.storage import models
from tornado_chat.storage.database import ReaderPool
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.streams import MESSAGES, NOTIFICATIONS, cursor_position, open_cursor
from tornado_chat.storage.writer import Transaction, Writer

THREADS = [Thread(Kind.SESSION, n) for n in range(1, 5)]


@pytest.fixture(autouse=True)
def _sessions(database: pw.Database) -> None:
    for thread in THREADS:
        transact(database, lambda tx, thread=thread: new_session(tx, thread.id))


MakeWriter = Callable[[], Writer]


@pytest.fixture
def writers(io_loop: IOLoop, database_url: str) -> Iterator[MakeWriter]:
    made: list[Writer] = []

    def make() -> Writer:
        made.append(Writer(open_url(database_url), lambda event: None, asyncio.get_running_loop()))
        made[-1].start()
        return made[-1]

    yield make
    for writer in made:
        writer.close()


@pytest.fixture
def readers(io_loop: IOLoop, database_url: str) -> Iterator[ReaderPool]:
    readers = ReaderPool(open_url(database_url), 2, timeout_seconds=5)
    yield readers
    readers.close()


def texts(found: Any) -> list[str]:
    return [message.text for _, message in found if isinstance(message, Message)]


class Undone(Exception):
    pass


@on_mariadb
@pytest.mark.gen_test
@pytest.mark.parametrize("undone", [False, True], ids=["committed", "undone"])
async def test_uncommitted_rows_of_another_process_are_waited_for(
    writers: MakeWriter, readers: ReaderPool, expected_logs: list[str], undone: bool
) -> None:
    expected_logs.append("the database refused a batch of 1")
    slow, quick = writers(), writers()
    begun, release = threading.Event(), threading.Event()

    def stay(tx: Transaction) -> None:
        models.Message.insert(
            kind=Kind.SESSION.value,
            thread_id=1,
            seq=1,
            sender=VISITOR.key,
            media="text",
            text="slow",
            time=tx.now,
        ).execute(tx.database)
        begun.set()
        assert release.wait(5)
        if undone:
            raise Undone

    staying = slow.run(stay)
    await asyncio.get_running_loop().run_in_executor(None, begun.wait)
    await quick.append(AppendRequest(THREADS[1], VISITOR, "quick"))
    reading = asyncio.ensure_future(readers.read(MESSAGES.since, 0, 10))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(reading), 0.3)
    # The wait for one process does not block the writes of another one.
    await quick.append(AppendRequest(THREADS[1], VISITOR, "meanwhile"))
    release.set()
    await asyncio.wait([staying])
    staying.exception()
    expected = ["quick"] if undone else ["slow", "quick"]
    # The read may end after the commit of "meanwhile", which then is in its result, too.
    assert texts(await reading) in (expected, [*expected, "meanwhile"])


@pytest.mark.gen_test
async def test_a_follower_gets_every_message_once_while_three_processes_write(
    writers: MakeWriter, readers: ReaderPool
) -> None:
    async def write(writer: Writer, name: int) -> None:
        for n in range(60):
            # Some messages are refused, which leaves gaps between the ids.
            thread = THREADS[(n + name) % len(THREADS)] if n % 7 else Thread(Kind.SESSION, 404)
            futures = [writer.append(AppendRequest(thread, VISITOR, f"{name}:{n}:{m}")) for m in range(3)]
            await asyncio.gather(*futures, return_exceptions=True)

    heard: list[str] = []
    over = False
    position = 0

    async def follow() -> None:
        nonlocal position
        while True:
            last = over
            while found := await readers.read(MESSAGES.since, position, 20):
                heard.extend(texts(found))
                position = found[-1][0]
            if last:
                return

    # SQLite has only one writer.
    several = isinstance(readers._database, pw.MySQLDatabase)
    following = asyncio.create_task(follow())
    await asyncio.gather(*(write(writers(), name) for name in range(3 if several else 1)))
    over = True
    await following
    stored = [
        text for (text,) in models.Message.select(models.Message.text).tuples().execute(readers._database)
    ]
    readers._database.close()
    assert len(heard) == len(set(heard))
    assert set(heard) == set(stored)


def insert_messages(database: pw.Database) -> None:
    for n in range(3):
        models.Message.insert(
            kind=Kind.SESSION.value,
            thread_id=1,
            seq=n + 1,
            sender=VISITOR.key,
            media="text",
            text=f"{n}",
            time=0,
        ).execute(database)


def test_a_new_follower_begins_after_the_existing_rows(database: pw.Database) -> None:
    insert_messages(database)
    position, _ = transact(database, lambda tx: open_cursor(tx, "audit", MESSAGES))
    assert MESSAGES.since(database, position, 10) == []
    assert texts(MESSAGES.since(database, 0, 2)) == ["0", "1"]
    assert NOTIFICATIONS.since(database, 0, 10) == []


def test_a_cursor_after_the_last_row_is_set_back_to_it(database: pw.Database) -> None:
    """The tables of the cursors and of the messages are from different copies of the database."""
    insert_messages(database)
    last, _ = transact(database, lambda tx: open_cursor(tx, "audit", MESSAGES))
    models.PluginCursor.update(position=last + 10).execute(database)
    assert transact(database, lambda tx: open_cursor(tx, "audit", MESSAGES))[0] == last
    assert cursor_position(database, "audit", MESSAGES) == last
