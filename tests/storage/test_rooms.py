"""Counselling sessions and supervision records in the database."""

import peewee as pw
import pytest

from tests.storage.conftest import COUNSELLOR, NOW, VISITOR, new_session, transact
from tornado_chat.core.errors import Conflict, NotFound
from tornado_chat.core.events import RoomEnded, RoomStarted, SystemNotice
from tornado_chat.core.types import EndReason, Kind, Person, Role, Room, SessionState, Thread
from tornado_chat.storage import rooms

SUPERVISOR = Person(Role.SUPERVISOR, "3")


def session(database: pw.Database, session_id: int | None = None) -> Room:
    return transact(database, lambda tx: new_session(tx, session_id))[0]


def record(database: pw.Database, of: Room, supervisor_id: str = "3", **more: int) -> tuple[Room, bool]:
    return transact(
        database,
        lambda tx: rooms.create_record(
            tx, of.view, supervisor_id=supervisor_id, supervisor_name="周督导", **more
        ),
    )[0]


@pytest.fixture(params=[Kind.SESSION, Kind.RECORD])
def room(request: pytest.FixtureRequest, database: pw.Database) -> Room:
    """A session or a record: both have the same states."""
    made = session(database)
    return made if request.param is Kind.SESSION else record(database, made)[0]


def test_a_new_session_is_ready_and_has_the_given_values(database: pw.Database) -> None:
    (made, created), events = transact(
        database,
        lambda tx: rooms.create_session(
            tx,
            user_id="1",
            consultant_id="2",
            user_name="小林",
            consultant_name="陈老师",
            appointment_id=44,
            session_id=1234,
        ),
    )
    assert created
    assert events == []
    assert made == Room(
        thread=Thread(Kind.SESSION, 1234),
        asker=VISITOR,
        helper=COUNSELLOR,
        asker_name="小林",
        helper_name="陈老师",
        state=SessionState.READY,
        last_seq=0,
        session_id=1234,
        created=NOW,
        appointment_id=44,
    )
    assert made.open
    assert rooms.get(database, made.thread) == made


def test_sessions_without_an_id_get_a_unique_one(database: pw.Database) -> None:
    ids = [session(database).thread.id, session(database, 50).thread.id, session(database).thread.id]
    assert len(set(ids)) == 3
    assert ids[1] == 50


def test_creating_a_session_twice_returns_it_and_other_people_are_refused(database: pw.Database) -> None:
    made = session(database, 5)

    def ask(user_id: str) -> tuple[Room, bool]:
        return transact(
            database,
            lambda tx: rooms.create_session(
                tx, user_id=user_id, consultant_id="2", user_name="other", consultant_name=None, session_id=5
            ),
        )[0]

    assert ask("1") == (made, False)
    with pytest.raises(Conflict, match="session_exists"):
        ask("8")


def test_a_record_is_between_the_consultant_of_its_session_and_a_supervisor(database: pw.Database) -> None:
    about = session(database, 5)
    made, created = record(database, about, record_id=9)
    assert created
    assert (made.thread, made.session_id) == (Thread(Kind.RECORD, 9), 5)
    assert (made.asker, made.helper, made.helper_name) == (COUNSELLOR, SUPERVISOR, "周督导")
    assert (made.rate, made.feedback, made.appointment_id) == (None, None, None)
    assert record(database, about, record_id=9) == (made, False)
    with pytest.raises(Conflict, match="session_exists"):
        record(database, about, "4", record_id=9)
    with pytest.raises(Conflict, match="session_exists"):
        record(database, session(database, 6), record_id=9)


def test_a_record_of_no_session_is_not_stored(database: pw.Database) -> None:
    about = session(database, 5)
    rooms.models.ConsultationSession.delete().execute(database)
    with pytest.raises(pw.IntegrityError):
        record(database, about)


def test_a_supervisor_with_a_record_supervises_the_session(database: pw.Database) -> None:
    about, other = session(database), session(database)
    made, _ = record(database, about)
    assert rooms.is_supervisor_of(database, about.thread, SUPERVISOR)
    assert not rooms.is_supervisor_of(database, other.thread, SUPERVISOR)
    assert not rooms.is_supervisor_of(database, about.thread, Person(Role.SUPERVISOR, "4"))
    assert not rooms.is_supervisor_of(database, about.thread, COUNSELLOR)
    transact(database, lambda tx: rooms.finish(tx, made.thread, SessionState.COMPLETED))
    assert rooms.is_supervisor_of(database, about.thread, SUPERVISOR)


def test_missing_rooms_have_an_error_code_of_their_kind(database: pw.Database) -> None:
    assert rooms.find(database, Thread(Kind.SESSION, 1)) is None
    with pytest.raises(NotFound, match="no_such_session"):
        rooms.get(database, Thread(Kind.SESSION, 1))
    with pytest.raises(NotFound, match="no_such_record"):
        rooms.get(database, Thread(Kind.RECORD, 1))


def test_a_room_starts_once(database: pw.Database, room: Room) -> None:
    started, events = transact(database, lambda tx: rooms.start(tx, room.thread), NOW + 1)
    assert (started.state, started.started) == (SessionState.ACTIVE, NOW + 1)
    assert events == [SystemNotice(room.thread, "session_started", NOW + 1), RoomStarted(started)]
    assert transact(database, lambda tx: rooms.start(tx, room.thread), NOW + 2) == (started, [])


@pytest.mark.parametrize("state", [SessionState.COMPLETED, SessionState.CANCELLED])
@pytest.mark.parametrize("started", [True, False])
def test_a_room_ends_once(database: pw.Database, room: Room, state: SessionState, started: bool) -> None:
    if started:
        transact(database, lambda tx: rooms.start(tx, room.thread))
    ended, events = transact(database, lambda tx: rooms.finish(tx, room.thread, state), NOW + 2)
    assert (ended.state, ended.ended, ended.open) == (state, NOW + 2, False)
    assert events == [RoomEnded(room.thread, state, NOW + 2, ended)]
    for again in SessionState.COMPLETED, SessionState.CANCELLED:
        finish = transact(database, lambda tx, again=again: rooms.finish(tx, room.thread, again), NOW + 3)
        assert finish == (ended, [])
    assert transact(database, lambda tx: rooms.start(tx, room.thread)) == (ended, [])


def test_ending_one_room_leaves_the_others_alone(database: pw.Database) -> None:
    about = session(database)
    supervision, _ = record(database, about)
    transact(database, lambda tx: rooms.finish(tx, about.thread, SessionState.COMPLETED))
    assert rooms.get(database, supervision.thread).open


def test_a_restart_finds_the_rooms_that_have_started_and_not_ended(database: pw.Database) -> None:
    about, never, over = (session(database) for _ in range(3))
    supervision, _ = record(database, about)
    for room in (about, over, supervision):
        transact(database, lambda tx, room=room: rooms.start(tx, room.thread))
    transact(database, lambda tx: rooms.finish(tx, over.thread, SessionState.COMPLETED))
    assert {room.thread for room in rooms.active_rooms(database)} == {about.thread, supervision.thread}
    assert never.thread not in {room.thread for room in rooms.active_rooms(database)}
    threads = [about.thread, supervision.thread, never.thread]
    assert rooms.find_many(database, threads) == [rooms.get(database, thread) for thread in sorted(threads)]
    assert rooms.find_many(database, []) == []


def test_a_restart_awaits_the_visitors_that_have_come_to_sessions_that_have_not_started(
    database: pw.Database,
) -> None:
    come, booked, cancelled = (session(database) for _ in range(3))
    for room in (come, cancelled):
        transact(database, lambda tx, room=room: rooms.note_arrival(tx, room.thread), NOW + 1)
    transact(database, lambda tx: rooms.note_arrival(tx, come.thread), NOW + 2)
    transact(database, lambda tx: rooms.finish(tx, cancelled.thread, SessionState.CANCELLED))
    awaited = rooms.awaited_rooms(database)
    assert awaited == [rooms.get(database, come.thread)]
    assert awaited[0].arrived == NOW + 1
    transact(database, lambda tx: rooms.start(tx, booked.thread))
    assert {room.thread for room in rooms.awaited_rooms(database)} == {come.thread, booked.thread}


def test_an_extended_wait_is_stored(database: pw.Database) -> None:
    about = session(database)
    for room in (about, record(database, about)[0]):
        transact(database, lambda tx, room=room: rooms.extend_wait(tx, room.thread, NOW + 5))
        assert rooms.get(database, room.thread).awaited_until == NOW + 5


@pytest.mark.parametrize("reason", EndReason)
def test_the_reason_of_the_end_is_stored(database: pw.Database, reason: EndReason) -> None:
    about = session(database)
    for room in (about, record(database, about)[0]):
        assert room.end_reason is None
        ended, _ = transact(
            database,
            lambda tx, room=room: rooms.finish(tx, room.thread, SessionState.COMPLETED, reason=reason),
        )
        assert ended.end_reason is reason


def test_the_last_rating_counts(database: pw.Database) -> None:
    made = session(database, 5)
    transact(database, lambda tx: rooms.rate(tx, 5, 2, None))
    rated, events = transact(database, lambda tx: rooms.rate(tx, 5, 5, "谢谢"))
    assert (rated.rate, rated.feedback, events) == (5, "谢谢", [])
    assert rooms.get(database, made.thread) == rated
    with pytest.raises(NotFound):
        transact(database, lambda tx: rooms.rate(tx, 6, 5, None))
