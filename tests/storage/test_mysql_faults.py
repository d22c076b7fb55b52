"""What a MariaDB server does to the writer and the readers: nothing is lost, nothing is there twice."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import peewee as pw
import pytest
from tornado.ioloop import IOLoop

from tests.mariadb import MariaDB
from tests.mysql_proxy import AtCommit, MysqlProxy
from tests.storage.conftest import COUNSELLOR, VISITOR, new_session, on_mariadb, open_url, transact
from tornado_chat.core.errors import ChatError, Unavailable
from tornado_chat.core.events import Event
from tornado_chat.core.types import Kind, Message, Thread
from tornado_chat.storage import messages, models, mysql, notifications
from tornado_chat.storage.database import ReaderPool
from tornado_chat.storage.messages import AppendRequest
from tornado_chat.storage.transactions import MysqlTransactionRunner
from tornado_chat.storage.writer import Transaction, Writer

pytestmark = on_mariadb

SESSION, OTHER = Thread(Kind.SESSION, 7), Thread(Kind.SESSION, 8)
AWAY = "the database accepts no writes, retrying for"
GIVEN_UP = "the database is unavailable; nothing can be stored until it is back"
REFUSED = "the database refused a batch of"


@pytest.fixture(autouse=True)
def _sessions(database: pw.Database) -> None:
    for thread in (SESSION, OTHER):
        transact(database, lambda tx, thread=thread: new_session(tx, thread.id))


def say(text: str, thread: Thread = SESSION, client_id: str | None = None) -> AppendRequest:
    return AppendRequest(thread, VISITOR, text, client_id)


class Office:
    """A writer and what it published."""

    def __init__(self, url: str, timeout_seconds: float = 20) -> None:
        self.database = open_url(url)
        self.published: list[Event] = []
        self.writer = Writer(
            self.database, self.published.append, asyncio.get_running_loop(), timeout_seconds=timeout_seconds
        )
        self.writer.start()

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is asked for meanwhile waits together."""
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
        """Not on the loop, where the proxy is."""
        await asyncio.get_running_loop().run_in_executor(None, self.writer.close)

    @property
    def told(self) -> list[str]:
        return [event.text for event in self.published if isinstance(event, Message)]


Opens = Callable[..., Office]


@pytest.fixture
def opens(io_loop: IOLoop, database_url: str) -> Iterator[Opens]:
    offices: list[Office] = []

    def opens(url: str = database_url, **more: Any) -> Office:
        offices.append(Office(url, **more))
        return offices[-1]

    yield opens
    for office in offices:
        office.writer.close()


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
async def test_a_connection_that_ends_during_the_commit_loses_and_repeats_nothing(
    database: pw.Database,
    database_url: str,
    opens: Opens,
    fault: AtCommit,
    expected_logs: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault is AtCommit.STUCK:
        expected_logs.append(f"{AWAY}.*Lock wait timeout")
    monkeypatch.setattr(mysql, "LOCK_WAIT_SECONDS", 1)
    async with proxied(database_url) as (url, proxy):
        office = opens(url)
        await office.writer.append(say("before"))
        proxy.faults.append(fault)
        said = [office.writer.append(say(f"m{n}")) for n in range(50)]
        made = office.writer.run(lambda tx: notifications.create(tx, VISITOR, 0, "once", None))
        assert [s.seq for s in await asyncio.gather(*said)] == list(range(2, 52))
        await made
        assert proxy.faults == []
        await office.writer.append(say("after"))
        await office.close()
    expected = ["before", *(f"m{n}" for n in range(50)), "after"]
    assert stored(database) == office.told == expected
    assert models.Notification.select().count(database) == 1


@pytest.mark.gen_test
async def test_another_server_of_a_cluster_may_hear_of_the_commit_a_moment_later(
    database: pw.Database, database_url: str, opens: Opens, monkeypatch: pytest.MonkeyPatch
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
        office = opens(url)
        await office.writer.append(say("before"))
        proxy.faults.append(AtCommit.AFTER)
        assert (await office.writer.append(say("once"))).seq == 2
        await office.close()
    assert not behind
    assert stored(database) == office.told == ["before", "once"]


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", [AtCommit.BEFORE, AtCommit.AFTER])
async def test_what_was_refused_in_doubt_is_told_to_others_when_it_turns_out_to_be_there(
    database: pw.Database, database_url: str, opens: Opens, expected_logs: list[str], fault: AtCommit
) -> None:
    expected_logs += [AWAY, GIVEN_UP]
    async with proxied(database_url) as (url, proxy):
        office = opens(url, timeout_seconds=0.3)
        await office.writer.append(say("before"))
        proxy.faults.append(fault)
        proxy.refuse_after_fault = True
        refused = await outcome(office.writer.append(say("in doubt", client_id="a")))
        assert isinstance(refused, Unavailable)
        assert office.told == ["before"]
        proxy.admit()
        again = await office.writer.append(say("in doubt", client_id="a"))
        assert (again.seq, again.duplicate) == (2, fault is AtCommit.AFTER)
        assert office.told == stored(database) == ["before", "in doubt"]
        await office.close()


@pytest.mark.gen_test
async def test_connections_that_the_server_has_closed_are_replaced_and_nobody_notices(
    mariadb: MariaDB, database_url: str, opens: Opens
) -> None:
    office = opens()
    readers = ReaderPool(open_url(database_url), 2, timeout_seconds=5)
    for n in range(3):
        await office.writer.append(say(f"m{n}"))
        read = await asyncio.gather(*(readers.read(messages.after, SESSION, 0, 10) for _ in range(4)))
        assert [len(each) for each in read] == [n + 1] * 4
        for (id,) in mariadb.run(
            f"SELECT id FROM information_schema.processlist WHERE db = '{name_of(database_url)}'"
        ):
            mariadb.run(f"KILL {id}")
    readers.close()


@pytest.mark.gen_test
async def test_while_the_server_is_away_senders_wait_and_then_are_told_at_once(
    database: pw.Database, database_url: str, opens: Opens, expected_logs: list[str]
) -> None:
    expected_logs += [AWAY, GIVEN_UP]
    async with proxied(database_url) as (url, proxy):
        office = opens(url)
        await office.writer.append(say("before"))
        proxy.refuse()
        waiting = office.writer.append(say("m0"))
        for _ in range(3):
            await proxy.turned_away.acquire()
        proxy.admit()
        assert (await waiting).seq == 2
        assert office.told == ["before", "m0"]
        await office.close()

        office = opens(url, timeout_seconds=0.3)
        await office.writer.append(say("m1"))
        proxy.refuse()
        too_long = [office.writer.append(say("lost to nobody")) for _ in range(3)]
        for each in [*too_long, office.writer.append(say("told at once"))]:
            refused = await outcome(each)
            assert isinstance(refused, Unavailable)
            assert refused.code == "not_stored"
        proxy.admit()
        assert (await office.writer.append(say("after"))).seq == 4
        assert office.told == ["m1", "after"]
        await office.close()
    assert stored(database) == ["before", "m0", "m1", "after"]


@pytest.mark.gen_test
async def test_a_reader_waits_for_a_server_that_is_away_and_says_so_in_the_end(database_url: str) -> None:
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


# --- others in the same database ---


@pytest.mark.gen_test
async def test_a_deadlock_is_tried_again(
    mariadb: MariaDB, database: pw.Database, database_url: str, opens: Opens
) -> None:
    office = opens()
    deadlocks = (
        "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'innodb_deadlocks'"
    )
    before = int(mariadb.run(deadlocks)[0][0])
    with mariadb.session(name_of(database_url)) as other:
        # The server lets the one live that has changed more.
        other.executemany("INSERT INTO inbox (owner, last_seq) VALUES (%s, 0)", [(n,) for n in range(100)])
        other.execute("UPDATE consultation_session SET last_seq = 0 WHERE id = 8")
        with office.held():
            futures = [
                office.writer.append(say(text, thread)) for text, thread in (("a", SESSION), ("b", OTHER))
            ]
        waiting = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        while not mariadb.run(waiting)[0][0]:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        other.execute("UPDATE consultation_session SET last_seq = 0 WHERE id = 7")
        assert int(mariadb.run(deadlocks)[0][0]) == before + 1
    assert [s.seq for s in await asyncio.gather(*futures)] == [1, 1]
    assert stored(database) == ["a"]
    assert office.told == ["a", "b"]


@pytest.mark.gen_test
async def test_a_lock_that_is_not_let_go_keeps_only_its_own_conversation_waiting(
    mariadb: MariaDB,
    database: pw.Database,
    database_url: str,
    opens: Opens,
    expected_logs: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected_logs.append(f"{REFUSED} 1: .*Lock wait timeout")
    monkeypatch.setattr(mysql, "LOCK_WAIT_SECONDS", 1)
    office = opens()
    with mariadb.session(database_url.rpartition("/")[2]) as other:
        other.execute("SELECT * FROM consultation_session WHERE id = 7 FOR UPDATE")
        with office.held():
            futures = [office.writer.append(say(text, OTHER)) for text in "ab"]
            locked = [office.writer.append(say("locked")) for _ in range(5)]
            futures.append(office.writer.append(say("c", OTHER)))
        assert [type(await outcome(each)) for each in locked] == [Unavailable] * 5
        assert [s.seq for s in await asyncio.gather(*futures)] == [1, 2, 3]
    assert (await office.writer.append(say("free"))).seq == 1
    assert stored(database, OTHER) == ["a", "b", "c"]
    assert office.told == ["a", "b", "c", "free"]


@pytest.mark.gen_test
async def test_two_writers_number_one_conversation_without_gaps(database: pw.Database, opens: Opens) -> None:
    offices = [opens(), opens()]
    said = []
    for n in range(200):
        said.append(offices[n % 2].writer.append(say(f"{n % 2}:{n}", client_id=f"c{n}")))
        if n % 10 == 0:
            await asyncio.sleep(0)
    numbers = [s.seq for s in await asyncio.gather(*said)]
    assert sorted(numbers) == list(range(1, 201))
    texts = stored(database)
    for n in (0, 1):  # what one of them has in order, stays in order
        mine = [text for text in texts if text.startswith(f"{n}:")]
        assert mine == [f"{n}:{m}" for m in range(n, 200, 2)] == offices[n].told


@pytest.mark.gen_test
async def test_the_same_id_sent_through_two_writers_at_once_is_stored_once(
    database: pw.Database, opens: Opens
) -> None:
    offices = [opens(), opens()]
    for n in range(30):
        first, second = await asyncio.gather(
            *(office.writer.append(say(f"m{n}", client_id=f"c{n}")) for office in offices)
        )
        assert first.seq == second.seq == n + 1
        assert first.duplicate is not second.duplicate
    assert stored(database) == [f"m{n}" for n in range(30)]


@pytest.mark.gen_test
async def test_two_who_make_the_same_thing_at_once_make_one(database: pw.Database, opens: Opens) -> None:
    offices = [opens(), opens()]
    for n in range(20):
        person = COUNSELLOR._replace(id=f"{n}")
        made = await asyncio.gather(
            *(
                office.writer.run(lambda tx, person=person: notifications.create(tx, person, 0, "x", None))
                for office in offices
            )
        )
        assert sorted(each.seq for each in made) == [1, 2]
    assert models.Inbox.select().count(database) == 20


# --- a server that takes no writes ---


@pytest.mark.gen_test
async def test_a_message_that_is_larger_than_the_server_takes_fails_alone(
    mariadb: MariaDB, database: pw.Database, opens: Opens, expected_logs: list[str]
) -> None:
    expected_logs += [f"{REFUSED} 1: ", AWAY]
    largest = mariadb.run("SELECT @@max_allowed_packet")[0][0]
    mariadb.run("SET GLOBAL max_allowed_packet = 1048576")
    try:
        office = opens()
        with office.held():
            futures = [office.writer.append(say(text)) for text in ("a", "x" * 2_000_000, "b")]
        outcomes = [await outcome(future) for future in futures]
    finally:
        mariadb.run(f"SET GLOBAL max_allowed_packet = {largest}")
    assert isinstance(outcomes[1], Unavailable)
    assert stored(database) == office.told == ["a", "b"]


@pytest.mark.gen_test
async def test_a_server_that_has_lost_acknowledged_commits_is_found_out(
    mariadb: MariaDB, database: pw.Database, database_url: str, opens: Opens, expected_logs: list[str]
) -> None:
    expected_logs.append("the database has gone back by 2 commits")
    office = opens()
    for n in range(3):
        await office.writer.append(say(f"m{n}"))
    mariadb.run(f"USE {name_of(database_url)}", "UPDATE writer SET number = number - 2")
    assert (await office.writer.append(say("after"))).seq == 4
    assert stored(database) == ["m0", "m1", "m2", "after"]


@pytest.mark.gen_test
async def test_a_writer_signs_off_and_leaves_no_row(database: pw.Database, opens: Opens) -> None:
    office = opens()
    await office.writer.append(say("a"))
    assert models.Writer.select().count(database) == 1
    office.writer.close()
    assert models.Writer.select().count(database) == 0
