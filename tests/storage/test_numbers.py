"""The numbers of sessions and records: those of hosts, the server's own, and a database that was pushed."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import peewee as pw
import pytest

from tests.helpers.mariadb import MariaDB
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.storage.conftest import NOW, new_session, on_mariadb, open_url, transact
from tests.storage.test_retention import LATER, remove_all
from tornado_chat.core.errors import Conflict, Malformed
from tornado_chat.core.numbers import MAX_NUMBER, MAX_OWN_NUMBER
from tornado_chat.core.types import Kind, Room, SessionState, Thread
from tornado_chat.observability.metrics import StorageMeter
from tornado_chat.storage import models, numbers, retention, rooms, schema
from tornado_chat.storage.writer import Transaction, transaction_runner_for

PUSHED = 2**62  # the number by which a visitor ended all new sessions


def open_session(database: pw.Database, session_id: int | None = None, user_id: str = "1") -> Room:
    return transact(
        database,
        lambda tx: rooms.create_session(
            tx,
            user_id=user_id,
            consultant_id="2",
            user_name=None,
            consultant_name=None,
            session_id=session_id,
        ),
    )[0][0]


def open_record(database: pw.Database, session: Room, record_id: int | None = None) -> Room:
    return transact(
        database,
        lambda tx: rooms.create_record(
            tx, session.view, supervisor_id="3", supervisor_name=None, record_id=record_id
        ),
    )[0][0]


def own(database: pw.Database, count: int) -> list[int]:
    return [open_session(database).thread.id for _ in range(count)]


@pytest.mark.parametrize("chosen", [1000, 10**12, 10**18 - 1, PUSHED, MAX_NUMBER])
def test_a_number_of_a_host_does_not_push_the_servers_own(database: pw.Database, chosen: int) -> None:
    assert own(database, 1) == [1]
    assert open_session(database, chosen).thread.id == chosen
    assert own(database, 2) == [2, 3]
    session = open_session(database)
    assert open_record(database, session, chosen).thread.id == chosen
    assert [open_record(database, session).thread.id for _ in range(2)] == [1, 2]


def test_the_servers_own_numbers_skip_those_that_are_taken(database: pw.Database) -> None:
    for chosen in (1, 2, 4, 5, 6, 9):
        open_session(database, chosen)
    assert own(database, 5) == [3, 7, 8, 10, 11]
    session = open_session(database)
    open_record(database, session, 1)
    assert open_record(database, session).thread.id == 2


@pytest.mark.parametrize("number", [0, -1, MAX_NUMBER + 1])
def test_a_number_out_of_range_is_refused_where_it_is_made(database: pw.Database, number: int) -> None:
    session = open_session(database)
    with pytest.raises(Malformed, match="a number from 1 to 9223372036854775807 is expected"):
        open_session(database, number)
    with pytest.raises(Malformed, match="a number from 1 to 9223372036854775807 is expected"):
        open_record(database, session, number)


def test_the_servers_own_numbers_begin_at_the_configured_one(database: pw.Database) -> None:
    assert own(database, 1) == [1]
    for _ in range(2):  # each start of the server
        transact(database, lambda tx: numbers.begin_at(tx, 1000))
    assert own(database, 2) == [1000, 1001]
    transact(database, lambda tx: numbers.begin_at(tx, 500))
    session = open_session(database)
    assert session.thread.id == 1002
    assert open_record(database, session).thread.id == 1000


def test_the_servers_own_numbers_end_where_pages_could_not_read_them(database: pw.Database) -> None:
    transact(database, lambda tx: numbers.begin_at(tx, MAX_OWN_NUMBER))
    assert own(database, 1) == [MAX_OWN_NUMBER]
    with pytest.raises(Conflict, match="numbers_used_up"):
        open_session(database)
    assert numbers.last_given(database, Kind.SESSION) == MAX_OWN_NUMBER, "the attempt was rolled back"


def test_taken_numbers_up_to_the_last_one_leave_none(database: pw.Database) -> None:
    transact(database, lambda tx: numbers.begin_at(tx, MAX_OWN_NUMBER))
    for chosen in (MAX_OWN_NUMBER, MAX_OWN_NUMBER + 1):
        open_session(database, chosen)
    with pytest.raises(Conflict, match="numbers_used_up"):
        open_session(database)


def end_and_remove(database: pw.Database, session: Room) -> None:
    transact(database, lambda tx: rooms.finish(tx, session.thread, SessionState.COMPLETED))
    remove_all(database)


def test_no_removed_number_is_given_again(database: pw.Database) -> None:
    end_and_remove(database, open_session(database))
    assert rooms.find(database, Thread(Kind.SESSION, 1)) is None
    ahead = open_session(database, 3)
    end_and_remove(database, ahead)
    emptied = rooms.get(database, ahead.thread)
    assert emptied.asker.id == retention.REMOVED_ID, "the row keeps the number"
    assert own(database, 2) == [2, 4]
    transact(database, retention.delete_emptied_rows)
    assert rooms.find(database, ahead.thread) is None


def test_numbers_far_ahead_leave_no_rows_behind(database: pw.Database) -> None:
    for chosen in (numbers.UPCOMING_NUMBERS + 1, 10**18, MAX_NUMBER):
        session = open_session(database, chosen)
        end_and_remove(database, session)
        assert rooms.find(database, session.thread) is None
    assert list(retention.expired_conversations(database, Kind.SESSION, LATER, 0, 10)) == []


@on_mariadb
def test_processes_never_give_the_same_number(database: pw.Database, database_url: str) -> None:
    given: list[int] = []

    def open_some() -> None:
        own_connection = open_url(database_url)
        runner = transaction_runner_for(own_connection, 20, StorageMeter(), lambda: None)
        for _ in range(25):
            runner.commit(lambda: given.append(new_session(Transaction(own_connection, NOW)).thread.id))
        runner.close()
        own_connection.close()

    for number in range(10, 60, 10):  # numbers that a host has chosen
        open_session(database, number)
    processes = [threading.Thread(target=open_some) for _ in range(4)]
    for process in processes:
        process.start()
    for number in range(1000, 1040, 10):  # and chooses meanwhile
        open_session(database, number)
    for process in processes:
        process.join(WAIT_TIMEOUT_SECONDS)
    sessions = models.ConsultationSession.select(models.ConsultationSession.id).tuples().execute(database)
    ids = sorted(id for (id,) in sessions)
    assert len(ids) == len(set(ids)) == 109
    assert set(given) | {*range(10, 60, 10), *range(1000, 1040, 10)} == set(ids)


# --- a database of an earlier version ---


@pytest.fixture
def old_database(
    database_kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pw.Database]:
    """A database with the schema before the migration of the numbers."""
    if database_kind == "sqlite":
        database = open_url(f"sqlite:///{tmp_path / 'old.db'}")
        yield from _old(database, tmp_path, monkeypatch)
        return
    server: MariaDB = request.getfixturevalue("mariadb")
    with server.database() as name:
        yield from _old(open_url(server.url(name)), tmp_path, monkeypatch)


def _old(database: pw.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pw.Database]:
    earlier = tmp_path / "migrations"
    earlier.mkdir()
    for path in schema.MIGRATIONS.glob("000?_*.py"):
        shutil.copy(path, earlier)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", earlier)
        assert len(schema.upgrade(database)) == 9
    yield database
    database.close()


def old_rows(database: pw.Database, sessions: list[int], records: list[int]) -> None:
    """Insert as an earlier version did: 0 is the database's own next number."""
    for number in sessions:
        fields = {"id": number} if number else {}
        models.ConsultationSession.insert(
            asker="user:1", helper="consultant:2", state="completed", created=NOW, ended=NOW, **fields
        ).execute(database)
    (session,) = (
        models.ConsultationSession.select(pw.fn.MAX(models.ConsultationSession.id)).tuples().first(database)
    )
    for number in records:
        fields = {"id": number} if number else {}
        models.SupervisorConsultation.insert(
            session=session, asker="consultant:2", helper="supervisor:3", state="ready", created=NOW, **fields
        ).execute(database)


def test_a_database_whose_numbers_were_pushed_gets_small_ones_again(old_database: pw.Database) -> None:
    database = old_database
    old_rows(database, [0, 0, 0, PUSHED, 0], [0, PUSHED, 0])
    ids = [
        id
        for (id,) in models.ConsultationSession.select(models.ConsultationSession.id)
        .tuples()
        .execute(database)
    ]
    assert sorted(ids) == [1, 2, 3, PUSHED, PUSHED + 1], "the earlier version went on from there"

    assert "0010_numbers" in schema.upgrade(database)
    assert own(database, 2) == [4, 5]
    for number in (PUSHED, PUSHED + 1):  # the sessions opened since stay where they are
        assert rooms.get(database, Thread(Kind.SESSION, number)).session_id == number
    about = open_session(database)
    assert open_record(database, about).thread.id == 2
    # What the host opens by numbers of its own is untouched by the attack.
    assert open_session(database, 1000).thread.id == 1000


@pytest.mark.parametrize(
    ("sessions", "following"),
    [
        ([], 1),
        ([0, 0], 3),
        ([17], 18),
        ([10**12 - 1], 10**12),
        ([10**12], 1),
        ([MAX_NUMBER], 1),
        ([5, 2**53, 10**18 - 1], 6),
    ],
)
def test_the_sequence_begins_behind_the_numbers_of_an_earlier_version(
    old_database: pw.Database, sessions: list[int], following: int
) -> None:
    old_rows(old_database, sessions, [])
    schema.upgrade(old_database)
    assert own(old_database, 2) == [following, following + 1]
