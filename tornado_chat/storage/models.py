"""The tables. Fields only: the queries stand in the module of each aggregate.

The classes carry no database; every query is executed on one that is handed in, so that
several servers can live in one process. Times are microseconds since 1970 UTC. Whoever is
meant by a person column is written as ``Person.key`` (``"user:7"``).
"""

from copy import copy
from typing import Any

import peewee as pw

PERSON_KEY_CHARS = 80  # the longest role, a colon, 64 characters of id
NAME_CHARS = 64


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


class ConsultationSession(Table):
    """A visitor and a consultant (seed: the id that ``/chat?type=0`` names)."""

    id = pw.BigAutoField()
    asker = pw.CharField(PERSON_KEY_CHARS)
    asker_name = pw.CharField(NAME_CHARS, null=True)
    helper = pw.CharField(PERSON_KEY_CHARS)
    helper_name = pw.CharField(NAME_CHARS, null=True)
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
    """A consultant and a supervisor about a session (seed: the id that ``/chat?type=1`` names)."""

    id = pw.BigAutoField()
    session = pw.ForeignKeyField(ConsultationSession, backref="records")
    asker = pw.CharField(PERSON_KEY_CHARS)
    asker_name = pw.CharField(NAME_CHARS, null=True)
    helper = pw.CharField(PERSON_KEY_CHARS)
    helper_name = pw.CharField(NAME_CHARS, null=True)
    state = pw.CharField(12)
    last_seq = pw.BigIntegerField(default=0)
    created = pw.BigIntegerField()
    started = pw.BigIntegerField(null=True)
    ended = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("helper",), False), (("state",), False))


class SupportConversation(Table):
    """A user and, once matched, a waiter, with the addresses that each was given of the other.

    For the queue policy: ``claims`` of the user's token as JSON text, and the ``last_waiter`` of the
    conversation before. ``reason`` is why it has its waiter. ``changes`` counts those of the state and the
    waiter (none: 0). ``open_user`` is the user as long as it is not over: a user has one such at most.
    """

    id = pw.BigAutoField()
    user = pw.CharField(PERSON_KEY_CHARS)
    user_name = pw.CharField(NAME_CHARS, null=True)
    user_uuid = pw.CharField(36)
    waiter = pw.CharField(PERSON_KEY_CHARS, null=True)
    waiter_name = pw.CharField(NAME_CHARS, null=True)
    waiter_uuid = pw.CharField(36, null=True)
    state = pw.CharField(12)
    returned = pw.BooleanField(default=False)
    last_seq = pw.BigIntegerField(default=0)
    created = pw.BigIntegerField()
    assigned = pw.BigIntegerField(null=True)
    ended = pw.BigIntegerField(null=True)
    rate = pw.SmallIntegerField(null=True)
    feedback = pw.TextField(null=True)
    claims = pw.TextField(null=True)
    last_waiter = pw.CharField(PERSON_KEY_CHARS, null=True)
    reason = pw.TextField(null=True)
    changes = pw.IntegerField(null=True)
    open_user = pw.CharField(PERSON_KEY_CHARS, null=True)

    class Meta:
        indexes = (
            (("user",), False),
            (("waiter",), False),
            (("state",), False),
            (("open_user",), True),
        )


class Message(Table):
    """What was said. ``kind`` and ``thread_id`` name the session, record or conversation.

    Kind 0 is nobody's: see ``removal``.
    """

    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    seq = pw.BigIntegerField()
    sender = pw.CharField(PERSON_KEY_CHARS)
    client_id = pw.CharField(64, null=True)
    media = pw.CharField(12)
    text = pw.TextField()
    time = pw.BigIntegerField()

    class Meta:
        indexes = ((("kind", "thread_id", "seq"), True),)


class _PartialIndex(pw.ModelIndex):
    """An index of the rows that ``where`` names; of all of them on MySQL, which has no such indexes."""

    def __sql__(self, ctx: Any) -> Any:
        index: Any = self
        if ctx.state.index_using_precedes_table:  # MySQL
            index = copy(self)
            index._where = None
        return pw.ModelIndex.__sql__(index, ctx)  # type: ignore[no-untyped-call]


# What makes a resend. Most messages are not looked for by an id of their client, and cost nothing here.
Message.add_index(
    _PartialIndex(
        Message,
        (Message.kind, Message.thread_id, Message.sender, Message.client_id),
        unique=True,
        where=pw.SQL("client_id IS NOT NULL"),
    )
)


class Inbox(Table):
    """One person's notifications as a thread: it holds their last sequence number."""

    id = pw.BigAutoField()
    owner = pw.CharField(PERSON_KEY_CHARS, unique=True)
    last_seq = pw.BigIntegerField(default=0)


class Notification(Table):
    """A pop-up; ``data`` is the seed's object as JSON text. Type -1 is nobody's: see ``removal``."""

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
    """Up to which ``seq`` of a thread a reader is known to have received everything."""

    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    reader = pw.CharField(PERSON_KEY_CHARS)
    seq = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("kind", "thread_id", "reader")


class ReadMark(Table):
    """Up to which ``seq`` of a thread a reader says to have read."""

    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    reader = pw.CharField(PERSON_KEY_CHARS)
    seq = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("kind", "thread_id", "reader")


class PluginCursor(Table):
    """Up to which row of a stream (messages, notifications) a plugin has dealt with everything."""

    plugin = pw.CharField(64)
    stream = pw.CharField(16)
    position = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("plugin", "stream")


class StaffAccount(Table):
    """Somebody who signs in here. ``name`` is in lower case, ``password`` a hash in PHC's format.

    ``person_id`` and ``role`` are the person's. One that was ``removed`` stays as a row, so that nobody
    else gets its person, and with that what was said to it.
    """

    id = pw.BigAutoField()
    name = pw.CharField(NAME_CHARS, unique=True)
    display_name = pw.CharField(NAME_CHARS, null=True)
    role = pw.CharField(12)
    person_id = pw.CharField(NAME_CHARS)
    password = pw.CharField(255)
    disabled = pw.BooleanField(default=False)
    created = pw.BigIntegerField()
    signed_in = pw.BigIntegerField(null=True)
    removed = pw.BigIntegerField(null=True)


class StaffSession(Table):
    """A browser that is signed in. ``key`` is the SHA-256 of the secret in its cookie, in hexadecimal."""

    key = pw.CharField(64, primary_key=True)
    account = pw.ForeignKeyField(StaffAccount, backref="sessions")
    created = pw.BigIntegerField()
    used = pw.BigIntegerField()
    expires = pw.BigIntegerField()


class Writer(Table):
    """A process that writes to a MySQL server: the number and time of its last commit; see ``commits``."""

    name = pw.CharField(32, primary_key=True)
    number = pw.BigIntegerField()
    time = pw.BigIntegerField()


class Lease(Table):
    """What only one process may do, whose turn it is (``holder``), and until when (microseconds); see ``leases``."""

    name = pw.CharField(128, primary_key=True)
    holder = pw.CharField(32)
    until = pw.BigIntegerField()


class DataOperation(Table):
    """What somebody did with the data of people; rows are added and never changed.

    ``operator`` is the user of the machine, ``person`` (as ``Person.key``) whom it was about, and
    ``counts`` how many rows of which table, as JSON text.
    """

    id = pw.BigAutoField()
    time = pw.BigIntegerField()
    operator = pw.CharField(PERSON_KEY_CHARS)
    action = pw.CharField(12)
    state = pw.CharField(12)
    person = pw.CharField(PERSON_KEY_CHARS, null=True)
    counts = pw.TextField(null=True)

    class Meta:
        indexes = ((("person",), False),)


TABLES = (
    ConsultationSession,
    SupervisorConsultation,
    SupportConversation,
    Message,
    Inbox,
    Notification,
    Receipt,
    ReadMark,
    PluginCursor,
    StaffAccount,
    StaffSession,
    Writer,
    Lease,
    DataOperation,
)
