"""The values that pass between the layers: frozen, without behaviour.

Times are integers: microseconds since 1970-01-01 UTC. Only the wire turns them into
the local ISO 8601 texts that clients see.
"""

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec


class Role(enum.StrEnum):
    """Who somebody is, as the token's role claim says it."""

    USER = "user"
    CONSULTANT = "consultant"
    SUPERVISOR = "supervisor"
    WAITER = "waiter"
    ADMIN = "admin"
    SERVICE = "service"


class Person(NamedTuple):
    """The key of a human being or a host back end: ids are unique within a role only.

    Hosts use integers or strings as ids; ``7`` and ``"7"`` are the same person.
    """

    role: Role
    id: str

    @property
    def key(self) -> str:
        """One text for one database column: ``"user:7"``."""
        return f"{self.role.value}:{self.id}"

    @property
    def host_id(self) -> int | str:
        """The id as its host most likely wrote it: a number if it looks like one."""
        number = self.id.isascii() and self.id.isdigit() and str(int(self.id)) == self.id
        return int(self.id) if number else self.id

    @classmethod
    def from_key(cls, key: str) -> "Person":
        role, _, id = key.partition(":")
        return cls(Role(role), id)


class Identity(msgspec.Struct, frozen=True):
    """A verified token. ``claims`` is all it said, for plugins that know more of them."""

    person: Person
    name: str | None = None
    claims: Mapping[str, Any] = {}


class StaffAccount(msgspec.Struct, frozen=True):
    """Somebody who signs in at the server itself, by ``name`` and password.

    ``signed_in`` is the last time that it did.
    """

    name: str
    display_name: str | None
    person: Person
    created: int
    disabled: bool = False
    signed_in: int | None = None

    @property
    def shown_name(self) -> str:
        """What others see."""
        return self.display_name or self.name


class Kind(enum.IntEnum):
    """What a thread belongs to. The numbers are stored."""

    SESSION = 1
    RECORD = 2
    SUPPORT = 3
    INBOX = 4


class Thread(NamedTuple):
    """A durable, ordered stream of messages: a session, a record, a support conversation, an inbox.

    Everything about delivery (sequence numbers without gaps, receipts, resume) is the same
    for the four of them.
    """

    kind: Kind
    id: int

    @property
    def named(self) -> Mapping[str, int]:
        """As it is called in the log: ``{"session": 4}``."""
        return {_LOG_KEYS[self.kind]: self.id}


_LOG_KEYS = {
    Kind.SESSION: "session",
    Kind.RECORD: "record",
    Kind.SUPPORT: "conversation",
    Kind.INBOX: "inbox",
}


class Message(msgspec.Struct, frozen=True, gc=False):
    """A stored message. ``seq`` counts from 1 in its thread, without gaps."""

    thread: Thread
    seq: int
    sender: Person
    text: str
    time: int
    media: str = "text"
    client_id: str | None = None


class Notification(msgspec.Struct, frozen=True):
    """A stored pop-up: a message of the recipient's inbox. ``data`` is the seed's, as JSON values.

    ``read_at`` is when it was first marked as read.
    """

    id: int
    recipient: Person
    thread: Thread
    seq: int
    type: int
    msg: str
    data: Mapping[str, Any] | None
    time: int
    read: bool = False
    read_at: int | None = None


class AppendResult(msgspec.Struct, frozen=True, gc=False):
    """What the sender of a message learns after the commit."""

    seq: int
    time: int
    duplicate: bool = False


class SessionState(enum.StrEnum):
    """The states of a counselling session and of a supervision record."""

    READY = "ready"
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class ConversationState(enum.StrEnum):
    """The states of a support conversation."""

    WAITING = "waiting"
    ACTIVE = "active"
    ENDED = "ended"


class Room(msgspec.Struct, frozen=True):
    """A counselling session (kind SESSION) or a supervision record (kind RECORD).

    ``asker`` is who seeks help (visitor; consultant of a record) and ``helper`` who gives it
    (consultant; supervisor). ``session_id`` is the session a record is about, or its own id.
    """

    thread: Thread
    asker: Person
    helper: Person
    asker_name: str | None
    helper_name: str | None
    state: SessionState
    last_seq: int
    session_id: int
    created: int
    started: int | None = None
    ended: int | None = None
    appointment_id: int | None = None
    rate: int | None = None
    feedback: str | None = None

    @property
    def open(self) -> bool:
        return self.state in (SessionState.READY, SessionState.ACTIVE)


class Conversation(msgspec.Struct, frozen=True):
    """A support conversation. The two ``uuid``s are its addresses, given to the peers once.

    ``claims`` (of ``[support] queue_claims``) and ``last_waiter``, the one of the conversation before,
    are for the queue policy; ``reason`` is its sentence for the waiter it chose. ``changes`` counts those of
    the state and the waiter, so that of two versions the newer one is known.
    """

    id: int
    user: Person
    user_name: str | None
    user_uuid: str
    state: ConversationState
    last_seq: int
    created: int
    returned: bool = False
    waiter: Person | None = None
    waiter_name: str | None = None
    waiter_uuid: str | None = None
    assigned: int | None = None
    ended: int | None = None
    rate: int | None = None
    feedback: str | None = None
    claims: Mapping[str, Any] = {}
    last_waiter: Person | None = None
    reason: str | None = None
    changes: int = 0

    @property
    def thread(self) -> Thread:
        return Thread(Kind.SUPPORT, self.id)

    @property
    def open(self) -> bool:
        return self.state is not ConversationState.ENDED


class Operation(msgspec.Struct, frozen=True):
    """A record of what an operator did with people's data: a row of ``data_operation``.

    ``action`` is ``export``, ``erase`` or ``prune``; ``state`` is ``begun``, ``done`` or ``stopped``; ``person`` is
    as ``Person.key``, and ``counts`` JSON text: rows by table.
    """

    id: int
    time: int
    operator: str
    action: str
    state: str
    person: str | None = None
    counts: str | None = None


# What plugins are asked with, and answer


class Action(enum.StrEnum):
    """What somebody is about to do, as the hook ``authorize`` is asked."""

    CHAT = "chat"
    OBSERVE = "observe"
    READ = "read"
    OPEN = "open"
    SUPERVISE = "supervise"
    END = "end"
    NOTIFY = "notify"
    QUEUE = "queue"
    SERVE = "serve"


class Draft(msgspec.Struct, frozen=True):
    """A message before it is stored. ``media`` is ``text``, or ``image`` with an address as text."""

    thread: Thread
    sender: Identity
    text: str
    media: str = "text"

    def replace(self, text: str) -> "Draft":
        """The same message with another text."""
        return msgspec.structs.replace(self, text=text)


class NotificationDraft(msgspec.Struct, frozen=True):
    """A notification before it is stored.

    ``data`` of a session or record that is about to be opened has no ids yet, and is not taken
    from the answer; of all others it is.
    """

    recipient: Person
    type: int
    msg: str
    data: Mapping[str, Any] | None = None

    def replace(self, **changes: Any) -> "NotificationDraft":
        """The same notification with another ``msg`` or ``data``."""
        return msgspec.structs.replace(self, **changes)


class HostSession(msgspec.Struct, frozen=True):
    """A counselling session as the host system knows it: who talks with whom."""

    user_id: str
    consultant_id: str
    user_name: str | None = None
    consultant_name: str | None = None
    appointment_id: int | None = None


class HostRecord(msgspec.Struct, frozen=True):
    """A supervision record as the host system knows it."""

    session_id: int
    supervisor_id: str
    supervisor_name: str | None = None
