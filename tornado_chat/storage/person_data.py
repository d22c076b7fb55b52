"""Queries for all data stored about one person: for an export, and to find the rows to erase."""

from collections.abc import Iterator, Sequence
from typing import Any

import peewee as pw

from tornado_chat.core.types import (
    Consent,
    Conversation,
    ConversationState,
    Kind,
    Part,
    Participant,
    Person,
    Role,
    Room,
    Thread,
)
from tornado_chat.storage import conversations, models, rooms
from tornado_chat.storage.retention import CONVERSATION_TABLES

PARTICIPANT_COLUMNS: dict[Kind, tuple[str, str]] = {
    Kind.SESSION: ("asker", "helper"),
    Kind.RECORD: ("asker", "helper"),
    Kind.SUPPORT: ("user", "waiter"),
}
"""The two columns of each conversation table that hold its participants."""

ERASED_NAME_PREFIX = ":"
"""Prefix of the name of an erased account; no account that can sign in has such a name."""

CONVERSATION_KINDS = (Kind.SESSION, Kind.RECORD, Kind.SUPPORT)


def threads(database: pw.Database, person: Person) -> list[Thread]:
    """Return the conversations that the person takes or took part in, or sent a message to.

    A waiter may have handed a conversation over: then only its participants and the waiter's messages still
    name the waiter.
    """
    found = {
        Thread(kind, id)
        for kind, table in CONVERSATION_TABLES.items()
        for (id,) in table.select(table.id).where(_has_participant(kind, person)).tuples().execute(database)
    }
    participant, message = models.Participant, models.Message
    stays = participant.select(participant.kind, participant.number).where(participant.person == person.key)
    found |= {Thread(Kind(kind), id) for kind, id in stays.tuples().execute(database)}
    held = models.HeldMessage
    held_in = held.select(held.kind, held.number).where(held.sender == person.key).distinct()
    found |= {Thread(Kind(kind), id) for kind, id in held_in.tuples().execute(database)}
    sent_to = message.select(message.kind, message.thread_id).where(message.sender == person.key).distinct()
    found |= {Thread(Kind(kind), id) for kind, id in sent_to.tuples().execute(database)}
    return sorted(found, key=lambda thread: (CONVERSATION_KINDS.index(thread.kind), thread.id))


def open_threads(database: pw.Database, person: Person) -> list[tuple[Thread, str]]:
    """Return the person's unfinished conversations with their states."""
    found = []
    for kind in CONVERSATION_KINDS:
        table = CONVERSATION_TABLES[kind]
        finished = (ConversationState.ENDED.value,) if kind is Kind.SUPPORT else ("completed", "cancelled")
        query = table.select(table.id, table.state).where(
            _has_participant(kind, person) & table.state.not_in(finished)
        )
        found += [(Thread(kind, id), state) for id, state in query.tuples().execute(database)]
    return found


def conversation(database: pw.Database, thread: Thread) -> Room | Conversation | None:
    """Return the conversation of either dialect, or None if it does not exist."""
    if thread.kind is Kind.SUPPORT:
        return conversations.get(database, thread.id)
    return rooms.find(database, thread)


def stays(database: pw.Database, person: Person) -> dict[Thread, list[Participant]]:
    """Return when and as whom the person has taken part in conversations, by conversation, oldest first."""
    table = models.Participant
    query = (
        table.select(table.kind, table.number, table.part, table.name, table.joined, table.left)
        .where(table.person == person.key)
        .order_by(table.id)
    )
    found: dict[Thread, list[Participant]] = {}
    for kind, number, part, name, joined, left in query.tuples().execute(database):
        thread = Thread(Kind(kind), number)
        found.setdefault(thread, []).append(Participant(thread, person, Part(part), name, joined, left))
    return found


def held_messages(database: pw.Database, person: Person) -> Iterator[dict[str, Any]]:
    """Yield the messages of the person that were held for an approval, oldest first.

    The supervisors are not named.
    """
    table = models.HeldMessage
    query = (
        table.select(
            table.kind,
            table.number,
            table.created,
            table.media,
            table.text,
            table.state,
            table.decided,
            table.final_text,
            table.note,
            table.seq,
        )
        .where(table.sender == person.key)
        .order_by(table.id)
    )
    yield from query.dicts().execute(database)


def approvals(database: pw.Database, person: Person) -> Iterator[dict[str, Any]]:
    """Yield the decisions of the person on held messages of agents, oldest first, without the texts."""
    table = models.HeldMessage
    query = (
        table.select(table.kind, table.number, table.decided, table.state, table.final_text, table.note)
        .where(table.decided_by == person.key)
        .order_by(table.id)
    )
    yield from query.dicts().execute(database)


def given_consents(database: pw.Database, person: Person) -> dict[Thread, list[Consent]]:
    """Return the consents that the person has given, by conversation, oldest first."""
    table = models.Consent
    query = (
        table.select(
            table.kind, table.number, table.group_name, table.version, table.language, table.accepted
        )
        .where(table.person == person.key)
        .order_by(table.id)
    )
    found: dict[Thread, list[Consent]] = {}
    for kind, number, *values in query.tuples().execute(database):
        found.setdefault(Thread(Kind(kind), number), []).append(Consent(person, *values))
    return found


def received_and_read(database: pw.Database, person: Person) -> dict[Thread, dict[str, int]]:
    """Return the person's ``received`` and ``read`` sequence numbers, by conversation and inbox."""
    found: dict[Thread, dict[str, int]] = {}
    for name, table in (("received", models.Receipt), ("read", models.ReadMark)):
        query = table.select(table.kind, table.thread_id, table.seq).where(table.reader == person.key)
        for kind, id, seq in query.tuples().execute(database):
            found.setdefault(Thread(Kind(kind), id), {})[name] = seq
    return found


def notifications(database: pw.Database, person: Person) -> Iterator[dict[str, Any]]:
    """Yield the person's notifications, oldest first, with ``data`` as JSON text."""
    table, inbox = models.Notification, models.Inbox
    query = (
        table.select(table.seq, table.time, table.type, table.msg, table.data, table.read)
        .join(inbox)
        .where((inbox.owner == person.key) & (table.type >= 0))
        .order_by(table.seq)
    )
    yield from query.dicts().execute(database)


def accounts(database: pw.Database, person: Person) -> list[dict[str, Any]]:
    """Return the person's accounts, removed ones too, with the times of the browsers that are signed in."""
    account, session = models.StaffAccount, models.StaffSession
    query = account.select(
        account.id,
        account.name,
        account.display_name,
        account.created,
        account.signed_in,
        account.disabled,
        account.removed,
        account.group_names,
        account.trainee,
    ).where(
        (account.role == person.role.value)
        & (account.person_id == person.id)
        & ~account.name.startswith(ERASED_NAME_PREFIX)
    )
    found = list(query.dicts().execute(database))
    for row in found:
        browsers = session.select(session.created, session.used, session.expires).where(
            session.account == row.pop("id")
        )
        groups = row.pop("group_names")
        row["trainee"] = bool(row["trainee"])
        row["groups"] = groups.split(",") if groups else []
        row["browsers"] = list(browsers.dicts().execute(database))
    return found


def revocations(database: pw.Database, person: Person) -> list[dict[str, Any]]:
    """Return the revocation of the person's tokens, if there is one, without the name of who made it."""
    table = models.Revocation
    query = table.select(table.since, table.until, table.all_tokens).where(table.person == person.key)
    return [{**row, "all_tokens": bool(row["all_tokens"])} for row in query.dicts().execute(database)]


def handled_messages(database: pw.Database, person: Person) -> list[dict[str, Any]]:
    """Return the left messages that the person has marked as handled, with the times."""
    table = models.LeftMessage
    query = (
        table.select(table.conversation, table.handled)
        .where(table.handled_by == person.key)
        .order_by(table.conversation)
    )
    return list(query.dicts().execute(database))


def is_known(database: pw.Database, person: Person) -> bool:
    """Return True if any data about the person is stored."""
    if threads(database, person) or received_and_read(database, person) or accounts(database, person):
        return True
    inbox = models.Inbox
    if inbox.select().where(inbox.owner == person.key).exists(database):
        return True
    held = models.HeldMessage
    if held.select().where(held.decided_by == person.key).exists(database):
        return True
    return bool(revocations(database, person) or handled_messages(database, person))


def known_roles(database: pw.Database, id: str) -> list[Role]:
    """Return the roles in which data about a person with this id is stored."""
    return [role for role in Role if is_known(database, Person(role, id))]


def _has_participant(kind: Kind, person: Person) -> Any:
    table = CONVERSATION_TABLES[kind]
    one, other = (getattr(table, column) for column in PARTICIPANT_COLUMNS[kind])
    return (one == person.key) | (other == person.key)


def participants_of(found: Room | Conversation) -> Sequence[tuple[Person, str | None]]:
    """Return the participants of a conversation with their names, the client first."""
    if isinstance(found, Room):
        return [(found.asker, found.asker_name), (found.helper, found.helper_name)]
    people = [(found.user, found.user_name)]
    return [*people, (found.waiter, found.waiter_name)] if found.waiter is not None else people
