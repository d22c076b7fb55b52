"""The alerts in the database: what was found where, whose turn it is, and who was notified."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import peewee as pw

from tornado_chat.plugin_api import Kind, Message, Person, Thread, Transaction, models


class Stage(StrEnum):
    """Who is to be notified next. The values are stored."""

    ASSIGNED = "assigned"  # all supervisors of the session
    SUPERVISOR = "supervisor"  # the next supervisor, one at a time
    ADMIN = "admin"  # all administrators
    EXHAUSTED = "exhausted"  # nobody is left
    NO_RECIPIENT = "unheard"  # there was nobody at all: from the beginning


class KeywordFilterAlert(pw.Model):
    """A message in which a word of an alert list was found; never the word, nor the message's text.

    ``due`` is when ``stage`` comes; null after the last one. ``acknowledged`` is when somebody read a
    notification of it.
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
    """Who was notified of an alert, and the notification's id."""

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
    """A new alert, due now. None is made, and False returned, for a message that had one, and while one of its
    conversation is on its way.
    """
    table = KeywordFilterAlert
    place = {"kind": message.thread.kind, "thread_id": message.thread.id, "seq": message.seq}
    if table.select().filter(**place).exists(tx.database) or is_escalating(tx, message.thread):
        return False
    row = {**place, "list": list_name[:255], "created": tx.now, "stage": stage.value, "due": tx.now}
    table.insert(**row).execute(tx.database)
    return True


def set_stage(tx: Transaction, alert: Alert, stage: Stage, after: int | None) -> None:
    """``stage`` comes next, in ``after`` microseconds; None: never."""
    table = KeywordFilterAlert
    when = None if after is None else tx.now + after
    table.update(stage=stage.value, due=when).where(table.id == alert.id).execute(tx.database)


def due(database: pw.Database, now: int) -> list[Alert]:
    """The open alerts whose next step is due, the one that is so longest first."""
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
    """When the next step of any is due; None if there is none to come."""
    table = KeywordFilterAlert
    query = table.select(pw.fn.MIN(table.due)).where(table.acknowledged.is_null())
    found: int | None = query.scalar(database)
    return found


def read(database: pw.Database) -> list[tuple[int, int]]:
    """Open alerts of which a notification was read, and when."""
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
    """Whether an alert of this conversation goes from one person to the next, and nobody has read of it."""
    table, notified_table, notification = KeywordFilterAlert, KeywordFilterNotified, models.Notification
    seen = (
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
            & table.id.not_in(seen)
        )
        .exists(tx.database)
    )


def acknowledge(tx: Transaction, alerts: Sequence[tuple[int, int]]) -> None:
    """Somebody has read of these, then: nobody else is notified."""
    table = KeywordFilterAlert
    for id, when in alerts:
        table.update(acknowledged=when, due=None).where(table.id == id).execute(tx.database)


def record_notified(tx: Transaction, alert: Alert, notification: int, person: Person) -> None:
    """``person`` was notified of it."""
    row = {"alert": alert.id, "notification": notification, "person": person.key}
    KeywordFilterNotified.insert(**row).execute(tx.database)


def notified(database: pw.Database, alert: Alert) -> list[Person]:
    """Who was, so far."""
    table = KeywordFilterNotified
    query = table.select(table.person).where(table.alert == alert.id).tuples()
    return [Person.from_key(person) for (person,) in query.execute(database)]


def sender(database: pw.Database, alert: Alert) -> list[Person]:
    """Who said it. A supervisor's own word in a record is for others to look at."""
    table = models.Message
    query = table.select(table.sender).where(
        (table.kind == alert.thread.kind) & (table.thread_id == alert.thread.id) & (table.seq == alert.seq)
    )
    return [Person.from_key(sender) for (sender,) in query.tuples().execute(database)]
