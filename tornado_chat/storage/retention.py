"""Taking out what is old: finished conversations with all that belongs to them, and notifications.

Strategy: small pieces, each a transaction that nobody notices. A conversation's messages go first and
its own row last, so whatever comes in between, the next run goes on with it.

**No id is ever used again.** SQLite gives a new row the highest id plus one, so without its last row a
table would begin to repeat ids; and positions of plugins, links of hosts and audits go by
ids. The row with the highest id is therefore emptied and stays until there is a higher one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.aio.chunks import chunks
from tornado_chat.core.types import ConversationState, Kind, SessionState, Thread
from tornado_chat.storage import models
from tornado_chat.storage.writer import Transaction

MAX_STATEMENT_IDS = 500  # ids in one statement

Counts = Counter[str]
"""Rows by table."""

CONVERSATION_TABLES: Mapping[Kind, Any] = {
    Kind.RECORD: models.SupervisorConsultation,
    Kind.SESSION: models.ConsultationSession,
    Kind.SUPPORT: models.SupportConversation,
}
"""In the order in which conversations are removed: records before their sessions."""

REMOVED_ID = "removed"
"""The id of whoever took part in a conversation of which only the emptied row is left."""

_EMPTY_ROOM = {
    "asker": f"user:{REMOVED_ID}",
    "asker_name": None,
    "helper": f"consultant:{REMOVED_ID}",
    "helper_name": None,
    "last_seq": 0,
    "started": None,
}
_EMPTY_VALUES: Mapping[type[pw.Model], Mapping[str, Any]] = {
    models.ConsultationSession: {**_EMPTY_ROOM, "appointment_id": None, "rate": None, "feedback": None},
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
    models.Notification: {"type": -1, "msg": "", "data": None},
}
_IS_EMPTY: Mapping[type[pw.Model], Any] = {
    models.ConsultationSession: models.ConsultationSession.asker == f"user:{REMOVED_ID}",
    models.SupervisorConsultation: models.SupervisorConsultation.helper == f"supervisor:{REMOVED_ID}",
    models.SupportConversation: models.SupportConversation.user == f"user:{REMOVED_ID}",
    models.Message: models.Message.kind == 0,
    models.Notification: models.Notification.type < 0,
}
_FINISHED_STATES = (SessionState.COMPLETED.value, SessionState.CANCELLED.value)


class ExpiredCounts(NamedTuple):
    """How much there is to be removed."""

    conversations: Mapping[Kind, int]
    messages: int
    notifications: int


# What is old


def expired_conversations(
    database: pw.Database, kind: Kind, before: int, after_id: int, limit: int
) -> list[int]:
    """Ids of conversations of this kind that ended before that time, ascending from ``after_id``."""
    table = CONVERSATION_TABLES[kind]
    query = (
        table.select(table.id)
        .where(_is_expired(kind, before) & (table.id > after_id))
        .order_by(table.id)
        .limit(limit)
    )
    return [id for (id,) in query.tuples().execute(database)]


def expired_notifications(database: pw.Database, before: int, after_id: int, limit: int) -> list[int]:
    """Ids of notifications that were made before that time and have arrived, or were marked as read.

    What has not reached anybody yet is not removed: nobody has read it.
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
    """What ``before`` would remove."""
    conversations, messages = {}, 0
    for kind, table in CONVERSATION_TABLES.items():
        query = table.select(pw.fn.COUNT(table.id), pw.fn.SUM(table.last_seq)).where(
            _is_expired(kind, before)
        )
        count, said = query.tuples().first(database)
        conversations[kind] = count
        messages += int(said or 0)  # seq has no gaps
    table = models.Notification
    notifications = table.select().where(_is_expired_notification(before) & (table.type >= 0)).count(database)
    return ExpiredCounts(conversations, messages, notifications)


def _is_expired(kind: Kind, before: int) -> Any:
    """Never an open conversation. One that is emptied already does not count."""
    if kind is Kind.SUPPORT:
        support = models.SupportConversation
        return (
            (support.state == ConversationState.ENDED.value) & (support.ended < before) & ~_IS_EMPTY[support]
        )
    session, record = models.ConsultationSession, models.SupervisorConsultation
    over = (session.state << _FINISHED_STATES) & (session.ended < before) & ~_IS_EMPTY[session]
    if kind is Kind.SESSION:
        younger = record.select(record.id).where(
            (record.session == session.id) & ~_IS_EMPTY[record] & ~_record_is_over(before)
        )
        return over & ~pw.fn.EXISTS(younger)
    return _record_is_over(before) & ~_IS_EMPTY[record]


def _record_is_over(before: int) -> Any:
    """Ended; or never begun, and its session is over for so long: an alert to which nobody came."""
    session, record = models.ConsultationSession, models.SupervisorConsultation
    sessions = session.select(session.id).where(
        (session.state << _FINISHED_STATES) & (session.ended < before)
    )
    ended = (record.state << _FINISHED_STATES) & (record.ended < before)
    unused = (
        (record.state == SessionState.READY.value)
        & (record.last_seq == 0)
        & (record.created < before)
        & record.session.in_(sessions)
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


# Removing it


def remove_conversations(
    tx: Transaction, threads: Sequence[Thread], max_messages: int
) -> tuple[Counts, list[Thread]]:
    """Remove conversations, as far as ``max_messages`` messages reach. They must be finished.

    Returns what was removed, and the conversations that are gone; the others come next.
    """
    counts: Counts = Counter()
    gone = []
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
            gone.append(thread)
    return +counts, gone


def remove_notifications(tx: Transaction, ids: Sequence[int]) -> Counts:
    table = models.Notification
    count = table.select().where(table.id.in_(ids) & (table.type >= 0)).count(tx.database)
    delete_rows(tx, table, ids)
    return Counter({"notification": count})


def delete_emptied_rows(tx: Transaction) -> None:
    """Remove emptied rows that are not the last ones any more."""
    session, record = models.ConsultationSession, models.SupervisorConsultation
    for table in (record, session, models.SupportConversation, models.Message):
        empty = _IS_EMPTY[table]
        if table is session:
            empty &= session.id.not_in(record.select(record.session))
        table.delete().where(empty & (table.id < _highest(tx.database, table))).execute(tx.database)


def count_rows(database: pw.Database, table: type[pw.Model]) -> int:
    """How many rows say something."""
    query = table.select()
    if table in _IS_EMPTY:
        query = query.where(~_IS_EMPTY[table])
    count: int = query.count(database)
    return count


def delete_rows(tx: Transaction, table: type[pw.Model], ids: Iterable[int]) -> None:
    """Delete rows by their ids; the one with the highest id of the table is emptied instead."""
    ids = list(ids)
    if not ids:
        return
    highest = _highest(tx.database, table)
    id: Any = table._meta.primary_key
    for some in chunks(ids, MAX_STATEMENT_IDS):
        table.delete().where(id.in_(some) & (id != highest)).execute(tx.database)
    if highest in ids:
        _empty_row(tx, table, highest)


def _remove_row(tx: Transaction, thread: Thread) -> Counts:
    counts: Counts = Counter()
    for marks in (models.Receipt, models.ReadMark):
        counts[marks._meta.table_name] = (
            marks.delete()
            .where((marks.kind == thread.kind.value) & (marks.thread_id == thread.id))
            .execute(tx.database)
        )
    table = CONVERSATION_TABLES[thread.kind]
    record = models.SupervisorConsultation
    if thread.kind is Kind.SESSION and record.select().where(record.session == thread.id).exists(tx.database):
        _empty_row(tx, table, thread.id)  # for the emptied record that still names it
    else:
        delete_rows(tx, table, [thread.id])
    counts[table._meta.table_name] = 1
    return counts


def _empty_row(tx: Transaction, table: type[pw.Model], id: int) -> None:
    table.update(**_EMPTY_VALUES[table]).where(table._meta.primary_key == id).execute(tx.database)


def _highest(database: pw.Database, table: type[pw.Model]) -> int:
    highest: int = table.select(pw.fn.MAX(table._meta.primary_key)).scalar(database) or 0
    return highest
