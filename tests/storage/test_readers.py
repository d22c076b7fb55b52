"""Batches of lookups: each caller gets its own answer, independent of the other lookups."""

import asyncio
import threading
from collections.abc import Iterator

import peewee as pw
import pytest
from tornado.ioloop import IOLoop

from tests.storage.conftest import open_url
from tornado_chat.core.errors import NotFound, Unavailable
from tornado_chat.storage.database import ReaderPool
from tornado_chat.storage.raw_sql import fetch_rows


@pytest.fixture
def readers(io_loop: IOLoop, database_url: str) -> Iterator[ReaderPool]:
    readers = ReaderPool(open_url(database_url), 2)
    yield readers
    readers.close()


def number(database: pw.Database, value: int) -> int:
    return int(fetch_rows(database, "SELECT ?", value)[0][0])


def nothing(database: pw.Database) -> int:
    raise NotFound("no_such_session", id=1)


def mistake(database: pw.Database) -> int:
    return len(fetch_rows(database, "SELECT nothing FROM nowhere"))


@pytest.mark.gen_test
async def test_each_lookup_gets_its_own_answer(readers: ReaderPool) -> None:
    answers = await asyncio.gather(*(readers.look_up(number, n) for n in range(50)))
    assert answers == list(range(50))


@pytest.mark.gen_test
async def test_a_failed_lookup_does_not_affect_the_others(readers: ReaderPool) -> None:
    asked = [
        readers.look_up(number, 1),
        readers.look_up(nothing),
        readers.look_up(mistake),
        readers.look_up(number, 2),
    ]
    first, missing, wrong, last = await asyncio.gather(*asked, return_exceptions=True)
    assert (first, last) == (1, 2)
    assert isinstance(missing, NotFound)
    assert isinstance(wrong, Unavailable)
    assert isinstance(wrong.__cause__, pw.PeeweeException)


@pytest.mark.gen_test
async def test_a_lookup_during_a_batch_is_next_and_a_cancelled_one_is_skipped(
    readers: ReaderPool,
) -> None:
    begun, release = threading.Event(), threading.Event()

    def wait(database: pw.Database) -> None:
        begun.set()
        assert release.wait(5)

    waiting = asyncio.ensure_future(readers.look_up(wait))
    await asyncio.get_running_loop().run_in_executor(None, begun.wait, 5)
    gone, there = readers.look_up(number, 1), readers.look_up(number, 2)
    gone.cancel()
    release.set()
    assert await there == 2
    await waiting
