"""The events that the bus carries.

*Committed events* describe a change that the database already holds: ``Message``, ``Notification``, the
starts, agents and ends of rooms, the changes of conversations, ``ParticipationChanged``,
``ParticipantNamed``, ``ReadAdvanced``, ``HeldChanged``, ``TokensRevoked``. The writer publishes them after
the commit. ``DuplicateMessage`` refers to a message that an earlier commit has stored.

*Transient events* are not stored and need no commit: ``SystemNotice``, ``TypingChanged``,
``PresenceChanged``, ``QueuePositionChanged``, ``WaiterReplaced``, ``WaiterPaused``,
``ReceiptAdvanced`` (receipts are stored later), ``ReceiptsWanted``. (The notice of a start comes with the
commit of the start.) A client that missed a transient event does not need it when it reconnects, or gets the
present state then.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tornado_chat.core.types import (
    Conversation,
    ExpectedWait,
    HeldMessage,
    Message,
    Notification,
    Offer,
    OfferState,
    Part,
    Person,
    Revocation,
    Role,
    Room,
    SessionState,
    Thread,
)

PLUGIN_LINE = "line"
"""The code of a system text that a plugin has written itself: ``SystemNotice.name`` is the text."""


class SystemNotice(msgspec.Struct, frozen=True):
    """A counselling system text for the participants in a room.

    ``code`` names it in ``texts.py``; that of ``PLUGIN_LINE`` is the text ``name``.
    """

    thread: Thread
    code: str
    time: int
    name: str = ""

    @classmethod
    def of_plugin(cls, thread: Thread, time: int, text: str) -> "SystemNotice":
        """Return a system text that a plugin has written."""
        return cls(thread, PLUGIN_LINE, time, text)


OBSERVING_NOTICES = {"observing": True, "observing_ended": False}
"""The notices about observers, by code: whether one has come. They also go to support conversations."""


class RoomStarted(msgspec.Struct, frozen=True):
    """Both participants of a session or record are present for the first time."""

    room: Room


class AgentReplaced(msgspec.Struct, frozen=True):
    """Another person is the agent of a session: ``previous`` gets no message after ``room.last_seq``.

    :ivar room: the session with its next agent.
    """

    room: Room
    previous: Person
    previous_name: str | None
    time: int

    @property
    def thread(self) -> Thread:
        return self.room.thread


class ParticipationChanged(msgspec.Struct, frozen=True):
    """A supervisor or an observer begins or stops to take part in a session or support conversation.

    :ivar part: ``supervisor`` or ``observer``; None: the person has left. A new agent is announced by
        ``AgentReplaced`` or ``ConversationAssigned`` instead.
    """

    thread: Thread
    person: Person
    name: str | None
    part: Part | None


class OfferChanged(msgspec.Struct, frozen=True):
    """An offer of a hand-over was made, has gone to its next candidate, or has another state.

    :ivar client: the client of the conversation.
    :ivar names: the names of people that the offer names, by ``Person.key``; None if none is known.
    :ivar former: the candidate before, to whom it is not offered any more; None: there is none.
    :ivar answer: why it is not offered to ``former`` any more.
    """

    offer: Offer
    client: Person
    names: Mapping[str, str | None]
    time: int
    former: Person | None = None
    answer: OfferState | None = None

    @property
    def readers(self) -> tuple[Person, ...]:
        """The people that are told of it."""
        offer = self.offer
        people = (offer.target, self.former, offer.source, offer.offered_by)
        return tuple(dict.fromkeys(person for person in people if person is not None))


class OfferShown(msgspec.Struct, frozen=True):
    """What one person is told of an offer; made for the sockets of a process, and not published.

    :ivar is_yours: True if the person may accept it, or has accepted it.
    :ivar note: None also for candidates to whom it is not offered any more.
    """

    change: OfferChanged
    state: OfferState
    is_yours: bool
    note: str | None = None


class RoomEnded(msgspec.Struct, frozen=True):
    """A session or record was completed or cancelled: its sockets are notified, then closed."""

    thread: Thread
    state: SessionState
    time: int
    room: Room | None = None


class ConversationQueued(msgspec.Struct, frozen=True):
    """A user has joined the queue."""

    conversation: Conversation


class ConversationAssigned(msgspec.Struct, frozen=True):
    """A conversation was assigned to a waiter.

    :arg reason: the sentence of the queue policy for the waiter.
    :arg previous: the waiter before a transfer.
    """

    conversation: Conversation
    reason: str
    previous: Person | None = None


class ConversationEnded(msgspec.Struct, frozen=True):
    """A conversation has ended, because ``gone`` left it for good."""

    conversation: Conversation
    gone: Person


class ConversationRequeued(msgspec.Struct, frozen=True):
    """A conversation is at the head of the queue again, because its waiter ``lost`` did not return."""

    conversation: Conversation
    lost: Person


class ConversationAccepted(msgspec.Struct, frozen=True):
    """The waiter of a conversation has confirmed the assignment (``[support] accept_timeout``)."""

    conversation: Conversation


class ConversationPrioritised(msgspec.Struct, frozen=True):
    """A conversation has another score, and so maybe another position in the queue."""

    conversation: Conversation


class TypingChanged(msgspec.Struct, frozen=True):
    """A participant of this room or conversation started or stopped typing."""

    thread: Thread
    sender: Person
    typing: bool


class ReadAdvanced(msgspec.Struct, frozen=True):
    """``reader`` has read all messages up to ``seq``."""

    thread: Thread
    reader: Person
    seq: int


class HeldChanged(msgspec.Struct, frozen=True):
    """A message is held for a supervisor, or a decision was made on a held message.

    For its sender and for supervisors; the client is never told.

    :ivar approvers: the people who could approve it, with their names, if none of them is there.
    """

    thread: Thread
    sender: Person
    held: HeldMessage
    approvers: Sequence[tuple[Person, str | None]] = ()


class ReceiptAdvanced(msgspec.Struct, frozen=True):
    """Everything up to ``seq`` has arrived at ``reader``, as a pong has proved.

    Published only for threads of which some process wants it, see ``services/messaging/receipt_reports.py``.
    """

    thread: Thread
    reader: Person
    seq: int


class ReceiptsWanted(msgspec.Struct, frozen=True):
    """From process to process: a client of the sender shows receipts of this thread.

    :ivar is_question: True if the sender only asks whether another process wants the receipts.
    """

    thread: Thread
    is_question: bool = False


class ParticipantNamed(msgspec.Struct, frozen=True):
    """A participant has another name from now on."""

    thread: Thread
    person: Person
    name: str


class DuplicateMessage(msgspec.Struct, frozen=True):
    """A client has sent a message again that is already stored as ``seq``.

    The process that stored the message may have died before it published the message, so the sockets that
    have not received ``seq`` yet get it now.
    """

    thread: Thread
    seq: int


class PresenceChanged(msgspec.Struct, frozen=True):
    """Which of the two participants of a room are present.

    :ivar until: until when the room waits for an absent participant, in microseconds since 1970; only for
        those whose grace runs.
    :ivar grace: for how many seconds the room would wait for a participant whose connection is lost; only for
        those for whom it would end.
    :ivar time: the server's time, as that of ``until``.
    """

    thread: Thread
    present: Mapping[Role, bool]
    until: Mapping[Role, int] = {}
    grace: Mapping[Role, float] = {}
    time: int = 0


class QueuePositionChanged(msgspec.Struct, frozen=True):
    """The queue position of a user has changed, or the user has asked for it; ``place`` is 1 for the next.

    :ivar serving: the number of waiters that serve the queue; None from a process of version 0.1.0.
    :ivar expected: the expected wait; None if there is too little data for an estimate.
    """

    conversation: Conversation
    place: int
    serving: int | None = None
    expected: ExpectedWait | None = None


class WaiterReplaced(msgspec.Struct, frozen=True):
    """A waiter has signed in again with another socket.

    :ivar conn: the name of that socket in the log.
    :ivar time: the time of the sign-in, in microseconds since 1970; 0 from a process of version 0.1.0.
    """

    waiter: Person
    conn: str
    time: int = 0


class WaiterPaused(msgspec.Struct, frozen=True):
    """A waiter gets no new users until it is ready again: it has not confirmed its last assignments."""

    waiter: Person


class TokensRevoked(msgspec.Struct, frozen=True):
    """The tokens of a person are refused from now on, and the sockets that they opened are closed."""

    revocation: Revocation


SequencedItem = Message | Notification
Event = (
    Message
    | Notification
    | SystemNotice
    | RoomStarted
    | AgentReplaced
    | OfferChanged
    | OfferShown
    | ParticipationChanged
    | RoomEnded
    | ConversationQueued
    | ConversationAssigned
    | ConversationEnded
    | ConversationRequeued
    | ConversationAccepted
    | ConversationPrioritised
    | TypingChanged
    | ReadAdvanced
    | HeldChanged
    | ReceiptAdvanced
    | ReceiptsWanted
    | ParticipantNamed
    | DuplicateMessage
    | PresenceChanged
    | QueuePositionChanged
    | WaiterReplaced
    | WaiterPaused
    | TokensRevoked
)


def event_channels(event: Event) -> tuple[Thread | Person, ...]:
    """Return the bus channels of ``event``: threads (followed by sockets) and persons (with sockets)."""
    match event:
        case (
            Message()
            | Notification()
            | SystemNotice()
            | AgentReplaced()
            | ParticipationChanged()
            | RoomEnded()
            | TypingChanged()
            | ReadAdvanced()
            | HeldChanged()
            | ReceiptAdvanced()
            | ReceiptsWanted()
            | ParticipantNamed()
            | DuplicateMessage()
            | PresenceChanged()
        ):
            return (event.thread,)
        case OfferChanged():
            return event.readers
        case QueuePositionChanged():
            return (event.conversation.user,)
        case WaiterReplaced() | WaiterPaused():
            return (event.waiter,)
        case TokensRevoked():
            return (event.revocation.person,)
        case (
            ConversationAssigned()
            | ConversationEnded()
            | ConversationRequeued()
            | ConversationAccepted()
            | ConversationPrioritised()
        ):
            row = event.conversation
            lost = event.previous if isinstance(event, ConversationAssigned) else getattr(event, "lost", None)
            people = tuple(person for person in (row.user, row.waiter, lost) if person is not None)
            return (*people, row.thread)  # observers follow the thread only
        case _:
            return ()


COORDINATOR_EVENTS = (
    ConversationAssigned,
    ConversationEnded,
    ConversationRequeued,
    ConversationAccepted,
    ConversationPrioritised,
    AgentReplaced,
    OfferChanged,
    RoomEnded,
    HeldChanged,
)
"""Events that the coordinator receives too, from every process."""
