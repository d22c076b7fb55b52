"""Retention: removal of expired conversations with all rows that belong to them, and of notifications.

Strategy: many short transactions, so that other work is not delayed. A conversation's messages are removed
first and its own row last, so after an interruption the next run continues with the conversation.

**The server uses no id again**, because the positions of plugins, the links of hosts and audits refer to ids.
SQLite gives a new row the highest id plus one, so a table whose last row is deleted would begin to repeat
ids. Therefore the row with the highest id is emptied, and stays until there is a row with a higher id.
Sessions and records get their ids from a sequence instead (``storage/numbers.py``): there the rows are
emptied that are ahead of the sequence, and stay until the sequence has passed them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.aio.chunks import chunks
from tornado_chat.core.types import ConversationState, Kind, SessionState, Thread
from tornado_chat.storage import models, numbers
from tornado_chat.storage.writer import Transaction

MAX_STATEMENT_IDS = 500  # ids in one statement

RowCounts = Counter[str]
"""Numbers of removed rows by table."""

CONVERSATION_TABLES: Mapping[Kind, Any] = {
    Kind.RECORD: models.SupervisorConsultation,
    Kind.SESSION: models.ConsultationSession,
    Kind.SUPPORT: models.SupportConversation,
}
"""The table of each kind, in the order in which conversations are removed: records before their sessions."""

REMOVED_ID = "removed"
"""The person id in the emptied row of a removed conversation."""

_EMPTY_ROOM = {
    "asker": f"user:{REMOVED_ID}",
    "asker_name": None,
    "helper": f"consultant:{REMOVED_ID}",
    "helper_name": None,
    "last_seq": 0,
    "started": None,
    "end_reason": None,
    "awaited_until": None,
}
_EMPTY_VALUES: Mapping[type[pw.Model], Mapping[str, Any]] = {
    models.ConsultationSession: {
        **_EMPTY_ROOM,
        "appointment_id": None,
        "rate": None,
        "feedback": None,
        "arrived": None,
        "group_name": None,
        "agent_changes": None,
    },
    models.SupervisorConsultation: {
        **_EMPTY_ROOM,
        "asker": f"consultant:{REMOVED_ID}",
        "helper": f"supervisor:{REMOVED_ID}",
        "state": SessionState.CANCELLED.value,
    },
    models.SupportConversation: {
        "user": f"user:{REMOVED_ID}",
        "user_name": None,
        "user_uuid": "",
        "waiter": None,
        "waiter_name": None,
        "waiter_uuid": None,
        "last_seq": 0,
        "rate": None,
        "feedback": None,
        "claims": None,
        "last_waiter": None,
        "reason": None,
        "changes": None,
        "open_user": None,
        "group_name": None,
        "score": None,
        "score_reason": None,
        "accepted": None,
        "missed_by": None,
    },
    models.Message: {
        "kind": 0,
        "thread_id": models.Message.id,
        "seq": 0,
        "sender": f"service:{REMOVED_ID}",
        "client_id": None,
        "media": "text",
        "text": "",
    },
    models.HeldMessage: {
        "kind": 0,
        "number": 0,
        "sender": f"service:{REMOVED_ID}",
        "client_id": None,
        "media": "text",
        "text": "",
        "decided_by": None,
        "final_text": None,
        "note": None,
    },
    models.Notification: {"type": -1, "msg": "", "data": None},
}
_IS_EMPTY: Mapping[type[pw.Model], Any] = {
    models.ConsultationSession: models.ConsultationSession.asker == f"user:{REMOVED_ID}",
    models.SupervisorConsultation: models.SupervisorConsultation.helper == f"supervisor:{REMOVED_ID}",
    models.SupportConversation: models.SupportConversation.user == f"user:{REMOVED_ID}",
    models.Message: models.Message.kind == 0,
    models.HeldMessage: models.HeldMessage.kind == 0,
    models.Notification: models.Notification.type < 0,
}
_FINISHED_STATES = (SessionState.COMPLETED.value, SessionState.CANCELLED.value)


class ExpiredCounts(NamedTuple):
    """Numbers of expired items, which the next run removes."""

    conversations: Mapping[Kind, int]
    messages: int
    notifications: int


# Finding expired rows


def expired_conversations(
    database: pw.Database, kind: Kind, before: int, after_id: int, limit: int
) -> list[int]:
    """Return ids above ``after_id`` of conversations that ended before the time ``before``, ascending."""
    table = CONVERSATION_TABLES[kind]
    query = (
        table.select(table.id)
        .where(_is_expired(kind, before) & (table.id > after_id))
        .order_by(table.id)
        .limit(limit)
    )
    return [id for (id,) in query.tuples().execute(database)]


def expired_notifications(database: pw.Database, before: int, after_id: int, limit: int) -> list[int]:
    """Return ids above ``after_id`` of notifications created before the time ``before``, ascending.

    Only notifications that were received or marked as read expire: the others have not been seen yet.
    """
    table = models.Notification
    emptied = (table.type < 0) & (table.id == _highest(database, table))
    query = (
        table.select(table.id)
        .where(_is_expired_notification(before) & (table.id > after_id) & ~emptied)
        .order_by(table.id)
        .limit(limit)
    )
    return [id for (id,) in query.tuples().execute(database)]


def count_expired(database: pw.Database, before: int) -> ExpiredCounts:
    """Count the items that a run with the time ``before`` would remove."""
    conversations, messages = {}, 0
    for kind, table in CONVERSATION_TABLES.items():
        query = table.select(pw.fn.COUNT(table.id), pw.fn.SUM(table.last_seq)).where(
            _is_expired(kind, before)
        )
        count, total_seq = query.tuples().first(database)
        conversations[kind] = count
        # Sequence numbers have no gaps, so last_seq is the number of messages, with those that their user has
        # taken back.
        messages += int(total_seq or 0)
    table = models.Notification
    notifications = table.select().where(_is_expired_notification(before) & (table.type >= 0)).count(database)
    return ExpiredCounts(conversations, messages, notifications)


def _is_expired(kind: Kind, before: int) -> Any:
    """Return the condition for conversations to be removed: finished before ``before`` and not emptied yet.

    A session or support conversation is kept as long as one of its records is.
    """
    record = models.SupervisorConsultation
    if kind is Kind.RECORD:
        return _is_expired_record(before) & ~_IS_EMPTY[record]
    table = CONVERSATION_TABLES[kind]
    about = record.session if kind is Kind.SESSION else record.conversation_id
    kept_records = record.select(record.id).where(
        (about == table.id) & ~_IS_EMPTY[record] & ~_is_expired_record(before)
    )
    return _is_finished(kind, before) & ~_IS_EMPTY[table] & ~pw.fn.EXISTS(kept_records)


def _is_finished(kind: Kind, before: int) -> Any:
    """Return the condition for conversations that ended before ``before``."""
    table = CONVERSATION_TABLES[kind]
    finished = (ConversationState.ENDED.value,) if kind is Kind.SUPPORT else _FINISHED_STATES
    return (table.state << finished) & (table.ended < before)


def _is_expired_record(before: int) -> Any:
    """Return the condition for records that ended before ``before``, or were never used.

    An unused record belongs to an alert that no supervisor answered; it expires when its conversation does.
    """
    session, support = models.ConsultationSession, models.SupportConversation
    record = models.SupervisorConsultation
    sessions = session.select(session.id).where(_is_finished(Kind.SESSION, before))
    conversations = support.select(support.id).where(_is_finished(Kind.SUPPORT, before))
    ended = _is_finished(Kind.RECORD, before)
    unused = (
        (record.state == SessionState.READY.value)
        & (record.last_seq == 0)
        & (record.created < before)
        & (record.session.in_(sessions) | record.conversation_id.in_(conversations))
    )
    return ended | unused


def _is_expired_notification(before: int) -> Any:
    table, inbox, receipt = models.Notification, models.Inbox, models.Receipt
    received = (
        receipt.select(receipt.seq)
        .join(inbox, on=(inbox.owner == receipt.reader))
        .where(
            (receipt.kind == Kind.INBOX.value)
            & (receipt.thread_id == inbox.id)
            & (inbox.id == table.inbox)
            & (receipt.seq >= table.seq)
        )
    )
    return (table.time < before) & (table.read.is_null(False) | pw.fn.EXISTS(received))


# Removing rows


def remove_conversations(
    tx: Transaction, threads: Sequence[Thread], max_messages: int
) -> tuple[RowCounts, list[Thread]]:
    """Remove finished conversations until ``max_messages`` messages are removed.

    :return: the removed rows, and the conversations that are removed completely; the caller calls again for
        the others.
    """
    counts: RowCounts = Counter()
    removed = []
    for thread in threads:
        message = models.Message
        if max_messages <= 0:
            break
        ids = [
            id
            for (id,) in message.select(message.id)
            .where((message.kind == thread.kind.value) & (message.thread_id == thread.id))
            .limit(max_messages)
            .tuples()
            .execute(tx.database)
        ]
        delete_rows(tx, message, ids)
        counts["message"] += len(ids)
        max_messages -= len(ids)
        if max_messages > 0:
            counts += _remove_row(tx, thread)
            removed.append(thread)
    return +counts, removed


def remove_notifications(tx: Transaction, ids: Sequence[int]) -> RowCounts:
    table = models.Notification
    count = table.select().where(table.id.in_(ids) & (table.type >= 0)).count(tx.database)
    delete_rows(tx, table, ids)
    return Counter({"notification": count})


def delete_emptied_rows(tx: Transaction) -> None:
    """Delete emptied rows whose ids cannot be used again any more."""
    session, record = models.ConsultationSession, models.SupervisorConsultation
    for table in (record, session, models.SupportConversation, models.Message, models.HeldMessage):
        empty = _IS_EMPTY[table]
        if table is session:
            empty &= session.id.not_in(record.select(record.session).where(record.session.is_null(False)))
        kept = table.id.between(*_kept_ids(tx.database, table))
        table.delete().where(empty & ~kept).execute(tx.database)


def count_rows(database: pw.Database, table: type[pw.Model]) -> int:
    """Return the number of rows without emptied ones."""
    query = table.select()
    if table in _IS_EMPTY:
        query = query.where(~_IS_EMPTY[table])
    count: int = query.count(database)
    return count


def delete_rows(tx: Transaction, table: type[pw.Model], ids: Iterable[int]) -> None:
    """Delete rows by their ids; rows whose ids could be used again are emptied instead."""
    ids = list(ids)
    if not ids:
        return
    first, last = _kept_ids(tx.database, table)
    id: Any = table._meta.primary_key
    for chunk in chunks(ids, MAX_STATEMENT_IDS):
        table.delete().where(id.in_(chunk) & ~id.between(first, last)).execute(tx.database)
    for kept in ids:
        if first <= kept <= last:
            _empty_row(tx, table, kept)


def _remove_row(tx: Transaction, thread: Thread) -> RowCounts:
    """Remove a conversation's row with all that belongs to it, except its messages."""
    counts: RowCounts = Counter()
    held = models.HeldMessage
    mine = held.select(held.id).where((held.kind == thread.kind.value) & (held.number == thread.id))
    held_ids = [id for (id,) in mine.tuples().execute(tx.database)]
    delete_rows(tx, held, held_ids)
    counts["held_message"] = len(held_ids)
    for marks in (models.Receipt, models.ReadMark):
        counts[marks._meta.table_name] = (
            marks.delete()
            .where((marks.kind == thread.kind.value) & (marks.thread_id == thread.id))
            .execute(tx.database)
        )
    for stays in (models.Participant, models.Handover, models.Consent):
        counts[stays._meta.table_name] = (
            stays.delete()
            .where((stays.kind == thread.kind.value) & (stays.number == thread.id))
            .execute(tx.database)
        )
    if thread.kind is Kind.SUPPORT:
        left = models.LeftMessage
        counts["left_message"] = left.delete().where(left.conversation == thread.id).execute(tx.database)
    table = CONVERSATION_TABLES[thread.kind]
    record = models.SupervisorConsultation
    if thread.kind is Kind.SESSION and record.select().where(record.session == thread.id).exists(tx.database):
        _empty_row(tx, table, thread.id)  # an emptied record still refers to the session's row
    else:
        delete_rows(tx, table, [thread.id])
    counts[table._meta.table_name] = 1
    return counts


def _empty_row(tx: Transaction, table: type[pw.Model], id: int) -> None:
    table.update(**_EMPTY_VALUES[table]).where(table._meta.primary_key == id).execute(tx.database)


def _kept_ids(database: pw.Database, table: type[pw.Model]) -> tuple[int, int]:
    """Return the first and the last id whose rows are not deleted, because the id would be used again."""
    for kind, numbered in CONVERSATION_TABLES.items():
        if table is numbered and kind in numbers.SEQUENCE_NAMES:
            return numbers.upcoming(database, kind)
    highest = _highest(database, table)
    return highest, highest


def _highest(database: pw.Database, table: type[pw.Model]) -> int:
    highest: int = table.select(pw.fn.MAX(table._meta.primary_key)).scalar(database) or 0
    return highest
