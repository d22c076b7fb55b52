"""The tables of the database, without queries: those are in the module of each aggregate.

The model classes are not bound to a database; every query is executed on a database that is passed in, so
that several servers can run in one process. Times are microseconds since 1970 UTC. A column that refers to
a person holds ``Person.key`` (``"user:7"``).
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
    """A counselling session of a visitor and a consultant (seed: the id that ``/chat?type=0`` names).

    :ivar end_reason: why it has ended, an ``EndReason``; NULL before that, and if it ended before migration
        0016.
    :ivar awaited_until: the time until which an absent participant is awaited, if another has extended that.
    :ivar arrived: the time at which the visitor came for the first time.
    :ivar group_name: the group that the host has chosen; NULL: the default group.
    :ivar agent_changes: how many times ``helper`` was replaced; NULL: never.
    """

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
    end_reason = pw.CharField(12, null=True)
    awaited_until = pw.BigIntegerField(null=True)
    arrived = pw.BigIntegerField(null=True)
    group_name = pw.CharField(32, null=True)
    agent_changes = pw.IntegerField(null=True)

    class Meta:
        # Each ends with ``created``: lists are read newest first (``storage/session_lists.py``).
        indexes = (
            (("asker", "created"), False),
            (("helper", "created"), False),
            (("helper", "state", "created"), False),
            (("state", "created"), False),
            (("created",), False),
        )


class SupervisorConsultation(Table):
    """A supervision record: an agent and a supervisor talk about a session or a support conversation.

    Seed: the id that ``/chat?type=1`` names. ``end_reason`` and ``awaited_until`` are those of a session.

    :ivar session: NULL if the record is about a support conversation.
    :ivar conversation_id: the support conversation; NULL if the record is about a session.
    """

    id = pw.BigAutoField()
    session = pw.ForeignKeyField(ConsultationSession, backref="records", null=True)
    asker = pw.CharField(PERSON_KEY_CHARS)
    asker_name = pw.CharField(NAME_CHARS, null=True)
    helper = pw.CharField(PERSON_KEY_CHARS)
    helper_name = pw.CharField(NAME_CHARS, null=True)
    state = pw.CharField(12)
    last_seq = pw.BigIntegerField(default=0)
    created = pw.BigIntegerField()
    started = pw.BigIntegerField(null=True)
    ended = pw.BigIntegerField(null=True)
    end_reason = pw.CharField(12, null=True)
    awaited_until = pw.BigIntegerField(null=True)
    conversation_id = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("helper",), False), (("state",), False), (("conversation_id",), False))


class SupportConversation(Table):
    """A support conversation of a user and, once matched, a waiter.

    :ivar user_uuid: the user's address for the waiter; ``waiter_uuid`` is the waiter's address for the user.
    :ivar claims: for the queue policy: the claims of the user's token, as JSON text.
    :ivar last_waiter: for the queue policy: the waiter of the user's conversation before.
    :ivar reason: why the waiter was assigned.
    :ivar changes: number of changes of state and waiter; NULL counts as 0.
    :ivar open_user: the user until the conversation ends, then NULL. The column is unique: a user has at most
        one unfinished conversation.
    :ivar group_name: the group that the user has chosen; NULL: the default group.
    :ivar score: the user's lane in the queue, see ``Conversation``; NULL counts as 0.
    :ivar accepted: the time at which the present waiter has confirmed the assignment; NULL: not yet.
    :ivar missed_by: the waiters that lost the assignment unconfirmed, as a JSON list of their keys, until one
        confirms it.
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
    group_name = pw.CharField(32, null=True)
    score = pw.IntegerField(null=True)
    score_reason = pw.TextField(null=True)
    accepted = pw.BigIntegerField(null=True)
    missed_by = pw.TextField(null=True)

    class Meta:
        indexes = (
            (("user",), False),
            (("waiter",), False),
            (("state",), False),
            (("open_user",), True),
        )


class LeftMessage(Table):
    """The words of a user who gave up before an agent had it: a conversation that waits for an answer.

    :ivar conversation: the conversation with the words.
    :ivar group_name: as ``SupportConversation.group_name``.
    :ivar time: the time of the user's leaving.
    :ivar handled: the time at which ``handled_by`` has marked it as handled; NULL before that.
    """

    conversation = pw.BigIntegerField(primary_key=True)
    group_name = pw.CharField(32, null=True)
    time = pw.BigIntegerField()
    handled = pw.BigIntegerField(null=True)
    handled_by = pw.CharField(PERSON_KEY_CHARS, null=True)

    class Meta:
        indexes = ((("handled", "conversation"), False), (("handled_by",), False))


class Message(Table):
    """A message. ``kind`` and ``thread_id`` name its session, record or conversation.

    Kind 0 marks an emptied row, which belongs to no thread: see ``storage/retention.py``.
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
    """An index of the rows that fulfil ``where``; on MySQL, which has no partial indexes, of all rows."""

    def __sql__(self, ctx: Any) -> Any:
        index: Any = self
        if ctx.state.index_using_precedes_table:  # MySQL
            index = copy(self)
            index._where = None
        return pw.ModelIndex.__sql__(index, ctx)  # type: ignore[no-untyped-call]


# The index that finds resends. Messages without a client id, which most are, do not enlarge it.
Message.add_index(
    _PartialIndex(
        Message,
        (Message.kind, Message.thread_id, Message.sender, Message.client_id),
        unique=True,
        where=pw.SQL("client_id IS NOT NULL"),
    )
)


class HeldMessage(Table):
    """A message that waits, or has waited, for the decision of a supervisor; see ``core.types.HeldMessage``.

    ``kind`` and ``number`` name the session or conversation. Kind 0 marks an emptied row, see
    ``storage/retention.py``.
    """

    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    number = pw.BigIntegerField()
    sender = pw.CharField(PERSON_KEY_CHARS)
    client_id = pw.CharField(64, null=True)
    media = pw.CharField(12)
    text = pw.TextField()
    group_name = pw.CharField(32)
    created = pw.BigIntegerField()
    deadline = pw.BigIntegerField(null=True)
    state = pw.CharField(12)
    decided_by = pw.CharField(PERSON_KEY_CHARS, null=True)
    decided = pw.BigIntegerField(null=True)
    final_text = pw.TextField(null=True)
    note = pw.TextField(null=True)
    seq = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("kind", "number"), False), (("state",), False), (("sender",), False))


class Participant(Table):
    """A person in a conversation; see ``core.types.Participant``.

    ``kind`` and ``number`` name the session, record or conversation.

    :ivar left_seq: of a former agent, the last message that was stored before it left.
    """

    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    number = pw.BigIntegerField()
    person = pw.CharField(PERSON_KEY_CHARS)
    part = pw.CharField(12)
    name = pw.CharField(NAME_CHARS, null=True)
    joined = pw.BigIntegerField()
    left = pw.BigIntegerField(null=True)
    left_seq = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("kind", "number"), False), (("person",), False))


class Consent(Table):
    """The acceptance of a group's consent text; see ``core.types.Consent``.

    ``kind`` and ``number`` name the session or conversation.
    """

    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    number = pw.BigIntegerField()
    person = pw.CharField(PERSON_KEY_CHARS)
    group_name = pw.CharField(32)
    version = pw.CharField(32)
    language = pw.CharField(8)
    accepted = pw.BigIntegerField()

    class Meta:
        indexes = (
            (("kind", "number", "person", "group_name", "version"), True),
            (("person",), False),
        )


class Handover(Table):
    """An offer to another agent to take over a session or support conversation; see ``core.types.Offer``.

    ``kind`` and ``number`` name the conversation.

    :ivar source: the agent of the conversation.
    :ivar targets: the people to whom it is offered one after the other, a JSON list of their keys.
    :ivar group_name: the group to whose line the conversation returns; NULL: it is offered to ``targets``.
    :ivar place: the index of ``target`` in ``targets``.
    :ivar target: the person to whom it is offered now, or that has accepted it.
    :ivar deadline: the time until which ``target`` may accept.
    :ivar timeout: how long each target may think, in microseconds.
    :ivar settled: the time of the last state; NULL while it is offered.
    """

    id = pw.BigAutoField()
    kind = pw.SmallIntegerField()
    number = pw.BigIntegerField()
    source = pw.CharField(PERSON_KEY_CHARS)
    offered_by = pw.CharField(PERSON_KEY_CHARS)
    targets = pw.TextField()
    group_name = pw.CharField(32, null=True)
    note = pw.TextField(null=True)
    state = pw.CharField(12)
    place = pw.IntegerField()
    target = pw.CharField(PERSON_KEY_CHARS, null=True)
    deadline = pw.BigIntegerField(null=True)
    timeout = pw.BigIntegerField()
    created = pw.BigIntegerField()
    settled = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("kind", "number"), False), (("state",), False), (("target",), False))


class Inbox(Table):
    """The thread of one person's notifications; it holds their last sequence number."""

    id = pw.BigAutoField()
    owner = pw.CharField(PERSON_KEY_CHARS, unique=True)
    last_seq = pw.BigIntegerField(default=0)


class Notification(Table):
    """A pop-up notification; ``data`` is the seed's object as JSON text.

    Type -1 marks an emptied row: see ``storage/retention.py``.

    :ivar repeats: how many times it was delivered again to plain clients, see ``[notifications] repeat``.
        NULL: it was received before repetitions were counted, and is not repeated.
    """

    id = pw.BigAutoField()
    inbox = pw.ForeignKeyField(Inbox, backref="notifications")
    seq = pw.BigIntegerField()
    type = pw.SmallIntegerField()
    msg = pw.TextField()
    data = pw.TextField(null=True)
    time = pw.BigIntegerField()
    read = pw.BigIntegerField(null=True)
    repeats = pw.SmallIntegerField(null=True)

    class Meta:
        indexes = ((("inbox", "seq"), True),)


class Receipt(Table):
    """The ``seq`` up to which a reader is known to have received everything in a thread."""

    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    reader = pw.CharField(PERSON_KEY_CHARS)
    seq = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("kind", "thread_id", "reader")


class ReadMark(Table):
    """The ``seq`` up to which a reader has read a thread, as the reader's page reports."""

    kind = pw.SmallIntegerField()
    thread_id = pw.BigIntegerField()
    reader = pw.CharField(PERSON_KEY_CHARS)
    seq = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("kind", "thread_id", "reader")


class PluginCursor(Table):
    """The row of a stream (messages, notifications) up to which a plugin has processed everything."""

    plugin = pw.CharField(64)
    stream = pw.CharField(16)
    position = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("plugin", "stream")


class PluginDelivery(Table):
    """A delivery of a plugin's outbox; see ``core.deliveries.Delivery``.

    :ivar recipient: ``Person.key`` of the person whom the delivery is about; empty for none.
    """

    id = pw.BigAutoField()
    plugin = pw.CharField(64)
    outbox = pw.CharField(32)
    target = pw.CharField(64)
    item = pw.CharField(64)
    order_key = pw.CharField(64)
    shown = pw.TextField()
    recipient = pw.CharField(PERSON_KEY_CHARS)
    body = pw.TextField()
    event_id = pw.CharField(36)
    state = pw.CharField(12)
    attempts = pw.IntegerField(default=0)
    next_at = pw.BigIntegerField()
    since = pw.BigIntegerField()
    created = pw.BigIntegerField()
    last_error = pw.TextField(null=True)

    class Meta:
        indexes = (
            (("plugin", "outbox", "target", "item"), True),
            (("state", "plugin", "outbox", "next_at"), False),
            (("target", "order_key", "state"), False),
            (("recipient",), False),
        )


class StaffAccount(Table):
    """An account of the server itself.

    A removed account stays as a row, so that no other account gets the same person and with it the person's
    messages.

    :ivar name: in lower case.
    :ivar role: the person's role; ``person_id`` is the person's id.
    :ivar password: a hash in PHC string format.
    :ivar group_names: the groups that the person serves, separated by commas; NULL: none are named.
    :ivar trainee: true if the person's messages wait for an approval; NULL counts as false.
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
    group_names = pw.TextField(null=True)
    trainee = pw.BooleanField(null=True)


class StaffSession(Table):
    """A signed-in browser. ``key`` is the SHA-256 of the secret in its cookie, in hexadecimal."""

    key = pw.CharField(64, primary_key=True)
    account = pw.ForeignKeyField(StaffAccount, backref="sessions")
    created = pw.BigIntegerField()
    used = pw.BigIntegerField()
    expires = pw.BigIntegerField()


class WriterProcess(Table):
    """A process that writes to a MySQL server, with the number and time of its last commit.

    See ``storage/transactions.py``.
    """

    name = pw.CharField(32, primary_key=True)
    number = pw.BigIntegerField()
    time = pw.BigIntegerField()

    class Meta:
        table_name = "writer"


class Lease(Table):
    """The exclusive right of one process (``holder``) to a task, until a time; see ``storage/leases.py``."""

    name = pw.CharField(128, primary_key=True)
    holder = pw.CharField(32)
    until = pw.BigIntegerField()


class Revocation(Table):
    """The refusal of a person's tokens; see ``core.types.Revocation``. A row is removed when it has ended."""

    id = pw.BigAutoField()
    person = pw.CharField(PERSON_KEY_CHARS, unique=True)
    since = pw.BigIntegerField()
    until = pw.BigIntegerField()
    all_tokens = pw.BooleanField(default=False)
    made_by = pw.CharField(PERSON_KEY_CHARS)


class NumberSequence(Table):
    """The last number that the server chose by itself for a row of the table ``name``.

    See ``storage/numbers.py``.
    """

    name = pw.CharField(32, primary_key=True)
    last_number = pw.BigIntegerField()


class DataOperation(Table):
    """An operation on personal data; rows are added and never changed.

    :ivar operator: the user of the machine who ran the command.
    :ivar person: ``Person.key`` of the person whose data it was; NULL if it was not about one person.
    :ivar counts: numbers of rows by table, as JSON text.
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


class ErasureProgress(Table):
    """The counts of an erasure that is not completed; its transactions update the row, its end removes it.

    :ivar counts: numbers of rows by table and change, as JSON text.
    """

    person = pw.CharField(PERSON_KEY_CHARS, primary_key=True)
    counts = pw.TextField()


TABLES = (
    ConsultationSession,
    SupervisorConsultation,
    SupportConversation,
    LeftMessage,
    Participant,
    Consent,
    Handover,
    Message,
    HeldMessage,
    Inbox,
    Notification,
    Receipt,
    ReadMark,
    PluginCursor,
    PluginDelivery,
    StaffAccount,
    StaffSession,
    WriterProcess,
    Lease,
    Revocation,
    DataOperation,
    NumberSequence,
    ErasureProgress,
)
