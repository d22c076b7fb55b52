"""Queries for support conversations, from the queue to the rating.

Functions that change a conversation take the writer's ``Transaction``, and change the conversation only
if it is still in the state and version that the caller expects.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import peewee as pw
from msgspec.structs import replace

from tornado_chat.core.errors import Conflict, NotFound
from tornado_chat.core.events import (
    ConversationAccepted,
    ConversationAssigned,
    ConversationEnded,
    ConversationPrioritised,
    ConversationQueued,
    ConversationRequeued,
)
from tornado_chat.core.types import (
    DEFAULT_GROUP,
    Conversation,
    ConversationState,
    EarlyWords,
    Part,
    Person,
)
from tornado_chat.storage import first_words, handovers, held_messages, models, participants
from tornado_chat.storage.participants import NewParticipant
from tornado_chat.storage.writer import Transaction

_table = models.SupportConversation

# A conversation may have left a state and come back to it (requeued, and assigned to the same waiter again),
# so the number of its changes is part of the condition.
_CHANGE = (
    "UPDATE support_conversation SET accepted = CASE WHEN ? = 1 THEN accepted END, missed_by = ?, state = ?, "
    "waiter = ?, waiter_name = ?, waiter_uuid = ?, assigned = ?, returned = ?, reason = ?, ended = ?, "
    "open_user = ?, changes = ? "
    "WHERE id = ? AND state = ? AND COALESCE(changes, 0) = ?"
)
_UNCOUNTED = "SELECT last_seq, rate, feedback, accepted FROM support_conversation WHERE id = ?"


def unfinished(database: pw.Database) -> list[Conversation]:
    """Return the waiting and active conversations, oldest first: a restarted server continues them."""
    query = _table.select().where(_table.state != ConversationState.ENDED.value).order_by(_table.id)
    return [_conversation(row) for row in query.dicts().execute(database)]


def change_counts(database: pw.Database) -> dict[int, int]:
    """Return the change count of each unfinished conversation, by id.

    This takes a tenth of the time of reading the whole conversations.
    """
    query = _table.select(_table.id, _table.changes).where(_table.state != ConversationState.ENDED.value)
    return {number: changes or 0 for number, changes in query.tuples().execute(database)}


def get(database: pw.Database, conversation_id: int) -> Conversation | None:
    row = _table.select().where(_table.id == conversation_id).dicts().first(database)
    return _conversation(row) if row else None


def unfinished_of(database: pw.Database, user: Person) -> Conversation | None:
    """Return the user's waiting or active conversation, if there is one."""
    return _unfinished_of(database, user.key)


def _unfinished_of(database: pw.Database, user_key: str) -> Conversation | None:
    row = _table.select().where(_table.open_user == user_key).dicts().first(database)
    return _conversation(row) if row else None


def active_of_waiter(database: pw.Database, waiter: Person) -> list[Conversation]:
    """Return the active conversations of a waiter, oldest first."""
    query = _table.select().where(
        (_table.waiter == waiter.key) & (_table.state == ConversationState.ACTIVE.value)
    )
    return [_conversation(row) for row in query.order_by(_table.id).dicts().execute(database)]


def active_of_waiters(database: pw.Database, waiters: Sequence[Person]) -> list[Conversation]:
    """Return the active conversations of these waiters, oldest first."""
    query = _table.select().where(
        _table.waiter.in_([waiter.key for waiter in waiters])
        & (_table.state == ConversationState.ACTIVE.value)
    )
    return [_conversation(row) for row in query.order_by(_table.id).dicts().execute(database)]


def find_many(database: pw.Database, ids: Sequence[int]) -> list[Conversation]:
    """Return the existing conversations of ``ids``."""
    query = _table.select().where(_table.id.in_(ids))
    return [_conversation(row) for row in query.dicts().execute(database)]


def service_times(database: pw.Database, limit: int) -> list[tuple[str, float | None]]:
    """Return how long the last ``limit`` conversations took that have ended, the newest last.

    Each as its group and the seconds from the last assignment to the end, None if the user gave up waiting.
    """
    query = (
        _table.select(_table.group_name, _table.assigned, _table.ended)
        .where(_table.state == ConversationState.ENDED.value)
        .order_by(_table.id.desc())
        .limit(limit)
    )
    return [
        (group or DEFAULT_GROUP, None if None in (assigned, ended) else (ended - assigned) / 1e6)
        for group, assigned, ended in reversed(list(query.tuples().execute(database)))
    ]


def serves(database: pw.Database, waiter: Person, user: Person) -> bool:
    """Return True if the waiter and the user have an active conversation."""
    query = _table.select().where(
        (_table.open_user == user.key)
        & (_table.waiter == waiter.key)
        & (_table.state == ConversationState.ACTIVE.value)
    )
    return bool(query.exists(database))


def latest_of_user(database: pw.Database, user: Person) -> Conversation | None:
    """Return the user's newest conversation, finished or not."""
    query = _table.select().where(_table.user == user.key).order_by(_table.id.desc()).dicts()
    row = query.first(database)
    return _conversation(row) if row else None


def ended_of(database: pw.Database, user: Person, before: int | None, limit: int) -> list[Conversation]:
    """Return the user's finished conversations with ids below ``before`` (None: all), newest first."""
    query = _table.select().where((_table.user == user.key) & (_table.state == ConversationState.ENDED.value))
    if before is not None:
        query = query.where(_table.id < before)
    query = query.order_by(_table.id.desc()).limit(limit)
    return [_conversation(row) for row in query.dicts().execute(database)]


def join(
    tx: Transaction,
    user: Person,
    name: str | None,
    uuid: str,
    claims: Mapping[str, Any] | None = None,
    group: str = DEFAULT_GROUP,
) -> Conversation:
    """Return the user's unfinished conversation, or create one in which the user waits.

    Two processes that call this at the same time get the same conversation.

    :arg uuid: the user's address in a new conversation.
    :arg group: the group of a new conversation.
    """
    key = user.key
    found = _unfinished_of(tx.database, key)
    if found is not None:
        return found
    last_waiter = (
        _table.select(_table.waiter)
        .where((_table.user == key) & _table.waiter.is_null(False))
        .order_by(_table.id.desc())
        .scalar(tx.database)
    )
    _table.insert(
        user=key,
        user_name=name,
        user_uuid=uuid,
        state=ConversationState.WAITING.value,
        returned=False,
        last_seq=0,
        created=tx.now,
        claims=msgspec.json.encode(claims).decode() if claims else None,
        last_waiter=last_waiter,
        changes=0,
        group_name=None if group == DEFAULT_GROUP else group,
        open_user=key,
    ).on_conflict_ignore().execute(tx.database)
    joined = _unfinished_of(tx.database, key)
    assert joined, f"the conversation of {key} vanished"
    if joined.user_uuid == uuid:  # otherwise another process has created the conversation at the same moment
        participants.join(tx, joined.thread, [NewParticipant(user, Part.CLIENT, name)])
        tx.emit(ConversationQueued(joined))
    return joined


def assign(
    tx: Transaction,
    conversation: Conversation,
    waiter: Person,
    waiter_name: str | None,
    waiter_uuid: str,
    reason: str,
) -> Conversation:
    """Give a waiting user to a waiter.

    :raises Conflict: the user does not wait, or the conversation has changed since ``conversation`` was read.
    """
    return _give(tx, conversation, ConversationState.WAITING, waiter, waiter_name, waiter_uuid, reason)


def transfer_reason(source: Person) -> str:
    """Return the stored reason of a transfer. It names the waiter, so an erasure of the waiter removes it."""
    return f"handed over by {source.id}"


def transfer(
    tx: Transaction,
    conversation: Conversation,
    waiter: Person,
    waiter_name: str | None,
    waiter_uuid: str,
    reason: str,
) -> Conversation:
    """Give the user of an active conversation to another waiter.

    :raises Conflict: it is not active, or has changed since ``conversation`` was read.
    """
    return _give(tx, conversation, ConversationState.ACTIVE, waiter, waiter_name, waiter_uuid, reason)


def _give(
    tx: Transaction,
    conversation: Conversation,
    expected: ConversationState,
    waiter: Person,
    waiter_name: str | None,
    waiter_uuid: str,
    reason: str,
) -> Conversation:
    active = replace(
        conversation,
        state=ConversationState.ACTIVE,
        waiter=waiter,
        waiter_name=waiter_name,
        waiter_uuid=waiter_uuid,
        assigned=tx.now,
        returned=False,
        reason=reason,
    )
    changed = _change(tx, conversation, expected, active)
    if conversation.waiter is not None:
        participants.leave(tx, conversation.thread, conversation.waiter, last_seq=changed.last_seq)
        held_messages.close(tx, conversation.thread, conversation.waiter)
    participants.join(tx, conversation.thread, [NewParticipant(waiter, Part.AGENT, waiter_name)])
    if conversation.waiter is not None:
        handovers.settle(tx, conversation.thread)
    elif conversation.returned:
        handovers.note_assigned(tx, conversation.thread, waiter)
    tx.emit(ConversationAssigned(changed, reason, previous=conversation.waiter))
    return changed


def requeue(tx: Transaction, conversation: Conversation, group: str | None = None) -> Conversation:
    """Put the user of an active conversation back into the queue, as its waiter is lost or returns it.

    :arg group: the group in whose queue the user waits from now on; None: the same as before.
    :raises Conflict: it is not active, or has changed since ``conversation`` was read.
    """
    assert conversation.waiter is not None
    waiting = replace(
        conversation,
        state=ConversationState.WAITING,
        returned=True,
        waiter=None,
        waiter_name=None,
        waiter_uuid=None,
    )
    changed = _change(tx, conversation, ConversationState.ACTIVE, waiting)
    participants.leave(tx, conversation.thread, conversation.waiter, last_seq=changed.last_seq)
    handovers.settle(tx, conversation.thread)
    if group is not None:
        changed = replace(changed, group=group)
        stored = None if group == DEFAULT_GROUP else group
        _table.update(group_name=stored).where(_table.id == conversation.id).execute(tx.database)
    held_messages.close(tx, conversation.thread, conversation.waiter)
    tx.emit(ConversationRequeued(changed, lost=conversation.waiter))
    return changed


def take_back(tx: Transaction, conversation: Conversation) -> Conversation:
    """Put the user back into the queue, as its waiter has not confirmed the assignment in time.

    :raises Conflict: it is not active, has changed since ``conversation`` was read, or the waiter has
        confirmed it, or written, meanwhile.
    """
    waiter = conversation.waiter
    assert waiter is not None
    message = models.Message
    has_written = message.select().where(
        (message.kind == conversation.thread.kind.value)
        & (message.thread_id == conversation.id)
        & (message.sender == waiter.key)
        & (message.time >= (conversation.assigned or 0))
    )
    if lock(tx, conversation.id).accepted is not None or has_written.exists(tx.database):
        raise Conflict("no_conversation")
    return requeue(tx, replace(conversation, missed_by=(*conversation.missed_by, waiter)))


def accept(tx: Transaction, conversation_id: int, waiter: Person) -> Conversation:
    """Note that the waiter has confirmed its assignment. A second confirmation has no effect.

    This counts as no change: the conversation has the same waiter as before.

    :raises Conflict: the waiter does not serve the user any more.
    """
    current = lock(tx, conversation_id)
    if current.state is not ConversationState.ACTIVE or current.waiter != waiter:
        raise Conflict("no_conversation")
    if current.accepted is not None:
        return current
    accepted = replace(current, accepted=tx.now, missed_by=())
    _table.update(accepted=tx.now, missed_by=None).where(_table.id == conversation_id).execute(tx.database)
    tx.emit(ConversationAccepted(accepted))
    return accepted


def prioritise(tx: Transaction, conversation_id: int, score: int, reason: str | None) -> Conversation:
    """Set the score of an unfinished conversation.

    :raises NotFound: there is no such conversation.
    :raises Conflict: it has ended.
    """
    current = get(tx.database, conversation_id)
    if current is None:
        raise NotFound("no_such_conversation", id=conversation_id)
    current = lock(tx, conversation_id)
    if not current.open:
        raise Conflict("conversation_ended")
    if (current.score, current.score_reason) == (score, reason):
        return current
    changes = current.changes + 1
    changed = replace(current, score=score, score_reason=reason, changes=changes)
    _table.update(score=score, score_reason=reason, changes=changes).where(
        _table.id == conversation_id
    ).execute(tx.database)
    tx.emit(ConversationPrioritised(changed))
    return changed


def end(tx: Transaction, conversation_id: int, gone: Person) -> Conversation:
    """End a conversation, in whichever state it is. An ended conversation stays as it is.

    :arg gone: the participant who has left for good.
    """
    current = lock(tx, conversation_id)
    return current if current.state is ConversationState.ENDED else _end(tx, current, gone, None)


def leave(
    tx: Transaction, conversation_id: int, gone: Person, early_words: EarlyWords = EarlyWords.KEEP
) -> Conversation:
    """End a conversation whose user or present waiter leaves. An ended conversation stays as it is.

    :arg early_words: what becomes of the user's words, if it has had no waiter.
    :raises Conflict: ``gone`` is not in the conversation any more, as after a transfer.
    """
    current = lock(tx, conversation_id)
    if current.state is ConversationState.ENDED:
        return current
    if gone not in (current.user, current.waiter):
        raise Conflict("no_conversation")
    return _end(tx, current, gone, early_words)


def end_abandoned(
    tx: Transaction, conversation: Conversation, early_words: EarlyWords = EarlyWords.KEEP
) -> Conversation:
    """End a conversation whose user has not returned in time.

    :arg early_words: as in ``leave``.
    :raises Conflict: it has ended, or has changed since ``conversation`` was read.
    """
    if conversation.state is ConversationState.ENDED:
        raise Conflict("no_conversation")
    return _end(tx, conversation, conversation.user, early_words)


def _end(
    tx: Transaction, conversation: Conversation, gone: Person, early_words: EarlyWords | None
) -> Conversation:
    """:arg early_words: None: no left message, and the messages stay, as the caller erases them."""
    ended = replace(conversation, state=ConversationState.ENDED, ended=tx.now, missed_by=())
    changed = _change(tx, conversation, conversation.state, ended)
    participants.leave(tx, conversation.thread)
    held_messages.close(tx, conversation.thread)
    if conversation.state is ConversationState.WAITING and changed.last_seq:
        if early_words is EarlyWords.KEEP and first_words.is_unanswered(tx.database, changed):
            first_words.keep(tx, changed)
        elif early_words is EarlyWords.DISCARD and not changed.has_had_waiter:
            first_words.remove(tx, changed.thread)
    handovers.settle(tx, conversation.thread)
    tx.emit(ConversationEnded(changed, gone))
    return changed


def lock(tx: Transaction, conversation_id: int) -> Conversation:
    """Return a conversation that no other transaction can change before this one ends."""
    query = _table.select().where(_table.id == conversation_id)
    if tx.database.for_update:  # SQLite has one writer at a time
        query = query.for_update()
    row = query.dicts().first(tx.database)
    assert row, f"support conversation {conversation_id} vanished"
    return _conversation(row)


def rate(tx: Transaction, conversation_id: int, stars: int, feedback: str | None) -> None:
    """Store the user's rating, which replaces an earlier one."""
    _table.update(rate=stars, feedback=feedback).where(_table.id == conversation_id).execute(tx.database)


def _change(
    tx: Transaction, before: Conversation, expected: ConversationState, after: Conversation
) -> Conversation:
    """Store ``after`` and return it as it is stored now.

    :raises Conflict: ``before`` is not in the state ``expected``, or is not the stored version any more.
    """
    database, changes = tx.database, before.changes + 1
    keeps_agent = after.waiter is not None and after.assigned == before.assigned
    values = (
        int(keeps_agent),
        _missed_by_text(after.missed_by),
        after.state.value,
        None if after.waiter is None else after.waiter.key,
        after.waiter_name,
        after.waiter_uuid,
        after.assigned,
        after.returned,
        after.reason,
        after.ended,
        after.user.key if after.open else None,
        changes,
    )
    condition = (before.id, expected.value, before.changes)
    sql = _CHANGE.replace("?", database.param)
    cursor: Any = None
    if before.state is expected:
        cursor = database.execute_sql(sql, values + condition)  # type: ignore[no-untyped-call]
    if cursor is None or not cursor.rowcount:
        raise Conflict("no_conversation")
    # Messages, ratings and confirmations, which do not count as changes, may have come since.
    sql = _UNCOUNTED.replace("?", database.param)
    found = database.execute_sql(sql, (before.id,))  # type: ignore[no-untyped-call]
    last_seq, rate, feedback, accepted = found.fetchone()
    return replace(after, changes=changes, last_seq=last_seq, rate=rate, feedback=feedback, accepted=accepted)


def _missed_by_text(missed_by: Sequence[Person]) -> str | None:
    return msgspec.json.encode([person.key for person in missed_by]).decode() if missed_by else None


def _conversation(row: dict[str, Any]) -> Conversation:
    values = {**row}
    del values["open_user"]
    values["user"] = Person.from_key(row["user"])
    values["waiter"] = None if row["waiter"] is None else Person.from_key(row["waiter"])
    values["state"] = ConversationState(row["state"])
    values["last_waiter"] = None if row["last_waiter"] is None else Person.from_key(row["last_waiter"])
    values["claims"] = {} if row["claims"] is None else msgspec.json.decode(row["claims"])
    values["returned"] = bool(row["returned"])
    values["changes"] = row["changes"] or 0
    values["group"] = values.pop("group_name") or DEFAULT_GROUP
    values["score"] = row["score"] or 0
    missed_by = row["missed_by"]
    values["missed_by"] = tuple(map(Person.from_key, msgspec.json.decode(missed_by))) if missed_by else ()
    return Conversation(**values)
