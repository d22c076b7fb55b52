"""Tables and queries of alerts: the messages, the next escalation stage, and the notified people."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import peewee as pw

from tornado_chat.plugin_api import Kind, Person, Thread, Transaction, models

LIST_CHARS = 255


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

    No alert is raised for a list that an open alert of the same conversation, list and sender has, unless the
    list is one of ``severe``. Returns True if an alert was raised. A message that was recorded already is not
    recorded again.
    """
    seq = _refused_number(tx, found.thread) if found.seq is None else found.seq
    message_key = {"kind": found.thread.kind.value, "thread_id": found.thread.id, "seq": seq}
    records = KeywordFilterRecord.select(KeywordFilterRecord.list).filter(**message_key).tuples()
    recorded = {name for (name,) in records.execute(tx.database)}
    unmerged: list[str] = []
    for name in (each[:LIST_CHARS] for each in found.lists):
        if name in recorded:
            continue
        alert = None if name in severe else _find_open(tx, found, name)
        if alert is None:
            unmerged.append(name)
        else:
            _record(tx, message_key, found, name, alert)
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


def _find_open(tx: Transaction, found: Finding, list_name: str) -> int | None:
    """Return the alert of this conversation, list and sender that is escalated and that no recipient read."""
    table, record = KeywordFilterAlert, KeywordFilterRecord
    notified_table, notification = KeywordFilterNotified, models.Notification
    readings = (
        notified_table.select(notified_table.id)
        .join(notification, on=(notification.id == notified_table.notification))
        .where((notified_table.alert == table.id) & notification.read.is_null(False))
    )
    alert: int | None = (
        table.select(table.id)
        .join(record, on=(record.alert == table.id))
        .where(
            (table.kind == found.thread.kind.value)
            & (table.thread_id == found.thread.id)
            & table.due.is_null(False)
            & table.acknowledged.is_null()
            & (record.list == list_name)
            & (record.sender == found.sender.key)
            & ~pw.fn.EXISTS(readings)
        )
        .order_by(table.id.desc())
        .limit(1)
        .scalar(tx.database)
    )
    return alert


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
    table, notified_table, notification = KeywordFilterAlert, KeywordFilterNotified, models.Notification
    query = (
        table.select(table.id, pw.fn.MIN(notification.read))
        .join(notified_table, on=(notified_table.alert == table.id))
        .join(notification, on=(notification.id == notified_table.notification))
        .where(table.acknowledged.is_null() & notification.read.is_null(False))
        .group_by(table.id)
        .tuples()
    )
    return list(query.execute(database))


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
    # An alert of an earlier version has no record.
    table = models.Message
    query = table.select(table.sender).where(
        (table.kind == alert.thread.kind) & (table.thread_id == alert.thread.id) & (table.seq == alert.seq)
    )
    return [Person.from_key(sender) for (sender,) in query.tuples().execute(database)]
