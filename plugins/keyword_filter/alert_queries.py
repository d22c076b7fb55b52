"""Tables and queries of alerts: the messages, the next escalation stage, and the notified people."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import peewee as pw

from tornado_chat.plugin_api import Kind, Message, Person, Thread, Transaction, models


class Stage(StrEnum):
    """The next stage of an alert's escalation: the next recipients. The values are stored."""

    ASSIGNED = "assigned"  # all supervisors of the session
    SUPERVISOR = "supervisor"  # the next supervisor, one at a time
    ADMIN = "admin"  # all administrators
    EXHAUSTED = "exhausted"  # all recipients were notified
    NO_RECIPIENT = "unheard"  # there was no recipient: begin again at the first stage


class KeywordFilterAlert(pw.Model):
    """An alert: a message with a word of an alert list. Neither the word nor the message's text is stored.

    ``due`` is the time of ``stage``, null after the last stage. ``acknowledged`` is the time at which a
    notification of the alert was read.
    """

    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    seq = pw.BigIntegerField()
    list = pw.CharField(255)
    created = pw.BigIntegerField()
    stage = pw.CharField(12)
    due = pw.BigIntegerField(null=True, index=True)
    acknowledged = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "keyword_filter_alert"
        indexes = ((("kind", "thread_id", "seq"), True),)


class KeywordFilterNotified(pw.Model):
    """A person who was notified of an alert, with the notification's id."""

    id = pw.BigAutoField()
    alert = pw.BigIntegerField(index=True)
    notification = pw.BigIntegerField()
    person = pw.CharField(80)

    class Meta:
        table_name = "keyword_filter_notified"


class Alert(NamedTuple):
    """An open alert."""

    id: int
    thread: Thread
    seq: int
    list: str
    stage: Stage


def add(tx: Transaction, message: Message, list_name: str, stage: Stage) -> bool:
    """Add an alert that is due now.

    Returns False without adding an alert if the message has an alert already, or while an alert of the same
    conversation is being escalated.
    """
    table = KeywordFilterAlert
    message_key = {"kind": message.thread.kind, "thread_id": message.thread.id, "seq": message.seq}
    if table.select().filter(**message_key).exists(tx.database) or is_escalating(tx, message.thread):
        return False
    row = {**message_key, "list": list_name[:255], "created": tx.now, "stage": stage.value, "due": tx.now}
    table.insert(**row).execute(tx.database)
    return True


def set_stage(tx: Transaction, alert: Alert, stage: Stage, delay_microseconds: int | None) -> None:
    """Set the next stage of an alert, due after the delay. :arg delay_microseconds: None: never due."""
    table = KeywordFilterAlert
    due = None if delay_microseconds is None else tx.now + delay_microseconds
    table.update(stage=stage.value, due=due).where(table.id == alert.id).execute(tx.database)


def find_due(database: pw.Database, now: int) -> list[Alert]:
    """Return the open alerts whose next stage is due, in the order of their due times."""
    table = KeywordFilterAlert
    query = (
        table.select(table.id, table.kind, table.thread_id, table.seq, table.list, table.stage)
        .where(table.acknowledged.is_null() & (table.due <= now))
        .order_by(table.due, table.id)
        .tuples()
    )
    return [
        Alert(id, Thread(Kind(kind), thread_id), seq, list_name, Stage(stage))
        for id, kind, thread_id, seq, list_name, stage in query.execute(database)
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


def is_escalating(tx: Transaction, thread: Thread) -> bool:
    """Return True if an alert of this conversation is being escalated, and no recipient has read it."""
    table, notified_table, notification = KeywordFilterAlert, KeywordFilterNotified, models.Notification
    read_alerts = (
        notified_table.select(notified_table.alert)
        .join(notification, on=(notification.id == notified_table.notification))
        .where(notification.read.is_null(False))
    )
    return bool(
        table.select(table.id)
        .where(
            (table.kind == thread.kind)
            & (table.thread_id == thread.id)
            & table.due.is_null(False)
            & table.id.not_in(read_alerts)
        )
        .exists(tx.database)
    )


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
    table = models.Message
    query = table.select(table.sender).where(
        (table.kind == alert.thread.kind) & (table.thread_id == alert.thread.id) & (table.seq == alert.seq)
    )
    return [Person.from_key(sender) for (sender,) in query.tuples().execute(database)]
