"""Tables and queries of alerts: the messages, the next escalation stage, and the notified people."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.plugin_api import MAX_PAGE_ITEMS, Kind, Person, ServerData, Thread, Transaction

LIST_CHARS = 255

MAX_SEVERE_ALERTS = 5
"""Unread alerts that one sender may have for a severe list in a conversation.

People are notified of one alert after the other. So a flood of one sender would delay the alerts of others.
"""


class Stage(StrEnum):
    """The next stage of an alert's escalation: the next recipients. The values are stored."""

    ASSIGNED = "assigned"  # all supervisors of the session
    SUPERVISOR = "supervisor"  # the next supervisor who is online, one at a time
    ADMIN = "admin"  # all administrators
    OFFLINE = "offline"  # the next supervisor who is not online, one at a time
    EXHAUSTED = "exhausted"  # all recipients were notified
    NO_RECIPIENT = "unheard"  # there was no recipient: begin again at the first stage


class KeywordFilterAlert(pw.Model):
    """An alert that is escalated, with its first message. Neither the word nor the message's text is stored.

    ``seq`` is negative if the message was refused: it has no number then. ``list`` is the most severe list.
    ``due`` is the time of ``stage``, null after the last stage. ``acknowledged`` is the time at which a
    notification of the alert was read.
    """

    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    seq = pw.BigIntegerField()
    list = pw.CharField(LIST_CHARS)
    created = pw.BigIntegerField()
    stage = pw.CharField(12)
    due = pw.BigIntegerField(null=True, index=True)
    acknowledged = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "keyword_filter_alert"
        indexes = ((("kind", "thread_id", "seq"), True),)


class KeywordFilterRecord(pw.Model):
    """A list with a word in a message: every one is recorded, also if no further alert is raised for it.

    ``alert`` is the alert that people are notified of. ``sender`` is a ``Person.key``, empty after erasure.
    """

    id = pw.BigAutoField()
    alert = pw.BigIntegerField(index=True)
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    seq = pw.BigIntegerField()
    list = pw.CharField(LIST_CHARS)
    sender = pw.CharField(80, index=True)
    created = pw.BigIntegerField()

    class Meta:
        table_name = "keyword_filter_record"
        indexes = ((("kind", "thread_id", "seq", "list"), True),)


class KeywordFilterNotified(pw.Model):
    """A person who was notified of an alert, with the notification's id."""

    id = pw.BigAutoField()
    alert = pw.BigIntegerField(index=True)
    notification = pw.BigIntegerField()
    person = pw.CharField(80)

    class Meta:
        table_name = "keyword_filter_notified"


class Finding(NamedTuple):
    """A message with words of alert lists.

    :ivar seq: None if the message was refused.
    :ivar lists: the names of the lists.
    """

    thread: Thread
    seq: int | None
    sender: Person
    lists: Sequence[str]


class Alert(NamedTuple):
    """An open alert."""

    id: int
    thread: Thread
    seq: int
    list: str
    stage: Stage
    due: int


def add(tx: Transaction, found: Finding, severe: Collection[str], stage: Stage) -> bool:
    """Record the alert lists with a word in a message, and raise an alert that is due now.

    No alert is raised for a list that an open alert of the same conversation, list and sender has, or, if the
    list is one of ``severe``, that ``MAX_SEVERE_ALERTS`` have. Returns True if an alert was raised. A message
    that was recorded already is not recorded again.
    """
    seq = _refused_number(tx, found.thread) if found.seq is None else found.seq
    message_key = {"kind": found.thread.kind.value, "thread_id": found.thread.id, "seq": seq}
    records = KeywordFilterRecord.select(KeywordFilterRecord.list).filter(**message_key).tuples()
    recorded = {name for (name,) in records.execute(tx.database)}
    unmerged: list[str] = []
    for name in (each[:LIST_CHARS] for each in found.lists):
        if name in recorded:
            continue
        open_alerts = _find_open(tx, found, name)
        if len(open_alerts) < (MAX_SEVERE_ALERTS if name in severe else 1):
            unmerged.append(name)
        else:
            _record(tx, message_key, found, name, open_alerts[0])
    if not unmerged:
        return False
    table = KeywordFilterAlert
    alert = table.select(table.id).filter(**message_key).scalar(tx.database)
    raised = alert is None
    if alert is None:
        name = next((each for each in unmerged if each in severe), unmerged[0])
        row = {**message_key, "list": name, "created": tx.now, "stage": stage.value, "due": tx.now}
        alert = table.insert(**row).execute(tx.database)
    for name in unmerged:
        _record(tx, message_key, found, name, alert)
    return raised


def _record(
    tx: Transaction, message_key: Mapping[str, int], found: Finding, list_name: str, alert: int
) -> None:
    row = {**message_key, "alert": alert, "list": list_name, "sender": found.sender.key, "created": tx.now}
    KeywordFilterRecord.insert(**row).execute(tx.database)


def _refused_number(tx: Transaction, thread: Thread) -> int:
    """Return a negative number for a refused message, which has no number of its own."""
    table = KeywordFilterRecord
    mine = (table.kind == thread.kind.value) & (table.thread_id == thread.id)
    lowest: int | None = table.select(pw.fn.MIN(table.seq)).where(mine).scalar(tx.database)
    return min(lowest or 0, 0) - 1


def _find_open(tx: Transaction, found: Finding, list_name: str) -> list[int]:
    """Return the alerts of this conversation, list and sender that are escalated and that no recipient read.

    The newest is the first; at most ``MAX_SEVERE_ALERTS``.
    """
    table, record = KeywordFilterAlert, KeywordFilterRecord
    query = (
        table.select(table.id)
        .distinct()
        .join(record, on=(record.alert == table.id))
        .where(
            (table.kind == found.thread.kind.value)
            & (table.thread_id == found.thread.id)
            & table.due.is_null(False)
            & table.acknowledged.is_null()
            & (record.list == list_name)
            & (record.sender == found.sender.key)
        )
        .order_by(table.id.desc())
        .tuples()
    )
    alerts = [id for (id,) in query.execute(tx.database)]
    if not alerts:
        return []
    read = {alert for alert, _ in _find_readings(tx.database, KeywordFilterNotified.alert.in_(alerts))}
    return [id for id in alerts if id not in read][:MAX_SEVERE_ALERTS]


def _find_readings(database: pw.Database, condition: Any) -> list[tuple[int, int]]:
    """Return the notifications that were read: for each one its alert, and the time of reading.

    :arg condition: of the rows of ``KeywordFilterNotified``.
    """
    table = KeywordFilterNotified
    query = table.select(table.notification, table.alert).where(condition).tuples()
    alerts: dict[int, int] = dict(query.execute(database))
    found: list[tuple[int, int]] = []
    for ids in pw.chunked(alerts, MAX_PAGE_ITEMS):
        found += [(alerts[id], time) for id, time in ServerData(database).read_times(ids).items()]
    return found


def set_stage(tx: Transaction, alert: Alert, stage: Stage, delay_microseconds: int | None) -> None:
    """Set the next stage of an alert, due after the delay. :arg delay_microseconds: None: never due."""
    table = KeywordFilterAlert
    due = None if delay_microseconds is None else tx.now + delay_microseconds
    table.update(stage=stage.value, due=due).where(table.id == alert.id).execute(tx.database)


def claim(tx: Transaction, alert: Alert, delay_microseconds: int) -> bool:
    """Postpone a due alert for its next step. Returns False if another process has taken the step."""
    table = KeywordFilterAlert
    mine = (table.id == alert.id) & (table.due == alert.due) & (table.stage == alert.stage.value)
    postponed = table.update(due=tx.now + delay_microseconds).where(mine).execute(tx.database)
    return bool(postponed)


def find_due(database: pw.Database, now: int) -> list[Alert]:
    """Return the open alerts whose next stage is due, in the order of their due times."""
    table = KeywordFilterAlert
    query = (
        table.select(table.id, table.kind, table.thread_id, table.seq, table.list, table.stage, table.due)
        .where(table.acknowledged.is_null() & (table.due <= now))
        .order_by(table.due, table.id)
        .tuples()
    )
    return [
        Alert(id, Thread(Kind(kind), thread_id), seq, list_name, Stage(stage), due)
        for id, kind, thread_id, seq, list_name, stage, due in query.execute(database)
    ]


def next_due(database: pw.Database) -> int | None:
    """Return the earliest time at which an open alert is due; None if there is none."""
    table = KeywordFilterAlert
    query = table.select(pw.fn.MIN(table.due)).where(table.acknowledged.is_null())
    found: int | None = query.scalar(database)
    return found


def find_read(database: pw.Database) -> list[tuple[int, int]]:
    """Return the ids of open alerts of which a notification was read, with the time of the first reading."""
    table = KeywordFilterAlert
    open_alerts = table.select(table.id).where(table.acknowledged.is_null())
    times: dict[int, int] = {}
    for alert, time in _find_readings(database, KeywordFilterNotified.alert.in_(open_alerts)):
        times[alert] = min(time, times.get(alert, time))
    return list(times.items())


def acknowledge(tx: Transaction, alerts: Sequence[tuple[int, int]]) -> None:
    """Close alerts that were read. :arg alerts: the ids and the times of reading."""
    table = KeywordFilterAlert
    for id, time in alerts:
        table.update(acknowledged=time, due=None).where(table.id == id).execute(tx.database)


def record_notified(tx: Transaction, alert: Alert, notification: int, person: Person) -> None:
    """Record that ``person`` was notified of the alert."""
    row = {"alert": alert.id, "notification": notification, "person": person.key}
    KeywordFilterNotified.insert(**row).execute(tx.database)


def find_notified(database: pw.Database, alert: Alert) -> list[Person]:
    """Return the people who were notified of the alert so far."""
    table = KeywordFilterNotified
    query = table.select(table.person).where(table.alert == alert.id).tuples()
    return [Person.from_key(person) for (person,) in query.execute(database)]


def find_sender(database: pw.Database, alert: Alert) -> list[Person]:
    """Return the sender of the alert's message; empty if the message was removed.

    The sender is not notified: an alert about a supervisor's own message in a record is for other people.
    """
    record = KeywordFilterRecord
    senders = record.select(record.sender).where((record.alert == alert.id) & (record.sender != ""))
    if found := {sender for (sender,) in senders.tuples().execute(database)}:
        return [Person.from_key(sender) for sender in found]
    sender = sender_of_message(database, alert.thread, alert.seq)  # an alert of an earlier version
    return [] if sender is None else [sender]


def sender_of_message(database: pw.Database, thread: Thread, seq: int) -> Person | None:
    """Return the sender of the message ``seq``; None if it was removed, or never stored (negative)."""
    if seq < 1:
        return None
    page, _ = ServerData(database).messages(thread, after=seq - 1, limit=1)
    return page[0].sender if page and page[0].seq == seq else None
