"""Counselling sessions and supervision records: the rooms of ``/chat``.

Both kinds have the same states; functions take a ``Thread`` and find the table by its kind.
Functions that change data take the writer's ``Transaction``.
"""

from collections.abc import Sequence
from typing import Any

import peewee as pw

from tornado_chat.core.errors import Conflict, NotFound
from tornado_chat.core.events import AgentReplaced, RoomEnded, RoomStarted, SystemNotice
from tornado_chat.core.plain_text import clean_name
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    ConversationView,
    EndReason,
    Kind,
    Part,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.storage import handovers, held_messages, models, numbers, participants
from tornado_chat.storage.participants import NewParticipant
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.writer import Transaction

Table = type[models.ConsultationSession] | type[models.SupervisorConsultation]

_TABLES: dict[Kind, Table] = {
    Kind.SESSION: models.ConsultationSession,
    Kind.RECORD: models.SupervisorConsultation,
}
_OPEN = (SessionState.READY.value, SessionState.ACTIVE.value)

# The columns in the order of the fields of ``Room``, and ``end_reason`` after ``state``.
_SELECT = {
    Kind.SESSION: (
        "SELECT id, asker, helper, asker_name, helper_name, state, end_reason, last_seq, id, created,"
        " started, ended, appointment_id, rate, feedback, awaited_until, arrived, NULL, group_name,"
        " agent_changes FROM consultation_session"
    ),
    Kind.RECORD: (
        "SELECT id, asker, helper, asker_name, helper_name, state, end_reason, last_seq, session_id, created,"
        " started, ended, NULL, NULL, NULL, awaited_until, NULL, conversation_id, NULL, NULL"
        " FROM supervisor_consultation"
    ),
}


def get(database: pw.Database, thread: Thread) -> Room:
    """Return a room. :raises NotFound: there is no such session or record."""
    room = find(database, thread)
    if room is None:
        code = "no_such_session" if thread.kind is Kind.SESSION else "no_such_record"
        raise NotFound(code, id=thread.id)
    return room


def lock(tx: Transaction, thread: Thread) -> Room:
    """Return a room that no other transaction can change before this one ends.

    :raises NotFound: there is no such session or record.
    """
    table = _TABLES[thread.kind]
    if tx.database.for_update:  # SQLite has one writer at a time
        table.select(table.id).where(table.id == thread.id).for_update().scalar(tx.database)
    return get(tx.database, thread)


def find(database: pw.Database, thread: Thread) -> Room | None:
    rows = fetch_rows(database, f"{_SELECT[thread.kind]} WHERE id = ?", thread.id)
    return _room(thread.kind, rows[0]) if rows else None


def find_many(database: pw.Database, threads: Sequence[Thread]) -> list[Room]:
    """Return the existing rooms of ``threads``."""
    return [
        _room(kind, row)
        for kind, select in _SELECT.items()
        if (ids := [thread.id for thread in threads if thread.kind is kind])
        for row in fetch_rows(database, f"{select} WHERE id IN ({', '.join('?' * len(ids))})", *ids)
    ]


def active_rooms(database: pw.Database) -> list[Room]:
    """Return every room that has started and not ended."""
    return [
        _room(kind, row)
        for kind, select in _SELECT.items()
        for row in fetch_rows(database, f"{select} WHERE state = ?", SessionState.ACTIVE.value)
    ]


def awaited_rooms(database: pw.Database) -> list[Room]:
    """Return the rooms whose participants a restarted server awaits.

    These are the active rooms, and the sessions that have not started although their visitor has come.
    """
    ready = f"{_SELECT[Kind.SESSION]} WHERE state = ? AND arrived IS NOT NULL"
    rows = fetch_rows(database, ready, SessionState.READY.value)
    return [*active_rooms(database), *(_room(Kind.SESSION, row) for row in rows)]


def is_supervisor_of(database: pw.Database, thread: Thread, supervisor: Person) -> bool:
    """Return True if ``supervisor`` has a record about the conversation, finished or not."""
    record = models.SupervisorConsultation
    column = record.session if thread.kind is Kind.SESSION else record.conversation_id
    query = record.select().where((column == thread.id) & (record.helper == supervisor.key))
    return bool(query.exists(database))


def supervision_records(database: pw.Database, thread: Thread) -> list[Room]:
    """Return the supervision records of a session or support conversation, oldest first."""
    column = "session_id" if thread.kind is Kind.SESSION else "conversation_id"
    rows = fetch_rows(database, f"{_SELECT[Kind.RECORD]} WHERE {column} = ? ORDER BY id", thread.id)
    return [_room(Kind.RECORD, row) for row in rows]


def create_session(
    tx: Transaction,
    *,
    user_id: str,
    consultant_id: str,
    user_name: str | None,
    consultant_name: str | None,
    appointment_id: int | None = None,
    session_id: int | None = None,
    group: str = DEFAULT_GROUP,
) -> tuple[Room, bool]:
    """Create a session in state ``ready``. The second result is True if it is new.

    A request that is repeated with the same ``session_id`` and people returns the existing session and False.

    :arg session_id: a number that the host chooses; None: the server's next own number.
    :raises Conflict: ``session_id`` is taken by a session of other people.
    :raises Malformed: ``session_id`` is out of range.
    """
    user, consultant = Person(Role.USER, user_id), Person(Role.CONSULTANT, consultant_id)
    if session_id is None:
        session_id = numbers.take_next(tx, Kind.SESSION)
    else:
        numbers.require_valid(session_id)
        existing = find(tx.database, Thread(Kind.SESSION, session_id))
        if existing is not None:
            if (existing.asker, _first_agent(tx, existing)) != (user, consultant):
                raise Conflict("session_exists", id=session_id)
            return existing, False
    models.ConsultationSession.insert(
        id=session_id,
        asker=user.key,
        asker_name=clean_name(user_name),
        helper=consultant.key,
        helper_name=clean_name(consultant_name),
        state=SessionState.READY.value,
        last_seq=0,
        appointment_id=appointment_id,
        created=tx.now,
        group_name=None if group == DEFAULT_GROUP else group,
    ).execute(tx.database)
    return _with_participants(tx, Thread(Kind.SESSION, session_id)), True


def create_record(
    tx: Transaction,
    about: ConversationView,
    *,
    supervisor_id: str,
    supervisor_name: str | None,
    record_id: int | None = None,
) -> tuple[Room, bool]:
    """Create a supervision record of the agent of a conversation with a supervisor.

    ``record_id`` and the results are as those of ``create_session``.

    :raises Conflict: ``record_id`` is taken by another record; or the conversation has no agent.
    :raises Malformed: ``record_id`` is out of range.
    """
    supervisor = Person(Role.SUPERVISOR, supervisor_id)
    if about.agent is None:
        raise Conflict("no_conversation")
    if record_id is None:
        record_id = numbers.take_next(tx, Kind.RECORD)
    else:
        numbers.require_valid(record_id)
        existing = find(tx.database, Thread(Kind.RECORD, record_id))
        if existing is not None:
            if (existing.about, existing.helper) != (about.thread, supervisor):
                raise Conflict("session_exists", id=record_id)
            return existing, False
    models.SupervisorConsultation.insert(
        id=record_id,
        session=about.thread.id if about.thread.kind is Kind.SESSION else None,
        conversation_id=about.thread.id if about.thread.kind is Kind.SUPPORT else None,
        asker=about.agent.key,
        asker_name=about.agent_name,
        helper=supervisor.key,
        helper_name=clean_name(supervisor_name),
        state=SessionState.READY.value,
        last_seq=0,
        created=tx.now,
    ).execute(tx.database)
    return _with_participants(tx, Thread(Kind.RECORD, record_id)), True


def _with_participants(tx: Transaction, thread: Thread) -> Room:
    """Return a room that was just created, after its two people have joined it."""
    room = get(tx.database, thread)
    asker_part, helper_part = participants.PARTS[thread.kind]
    participants.join(
        tx,
        thread,
        [
            NewParticipant(room.asker, asker_part, room.asker_name),
            NewParticipant(room.helper, helper_part, room.helper_name),
        ],
    )
    return room


def start(tx: Transaction, thread: Thread) -> Room:
    """Change a room from ``ready`` to ``active`` and announce it once; other states stay as they are."""
    table = _TABLES[thread.kind]
    changed = (
        table.update(state=SessionState.ACTIVE.value, started=tx.now)
        .where((table.id == thread.id) & (table.state == SessionState.READY.value))
        .execute(tx.database)
    )
    if changed:
        tx.emit(SystemNotice(thread, "session_started", tx.now))
    room = get(tx.database, thread)
    if changed:
        tx.emit(RoomStarted(room))
    return room


def note_arrival(tx: Transaction, session: Thread) -> None:
    """Store that the visitor of a session has come; an earlier arrival stays."""
    table = models.ConsultationSession
    table.update(arrived=tx.now).where((table.id == session.id) & table.arrived.is_null()).execute(
        tx.database
    )


def extend_wait(tx: Transaction, thread: Thread, until: int) -> None:
    """Store until when an absent participant of a room is awaited, in microseconds since 1970."""
    table = _TABLES[thread.kind]
    table.update(awaited_until=until).where(table.id == thread.id).execute(tx.database)


def finish(
    tx: Transaction,
    thread: Thread,
    state: SessionState,
    expected: SessionState | None = None,
    reason: EndReason = EndReason.ENDED,
) -> Room:
    """End an open room as ``completed`` or ``cancelled``; a finished room stays as it is.

    :arg expected: the state for which the end was decided; a room in another state stays as it is. None for
        both open states.
    """
    table = _TABLES[thread.kind]
    changed = (
        table.update(state=state.value, ended=tx.now, end_reason=reason.value)
        .where((table.id == thread.id) & (table.state << (_OPEN if expected is None else (expected.value,))))
        .execute(tx.database)
    )
    room = get(tx.database, thread)
    if changed:
        participants.leave(tx, thread)
        handovers.settle(tx, thread)
        held_messages.close(tx, thread)
        tx.emit(RoomEnded(thread, room.state, tx.now, room))
    return room


def replace_agent(
    tx: Transaction, session: Thread, expected: Person, person: Person, name: str | None
) -> Room:
    """Make ``person`` the agent of an open session in the place of ``expected``.

    The former agent leaves with the last message that is stored now; the change is published.

    :arg name: the name of the next agent, None if it is unknown.
    :raises Conflict: the session has ended, or ``expected`` is not its agent any more.
    :raises NotFound: there is no such session.
    """
    room = lock(tx, session)
    if not room.open:
        raise Conflict("session_finished")
    if room.helper != expected or person in (room.asker, room.helper):
        raise Conflict("not_agent")
    _, part = participants.PARTS[session.kind]
    table = models.ConsultationSession
    table.update(helper=person.key, helper_name=clean_name(name), agent_changes=room.agent_changes + 1).where(
        table.id == session.id
    ).execute(tx.database)
    participants.leave(tx, session, expected, last_seq=room.last_seq)
    handovers.settle(tx, session)
    held_messages.close(tx, session, expected)
    participants.join(tx, session, [NewParticipant(person, part, clean_name(name))])
    changed = get(tx.database, session)
    tx.emit(AgentReplaced(changed, expected, _stored_name(tx, session, expected), tx.now))
    return changed


def last_replacement(database: pw.Database, room: Room) -> AgentReplaced | None:
    """Return the last change of a session's agent, whose event may have been missed; None: there was none."""
    agents = [each for each in participants.of_thread(database, room.thread) if each.part is Part.AGENT]
    if not room.agent_changes or len(agents) < 2:
        return None
    return AgentReplaced(room, agents[-2].person, agents[-2].name, agents[-1].joined)


def _stored_name(tx: Transaction, thread: Thread, person: Person) -> str | None:
    return participants.names(participants.of_thread(tx.database, thread)).get(person)


def _first_agent(tx: Transaction, room: Room) -> Person:
    """Return the agent with which the host has opened a session."""
    if room.agent_changes:
        for participant in participants.of_thread(tx.database, room.thread):
            if participant.part is Part.AGENT:
                return participant.person
    return room.helper


def rate(tx: Transaction, session_id: int, stars: int, feedback: str | None) -> Room:
    """Store the visitor's rating, which replaces an earlier one."""
    table = models.ConsultationSession
    table.update(rate=stars, feedback=feedback).where(table.id == session_id).execute(tx.database)
    return get(tx.database, Thread(Kind.SESSION, session_id))


def _room(kind: Kind, row: tuple[Any, ...]) -> Room:
    id, asker, helper, asker_name, helper_name, state, end_reason, *more = row
    *more, awaited_until, arrived, conversation_id, group, agent_changes = more
    reason = EndReason(end_reason) if end_reason else None
    rest: list[Any] = [
        *(*more, reason, awaited_until, arrived),
        *(conversation_id, group or DEFAULT_GROUP, agent_changes or 0),
    ]
    return Room(
        Thread(kind, id),
        Person.from_key(asker),
        Person.from_key(helper),
        asker_name,
        helper_name,
        SessionState(state),
        *rest,
    )
