"""Participants of sessions, records and support conversations: who takes part, and from when until when.

The rows are written in the transaction that opens a conversation, assigns it, or ends it. A process of a
version without this table may do so as well while an upgrade replaces one process after the other; so
``of_thread`` adds the two people that the conversation's own row names, if they have no row here.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import peewee as pw

from tornado_chat.core.events import ParticipantNamed
from tornado_chat.core.types import Kind, Part, Participant, Person, Thread
from tornado_chat.storage.raw_sql import execute_statement, fetch_rows
from tornado_chat.storage.writer import Transaction

PARTS: Mapping[Kind, tuple[Part, Part]] = {
    Kind.SESSION: (Part.CLIENT, Part.AGENT),
    Kind.RECORD: (Part.AGENT, Part.SUPERVISOR),
    Kind.SUPPORT: (Part.CLIENT, Part.AGENT),
}
"""The parts of the two people that the row of a conversation names."""

_JOIN = "INSERT INTO participant (kind, number, person, part, name, joined) VALUES "
_ROW = "(?, ?, ?, ?, ?, ?)"
# Both databases take a backtick as the quote of a name; ``left`` is a keyword.
_LEAVE = "UPDATE participant SET `left` = ? WHERE kind = ? AND number = ? AND `left` IS NULL"
_LEAVE_ONE = (
    "UPDATE participant SET `left` = ?, left_seq = ? WHERE kind = ? AND number = ? AND `left` IS NULL "
    "AND person = ?"
)
_RENAME = (
    "UPDATE participant SET name = ? WHERE kind = ? AND number = ? AND person = ? "
    "AND (name IS NULL OR name <> ?)"
)
_ROWS = "SELECT person, part, name, joined, `left` FROM participant WHERE kind = ? AND number = ? ORDER BY id"
_PRESENT = (
    "SELECT 1 FROM participant WHERE kind = ? AND number = ? AND person = ? AND part = ? AND `left` IS NULL"
    " LIMIT 1"
)
_NAMED_BY_CONVERSATION = {
    Kind.SESSION: (
        "SELECT asker, asker_name, created, helper, helper_name, created, ended FROM consultation_session"
    ),
    Kind.RECORD: (
        "SELECT asker, asker_name, created, helper, helper_name, created, ended FROM supervisor_consultation"
    ),
    Kind.SUPPORT: (
        "SELECT user, user_name, created, waiter, waiter_name, assigned, ended FROM support_conversation"
    ),
}


class NewParticipant(NamedTuple):
    """A person that joins a conversation."""

    person: Person
    part: Part
    name: str | None


def join(tx: Transaction, thread: Thread, people: Iterable[NewParticipant]) -> None:
    """Add participants that join now."""
    rows = [
        (thread.kind.value, thread.id, who.person.key, who.part.value, who.name, tx.now) for who in people
    ]
    values = [value for row in rows for value in row]
    execute_statement(tx.database, _JOIN + ", ".join([_ROW] * len(rows)), *values)


def leave(
    tx: Transaction, thread: Thread, person: Person | None = None, *, last_seq: int | None = None
) -> None:
    """Record that a participant leaves now.

    :arg person: None: all participants leave, as the conversation ends.
    :arg last_seq: of an agent that leaves an open conversation, the last message that it may see.
    """
    named = (thread.kind.value, thread.id)
    if person is None:
        execute_statement(tx.database, _LEAVE, tx.now, *named)
    else:
        execute_statement(tx.database, _LEAVE_ONE, tx.now, last_seq, *named, person.key)


def rename(tx: Transaction, thread: Thread, person: Person, name: str) -> None:
    """Record the name of a participant, and publish it if it has changed."""
    sql = _RENAME.replace("?", tx.database.param)
    values = (name, thread.kind.value, thread.id, person.key, name)
    cursor = tx.database.execute_sql(sql, values)  # type: ignore[no-untyped-call]
    if cursor.rowcount:
        tx.emit(ParticipantNamed(thread, person, name))


def of_thread(database: pw.Database, thread: Thread) -> list[Participant]:
    """Return the participants of a conversation in the order of their joining; none if there is no such."""
    found = [
        Participant(thread, Person.from_key(person), Part(part), name, joined, left)
        for person, part, name, joined, left in fetch_rows(database, _ROWS, thread.kind.value, thread.id)
    ]
    rows = fetch_rows(database, f"{_NAMED_BY_CONVERSATION[thread.kind]} WHERE id = ?", thread.id)
    if not rows:
        return found
    client, client_name, created, agent, agent_name, assigned, ended = rows[0]
    known = {participant.person for participant in found}
    client_part, agent_part = PARTS[thread.kind]
    if (person := Person.from_key(client)) not in known:
        found.insert(0, Participant(thread, person, client_part, client_name, created, ended))
    if agent is not None and (person := Person.from_key(agent)) not in known:
        found.append(Participant(thread, person, agent_part, agent_name, assigned or created, ended))
    return sorted(found, key=lambda participant: participant.joined)


def takes_part_as(database: pw.Database, thread: Thread, person: Person, part: Part) -> bool:
    """Return True if the person takes part in a conversation now, in this part."""
    rows = fetch_rows(database, _PRESENT, thread.kind.value, thread.id, person.key, part.value)
    return bool(rows)


def names(participants: Iterable[Participant]) -> dict[Person, str | None]:
    """Return the names of people by person: the last one, if a person has joined more than once."""
    found: dict[Person, str | None] = {}
    for participant in participants:
        found[participant.person] = participant.name or found.get(participant.person)
    return found
