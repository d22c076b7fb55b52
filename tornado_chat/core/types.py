"""Frozen value types without behaviour, shared by all layers.

Times are integers: microseconds since 1970-01-01 UTC. Only ``wire`` converts them to the local ISO 8601
texts that clients receive.
"""

import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import msgspec

from tornado_chat.core.numbers import MAX_NUMBER

Item_co = TypeVar("Item_co", covariant=True)


class Role(enum.StrEnum):
    """The role of a person, as in the role claim of the token."""

    USER = "user"
    CONSULTANT = "consultant"
    SUPERVISOR = "supervisor"
    WAITER = "waiter"
    ADMIN = "admin"
    SERVICE = "service"
    BOT = "bot"
    """A participant that a plugin speaks as; its id is its name. No token has this role."""


TOKEN_ROLES = tuple(role for role in Role if role is not Role.BOT)
"""The roles that tokens may have."""

AGENT_ROLES = frozenset({Role.WAITER, Role.CONSULTANT})
"""The roles that serve users in support conversations: consultants only if a group lets them."""

DEFAULT_GROUP = "default"
"""The group of users who name no group. It always exists, with or without a section."""


class Person(NamedTuple):
    """The key of a human being or of a host system: ids are unique only within a role.

    Host systems use integers or strings as ids; ``7`` and ``"7"`` are the same person.
    """

    role: Role
    id: str

    @property
    def key(self) -> str:
        """Role and id as one text, for a database column: ``"user:7"``."""
        return f"{self.role.value}:{self.id}"

    @property
    def host_id(self) -> int | str:
        """The id as the host system most likely writes it: an integer if it has the form of one.

        Integers of more than 64 bits stay texts, as most programs cannot read them.
        """
        if self.id.isascii() and self.id.isdigit():
            number = int(self.id)
            if number <= MAX_NUMBER and str(number) == self.id:
                return number
        return self.id

    @classmethod
    def from_key(cls, key: str) -> "Person":
        role, _, id = key.partition(":")
        return cls(Role(role), id)


class Claims(dict[str, Any]):
    """The claims of a token, which cannot be changed: all sockets with the token share them.

    Strategy: a subclass of ``dict``, so that every JSON encoder takes it. Copies are ordinary dictionaries.
    """

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("claims cannot be changed; change a copy: dict(identity.claims)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class Identity(msgspec.Struct, frozen=True):
    """The content of a verified token. ``claims`` holds all its claims, for plugins that use more of them.

    Each claim may be missing, null or of another type, as the host has made the token. The claims of the
    identities that the server passes on are read-only.
    """

    person: Person
    name: str | None = None
    claims: Mapping[str, Any] = {}


class Grant(NamedTuple):
    """The result of a verified token: the identity, and what ends it.

    :ivar expires: ``exp`` of the token in seconds since 1970; infinite without an end.
    :ivar issued: ``iat`` of the token in seconds since 1970; None if the token does not say it.
    :ivar key: the fingerprint of the key that has verified the token; None if a plugin has verified it.
    """

    identity: Identity
    expires: float = math.inf
    issued: float | None = None
    key: bytes | None = None


class Revocation(msgspec.Struct, frozen=True):
    """The refusal of a person's tokens, until it ends.

    :ivar since: tokens that were issued before this time, or that do not say when, are refused.
    :ivar until: the time at which the revocation ends.
    :ivar all_tokens: True if tokens that were issued later are refused, too.
    :ivar made_by: the user of the machine, or the ``Person.key`` of the caller of the HTTP API.
    """

    id: int
    person: Person
    since: int
    until: int
    all_tokens: bool = False
    made_by: str = ""

    def refuses(self, issued: float | None) -> bool:
        """Return True if a token is refused. :arg issued: its ``iat`` in seconds since 1970."""
        return self.all_tokens or issued is None or issued * 1_000_000 < self.since


class StaffAccount(msgspec.Struct, frozen=True):
    """An account of the server itself, which signs in by ``name`` and password.

    ``signed_in`` is the time of the last sign-in; ``groups`` the groups that the person serves: its tokens
    name them in the claim ``groups``, and have no such claim if there are none. ``trainee`` is True if the
    messages of the person wait for an approval: its tokens have the claim ``trainee`` then.
    """

    name: str
    display_name: str | None
    person: Person
    created: int
    disabled: bool = False
    signed_in: int | None = None
    groups: tuple[str, ...] = ()
    trainee: bool = False

    @property
    def shown_name(self) -> str:
        """The name that other people see."""
        return self.display_name or self.name


class Kind(enum.IntEnum):
    """The kind of a thread. The numbers are stored in the database."""

    SESSION = 1
    RECORD = 2
    SUPPORT = 3
    INBOX = 4


class Thread(NamedTuple):
    """A durable, ordered stream of messages: of a session, a record, a support conversation or an inbox.

    Delivery (sequence numbers without gaps, receipts, resume) is the same for all four kinds.
    """

    kind: Kind
    id: int

    @property
    def named(self) -> Mapping[str, int]:
        """The log fields that identify the thread: ``{"session": 4}``."""
        return {_LOG_KEYS[self.kind]: self.id}


_LOG_KEYS = {
    Kind.SESSION: "session",
    Kind.RECORD: "record",
    Kind.SUPPORT: "conversation",
    Kind.INBOX: "inbox",
}


class Message(msgspec.Struct, frozen=True, gc=False):
    """A stored message. ``seq`` counts from 1 within the thread, without gaps.

    ``agent`` is the ``Person.key`` of the agent of the conversation at that time, empty if it had none. It is
    None if the conversation never had another agent, and in messages that were read from the database.
    """

    thread: Thread
    seq: int
    sender: Person
    text: str
    time: int
    media: str = "text"
    client_id: str | None = None
    agent: str | None = None


class Notification(msgspec.Struct, frozen=True):
    """A stored pop-up notification: a message of the recipient's inbox.

    ``data`` is the field of that name in the seed, as JSON values. ``read_at`` is the time at which the
    notification was first marked as read. ``is_over`` is True if it invites to a session or record that has
    ended meanwhile: sockets do not get it any more.
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
    is_over: bool = False


class Page(NamedTuple, Generic[Item_co]):
    """Consecutive items of a thread, oldest first.

    :ivar has_more: True if more items exist in the direction in which the thread is read.
    """

    items: Sequence[Item_co]
    has_more: bool


class AppendResult(msgspec.Struct, frozen=True, gc=False):
    """The result of storing a message, for its sender, after the commit.

    :ivar held: the number of the held message, if the message waits for an approval; ``seq`` is 0 then.
    """

    seq: int
    time: int
    duplicate: bool = False
    held: int | None = None


class HeldState(enum.StrEnum):
    """The states of a held message. The texts are stored in the database; all but the first are final."""

    HELD = "held"
    """It waits for the decision of a supervisor."""
    APPROVED = "approved"
    """It was sent as it is: by a supervisor, or because the time was over."""
    EDITED = "edited"
    """It was sent with the text of a supervisor."""
    REFUSED = "refused"
    """A supervisor has refused it."""
    EXPIRED = "expired"
    """It was not sent: the time was over, or its sender does not serve the conversation any more."""


class HeldMessage(msgspec.Struct, frozen=True):
    """A message of an agent that is stored apart until a supervisor has decided on it.

    :ivar text: the text as the agent has written it; ``final_text`` is the text that a supervisor has written
        instead.
    :ivar group: the group of the conversation.
    :ivar deadline: the time at which the decision is made without a supervisor; None: never.
    :ivar decided_by: the supervisor; None before the decision, and if no supervisor has made it.
    :ivar seq: the number of the message that was sent.
    """

    id: int
    thread: Thread
    sender: Person
    client_id: str | None
    media: str
    text: str
    group: str
    created: int
    deadline: int | None = None
    state: HeldState = HeldState.HELD
    decided_by: Person | None = None
    decided: int | None = None
    final_text: str | None = None
    note: str | None = None
    seq: int | None = None

    @property
    def is_sent(self) -> bool:
        """True if the message was sent, as it is or edited."""
        return self.state in (HeldState.APPROVED, HeldState.EDITED)


class SessionState(enum.StrEnum):
    """The states of a counselling session and of a supervision record."""

    READY = "ready"
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class EndReason(enum.StrEnum):
    """Why a session or record has ended; the values are those of the frame and of the database."""

    LEFT = "left"
    """The client of a participant has left, and did not return within ``[counselling] leave_grace``."""
    ENDED = "ended"
    """A participant, or the host, has ended it."""
    GRACE = "grace"
    """A participant whose connection was lost did not return in time."""
    CANCELLED = "cancelled"
    """The visitor has cancelled it before the start."""
    NOT_STARTED = "not_started"
    """The visitor left before the start, and did not return within ``[counselling] ready_grace``."""


class ConversationState(enum.StrEnum):
    """The states of a support conversation."""

    WAITING = "waiting"
    ACTIVE = "active"
    ENDED = "ended"


class ConversationView(msgspec.Struct, frozen=True):
    """What sessions and support conversations have in common.

    :ivar agent: None while a support conversation waits for its agent.
    """

    thread: Thread
    client: Person
    client_name: str | None
    agent: Person | None
    agent_name: str | None
    group: str
    is_open: bool


class Room(msgspec.Struct, frozen=True):
    """A counselling session (kind SESSION) or a supervision record (kind RECORD).

    ``asker`` is the client: the visitor of a session, the agent of a record. ``helper`` is the agent: the
    consultant of a session, the supervisor of a record. ``session_id`` is the id of a session, or the session
    that a record is about; None if the record is about the support conversation ``conversation_id``.
    ``arrived`` is the time at which the visitor of a session came first, and ``awaited_until`` the time to
    which a participant has extended the wait for the other one. ``group`` is that of a session.
    ``agent_changes`` counts the replacements of a session's agent: of two versions of a room, the one with
    the higher count has the later agent.
    """

    thread: Thread
    asker: Person
    helper: Person
    asker_name: str | None
    helper_name: str | None
    state: SessionState
    last_seq: int
    session_id: int | None
    created: int
    started: int | None = None
    ended: int | None = None
    appointment_id: int | None = None
    rate: int | None = None
    feedback: str | None = None
    end_reason: EndReason | None = None
    awaited_until: int | None = None
    arrived: int | None = None
    conversation_id: int | None = None
    group: str = DEFAULT_GROUP
    agent_changes: int = 0

    @property
    def open(self) -> bool:
        return self.state in (SessionState.READY, SessionState.ACTIVE)

    @property
    def about(self) -> Thread:
        """The conversation that a record is about; of a session the session itself."""
        if self.conversation_id is not None:
            return Thread(Kind.SUPPORT, self.conversation_id)
        assert self.session_id is not None
        return Thread(Kind.SESSION, self.session_id)

    @property
    def view(self) -> ConversationView:
        """What a session has in common with support conversations."""
        return ConversationView(
            self.thread, self.asker, self.asker_name, self.helper, self.helper_name, self.group, self.open
        )


class Conversation(msgspec.Struct, frozen=True):
    """A support conversation.

    The two ``uuid``s are the addresses of its participants on the wire; each is sent to the peer once.
    ``claims`` (those that ``[support] queue_claims`` names) and ``last_waiter`` (the waiter of the user's
    previous conversation) are input of the queue policy; ``reason`` is the sentence of the policy for the
    waiter that it chose. ``changes`` counts the changes of the state and of the waiter: of two versions of
    a conversation, the one with the higher count is newer. ``group`` is the group that the user has chosen.
    ``score`` is the user's lane in the queue, 0 for most: users with a higher score come first;
    ``score_reason`` says why it has another than 0. ``accepted`` is the time at which the present waiter has
    confirmed the assignment, and ``missed_by`` are the waiters that have lost it unconfirmed, in order.
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
    group: str = DEFAULT_GROUP
    score: int = 0
    score_reason: str | None = None
    accepted: int | None = None
    missed_by: tuple[Person, ...] = ()

    @property
    def thread(self) -> Thread:
        return Thread(Kind.SUPPORT, self.id)

    @property
    def open(self) -> bool:
        return self.state is not ConversationState.ENDED

    @property
    def service_seconds(self) -> float | None:
        """The time from the last assignment to the end; None if there was none, or it has not ended."""
        if self.assigned is None or self.ended is None:
            return None
        return (self.ended - self.assigned) / 1e6

    @property
    def has_had_waiter(self) -> bool:
        """False until the first waiter is assigned: until then all messages are the user's first words."""
        return self.assigned is not None or self.returned

    @property
    def view(self) -> ConversationView:
        """What a support conversation has in common with sessions."""
        return ConversationView(
            self.thread, self.user, self.user_name, self.waiter, self.waiter_name, self.group, self.open
        )


class ExpectedWait(msgspec.Struct, frozen=True):
    """An estimate of the time that a waiting user will wait, see ``domain/expected_wait.py``.

    :ivar seconds: until the user gets an agent.
    :ivar based_on: the number of conversations that the estimate rests on.
    :ivar places: the number of users that the agents on duty serve at the same time.
    """

    seconds: float
    based_on: int
    places: int


class EarlyWords(enum.StrEnum):
    """What becomes of the words of a user who gives up before an agent comes."""

    KEEP = "keep"
    DISCARD = "discard"


class LeftMessage(msgspec.Struct, frozen=True):
    """The words of a user who gave up before an agent had it.

    :ivar time: the time of the user's leaving; ``handled`` is that of the mark by ``handled_by``; both in
        microseconds since 1970.
    :ivar beginning: the beginning of the words, as ``storage.first_words.beginnings``.
    """

    conversation: Conversation
    time: int
    beginning: str
    handled: int | None = None
    handled_by: Person | None = None


class AgentState(enum.StrEnum):
    """The state of an agent of support."""

    READY = "ready"
    """It is connected and takes users."""
    PAUSED = "paused"
    """It is connected and takes no new users."""
    AWAY = "away"
    """Its last connection has ended, and its grace runs."""
    GONE = "gone"
    """It was never connected, or did not return in time."""


class Part(enum.StrEnum):
    """The part that a participant has in a conversation. The texts are stored in the database."""

    CLIENT = "client"
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    OBSERVER = "observer"
    BOT = "bot"


class Participant(msgspec.Struct, frozen=True):
    """A person in a conversation, from ``joined`` until ``left``.

    A person that leaves a conversation and is assigned again is two participants.

    :ivar left: None while the person takes part.
    """

    thread: Thread
    person: Person
    part: Part
    name: str | None
    joined: int
    left: int | None = None


class ConsentForm(NamedTuple):
    """The text that a client of a group has to accept before its first message.

    :ivar language: the language of the text, ``zh_CN`` or ``en``.
    """

    group: str
    version: str
    language: str
    text: str

    def is_same_version(self, other: "ConsentForm | None") -> bool:
        """Return True if another form has the same group and version, in any language."""
        return other is not None and (self.group, self.version) == (other.group, other.version)


class Consent(NamedTuple):
    """The acceptance of a ``ConsentForm`` in a conversation, without the text.

    :ivar accepted: the time of the acceptance.
    """

    person: Person
    group: str
    version: str
    language: str
    accepted: int


class Handover(NamedTuple):
    """The agent of a conversation has changed.

    :ivar previous: the agent before, ``next`` the agent from then on.
    """

    previous: Participant
    next: Participant

    @property
    def time(self) -> int:
        """The time from which the conversation has its next agent."""
        return self.next.joined

    @property
    def was_lost(self) -> bool:
        """True if the conversation was without an agent in between, as the one before was lost."""
        return self.previous.left is not None and self.previous.left < self.next.joined


class OfferState(enum.StrEnum):
    """The states of an offer of a hand-over. The texts are stored in the database, and shown."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    """The last of the people to whom it was offered has declined."""
    EXPIRED = "expired"
    """The last of them has not answered in time."""
    WITHDRAWN = "withdrawn"
    ENDED = "ended"
    """The conversation has ended, or has another agent, for another reason."""


class Candidate(NamedTuple):
    """A person to whom a conversation is offered; the name is None if the offer does not say it."""

    person: Person
    name: str | None = None


class Offer(msgspec.Struct, frozen=True):
    """An offer to take over a session or support conversation; also one that was taken over at once.

    It is offered to one candidate after the other; with ``group``, to the agent that is assigned next from
    the line of that group. ``source`` is the agent that has the conversation, ``offered_by`` the person that
    has made the offer; ``note`` is for the next agent only. ``place`` is the index of ``target`` in
    ``candidates``: the person to whom it is offered now until ``deadline``, or that has accepted it.
    ``timeout`` is the time for each candidate in microseconds; ``settled`` is the time of the last state.
    """

    id: int
    thread: Thread
    source: Person
    offered_by: Person
    candidates: tuple[Candidate, ...]
    group: str | None
    note: str | None
    state: OfferState
    place: int
    target: Person | None
    deadline: int | None
    timeout: int
    created: int
    settled: int | None = None

    @property
    def is_open(self) -> bool:
        return self.state is OfferState.OFFERED


class Operation(msgspec.Struct, frozen=True):
    """An operator's command on personal data, accounts or access: a row of ``data_operation``.

    ``action`` is ``export``, ``erase``, ``prune``, ``backup``, ``restore``, ``token``, ``revoke``,
    ``unrevoke``, ``staff add``, ``staff passwd``, ``staff off``, ``staff on``, ``staff groups``,
    ``trainee on``, ``trainee off`` or ``staff remove``; ``state`` is ``begun``, ``done`` or ``stopped``;
    ``person`` is a ``Person.key``; ``counts`` is a JSON text, the number of rows by table.
    """

    id: int
    time: int
    operator: str
    action: str
    state: str
    person: str | None = None
    counts: str | None = None


# Arguments and results of plugin hooks


class Action(enum.StrEnum):
    """An action that the hook ``authorize`` allows or forbids."""

    CHAT = "chat"
    OBSERVE = "observe"
    READ = "read"
    LIST = "list"
    OPEN = "open"
    SUPERVISE = "supervise"
    END = "end"
    NOTIFY = "notify"
    QUEUE = "queue"
    SERVE = "serve"


class Activity(msgspec.Struct, frozen=True):
    """An action for the hook ``action_taken``.

    ``actor`` is a ``Person.key``, ``plugin`` with its name, or ``-`` for the operator of the server and for a
    person who is unknown.
    ``thread`` is the session, record or conversation that the action was about; None for an action of another
    kind. ``detail`` names what else it was about, for example the person that was revoked; it has no message
    texts.
    """

    actor: str
    action: str
    thread: Thread | None = None
    detail: str | None = None


class Draft(msgspec.Struct, frozen=True):
    """A message before it is stored. ``media`` is ``text``, or ``image`` with a URL as text."""

    thread: Thread
    sender: Identity
    text: str
    media: str = "text"

    def replace(self, text: str) -> "Draft":
        """Return the same message with another text."""
        return msgspec.structs.replace(self, text=text)


class NotificationDraft(msgspec.Struct, frozen=True):
    """A notification before it is stored.

    ``data`` of a session or record that is about to be opened has no ids yet, and a hook cannot change it.
    A hook can change ``data`` of all other notifications.
    """

    recipient: Person
    type: int
    msg: str
    data: Mapping[str, Any] | None = None

    def replace(self, **changes: Any) -> "NotificationDraft":
        """Return the same notification with another ``msg`` or ``data``."""
        return msgspec.structs.replace(self, **changes)


class HostSession(msgspec.Struct, frozen=True):
    """A counselling session as the host system knows it: its visitor and its consultant."""

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
