"""Held messages: messages of agents that are stored apart until a supervisor has decided on them.

Strategy: each function that changes a held message locks the row of its conversation first, as an append
does. So the order of the messages is that of the decisions, of two decisions the second finds the first, and
no message is sent after the end. A decision to send appends the message in its own transaction.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import peewee as pw

from tornado_chat.core.errors import ChatError, Conflict, NotFound
from tornado_chat.core.events import DuplicateMessage, HeldChanged
from tornado_chat.core.types import AppendResult, HeldMessage, HeldState, Kind, Person, Thread
from tornado_chat.storage import models
from tornado_chat.storage.messages import AppendRequest, MessageAppender
from tornado_chat.storage.threads import THREAD_TABLES
from tornado_chat.storage.writer import Transaction

_table = models.HeldMessage
_AGENT_COLUMNS = {Kind.SESSION: "helper", Kind.SUPPORT: "waiter"}
MICROSECONDS = 1_000_000  # in a second

MAX_SHOWN = 50
"""The number of a sender's last held messages that a client gets when it connects."""


# --- changes ---


def hold(
    tx: Transaction, request: AppendRequest, group: str, timeout_seconds: float
) -> HeldMessage | AppendResult:
    """Store a message that waits for an approval.

    A message that is sent again under the same client id is not stored again: the result is the held message
    in its present state, or the message that was sent without an approval. The rules for client ids are those
    of ``AppendRequest``.

    :arg group: the group of the conversation.
    :arg timeout_seconds: the time for the decision of a supervisor; 0: without end.
    :raises Conflict: the conversation has ended, or the sender does not serve it any more.
    """
    thread, sender, client_id = request.thread, request.sender, request.client_id
    agent = _lock(tx, thread)
    if client_id is not None:
        known = _with_client_id(tx.database, request)
        if known is not None:
            if isinstance(known, AppendResult):
                tx.emit(DuplicateMessage(thread, known.seq))
            if not isinstance(known, str):
                return known
            client_id = None  # another text: not a resend
    if agent != sender.key:
        raise Conflict("session_finished")
    deadline: int | None = None
    if timeout_seconds:
        deadline = tx.now + round(timeout_seconds * MICROSECONDS)
        # Not before the one of an earlier message, which was held before the time was made shorter.
        mine = _of_thread(thread) & (_table.sender == sender.key) & _IS_HELD
        earlier = _table.select(_table.deadline).where(mine).tuples().execute(tx.database)
        deadlines = [deadline, *(each for (each,) in earlier)]
        deadline = None if None in deadlines else max(each for each in deadlines if each is not None)
    values = {
        "kind": thread.kind.value,
        "number": thread.id,
        "sender": sender.key,
        "client_id": client_id,
        "media": request.media,
        "text": request.text,
        "group_name": group,
        "created": tx.now,
        "deadline": deadline,
        "state": HeldState.HELD.value,
    }
    held = get(tx.database, int(_table.insert(**values).execute(tx.database)))
    tx.emit(HeldChanged(thread, sender, held))
    return held


def send(
    tx: Transaction, held_id: int, by: Person | None, text: str | None = None
) -> tuple[HeldMessage, AppendResult]:
    """Send a held message, as it is or with another text.

    :arg by: the supervisor; None: the time is over.
    :raises NotFound: there is no such held message.
    :raises Conflict: a decision was made before; an earlier message of the sender is still held; or the
        conversation has ended, or the sender does not serve it any more.
    """
    held, agent = _lock_held(tx, held_id)
    if agent != held.sender.key:
        raise Conflict("sender_left")
    earlier = _of_thread(held.thread) & (_table.sender == held.sender.key) & _IS_HELD
    first = _table.select(pw.fn.MIN(_table.id)).where(earlier).scalar(tx.database)
    if first != held_id:
        raise Conflict("earlier_held", id=first)
    is_edited = text is not None and text != held.text
    request = AppendRequest(
        held.thread,
        held.sender,
        text if text is not None and is_edited else held.text,
        held.client_id,
        held.media,
    )
    outcome = MessageAppender(tx.database).append([request], tx.now)[0]
    if isinstance(outcome, ChatError):
        raise outcome
    result, event = outcome
    tx.emit(event)
    state = HeldState.EDITED if is_edited else HeldState.APPROVED
    return _decide(tx, held, state, by, final_text=text if is_edited else None, seq=result.seq), result


def refuse(tx: Transaction, held_id: int, by: Person | None, note: str | None = None) -> HeldMessage:
    """Refuse a held message.

    :arg by: the supervisor; None: the time is over.
    :arg note: a sentence of the supervisor for the sender.
    :raises NotFound: there is no such held message.
    :raises Conflict: a decision was made before.
    """
    held, _ = _lock_held(tx, held_id)
    return _decide(tx, held, HeldState.EXPIRED if by is None else HeldState.REFUSED, by, note=note)


def expire(tx: Transaction, held_id: int, *, sends: bool) -> list[HeldMessage]:
    """Decide on a held message whose time is over, and before it on the earlier ones of its sender.

    Their time is over, too. Returns the decided messages; none if a decision was made before.

    :arg sends: send the messages, if that is still possible; else they are refused.
    """
    try:
        held, agent = _lock_held(tx, held_id)
    except (Conflict, NotFound):
        return []
    mine = _of_thread(held.thread) & (_table.sender == held.sender.key) & _IS_HELD & (_table.id <= held_id)
    ids = [
        id for (id,) in _table.select(_table.id).where(mine).order_by(_table.id).tuples().execute(tx.database)
    ]
    is_sending = sends and agent == held.sender.key
    decided = []
    for id in ids:
        if is_sending:
            try:
                decided.append(send(tx, id, None)[0])
                continue
            except Conflict:  # the conversation has ended
                is_sending = False
        decided.append(refuse(tx, id, None))
    return decided


def close(tx: Transaction, thread: Thread, sender: Person | None = None) -> None:
    """Let the held messages of a conversation expire, as it ends.

    The caller has locked the conversation's row, or changed it.

    :arg sender: only those of this agent, who does not serve the conversation any more.
    """
    condition = _of_thread(thread) & _IS_HELD
    if sender is not None:
        condition &= _table.sender == sender.key
    for row in list(_table.select().where(condition).order_by(_table.id).dicts().execute(tx.database)):
        _decide(tx, _held(row), HeldState.EXPIRED, None)


def _lock(tx: Transaction, thread: Thread) -> str | None:
    """Lock a conversation's row. Return the key of its agent.

    :raises Conflict: there is no such conversation.
    """
    table: Any = THREAD_TABLES[thread.kind]
    query = table.select(getattr(table, _AGENT_COLUMNS[thread.kind])).where(table.id == thread.id)
    if tx.database.for_update:  # SQLite has one writer at a time
        query = query.for_update()
    row = query.tuples().first(tx.database)
    if row is None:
        raise Conflict("session_finished")
    key: str | None = row[0]
    return key


def _lock_held(tx: Transaction, held_id: int) -> tuple[HeldMessage, str | None]:
    """Lock the conversation of a held message. Return the message, and the key of the agent."""
    agent = _lock(tx, get(tx.database, held_id).thread)
    held = get(tx.database, held_id)
    if held.state is not HeldState.HELD:
        raise _already_decided(held)
    return held, agent


def _already_decided(held: HeldMessage) -> Conflict:
    """Return the error for a second decision on a message; it names who has made the first."""
    by = "-" if held.decided_by is None else held.decided_by.key
    return Conflict("already_decided", by=by, state=held.state.value)


def _decide(
    tx: Transaction, held: HeldMessage, state: HeldState, by: Person | None, **more: Any
) -> HeldMessage:
    values = {
        "state": state.value,
        "decided_by": None if by is None else by.key,
        "decided": tx.now,
        **more,
    }
    _table.update(**values).where(_table.id == held.id).execute(tx.database)
    changed = get(tx.database, held.id)
    tx.emit(HeldChanged(held.thread, held.sender, changed))
    return changed


def _with_client_id(database: pw.Database, request: AppendRequest) -> HeldMessage | AppendResult | str | None:
    """Return what is known under the client id of a request; a text if that is another message."""
    thread, message = request.thread, models.Message
    mine = (
        _of_thread(thread) & (_table.sender == request.sender.key) & (_table.client_id == request.client_id)
    )
    row = _table.select().where(mine).dicts().first(database)
    if row is not None:
        held = _held(row)
        return held.text if request.same_text_only and held.text != request.text else held
    sent = message.select(message.seq, message.time, message.text).where(
        (message.kind == thread.kind.value)
        & (message.thread_id == thread.id)
        & (message.sender == request.sender.key)
        & (message.client_id == request.client_id)
    )
    found = sent.tuples().first(database)
    if found is None:
        return None
    seq, time, text = found
    return str(text) if request.same_text_only and text != request.text else AppendResult(seq, time, True)


# --- queries ---

_IS_HELD = _table.state == HeldState.HELD.value


def get(database: pw.Database, held_id: int) -> HeldMessage:
    """Return a held message. :raises NotFound: there is no such."""
    row = _table.select().where((_table.id == held_id) & (_table.kind > 0)).dicts().first(database)
    if row is None:
        raise NotFound("no_such_held_message", id=held_id)
    return _held(row)


def find_many(database: pw.Database, ids: Sequence[int]) -> list[HeldMessage]:
    """Return the existing held messages of ``ids``."""
    return _messages(_table.select().where(_table.id.in_(ids) & (_table.kind > 0)).dicts().execute(database))


def undecided(database: pw.Database, thread: Thread | None = None) -> list[HeldMessage]:
    """Return the messages that are held now, oldest first. :arg thread: only those of this conversation."""
    condition = _IS_HELD if thread is None else _IS_HELD & _of_thread(thread)
    return _messages(_table.select().where(condition).order_by(_table.id).dicts().execute(database))


def last_of_sender(database: pw.Database, thread: Thread, sender: Person) -> list[HeldMessage]:
    """Return the last ``MAX_SHOWN`` held messages of a sender in a conversation, oldest first."""
    mine = _of_thread(thread) & (_table.sender == sender.key)
    query = _table.select().where(mine).order_by(_table.id.desc()).limit(MAX_SHOWN).dicts()
    return _messages(query.execute(database))[::-1]


def page(
    database: pw.Database, *, decided: bool, group: str | None, after: int | None, limit: int
) -> list[HeldMessage]:
    """Return held messages: those that wait, oldest first; or those with a decision, newest first.

    :arg group: only those of this group.
    :arg after: the id of the last item of the page before.
    """
    condition = ~_IS_HELD & (_table.kind > 0) if decided else _IS_HELD
    if group is not None:
        condition &= _table.group_name == group
    if after is not None:
        condition &= (_table.id < after) if decided else (_table.id > after)
    order = _table.id.desc() if decided else _table.id
    return _messages(_table.select().where(condition).order_by(order).limit(limit).dicts().execute(database))


def _of_thread(thread: Thread) -> Any:
    return (_table.kind == thread.kind.value) & (_table.number == thread.id)


def _messages(rows: Iterable[dict[str, Any]]) -> list[HeldMessage]:
    return [_held(row) for row in rows]


def _held(row: dict[str, Any]) -> HeldMessage:
    values = {**row}
    values["thread"] = Thread(Kind(values.pop("kind")), values.pop("number"))
    values["sender"] = Person.from_key(row["sender"])
    values["group"] = values.pop("group_name")
    values["state"] = HeldState(row["state"])
    values["decided_by"] = None if row["decided_by"] is None else Person.from_key(row["decided_by"])
    return HeldMessage(**values)
