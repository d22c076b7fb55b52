"""Faults of a MariaDB server: the writer and the readers lose and repeat no message."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import peewee as pw
import pytest
from tornado.ioloop import IOLoop

from tests.helpers.mariadb import MariaDB
from tests.helpers.mysql_proxy import AtCommit, MysqlProxy
from tests.storage.conftest import COUNSELLOR, NOW, VISITOR, new_session, on_mariadb, open_url, transact
from tornado_chat.core.errors import ChatError, Unavailable
from tornado_chat.core.events import Event
from tornado_chat.core.types import Kind, Message, SessionState, Thread
from tornado_chat.storage import messages, models, mysql, notifications, rooms
from tornado_chat.storage.database import ReaderPool
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.mysql_transactions import MysqlTransactionRunner
from tornado_chat.storage.writer import Transaction, Writer

pytestmark = on_mariadb

SESSION, OTHER = Thread(Kind.SESSION, 7), Thread(Kind.SESSION, 8)
AWAY = "the database accepts no writes, retrying for"
GIVEN_UP = "the database is unavailable; nothing can be stored until it is back"
REFUSED = "the database refused a batch of"
SET_ASIDE = "another session of the database has locked a conversation: its changes wait"


@pytest.fixture(autouse=True)
def _sessions(database: pw.Database) -> None:
    for thread in (SESSION, OTHER):
        transact(database, lambda tx, thread=thread: new_session(tx, thread.id))


def new_message(text: str, thread: Thread = SESSION, client_id: str | None = None) -> AppendRequest:
    return AppendRequest(thread, VISITOR, text, client_id)


class WriterHarness:
    """A writer with the events that it published."""

    def __init__(self, url: str, timeout_seconds: float = 20) -> None:
        self.database = open_url(url)
        self.published: list[Event] = []
        self.transactions = 0
        self.writer = Writer(
            self.database,
            self.published.append,
            asyncio.get_running_loop(),
            clock=self._count,
            timeout_seconds=timeout_seconds,
        )
        self.writer.start()

    def _count(self) -> int:
        """Return the time of a transaction, and count it."""
        self.transactions += 1
        return NOW

    @contextmanager
    def held(self) -> Iterator[None]:
        """Block the writer, so that all jobs of the block wait for the next batch."""
        begun, release = threading.Event(), threading.Event()

        def wait(tx: Transaction) -> None:
            begun.set()
            assert release.wait(5)

        self.writer.run(wait)
        assert begun.wait(5)
        try:
            yield
        finally:
            release.set()

    async def close(self) -> None:
        """Close the writer in a thread, because the proxy runs on the loop."""
        await asyncio.get_running_loop().run_in_executor(None, self.writer.close)

    @property
    def published_texts(self) -> list[str]:
        return [event.text for event in self.published if isinstance(event, Message)]


OpenHarness = Callable[..., WriterHarness]


@pytest.fixture
def open_harness(io_loop: IOLoop, database_url: str) -> Iterator[OpenHarness]:
    harnesses: list[WriterHarness] = []

    def open_harness(url: str = database_url, **more: Any) -> WriterHarness:
        harnesses.append(WriterHarness(url, **more))
        return harnesses[-1]

    yield open_harness
    for harness in harnesses:
        harness.writer.close()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[str, MysqlProxy]]:
    parts = urlsplit(url)
    assert parts.port
    async with MysqlProxy(parts.port) as proxy:
        yield parts._replace(netloc=f"root@127.0.0.1:{proxy.port}").geturl(), proxy


def stored(database: pw.Database, thread: Thread = SESSION) -> list[str]:
    return [message.text for message in messages.after(database, thread, 0, 10_000)]


async def outcome(future: asyncio.Future[Any]) -> Any:
    try:
        return await future
    except ChatError as error:
        return error


def name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


# --- the connection ---


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", AtCommit)
async def test_a_connection_lost_during_the_commit_loses_and_repeats_no_message(
    database: pw.Database,
    database_url: str,
    open_harness: OpenHarness,
    fault: AtCommit,
    expected_logs: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault is AtCommit.STUCK:
        expected_logs.append(f"{AWAY}.*Lock wait timeout")
    monkeypatch.setattr(mysql, "LOCK_WAIT_SECONDS", 1)
    async with proxied(database_url) as (url, proxy):
        harness = open_harness(url)
        await harness.writer.append(new_message("before"))
        proxy.faults.append(fault)
        said = [harness.writer.append(new_message(f"m{n}")) for n in range(50)]
        made = harness.writer.run(lambda tx: notifications.create(tx, VISITOR, 0, "once", None))
        assert [s.seq for s in await asyncio.gather(*said)] == list(range(2, 52))
        await made
        assert proxy.faults == []
        await harness.writer.append(new_message("after"))
        await harness.close()
    expected = ["before", *(f"m{n}" for n in range(50)), "after"]
    assert stored(database) == harness.published_texts == expected
    assert models.Notification.select().count(database) == 1


@pytest.mark.gen_test
async def test_another_server_of_a_cluster_may_see_the_commit_later(
    database: pw.Database, database_url: str, open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear_up, behind = MysqlTransactionRunner._resolve_doubt, [True]

    def asked_too_early(self: MysqlTransactionRunner) -> bool:
        if behind:
            behind.pop()
            self._in_doubt = False
            return False
        return clear_up(self)

    monkeypatch.setattr(MysqlTransactionRunner, "_resolve_doubt", asked_too_early)
    async with proxied(database_url) as (url, proxy):
        harness = open_harness(url)
        await harness.writer.append(new_message("before"))
        proxy.faults.append(AtCommit.AFTER)
        assert (await harness.writer.append(new_message("once"))).seq == 2
        await harness.close()
    assert not behind
    assert stored(database) == harness.published_texts == ["before", "once"]


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", [AtCommit.BEFORE, AtCommit.AFTER])
async def test_a_message_refused_in_doubt_is_published_if_it_turns_out_to_be_committed(
    database: pw.Database,
    database_url: str,
    open_harness: OpenHarness,
    expected_logs: list[str],
    fault: AtCommit,
) -> None:
    expected_logs += [AWAY, GIVEN_UP]
    async with proxied(database_url) as (url, proxy):
        harness = open_harness(url, timeout_seconds=0.3)
        await harness.writer.append(new_message("before"))
        proxy.faults.append(fault)
        proxy.refuse_after_fault = True
        refused = await outcome(harness.writer.append(new_message("in doubt", client_id="a")))
        assert isinstance(refused, Unavailable)
        assert harness.published_texts == ["before"]
        proxy.admit()
        again = await harness.writer.append(new_message("in doubt", client_id="a"))
        assert (again.seq, again.duplicate) == (2, fault is AtCommit.AFTER)
        assert harness.published_texts == stored(database) == ["before", "in doubt"]
        await harness.close()


@pytest.mark.gen_test
async def test_connections_closed_by_the_server_are_replaced_without_errors(
    mariadb: MariaDB, database_url: str, open_harness: OpenHarness
) -> None:
    harness = open_harness()
    readers = ReaderPool(open_url(database_url), 2, timeout_seconds=5)
    for n in range(3):
        await harness.writer.append(new_message(f"m{n}"))
        read = await asyncio.gather(*(readers.read(messages.after, SESSION, 0, 10) for _ in range(4)))
        assert [len(each) for each in read] == [n + 1] * 4
        for (id,) in mariadb.run(
            f"SELECT id FROM information_schema.processlist WHERE db = '{name_of(database_url)}'"
        ):
            mariadb.run(f"KILL {id}")
    readers.close()


@pytest.mark.gen_test
async def test_senders_wait_for_an_unavailable_server_and_later_fail_at_once(
    database: pw.Database, database_url: str, open_harness: OpenHarness, expected_logs: list[str]
) -> None:
    expected_logs += [AWAY, GIVEN_UP]
    async with proxied(database_url) as (url, proxy):
        harness = open_harness(url)
        await harness.writer.append(new_message("before"))
        proxy.refuse()
        waiting = harness.writer.append(new_message("m0"))
        for _ in range(3):
            await proxy.turned_away.acquire()
        proxy.admit()
        assert (await waiting).seq == 2
        assert harness.published_texts == ["before", "m0"]
        await harness.close()

        harness = open_harness(url, timeout_seconds=0.3)
        await harness.writer.append(new_message("m1"))
        proxy.refuse()
        too_long = [harness.writer.append(new_message("refused")) for _ in range(3)]
        for each in [*too_long, harness.writer.append(new_message("refused at once"))]:
            refused = await outcome(each)
            assert isinstance(refused, Unavailable)
            assert refused.code == "not_stored"
        proxy.admit()
        assert (await harness.writer.append(new_message("after"))).seq == 4
        assert harness.published_texts == ["m1", "after"]
        await harness.close()
    assert stored(database) == ["before", "m0", "m1", "after"]


@pytest.mark.gen_test
async def test_a_reader_waits_for_an_unavailable_server_and_finally_fails(database_url: str) -> None:
    async with proxied(database_url) as (url, proxy):
        patient, hasty = (
            ReaderPool(open_url(url), 1, timeout_seconds=20),
            ReaderPool(open_url(url), 1, timeout_seconds=0.3),
        )
        for readers in (patient, hasty):
            assert await readers.read(messages.after, SESSION, 0, 10) == []
        proxy.refuse()
        with pytest.raises(Unavailable, match="database_away"):
            await hasty.read(messages.after, SESSION, 0, 10)
        waiting = asyncio.ensure_future(patient.read(messages.after, SESSION, 0, 10))
        for _ in range(3):
            await proxy.turned_away.acquire()
        proxy.admit()
        assert await waiting == []
        for readers in (patient, hasty):
            await asyncio.get_running_loop().run_in_executor(None, readers.close)


# --- several writers and sessions in one database ---


@pytest.mark.gen_test
async def test_a_deadlock_is_retried(
    mariadb: MariaDB, database: pw.Database, database_url: str, open_harness: OpenHarness
) -> None:
    harness = open_harness()
    deadlocks = (
        "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'innodb_deadlocks'"
    )
    before = int(mariadb.run(deadlocks)[0][0])
    with mariadb.session(name_of(database_url)) as other:
        # The server rolls the transaction back that has changed fewer rows.
        other.executemany("INSERT INTO inbox (owner, last_seq) VALUES (%s, 0)", [(n,) for n in range(100)])
        other.execute("UPDATE consultation_session SET last_seq = 0 WHERE id = 8")
        with harness.held():
            futures = [
                harness.writer.append(new_message(text, thread))
                for text, thread in (("a", SESSION), ("b", OTHER))
            ]
        waiting = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        while not mariadb.run(waiting)[0][0]:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        other.execute("UPDATE consultation_session SET last_seq = 0 WHERE id = 7")
        assert int(mariadb.run(deadlocks)[0][0]) == before + 1
    assert [s.seq for s in await asyncio.gather(*futures)] == [1, 1]
    assert stored(database) == ["a"]
    assert harness.published_texts == ["a", "b"]


@pytest.mark.gen_test
async def test_a_locked_conversation_is_set_aside_and_goes_on_in_order(
    mariadb: MariaDB,
    database: pw.Database,
    database_url: str,
    open_harness: OpenHarness,
    expected_logs: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected_logs.append(SET_ASIDE)
    harness = open_harness()
    with mariadb.session(name_of(database_url)) as other:
        other.execute("SELECT * FROM consultation_session WHERE id = 7 FOR UPDATE")
        with harness.held():
            futures = [harness.writer.append(new_message(text, OTHER)) for text in "ab"]
            locked = [harness.writer.append(new_message(f"l{n}")) for n in range(5)]
            futures.append(harness.writer.append(new_message("c", OTHER)))
        assert [s.seq for s in await asyncio.gather(*futures)] == [1, 2, 3]
        assert harness.transactions == 3  # the one that held the writer, the whole batch, the free rest
        for n in range(4, 20):  # the lock is not waited for again
            locked.append(harness.writer.append(new_message(f"l{n + 1}")))
            assert (await harness.writer.append(new_message(f"{n}", OTHER))).seq == n
        assert harness.transactions == 3 + 16
        ended = harness.writer.run(
            lambda tx: rooms.finish(tx, SESSION, SessionState.COMPLETED, expected=SessionState.READY), SESSION
        )
        await harness.writer.append(new_message("20", OTHER))
        assert not any(each.settled for each in locked)
        assert not ended.done()
    assert [(await each).seq for each in locked] == list(range(1, 22))
    assert (await ended).state is SessionState.COMPLETED
    assert stored(database) == [f"l{n}" for n in range(21)]
    warnings = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert len(warnings) == 1
    assert warnings[0].exc_info is None


@pytest.mark.gen_test
async def test_a_batch_for_most_conversations_of_a_small_table_does_not_wait_for_a_locked_one(
    mariadb: MariaDB,
    database: pw.Database,
    database_url: str,
    open_harness: OpenHarness,
    expected_logs: list[str],
) -> None:
    expected_logs.append(SET_ASIDE)
    threads = [Thread(Kind.SESSION, id) for id in range(9, 29)]
    for thread in threads:
        transact(database, lambda tx, thread=thread: new_session(tx, thread.id))
    harness = open_harness()
    with mariadb.session(name_of(database_url)) as other:
        other.execute("SELECT * FROM consultation_session WHERE id = 7 FOR UPDATE")
        for n in range(3):
            with harness.held():
                locked = harness.writer.append(new_message(f"l{n}"))
                futures = [harness.writer.append(new_message("free", thread)) for thread in threads]
            await asyncio.gather(*futures)
        # Each time the one that held the writer, and the free rest; once the batch with the locked one.
        assert harness.transactions == 3 * 2 + 1
    await locked
    assert stored(database) == ["l0", "l1", "l2"]


@pytest.mark.gen_test
async def test_a_conversation_that_stays_locked_is_refused_after_the_timeout(
    mariadb: MariaDB,
    database: pw.Database,
    database_url: str,
    open_harness: OpenHarness,
    expected_logs: list[str],
) -> None:
    expected_logs += [SET_ASIDE, "changes of a conversation are refused"]
    harness = open_harness(timeout_seconds=0.5)
    with mariadb.session(name_of(database_url)) as other:
        other.execute("SELECT * FROM consultation_session WHERE id = 7 FOR UPDATE")
        assert isinstance(await outcome(harness.writer.append(new_message("locked"))), Unavailable)
    assert (await harness.writer.append(new_message("free"))).seq == 1
    assert stored(database) == harness.published_texts == ["free"]


@pytest.mark.gen_test
async def test_a_locked_row_of_no_conversation_fails_alone_and_without_a_traceback(
    mariadb: MariaDB,
    database: pw.Database,
    database_url: str,
    open_harness: OpenHarness,
    expected_logs: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected_logs.append("another session of the database keeps rows locked, 1 refused")
    transact(database, lambda tx: notifications.create(tx, VISITOR, 0, "first", None))
    harness = open_harness()
    with mariadb.session(name_of(database_url)) as other:
        other.execute("SELECT * FROM inbox FOR UPDATE")
        with harness.held():
            before = harness.writer.append(new_message("a"))
            made = harness.writer.run(lambda tx: notifications.create(tx, VISITOR, 0, "locked", None))
            after = harness.writer.append(new_message("b"))
        assert isinstance(await outcome(made), Unavailable)
        assert [s.seq for s in await asyncio.gather(before, after)] == [1, 2]
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.gen_test
async def test_messages_do_not_wait_for_a_job_apart(
    mariadb: MariaDB, database: pw.Database, database_url: str, open_harness: OpenHarness
) -> None:
    transact(database, lambda tx: notifications.create(tx, VISITOR, 0, "first", None))
    harness = open_harness()
    with mariadb.session(name_of(database_url)) as other:
        other.execute("SELECT * FROM inbox FOR UPDATE")
        with harness.held():
            before = harness.writer.append(new_message("a"))
            made = harness.writer.run(lambda tx: notifications.create(tx, VISITOR, 0, "x", None), apart=True)
            after = harness.writer.append(new_message("b"))
        assert [s.seq for s in await asyncio.gather(before, after)] == [1, 2]
        assert not made.done()
    assert (await made).seq == 2


@pytest.mark.gen_test
async def test_a_writer_that_ends_refuses_the_changes_of_a_locked_conversation(
    mariadb: MariaDB, database_url: str, open_harness: OpenHarness, expected_logs: list[str]
) -> None:
    expected_logs += [SET_ASIDE, "changes of a conversation are refused"]
    harness = open_harness()
    with mariadb.session(name_of(database_url)) as other:
        other.execute("SELECT * FROM consultation_session WHERE id = 7 FOR UPDATE")
        locked = harness.writer.append(new_message("locked"))
        await harness.close()
        assert isinstance(await outcome(locked), Unavailable)


@pytest.mark.gen_test
async def test_two_writers_number_one_conversation_without_gaps(
    database: pw.Database, open_harness: OpenHarness
) -> None:
    harnesses = [open_harness(), open_harness()]
    said = []
    for n in range(200):
        said.append(harnesses[n % 2].writer.append(new_message(f"{n % 2}:{n}", client_id=f"c{n}")))
        if n % 10 == 0:
            await asyncio.sleep(0)
    numbers = [s.seq for s in await asyncio.gather(*said)]
    assert sorted(numbers) == list(range(1, 201))
    texts = stored(database)
    for n in (0, 1):  # the messages of one writer stay in order
        mine = [text for text in texts if text.startswith(f"{n}:")]
        assert mine == [f"{n}:{m}" for m in range(n, 200, 2)] == harnesses[n].published_texts


@pytest.mark.gen_test
async def test_the_same_id_sent_through_two_writers_at_once_is_stored_once(
    database: pw.Database, open_harness: OpenHarness
) -> None:
    harnesses = [open_harness(), open_harness()]
    for n in range(30):
        first, second = await asyncio.gather(
            *(harness.writer.append(new_message(f"m{n}", client_id=f"c{n}")) for harness in harnesses)
        )
        assert first.seq == second.seq == n + 1
        assert first.duplicate is not second.duplicate
    assert stored(database) == [f"m{n}" for n in range(30)]


@pytest.mark.gen_test
async def test_two_writers_that_create_the_same_row_at_once_create_one(
    database: pw.Database, open_harness: OpenHarness
) -> None:
    harnesses = [open_harness(), open_harness()]
    for n in range(20):
        person = COUNSELLOR._replace(id=f"{n}")
        made = await asyncio.gather(
            *(
                harness.writer.run(lambda tx, person=person: notifications.create(tx, person, 0, "x", None))
                for harness in harnesses
            )
        )
        assert sorted(each.seq for each in made) == [1, 2]
    assert models.Inbox.select().count(database) == 20


# --- a server that refuses writes ---


@pytest.mark.gen_test
async def test_a_message_larger_than_the_server_accepts_fails_alone(
    mariadb: MariaDB, database: pw.Database, open_harness: OpenHarness, expected_logs: list[str]
) -> None:
    expected_logs += [f"{REFUSED} 1: ", AWAY]
    largest = mariadb.run("SELECT @@max_allowed_packet")[0][0]
    mariadb.run("SET GLOBAL max_allowed_packet = 1048576")
    try:
        harness = open_harness()
        with harness.held():
            futures = [harness.writer.append(new_message(text)) for text in ("a", "x" * 2_000_000, "b")]
        outcomes = [await outcome(future) for future in futures]
    finally:
        mariadb.run(f"SET GLOBAL max_allowed_packet = {largest}")
    assert isinstance(outcomes[1], Unavailable)
    assert stored(database) == harness.published_texts == ["a", "b"]
