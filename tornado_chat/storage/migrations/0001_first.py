"""The first schema. Frozen: later changes of the models get migrations of their own."""

from typing import Any

import peewee as pw

PERSON = 80
NAME = 64


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class ConsultationSession(Table):
    id = pw.BigAutoField()
    asker = pw.CharField(PERSON)
    asker_name = pw.CharField(NAME, null=True)
    helper = pw.CharField(PERSON)
    helper_name = pw.CharField(NAME, null=True)
    state = pw.CharField(12)
    last_seq = pw.BigIntegerField(default=0)
    appointment_id = pw.BigIntegerField(null=True)
    created = pw.BigIntegerField()
    started = pw.BigIntegerField(null=True)
    ended = pw.BigIntegerField(null=True)
    rate = pw.SmallIntegerField(null=True)
    feedback = pw.TextField(null=True)

    class Meta:
        indexes = ((("asker",), False), (("helper",), False), (("state",), False))


class SupervisorConsultation(Table):
    id = pw.BigAutoField()
    session = pw.ForeignKeyField(ConsultationSession, backref="records")
    asker = pw.CharField(PERSON)
    asker_name = pw.CharField(NAME, null=True)
    helper = pw.CharField(PERSON)
    helper_name = pw.CharField(NAME, null=True)
    state = pw.CharField(12)
    last_seq = pw.BigIntegerField(default=0)
    created = pw.BigIntegerField()
    started = pw.BigIntegerField(null=True)
    ended = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("helper",), False), (("state",), False))


class SupportConversation(Table):
    id = pw.BigAutoField()
    user = pw.CharField(PERSON)
    user_name = pw.CharField(NAME, null=True)
    user_uuid = pw.CharField(36)
    waiter = pw.CharField(PERSON, null=True)
    waiter_name = pw.CharField(NAME, null=True)
    waiter_uuid = pw.CharField(36, null=True)
    state = pw.CharField(12)
    returned = pw.BooleanField(default=False)
    last_seq = pw.BigIntegerField(default=0)
    created = pw.BigIntegerField()
    assigned = pw.BigIntegerField(null=True)
    ended = pw.BigIntegerField(null=True)
    rate = pw.SmallIntegerField(null=True)
    feedback = pw.TextField(null=True)

    class Meta:
        indexes = ((("user",), False), (("waiter",), False), (("state",), False))


class Message(Table):
    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    seq = pw.BigIntegerField()
    sender = pw.CharField(PERSON)
    client_id = pw.CharField(64, null=True)
    media = pw.CharField(12)
    text = pw.TextField()
    time = pw.BigIntegerField()

    class Meta:
        indexes = (
            (("kind", "thread_id", "seq"), True),
            (("kind", "thread_id", "sender", "client_id"), True),
        )


class Inbox(Table):
    id = pw.BigAutoField()
    owner = pw.CharField(PERSON, unique=True)
    last_seq = pw.BigIntegerField(default=0)


class Notification(Table):
    id = pw.BigAutoField()
    inbox = pw.ForeignKeyField(Inbox, backref="notifications")
    seq = pw.BigIntegerField()
    type = pw.SmallIntegerField()
    msg = pw.TextField()
    data = pw.TextField(null=True)
    time = pw.BigIntegerField()
    read = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("inbox", "seq"), True),)


class Receipt(Table):
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    reader = pw.CharField(PERSON)
    seq = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("kind", "thread_id", "reader")


TABLES = (
    ConsultationSession,
    SupervisorConsultation,
    SupportConversation,
    Message,
    Inbox,
    Notification,
    Receipt,
)


def up(migrator: Any, db: pw.Database) -> None:
    with db.bind_ctx(TABLES):
        db.create_tables(TABLES, safe=False)
