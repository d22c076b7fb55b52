"""The writer thread: group commits, pieces that fail alone, events after the commit, a database that is away."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import peewee as pw
import pytest
from tornado.ioloop import IOLoop

from tests.storage.conftest import VISITOR, new_session, on_sqlite, open_url, transact
from tornado_chat.core.errors import ChatError, Conflict, Unavailable
from tornado_chat.core.events import Event, SystemNotice
from tornado_chat.core.types import Kind, Message, Thread
from tornado_chat.storage import messages, models
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.writer import Transaction, Writer

SESSION = Thread(Kind.SESSION, 7)
REFUSED = "the database refused a batch of 1"


def say(text: str, client_id: str | None = None) -> AppendRequest:
    return AppendRequest(SESSION, VISITOR, text, client_id)


class Office:
    """A writer with a session to write to; what it published; how many transactions it tried."""

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
        """What is asked for meanwhile waits together."""
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

    def told(self) -> list[str]:
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


Opens = Callable[..., Office]


@pytest.fixture
def opens(io_loop: IOLoop, database: pw.Database, database_url: str) -> Iterator[Opens]:
    offices: list[Office] = []

    def opens(**limits: Any) -> Office:
        offices.append(Office(database, database_url, **limits))
        return offices[-1]

    yield opens
    for office in offices:
        office.close()


async def outcome(future: asyncio.Future[Any]) -> Any:
    try:
        return await future
    except ChatError as error:
        return error


@pytest.mark.gen_test
async def test_what_waits_together_is_committed_together_in_the_order_of_arrival(opens: Opens) -> None:
    office = opens()
    with office.held():
        futures = [office.writer.append(say(f"m{n}")) for n in range(500)]
    stored = await asyncio.gather(*futures)
    assert office.transactions == 1
    assert [s.seq for s in stored] == list(range(1, 501))
    assert {s.time for s in stored} == {1}
    assert office.stored() == office.told() == [f"m{n}" for n in range(500)]


@pytest.mark.gen_test
async def test_a_batch_takes_no_more_than_its_bound(opens: Opens) -> None:
    office = opens(max_batch_jobs=5)
    with office.held():
        futures = [office.writer.append(say(f"m{n}")) for n in range(12)]
    stored = await asyncio.gather(*futures)
    assert office.transactions == 3
    assert [s.seq for s in stored] == list(range(1, 13))


@pytest.mark.gen_test
async def test_what_comes_close_behind_a_commit_is_committed_together(opens: Opens) -> None:
    office = opens(min_batch_interval_seconds=0.5)
    await office.writer.append(say("the first waits for nothing"))
    following = []
    for n in range(50):
        following.append(office.writer.append(say(f"m{n}")))
        await asyncio.sleep(0)  # a turn of the loop each, as they come from many sockets
    await asyncio.gather(*following)
    assert office.transactions == 2


@pytest.mark.gen_test
async def test_appends_and_other_work_keep_their_order_and_see_what_came_before(opens: Opens) -> None:
    office = opens()

    def count(tx: Transaction) -> int:
        tx.emit(SystemNotice(SESSION, "session_started", tx.now))
        return models.Message.select().count(tx.database)

    with office.held():
        work = [office.writer.append(say("a")), office.writer.run(count), office.writer.append(say("b"))]
        counted = office.writer.run(count)
    await asyncio.gather(*work)
    assert await work[1] == 1
    assert await counted == 2
    kinds = [event.text if isinstance(event, Message) else type(event).__name__ for event in office.published]
    assert kinds == ["a", "SystemNotice", "b", "SystemNotice"]


@pytest.mark.gen_test
async def test_an_event_is_published_on_the_loop_and_only_when_others_can_read_what_it_tells(
    opens: Opens,
) -> None:
    office = opens()
    seen: list[tuple[int, threading.Thread]] = []
    office.listener = lambda event: seen.append((office.committed(), threading.current_thread()))
    with office.held():
        futures = [office.writer.append(say(text)) for text in "abc"]
    await asyncio.gather(*futures)
    assert seen == [(3, threading.current_thread())] * 3


@pytest.mark.gen_test
async def test_who_asked_learns_of_the_commit_after_the_event_was_published(opens: Opens) -> None:
    office = opens()
    await office.writer.append(say("a"))
    assert office.told() == ["a"]


@pytest.mark.gen_test
async def test_a_piece_that_breaks_fails_alone(opens: Opens, expected_logs: list[str]) -> None:
    expected_logs.append(REFUSED)
    office = opens()

    def bomb(tx: Transaction) -> None:
        models.Message.delete().execute(tx.database)
        tx.emit(SystemNotice(SESSION, "session_started", tx.now))
        raise ValueError("boom")

    with office.held():
        futures = [
            office.writer.append(say("a")),
            office.writer.run(bomb),
            office.writer.append(say("b")),
            office.writer.append(say("half a pair: \ud800")),
            office.writer.append(say("c")),
        ]
    outcomes = [await outcome(future) for future in futures]
    assert [o.seq for o in (outcomes[0], outcomes[2], outcomes[4])] == [1, 2, 3]
    for failed in (outcomes[1], outcomes[3]):
        assert isinstance(failed, Unavailable)
        assert failed.code == "not_stored"
    assert isinstance(outcomes[1].__cause__, ValueError)
    assert office.stored() == office.told() == ["a", "b", "c"]
    assert len(office.published) == 3


@pytest.mark.gen_test
async def test_a_refusal_undoes_its_own_writes_and_events_and_costs_nobody_else_a_commit(
    opens: Opens,
) -> None:
    office = opens()

    def refuse(tx: Transaction) -> None:
        new_session(tx, 99)
        tx.emit(SystemNotice(SESSION, "session_started", tx.now))
        raise Conflict("session_exists", id=99)

    with office.held():
        futures = [
            office.writer.append(say("a")),
            office.writer.run(refuse),
            office.writer.run(lambda tx: new_session(tx, 98)),
        ]
    outcomes = [await outcome(future) for future in futures]
    assert isinstance(outcomes[1], Conflict)
    assert office.transactions == 1
    assert outcomes[2].thread.id == 98
    assert {row.id for row in models.ConsultationSession.select().execute(office.database)} == {7, 98}
    assert office.published == [event for event in office.published if isinstance(event, Message)]


@pytest.mark.gen_test
async def test_a_message_for_a_finished_session_is_refused_and_its_neighbours_are_kept(opens: Opens) -> None:
    office = opens()
    gone = AppendRequest(Thread(Kind.SESSION, 404), VISITOR, "into the void")
    with office.held():
        futures = [office.writer.append(append) for append in (say("a"), gone, say("b"))]
    outcomes = [await outcome(future) for future in futures]
    assert isinstance(outcomes[1], Conflict)
    assert office.told() == office.stored() == ["a", "b"]


@pytest.mark.gen_test
async def test_what_a_cancelled_waiter_asked_for_is_stored_and_published(opens: Opens) -> None:
    office = opens()
    with office.held():
        asyncio.ensure_future(office.writer.append(say("nobody waits"))).cancel()
        last = office.writer.append(say("somebody waits"))
    await last
    assert office.stored() == office.told() == ["nobody waits", "somebody waits"]


@pytest.mark.gen_test
async def test_a_full_backlog_takes_nothing_until_it_has_been_worked_off(opens: Opens) -> None:
    office = opens(max_backlog_jobs=3)
    with office.held():
        futures = [office.writer.append(say(text)) for text in "abc"]
        with pytest.raises(Unavailable, match="overloaded"):
            office.writer.append(say("too much"))
        with pytest.raises(Unavailable, match="overloaded"):
            office.writer.run(lambda tx: None)
    await asyncio.gather(*futures)
    await office.writer.append(say("d"))
    assert office.stored() == ["a", "b", "c", "d"]


@pytest.mark.gen_test
async def test_closing_commits_what_waits_and_takes_nothing_more(opens: Opens) -> None:
    office = opens(max_batch_jobs=4)
    with office.held():
        futures = [office.writer.append(say(f"m{n}")) for n in range(10)]
    office.close()
    assert office.committed() == 10
    with pytest.raises(Unavailable):
        office.writer.append(say("late"))
    assert [s.seq for s in await asyncio.gather(*futures)] == list(range(1, 11))
    assert len(office.told()) == 10


@on_sqlite
@pytest.mark.gen_test
async def test_a_locked_database_refuses_clearly_and_works_again_when_it_is_free(
    opens: Opens, expected_logs: list[str]
) -> None:
    expected_logs.append(r"the database refused a batch of \d: database is locked")
    office = opens()
    await office.writer.append(say("before"))
    with closing(sqlite3.connect(office.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        futures = [office.writer.append(say(text)) for text in "ab"]
        futures.append(office.writer.run(lambda tx: new_session(tx, 99)))
        for future in futures:
            refused = await outcome(future)
            assert isinstance(refused, Unavailable)
            assert refused.code == "not_stored"
        other.execute("ROLLBACK")
    assert (await office.writer.append(say("after"))).seq == 2
    assert office.stored() == office.told() == ["before", "after"]


@on_sqlite
@pytest.mark.gen_test
async def test_a_read_only_database_refuses_clearly_and_works_again_when_it_is_writable(
    opens: Opens, expected_logs: list[str]
) -> None:
    expected_logs.append(r"the database refused a batch of \d: attempt to write a readonly database")
    office = opens()
    writable = dict(office.database.connect_params)
    office.database.init(f"file:{office.file}?mode=ro", uri=True, pragmas={"foreign_keys": 1})
    with office.held():
        futures = [office.writer.append(say(text)) for text in "ab"]
    for future in futures:
        refused = await outcome(future)
        assert isinstance(refused, Unavailable)
        assert refused.code == "not_stored"
    office.database.init(str(office.file), **writable)
    assert (await office.writer.append(say("after"))).seq == 1
    assert office.stored() == office.told() == ["after"]


@on_sqlite
@pytest.mark.gen_test
async def test_a_commit_that_fails_refuses_its_whole_batch_and_publishes_none_of_it(
    opens: Opens, expected_logs: list[str]
) -> None:
    expected_logs.append("the database refused a batch of 2: FOREIGN KEY constraint failed")
    office = opens()

    def orphan(tx: Transaction) -> None:
        tx.database.execute_sql("PRAGMA defer_foreign_keys = ON")  # found out at the commit only
        models.Notification.insert(inbox=404, seq=1, type=0, msg="", time=tx.now).execute(tx.database)

    with office.held():
        futures = [office.writer.append(say("a")), office.writer.run(orphan)]
    assert [type(await outcome(future)) for future in futures] == [Unavailable, Unavailable]
    assert office.published == []
    assert (await office.writer.append(say("b"))).seq == 1
    assert office.stored() == office.told() == ["b"]
