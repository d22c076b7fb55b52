"""The writer thread: group commits, isolated failures, events after the commit, an unavailable database."""

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import peewee as pw
import pymysql
import pytest
from tornado.ioloop import IOLoop

from tests.storage.conftest import VISITOR, new_session, on_sqlite, open_url, transact
from tornado_chat.core.errors import ChatError, Conflict, InternalError, Unavailable
from tornado_chat.core.events import Event, SystemNotice
from tornado_chat.core.types import Kind, Message, Thread
from tornado_chat.storage import background_jobs, messages, models
from tornado_chat.storage import writer as writer_module
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.transactions import is_permanent
from tornado_chat.storage.writer import Transaction, Writer

SESSION = Thread(Kind.SESSION, 7)
REFUSED = "the database refused a batch of 1"


def new_message(text: str, client_id: str | None = None) -> AppendRequest:
    return AppendRequest(SESSION, VISITOR, text, client_id)


class WriterHarness:
    """A writer with a session, its published events, and the number of its transactions."""

    def __init__(self, database: pw.Database, url: str, **limits: Any) -> None:
        self.database = database
        self.url = url
        self.published: list[Event] = []
        self.listener: Callable[[Event], None] | None = None
        self.transactions = 0
        self.closed = False
        if isinstance(database, pw.SqliteDatabase):
            database.pragma("busy_timeout", 30, permanent=True)
        transact(database, lambda tx: new_session(tx, SESSION.id))
        self.writer = Writer(database, self.publish, asyncio.get_running_loop(), clock=self.tick, **limits)
        self.writer.start()

    def publish(self, event: Event) -> None:
        self.published.append(event)
        if self.listener:
            self.listener(event)

    def tick(self) -> int:
        self.transactions += 1
        return self.transactions

    @contextmanager
    def held(self) -> Iterator[None]:
        """Block the writer, so that all jobs of the block wait for the next batch."""
        begun, release = threading.Event(), threading.Event()

        def wait(tx: Transaction) -> None:
            begun.set()
            assert release.wait(5)

        self.writer.run(wait)
        assert begun.wait(5)
        self.transactions = 0
        try:
            yield
        finally:
            release.set()

    def stored(self) -> list[str]:
        return [message.text for message in messages.after(self.database, SESSION, 0, 10_000)]

    def published_texts(self) -> list[str]:
        return [event.text for event in self.published if isinstance(event, Message)]

    @property
    def file(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))

    def committed(self) -> int:
        with closing(open_url(self.url)) as other:
            return int(models.Message.select().count(other))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.writer.close()


OpenHarness = Callable[..., WriterHarness]


@pytest.fixture
def open_harness(io_loop: IOLoop, database: pw.Database, database_url: str) -> Iterator[OpenHarness]:
    harnesses: list[WriterHarness] = []

    def open_harness(**limits: Any) -> WriterHarness:
        harnesses.append(WriterHarness(database, database_url, **limits))
        return harnesses[-1]

    yield open_harness
    for harness in harnesses:
        harness.close()


async def outcome(future: asyncio.Future[Any]) -> Any:
    try:
        return await future
    except ChatError as error:
        return error


@pytest.mark.gen_test
async def test_waiting_jobs_are_committed_together_in_the_order_of_arrival(open_harness: OpenHarness) -> None:
    harness = open_harness()
    with harness.held():
        futures = [harness.writer.append(new_message(f"m{n}")) for n in range(500)]
    stored = await asyncio.gather(*futures)
    assert harness.transactions == 1
    assert [s.seq for s in stored] == list(range(1, 501))
    assert {s.time for s in stored} == {1}
    assert harness.stored() == harness.published_texts() == [f"m{n}" for n in range(500)]


@pytest.mark.gen_test
async def test_the_results_of_a_large_batch_leave_turns_of_the_loop_to_others(
    open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "SETTLE_SECONDS", 0.0)
    harness, loop, seen = open_harness(), asyncio.get_running_loop(), list[int]()

    def note(event: Event) -> None:
        loop.call_soon(lambda: seen.append(len(harness.published)))

    harness.listener = note
    with harness.held():
        futures = [harness.writer.append(new_message(f"m{n}")) for n in range(100)]
    await asyncio.gather(*futures)
    await asyncio.sleep(0)
    assert harness.transactions == 1
    assert harness.published_texts() == [f"m{n}" for n in range(100)]
    assert seen == list(range(1, 101))


@pytest.mark.gen_test
async def test_a_batch_has_a_maximum_size(open_harness: OpenHarness) -> None:
    harness = open_harness(max_batch_jobs=5)
    with harness.held():
        futures = [harness.writer.append(new_message(f"m{n}")) for n in range(12)]
    stored = await asyncio.gather(*futures)
    assert harness.transactions == 3
    assert [s.seq for s in stored] == list(range(1, 13))


@pytest.mark.gen_test
async def test_jobs_shortly_after_a_commit_are_committed_together(open_harness: OpenHarness) -> None:
    harness = open_harness(min_batch_interval_seconds=0.5)
    await harness.writer.append(new_message("the first one does not wait"))
    following = []
    for n in range(50):
        following.append(harness.writer.append(new_message(f"m{n}")))
        await asyncio.sleep(0)  # one iteration of the loop for each, as from many sockets
    await asyncio.gather(*following)
    assert harness.transactions == 2


@pytest.mark.gen_test
async def test_appends_and_other_jobs_keep_their_order_and_see_earlier_changes(
    open_harness: OpenHarness,
) -> None:
    harness = open_harness()

    def count(tx: Transaction) -> int:
        tx.emit(SystemNotice(SESSION, "session_started", tx.now))
        return models.Message.select().count(tx.database)

    with harness.held():
        work = [
            harness.writer.append(new_message("a")),
            harness.writer.run(count),
            harness.writer.append(new_message("b")),
        ]
        counted = harness.writer.run(count)
    await asyncio.gather(*work)
    assert await work[1] == 1
    assert await counted == 2
    kinds = [
        event.text if isinstance(event, Message) else type(event).__name__ for event in harness.published
    ]
    assert kinds == ["a", "SystemNotice", "b", "SystemNotice"]


@pytest.mark.gen_test
async def test_background_jobs_let_all_others_go_first_and_keep_their_order(
    open_harness: OpenHarness,
) -> None:
    harness = open_harness()
    done: list[str] = []
    with harness.held():
        background = [
            harness.writer.run(lambda tx, n=n: done.append(f"background {n}"), background=True)
            for n in range(100)
        ]
        harness.writer.append(new_message("a message that came later"))
        urgent = harness.writer.run(lambda tx: done.append("urgent"))
    await urgent
    await harness.writer.append(new_message("one more"))
    assert done[0] == "urgent"
    assert harness.stored() == ["a message that came later", "one more"]
    await asyncio.gather(*background)
    assert done[1:] == [f"background {n}" for n in range(100)]


@pytest.mark.gen_test
async def test_slow_background_jobs_do_not_share_a_batch(open_harness: OpenHarness) -> None:
    harness = open_harness()

    def work(tx: Transaction) -> None:
        time.sleep(2 * background_jobs.MIN_SECONDS)

    with harness.held():
        jobs = [harness.writer.run(work, background=True) for _ in range(40)]
        message = harness.writer.append(new_message("m"))
    await message
    assert not all(job.done() for job in jobs)
    await asyncio.gather(*jobs)
    assert harness.transactions > 2


@pytest.mark.gen_test
async def test_a_full_backlog_of_background_jobs_does_not_refuse_messages(open_harness: OpenHarness) -> None:
    harness = open_harness(max_backlog_jobs=3)
    with harness.held():
        jobs = [harness.writer.run(lambda tx: None, background=True) for _ in range(3)]
        with pytest.raises(Unavailable, match="overloaded"):
            harness.writer.run(lambda tx: None, background=True)
        message = harness.writer.append(new_message("a"))
    await asyncio.gather(message, *jobs)
    assert harness.stored() == ["a"]


@pytest.mark.gen_test
async def test_closing_commits_background_jobs(open_harness: OpenHarness) -> None:
    harness = open_harness()
    with harness.held():
        jobs = [harness.writer.run(lambda tx, n=n: n, background=True) for n in range(50)]
    harness.close()
    assert await asyncio.gather(*jobs) == list(range(50))


@pytest.mark.gen_test
async def test_an_event_is_published_on_the_loop_after_its_data_are_committed(
    open_harness: OpenHarness,
) -> None:
    harness = open_harness()
    seen: list[tuple[int, threading.Thread]] = []
    harness.listener = lambda event: seen.append((harness.committed(), threading.current_thread()))
    with harness.held():
        futures = [harness.writer.append(new_message(text)) for text in "abc"]
    await asyncio.gather(*futures)
    assert seen == [(3, threading.current_thread())] * 3


@pytest.mark.gen_test
async def test_the_caller_gets_the_result_after_the_event_was_published(open_harness: OpenHarness) -> None:
    harness = open_harness()
    await harness.writer.append(new_message("a"))
    assert harness.published_texts() == ["a"]


@pytest.mark.gen_test
async def test_a_job_that_fails_does_not_affect_the_others(
    open_harness: OpenHarness, expected_logs: list[str]
) -> None:
    expected_logs.append(REFUSED)
    harness = open_harness()

    def bomb(tx: Transaction) -> None:
        models.Message.delete().execute(tx.database)
        tx.emit(SystemNotice(SESSION, "session_started", tx.now))
        raise ValueError("boom")

    with harness.held():
        futures = [
            harness.writer.append(new_message("a")),
            harness.writer.run(bomb),
            harness.writer.append(new_message("b")),
            harness.writer.append(new_message("half a pair: \ud800")),
            harness.writer.append(new_message("c")),
        ]
    outcomes = [await outcome(future) for future in futures]
    assert [o.seq for o in (outcomes[0], outcomes[2], outcomes[4])] == [1, 2, 3]
    for failed in (outcomes[1], outcomes[3]):  # neither would succeed if it were tried again
        assert isinstance(failed, InternalError)
        assert failed.code == "internal_error"
    assert isinstance(outcomes[1].__cause__, ValueError)
    assert harness.stored() == harness.published_texts() == ["a", "b", "c"]
    assert len(harness.published) == 3


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (ValueError("a fault of the program"), True),
        (KeyError("another"), True),
        (pw.DataError("too long"), True),
        (sqlite3.ProgrammingError("wrong number of values"), True),
        (pymysql.err.ProgrammingError(1064, "syntax"), True),
        (sqlite3.OperationalError("disk is full"), False),
        (pw.OperationalError("database is locked"), False),
        (pymysql.err.OperationalError(2013, "lost"), False),
        (pymysql.err.IntegrityError(1062, "another transaction was first"), False),
        (OSError("no file descriptors"), False),
        (MemoryError(), False),
    ],
    ids=repr,
)
def test_errors_after_which_another_try_cannot_succeed(error: Exception, permanent: bool) -> None:
    assert is_permanent(error) is permanent


@pytest.mark.gen_test
async def test_a_refusal_rolls_back_only_its_own_writes_and_events(
    open_harness: OpenHarness,
) -> None:
    harness = open_harness()

    def refuse(tx: Transaction) -> None:
        new_session(tx, 99)
        tx.emit(SystemNotice(SESSION, "session_started", tx.now))
        raise Conflict("session_exists", id=99)

    with harness.held():
        futures = [
            harness.writer.append(new_message("a")),
            harness.writer.run(refuse),
            harness.writer.run(lambda tx: new_session(tx, 98)),
        ]
    outcomes = [await outcome(future) for future in futures]
    assert isinstance(outcomes[1], Conflict)
    assert harness.transactions == 1
    assert outcomes[2].thread.id == 98
    assert {row.id for row in models.ConsultationSession.select().execute(harness.database)} == {7, 98}
    assert harness.published == [event for event in harness.published if isinstance(event, Message)]


@pytest.mark.gen_test
async def test_a_message_for_a_finished_session_is_refused_alone(open_harness: OpenHarness) -> None:
    harness = open_harness()
    gone = AppendRequest(Thread(Kind.SESSION, 404), VISITOR, "into the void")
    with harness.held():
        futures = [harness.writer.append(append) for append in (new_message("a"), gone, new_message("b"))]
    outcomes = [await outcome(future) for future in futures]
    assert isinstance(outcomes[1], Conflict)
    assert harness.published_texts() == harness.stored() == ["a", "b"]


@pytest.mark.gen_test
async def test_the_job_of_a_cancelled_caller_is_stored_and_published(open_harness: OpenHarness) -> None:
    harness = open_harness()
    with harness.held():
        asyncio.ensure_future(harness.writer.append(new_message("cancelled"))).cancel()
        last = harness.writer.append(new_message("awaited"))
    await last
    assert harness.stored() == harness.published_texts() == ["cancelled", "awaited"]


@pytest.mark.gen_test
async def test_a_full_backlog_refuses_jobs_until_it_is_processed(open_harness: OpenHarness) -> None:
    harness = open_harness(max_backlog_jobs=3)
    with harness.held():
        futures = [harness.writer.append(new_message(text)) for text in "abc"]
        with pytest.raises(Unavailable, match="overloaded"):
            harness.writer.append(new_message("too much"))
        with pytest.raises(Unavailable, match="overloaded"):
            harness.writer.run(lambda tx: None)
    await asyncio.gather(*futures)
    await harness.writer.append(new_message("d"))
    assert harness.stored() == ["a", "b", "c", "d"]


@pytest.mark.gen_test
async def test_closing_commits_waiting_jobs_and_refuses_new_ones(open_harness: OpenHarness) -> None:
    harness = open_harness(max_batch_jobs=4)
    with harness.held():
        futures = [harness.writer.append(new_message(f"m{n}")) for n in range(10)]
    harness.close()
    assert harness.committed() == 10
    with pytest.raises(Unavailable):
        harness.writer.append(new_message("late"))
    assert [s.seq for s in await asyncio.gather(*futures)] == list(range(1, 11))
    assert len(harness.published_texts()) == 10


@on_sqlite
@pytest.mark.gen_test
async def test_a_locked_database_refuses_clearly_and_works_again_when_it_is_free(
    open_harness: OpenHarness, expected_logs: list[str]
) -> None:
    expected_logs.append(r"the database refused a batch of \d: database is locked")
    harness = open_harness()
    await harness.writer.append(new_message("before"))
    with closing(sqlite3.connect(harness.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        futures = [harness.writer.append(new_message(text)) for text in "ab"]
        futures.append(harness.writer.run(lambda tx: new_session(tx, 99)))
        for future in futures:
            refused = await outcome(future)
            assert isinstance(refused, Unavailable)
            assert refused.code == "not_stored"
        other.execute("ROLLBACK")
    assert (await harness.writer.append(new_message("after"))).seq == 2
    assert harness.stored() == harness.published_texts() == ["before", "after"]


@on_sqlite
@pytest.mark.gen_test
async def test_a_read_only_database_refuses_clearly_and_works_again_when_it_is_writable(
    open_harness: OpenHarness, expected_logs: list[str]
) -> None:
    expected_logs.append(r"the database refused a batch of \d: attempt to write a readonly database")
    harness = open_harness()
    writable = dict(harness.database.connect_params)
    harness.database.init(f"file:{harness.file}?mode=ro", uri=True, pragmas={"foreign_keys": 1})
    for future in [harness.writer.append(new_message(text)) for text in "ab"]:
        refused = await outcome(future)
        assert isinstance(refused, Unavailable)
        assert refused.code == "not_stored"
    harness.database.init(str(harness.file), **writable)
    assert (await harness.writer.append(new_message("after"))).seq == 1
    assert harness.stored() == harness.published_texts() == ["after"]


@on_sqlite
@pytest.mark.gen_test
async def test_a_commit_that_fails_refuses_its_whole_batch_and_publishes_none_of_it(
    open_harness: OpenHarness, expected_logs: list[str]
) -> None:
    expected_logs.append("the database refused a batch of 2: FOREIGN KEY constraint failed")
    harness = open_harness()

    def orphan(tx: Transaction) -> None:
        tx.database.execute_sql("PRAGMA defer_foreign_keys = ON")  # the fault is found at the commit only
        models.Notification.insert(inbox=404, seq=1, type=0, msg="", time=tx.now).execute(tx.database)

    with harness.held():
        futures = [harness.writer.append(new_message("a")), harness.writer.run(orphan)]
    assert [type(await outcome(future)) for future in futures] == [Unavailable, Unavailable]
    assert harness.published == []
    assert (await harness.writer.append(new_message("b"))).seq == 1
    assert harness.stored() == harness.published_texts() == ["b"]


# --- the database goes back to an older copy ---

CHANGED_ROW = {
    "earlier": ("UPDATE writer SET number = number - 2", "by 2 commits"),
    "missing": ("DELETE FROM writer", "by 3 commits"),
    "later": ("UPDATE writer SET number = number + 5", "by an unknown number of commits"),
}
"""What another copy may have in the row of this process, and what the log says."""


@pytest.mark.parametrize(("statement", "text"), CHANGED_ROW.values(), ids=CHANGED_ROW)
@pytest.mark.gen_test
async def test_an_older_copy_is_noticed_before_the_next_transaction(
    open_harness: OpenHarness,
    expected_logs: list[str],
    caplog: pytest.LogCaptureFixture,
    statement: str,
    text: str,
) -> None:
    expected_logs.append(f"the database has gone back {text}")
    noticed = asyncio.Event()
    harness = open_harness(on_went_back=noticed.set)
    for n in range(3):
        await harness.writer.append(new_message(f"m{n}"))
    assert not noticed.is_set()
    with closing(open_url(harness.url)) as other:
        other.execute_sql(statement)
    assert await harness.writer.run(lambda tx: tx.went_back)
    await noticed.wait()
    assert (await harness.writer.append(new_message("after"))).seq == 4
    assert len(caplog.records) == 1


@on_sqlite
@pytest.mark.gen_test
async def test_nothing_is_stored_in_a_file_that_was_removed_or_replaced(
    open_harness: OpenHarness, expected_logs: list[str], tmp_path: Path
) -> None:
    expected_logs += [
        "has been removed; nothing can be stored until it is back",
        "the database has gone back",
    ]
    noticed = asyncio.Event()
    harness = open_harness(on_went_back=noticed.set)
    await harness.writer.append(new_message("stored"))
    away = tmp_path / "away"
    harness.file.rename(away)
    for _ in range(2):
        assert isinstance(await outcome(harness.writer.append(new_message("refused"))), Unavailable)
    assert not noticed.is_set()
    away.rename(harness.file)
    assert (await harness.writer.append(new_message("again"))).seq == 2
    shutil.copy(harness.file, away)
    away.rename(harness.file)
    assert isinstance(await outcome(harness.writer.append(new_message("refused"))), Unavailable)
    await noticed.wait()


@pytest.mark.gen_test
async def test_the_row_of_a_writer_is_removed_at_its_end(
    database: pw.Database, open_harness: OpenHarness
) -> None:
    harness = open_harness()
    await harness.writer.append(new_message("a"))
    assert models.WriterProcess.select().count(database) == 1
    harness.close()
    assert models.WriterProcess.select().count(database) == 0
