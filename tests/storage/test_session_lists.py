"""Lists of sessions: order, pages, conditions, and the rows that they cost."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import peewee as pw
import pytest

from tests.helpers.mariadb import MariaDB
from tests.storage.conftest import NOW, open_url, transact
from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.session_lists import SessionFilter, SessionPosition
from tornado_chat.core.types import Kind, Person, Role, SessionState, Thread
from tornado_chat.storage import models, retention, rooms, schema, session_lists
from tornado_chat.storage.session_lists import page_of_sessions

LIN, ADA = Person(Role.USER, "1"), Person(Role.USER, "11")
CHEN, BERG = Person(Role.CONSULTANT, "2"), Person(Role.CONSULTANT, "12")
ALL = SessionFilter()
MINUTE = 60_000_000


def open_session(
    database: pw.Database,
    minute: int,
    *,
    user: Person = LIN,
    consultant: Person = CHEN,
    name: str | None = None,
    state: SessionState = SessionState.READY,
    **more: Any,
) -> int:
    """Open a session in a minute after ``NOW``. Return its number."""
    room, _ = transact(
        database,
        lambda tx: rooms.create_session(
            tx, user_id=user.id, consultant_id=consultant.id, user_name=name, consultant_name=None, **more
        ),
        NOW + minute * MINUTE,
    )[0]
    if state is SessionState.ACTIVE:
        transact(database, lambda tx: rooms.start(tx, room.thread))
    elif state is not SessionState.READY:
        transact(database, lambda tx: rooms.finish(tx, room.thread, state))
    return room.thread.id


def listed(database: pw.Database, wanted: SessionFilter = ALL, limit: int = 100) -> list[int]:
    return [room.thread.id for room in page_of_sessions(database, wanted, None, limit).rooms]


def all_pages(database: pw.Database, wanted: SessionFilter, limit: int) -> list[list[int]]:
    pages, after = [], None
    while True:
        page = page_of_sessions(database, wanted, after, limit)
        pages.append([room.thread.id for room in page.rooms])
        if page.next is None:
            return pages
        after = SessionPosition.parse(str(page.next))
        assert after == page.next


def test_the_newest_session_comes_first_whatever_its_number(database: pw.Database) -> None:
    assert page_of_sessions(database, ALL, None, 10) == ([], None)
    numbers = [
        open_session(database, minute, session_id=number)
        for minute, number in enumerate([70, MAX_NUMBER, 3, 2**53 + 1])
    ]
    assert listed(database) == numbers[::-1]
    page = page_of_sessions(database, ALL, None, 4)
    assert page.rooms[0] == rooms.get(database, Thread(Kind.SESSION, 2**53 + 1))
    assert page.next is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_have_every_session_once_also_of_the_same_time(database: pw.Database, limit: int) -> None:
    numbers = [open_session(database, minute) for minute in (0, 1, 1, 1, 2, 2, 9)]
    pages = all_pages(database, ALL, limit)
    assert list(itertools.chain(*pages)) == numbers[::-1]
    assert all(len(page) == limit for page in pages[:-1])
    assert 0 < len(pages[-1]) <= limit


def test_a_page_follows_a_session_that_was_removed(database: pw.Database) -> None:
    numbers = [open_session(database, minute, state=SessionState.COMPLETED) for minute in range(5)]
    page = page_of_sessions(database, ALL, None, 2)
    last = page.rooms[-1].thread
    transact(database, lambda tx: retention.remove_conversations(tx, [last], 100))
    rest = page_of_sessions(database, ALL, page.next, 10)
    assert [room.thread.id for room in rest.rooms] == numbers[2::-1]


def test_a_removed_session_whose_row_stays_is_not_listed(database: pw.Database) -> None:
    number = open_session(database, 0, state=SessionState.COMPLETED)
    about = rooms.get(database, Thread(Kind.SESSION, number))
    transact(
        database, lambda tx: rooms.create_record(tx, about.view, supervisor_id="3", supervisor_name=None)
    )
    transact(database, lambda tx: retention.remove_conversations(tx, [about.thread], 100))
    assert rooms.find(database, about.thread), "its record refers to the row"
    assert page_of_sessions(database, ALL, None, 10) == ([], None)


def test_each_condition(database: pw.Database) -> None:
    ready = open_session(database, 0)
    active = open_session(database, 1, user=ADA, state=SessionState.ACTIVE)
    over = open_session(database, 2, consultant=BERG, state=SessionState.COMPLETED)
    gone = open_session(database, 3, user=ADA, consultant=BERG, state=SessionState.CANCELLED)
    assert listed(database, SessionFilter(user=LIN)) == [over, ready]
    assert listed(database, SessionFilter(consultant=BERG)) == [gone, over]
    assert listed(database, SessionFilter(user=ADA, consultant=BERG)) == [gone]
    assert listed(database, SessionFilter(user=Person(Role.USER, "2"))) == []
    opened = (SessionState.READY, SessionState.ACTIVE)
    assert listed(database, SessionFilter(states=opened)) == [active, ready]
    assert listed(database, SessionFilter(states=opened, user=ADA)) == [active]
    assert listed(database, SessionFilter(states=opened, consultant=CHEN)) == [active, ready]
    assert listed(database, SessionFilter(states=(SessionState.CANCELLED,))) == [gone]
    assert listed(database, SessionFilter(opened_from=NOW + MINUTE)) == [gone, over, active]
    assert listed(database, SessionFilter(opened_before=NOW + MINUTE)) == [ready]
    day = SessionFilter(consultant=CHEN, opened_from=NOW + MINUTE, opened_before=NOW + 2 * MINUTE)
    assert listed(database, day) == [active]


def test_a_name_is_found_by_a_part_in_any_case_or_by_the_whole_id(database: pw.Database) -> None:
    lin = open_session(database, 0, name="小林 Lin")
    ada = open_session(database, 1, user=ADA, name="ADA Straße")
    nameless = open_session(database, 2, user=Person(Role.USER, "u-7"))
    for name, numbers in {
        "lin": [lin],
        " 林 ": [lin],
        "ada": [ada],
        "STRASSE": [ada],
        "u-7": [nameless],
        "U-7": [nameless],
        "u-": [],
        "1": [lin],
        "11": [ada],
        "2": [nameless, ada, lin],  # the consultant's id
        "%": [],
        "_": [],
    }.items():
        assert listed(database, SessionFilter(name=name)) == numbers, name
    # A person of the filter is in every session, so only the other one is looked for.
    assert listed(database, SessionFilter(name="2", consultant=CHEN)) == []
    assert listed(database, SessionFilter(name="lin", consultant=CHEN)) == [lin]


def test_a_search_looks_at_a_number_of_sessions_and_goes_on_there(
    database: pw.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_lists, "SCAN_ROWS", 4)
    numbers = [
        open_session(database, minute, name="Lin" if minute in (1, 2, 9) else "Ada") for minute in range(10)
    ]
    lin = SessionFilter(name="lin")
    assert all_pages(database, lin, 2) == [[numbers[9]], [numbers[2]], [numbers[1]]]
    assert all_pages(database, lin, 1) == [[numbers[9]], [], [numbers[2]], [numbers[1]], []]
    assert all_pages(database, SessionFilter(name="ada"), 3)[0] == [numbers[8], numbers[7], numbers[6]]
    assert all_pages(database, SessionFilter(name="nobody"), 3) == [[], [], []]


@pytest.mark.parametrize(
    "text",
    ["", ".", "4", "4.", ".4", "-1.4", "4.-1", "4.4.4", "a.4", "٤.٤", f"{MAX_NUMBER + 1}.1", f"1.{10**30}"],
)
def test_a_text_that_is_no_position(text: str) -> None:
    assert SessionPosition.parse(text) is None


# --- a database of an earlier version ---


@pytest.fixture
def old_database(
    database_kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pw.Database]:
    """A database with the schema before the migration of the lists."""
    if database_kind == "sqlite":
        yield from _old(f"sqlite:///{tmp_path / 'old.db'}", tmp_path, monkeypatch)
        return
    server: MariaDB = request.getfixturevalue("mariadb")
    with server.database() as name:
        yield from _old(server.url(name), tmp_path, monkeypatch)


def _old(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pw.Database]:
    earlier = tmp_path / "migrations"
    earlier.mkdir()
    for path in schema.MIGRATIONS.glob("[0-9]*.py"):
        if path.stem < "0015":
            shutil.copy(path, earlier)
    database = open_url(url)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", earlier)
        schema.upgrade(database)
    yield database
    database.close()


def test_sessions_of_an_earlier_version_are_listed(old_database: pw.Database) -> None:
    database, table = old_database, models.ConsultationSession
    people = {"asker": LIN.key, "asker_name": "小林", "helper": CHEN.key, "last_seq": 3}
    for number, state in ((4, "completed"), (2**62, "active"), (5, "ready"), (6, "cancelled")):
        values = {**people, "id": number, "state": state, "created": NOW + (number * 2 if number < 7 else 0)}
        table.insert(**values).execute(database)
    rows = table.select(table.id, table.asker_name, table.state, table.last_seq, table.created).tuples()
    before = sorted(rows.execute(database))
    assert "0015_session_lists" in schema.upgrade(database)
    assert sorted(rows.execute(database)) == before
    assert listed(database, SessionFilter(consultant=CHEN)) == [6, 5, 4, 2**62]
    assert listed(database, SessionFilter(user=LIN, states=(SessionState.ACTIVE,))) == [2**62]
    columns = {tuple(index.columns) for index in database.get_indexes(table._meta.table_name)} - {("id",)}
    assert columns == {tuple(fields) for fields, _ in table._meta.indexes}


# --- many sessions ---

MANY = 100_000
PAGE = 20


def fill(database: pw.Database) -> None:
    """Insert many sessions of a hundred consultants and ten thousand visitors; one of 2500 is open."""
    fields = [
        models.ConsultationSession.id,
        models.ConsultationSession.asker,
        models.ConsultationSession.asker_name,
        models.ConsultationSession.helper,
        models.ConsultationSession.state,
        models.ConsultationSession.created,
    ]
    with database.atomic():
        for begin in range(0, MANY, 5_000):
            rows = [
                (
                    number + 1,
                    f"user:{number * 7919 % 10_000}",
                    f"Visitor {number}",
                    f"consultant:{number * 31 % 100}",
                    ("ready" if number % 5_000 else "active") if number % 2_500 == 0 else "completed",
                    NOW + number // 3 * MINUTE,
                )
                for number in range(begin, begin + 5_000)
            ]
            models.ConsultationSession.insert_many(rows, fields).execute(database)
    if isinstance(database, pw.MySQLDatabase):
        database.execute_sql("ANALYZE TABLE consultation_session")


def count_rows_read(database: pw.Database, query: Callable[[], object]) -> int:
    """Return the number of rows that a query reads; on SQLite an upper bound, from its machine's steps."""
    if isinstance(database, pw.MySQLDatabase):

        def reads() -> int:
            names = ("Handler_read_%%", "Handler_icp_attempts")
            rows = [
                row for name in names for row in database.execute_sql(f"SHOW SESSION STATUS LIKE '{name}'")
            ]
            return sum(int(value) for _, value in rows)

        before = reads()
        query()
        return reads() - before
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = database.connection()
    connection.set_progress_handler(count, 10)  # a row takes at least ten steps
    query()
    connection.set_progress_handler(None, 0)
    return steps


@pytest.mark.slow
def test_a_page_of_a_hundred_thousand_sessions_costs_a_page(database: pw.Database) -> None:
    fill(database)
    user, consultant = Person(Role.USER, "19"), Person(Role.CONSULTANT, "62")
    opened = (SessionState.READY, SessionState.ACTIVE)
    day = {"opened_from": NOW + 20_000 * MINUTE, "opened_before": NOW + 21_440 * MINUTE}
    middle = SessionPosition(NOW + 15_000 * MINUTE, 45_001)
    found = {}
    for wanted in (
        ALL,
        SessionFilter(user=user),
        SessionFilter(consultant=consultant),
        SessionFilter(user=user, consultant=consultant),
        SessionFilter(states=opened),
        SessionFilter(states=opened, consultant=Person(Role.CONSULTANT, "0")),
        SessionFilter(states=opened, user=Person(Role.USER, "0")),
        SessionFilter(states=(SessionState.COMPLETED,)),
        SessionFilter(states=(SessionState.COMPLETED,), consultant=consultant),
        SessionFilter(**day),
        SessionFilter(consultant=consultant, **day),
        SessionFilter(states=(SessionState.COMPLETED,), **day),
    ):
        for after in (None, middle):
            read = count_rows_read(database, lambda w=wanted, a=after: page_of_sessions(database, w, a, PAGE))
            found[msgspec.json.encode(wanted).decode(), after is None] = read
    costly = {wanted: read for wanted, read in found.items() if read > 40 * PAGE}
    assert costly == {}
    # A search reads what it compares, and no more.
    search = SessionFilter(consultant=consultant, name="nobody")
    read = count_rows_read(database, lambda: page_of_sessions(database, search, None, PAGE))
    assert read < 8 * session_lists.SCAN_ROWS
