"""The request bodies, response bodies and query parameters of the HTTP API, as structs."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tornado_chat.core.errors import ChatError, Malformed
from tornado_chat.core.numbers import MAX_NUMBER, Cursor, Number, NumberText, is_number
from tornado_chat.core.plain_text import MAX_NAME_CHARS, is_person_id
from tornado_chat.core.texts import Language, error_text
from tornado_chat.core.types import ConversationState, EndReason, Part, Person, Role, SessionState
from tornado_chat.services.support.priorities import MAX_REASON_CHARACTERS, MAX_SCORE
from tornado_chat.web.api.bodies import find_misspelt_key
from tornado_chat.web.api.ids import Id
from tornado_chat.wire.counselling_frames import NOTIFICATION_DATA, Line, PersonId
from tornado_chat.wire.support_frames import HandedOver
from tornado_chat.wire.times import Time

MAX_PAGE_ITEMS = 500

Name = Annotated[str, Meta(max_length=64)]
Feedback = Annotated[str, Meta(max_length=2000)]
Stars = Annotated[int, Meta(ge=1, le=5, description="1 to 5.", examples=[5])]
SessionNumber = Annotated[Id, Meta(description="The number of the session.", examples=["4"])]
RecordNumber = Annotated[
    Id,
    Meta(description="The number of the record: `sessionId` at `/chat` with `type=1`.", examples=["6"]),
]
State = Annotated[
    SessionState,
    Meta(
        description=(
            "`ready` until both participants are present for the first time, then `active`; the other "
            "states are final."
        )
    ),
]

WhyEnded = Annotated[
    EndReason | None,
    Meta(
        description=(
            "Why it has ended: `left` (a client left), `ended` (by a participant or the host), `grace` (a "
            "participant was not back in time), `cancelled` (by the visitor, before the start), "
            "`not_started` (the visitor was not back before the start). Null while it is open, and if it "
            "ended before reasons were stored."
        ),
        examples=[None],
    ),
]
Next = Annotated[
    int | None, Meta(description="The value of `after` for the following page; null on the last page.")
]

UserId = Annotated[PersonId, Meta(description="The visitor's id, as in its tokens.", examples=[1])]
ConsultantId = Annotated[PersonId, Meta(description="The consultant's id, as in its tokens.", examples=[2])]
AnyId = Annotated[Id, Meta(description="The person's id in the host system.", examples=["1"])]
NewNumber = Number | NumberText
"""A number in a request. Programs whose numbers are not exact above 2^53 send it as a text."""


DATA_SCHEMAS = [
    {"$ref": "#/components/schemas/AppointmentChanged"},
    {"$ref": "#/components/schemas/NewConversation"},
]
"""The schemas of ``NOTIFICATION_DATA`` by their public names (``web.api_docs.names``)."""


def to_number(value: int | str | msgspec.UnsetType | None) -> int | None:
    """Return a ``NewNumber`` as a number; None if there is none.

    :raises ValueError: it is above the range.
    """
    if value is None or value is msgspec.UNSET:
        return None
    number = int(value)
    if not is_number(number):
        raise ValueError(f"a number is at most {MAX_NUMBER}")
    return number


SESSION_KEYS = ("sessionId", "observeSessionId", "observeConversationId")
"""The keys of a notification's ``data`` that are numbers of sessions and records."""


def _require_person_ids(*ids: int | str) -> None:
    """Check ids of people by the rule for those in tokens. :raises ValueError: no token can have one."""
    if not all(is_person_id(str(id)) for id in ids):
        raise ValueError(f"an id has 1 to {MAX_NAME_CHARS} printable characters, and no space at its ends")


# --- requests ---


class OpenSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user_id: UserId
    consultant_id: ConsultantId
    session_id: Annotated[
        NewNumber | None,
        Meta(
            description=(
                "The number for the new session, which only `service` and `admin` choose; null: the "
                "server's next number."
            )
        ),
    ] = None
    appointment_id: Annotated[
        NewNumber | None, Meta(description="The id of the host's appointment, stored with the session.")
    ] = None
    user_name: Annotated[
        Name | None, Meta(description="The visitor's name, as the consultant sees it.", examples=["小林"])
    ] = None
    consultant_name: Annotated[
        Name | None,
        Meta(
            description="The consultant's name, as the visitor sees it; ignored if the caller is a `user`.",
            examples=["陈老师"],
        ),
    ] = None
    group: Annotated[
        Annotated[str, Meta(min_length=1, max_length=32)] | None,
        Meta(
            description=(
                "The group whose supervisors may follow the session; only `service` and `admin` choose it; "
                "null: the default group."
            ),
        ),
    ] = None

    def __post_init__(self) -> None:
        _require_person_ids(self.user_id, self.consultant_id)
        to_number(self.session_id)
        to_number(self.appointment_id)


class CallSupervisor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    supervisor_id: Annotated[
        PersonId, Meta(description="The supervisor's id, as in its tokens.", examples=[3])
    ]
    supervisor_name: Annotated[
        Name | None, Meta(description="The supervisor's name, as the consultant sees it.")
    ] = None
    record_id: Annotated[
        NewNumber | None,
        Meta(
            description=(
                "The number for the new record, which only `service` and `admin` choose; null: the server's "
                "next number."
            )
        ),
    ] = None

    def __post_init__(self) -> None:
        _require_person_ids(self.supervisor_id)
        to_number(self.record_id)


class Rating(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rate: Stars
    feedback: Annotated[
        Feedback | None, Meta(description="The visitor's comment.", examples=["It helped."])
    ] = None


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Annotated[
        Literal["user", "consultant", "supervisor", "waiter", "admin"],
        Meta(description="The recipient's role."),
    ]
    id: Annotated[PersonId, Meta(description="The recipient's id.", examples=[1])]
    type: Annotated[
        Literal[0, 1, 2], Meta(description="0: plain. 1: an appointment has changed. 2: a new conversation.")
    ]
    msg: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2000,
            description="The text to show.",
            examples=["您有新的请假申请待处理"],
        ),
    ]
    data: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Null for type 0, `AppointmentChanged` for type 1, `NewConversation` for type 2.",
            extra_json_schema={"anyOf": [*DATA_SCHEMAS, {"type": "null"}]},
        ),
    ] = None

    def __post_init__(self) -> None:
        _require_person_ids(self.id)

    @property
    def recipient(self) -> Person:
        return Person(Role(self.role), str(self.id))

    def published_data(self) -> dict[str, Any] | None:
        """Return ``data`` as the seed has it: with numbers of sessions that came as texts as numbers.

        :raises Malformed: a client of the seed could not read ``data``: it has not the keys that the seed
            requires for the type. Further keys are allowed, because the host's own pages may read them.
        """
        expected = NOTIFICATION_DATA[self.type]
        if expected is None:
            if self.data is not None:
                raise Malformed("bad_shape", reason=f"`data` of type {self.type} must be null")
            return None
        try:
            data = msgspec.convert(self.data, expected)
            numbers = {key: to_number(getattr(data, key, None)) for key in SESSION_KEYS}
        except (msgspec.ValidationError, ValueError) as error:
            if (misspelt := find_misspelt_key(expected, self.data, "data")) is not None:
                raise misspelt from None
            reason = f"{error} (`data` of type {self.type}; keys must be spelled as in the protocol)"
            raise Malformed("bad_shape", reason=reason) from None
        return {**(self.data or {}), **{key: number for key, number in numbers.items() if number}}


class PageQuery(msgspec.Struct, frozen=True):
    after: Annotated[Cursor, Meta(description="The `next` of the previous page; 0 for the first page.")] = 0
    limit: Annotated[
        int, Meta(ge=1, le=MAX_PAGE_ITEMS, description="The maximum number of items in the page.")
    ] = 100


class ConversationQuery(msgspec.Struct, frozen=True):
    user: Annotated[
        str,
        Meta(
            max_length=64,
            description=(
                "The user's id. With it and neither `state` nor `group`: the finished conversations of the "
                "user, also for the waiter that serves it now."
            ),
            examples=["1"],
        ),
    ] = ""
    state: Annotated[
        Literal["", "open", "waiting", "active", "ended"],
        Meta(description="`open`: `waiting` or `active`; leave it out for all."),
    ] = ""
    group: Annotated[str, Meta(max_length=32, description="Leave it out for all groups.")] = ""
    before: Annotated[
        Number, Meta(description="The `next` of the previous page; leave out for the newest page.")
    ] = MAX_NUMBER
    limit: Annotated[
        int, Meta(ge=1, le=MAX_PAGE_ITEMS, description="The maximum number of items in the page.")
    ] = 100


class ExportQuery(msgspec.Struct, frozen=True):
    format: Annotated[
        Literal["txt", "json", "html"],
        Meta(description="The file format: for people (txt, html) or for programs (json)."),
    ] = "txt"


# --- responses ---


class Problem(msgspec.Struct, frozen=True):
    """An error (RFC 9457). ``code`` is stable, for programs; ``detail`` is a sentence for people."""

    type: Annotated[str, Meta(examples=["about:blank"])]
    title: Annotated[str, Meta(description="The reason phrase of the HTTP status.", examples=["Not Found"])]
    status: Annotated[int, Meta(description="The HTTP status.", examples=[404])]
    code: Annotated[str, Meta(description="The stable name of the error.", examples=["no_such_session"])]
    detail: Annotated[
        str,
        Meta(
            description=(
                "The error, and how to correct it: in English, or in Chinese if `Accept-Language` prefers it."
            ),
            examples=["There is no session 4"],
        ),
    ]

    @classmethod
    def of(cls, error: ChatError, language: Language = "en") -> "Problem":
        status = error.http_status
        return cls("about:blank", HTTPStatus(status).phrase, status, error.code, error_text(language, error))

    @classmethod
    def of_status(cls, status: HTTPStatus) -> "Problem":
        """Return the problem for an error that has only a status; its code is made of the reason phrase."""
        code = status.phrase.lower().replace(" ", "_").replace("-", "_")
        return cls("about:blank", status.phrase, status.value, code, status.description or status.phrase)

    @classmethod
    def internal(cls) -> "Problem":
        """Return the problem for an error of the server that is no ``ChatError``."""
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        detail = "An internal error; the server's log has the details."
        return cls("about:blank", status.phrase, status.value, "internal", detail)


class Agent(msgspec.Struct, frozen=True):
    """The person that has a conversation now: a consultant or waiter, or a supervisor after a take-over."""

    role: Annotated[str, Meta(description="The role of the agent.", examples=["consultant"])]
    id: Annotated[AnyId, Meta(examples=["2"])]
    name: Annotated[str | None, Meta(examples=["陈老师"])]


class Session(msgspec.Struct, frozen=True):
    session_id: SessionNumber
    user_id: AnyId
    consultant_id: Annotated[
        AnyId | None,
        Meta(description="The present agent, if it is a consultant; else null.", examples=["2"]),
    ]
    user_name: Annotated[str | None, Meta(examples=["小林"])]
    consultant_name: Annotated[str | None, Meta(examples=["陈老师"])]
    appointment_id: Annotated[Id | None, Meta(examples=["8"])]
    state: State
    created: Time
    started: Annotated[
        Time | None,
        Meta(
            description="The time at which both participants were present for the first time.",
            examples=[None],
        ),
    ]
    ended: Annotated[Time | None, Meta(examples=[None])]
    rate: Annotated[int | None, Meta(description="The visitor's rating, 1 to 5.", examples=[None])]
    feedback: Annotated[str | None, Meta(examples=[None])]
    end_reason: WhyEnded
    agent: Agent
    group: Annotated[str, Meta(description="The group of the session.", examples=["default"])]


AboutSession = Annotated[
    Id | None,
    Meta(
        description="The session that the record is about; null for a support conversation.", examples=["4"]
    ),
]
AboutConversation = Annotated[
    Id | None,
    Meta(
        description="The support conversation that the record is about; null for a session.", examples=[None]
    ),
]


class Supervision(msgspec.Struct, frozen=True):
    """A supervision record: the conversation between an agent and a supervisor."""

    record_id: RecordNumber
    session_id: AboutSession
    state: State
    conversation: AboutConversation


class SupervisionRecord(msgspec.Struct, frozen=True):
    """A supervision record with its participants: an agent and a supervisor."""

    record_id: RecordNumber
    session_id: AboutSession
    consultant_id: Annotated[
        AnyId, Meta(description="The agent: of a session its consultant.", examples=["2"])
    ]
    supervisor_id: Annotated[AnyId, Meta(examples=["3"])]
    consultant_name: Annotated[str | None, Meta(examples=["陈老师"])]
    supervisor_name: Annotated[str | None, Meta(examples=["吴督导"])]
    state: State
    created: Time
    started: Annotated[
        Time | None,
        Meta(
            description="The time at which both participants were present for the first time.",
            examples=[None],
        ),
    ]
    ended: Annotated[Time | None, Meta(examples=[None])]
    end_reason: WhyEnded
    conversation: AboutConversation


Received = Annotated[
    Mapping[str, int],
    Meta(
        description=(
            "By participant's role: up to which message its client has received the messages. A role that "
            "has received none is missing."
        ),
        examples=[{"user": 12, "consultant": 11}],
    ),
]
Seen = Annotated[
    Mapping[str, int],
    Meta(
        description="By participant's role: up to which message it has read, as its page reports.",
        examples=[{"user": 12}],
    ),
]


class ConsentGiven(msgspec.Struct, frozen=True):
    """The acceptance of a group's consent text by the client of a conversation."""

    group: Annotated[str, Meta(description="The group whose text it is.", examples=["default"])]
    version: Annotated[str, Meta(description="`[group:NAME] consent_version`.", examples=["2026-01"])]
    language: Annotated[str, Meta(description="`zh_CN` or `en`.", examples=["en"])]
    accepted: Annotated[Time, Meta(description="The time of the acceptance.")]


GivenConsents = (
    Annotated[
        list[ConsentGiven],
        Meta(description="What the client has accepted, oldest first; missing if it has accepted nothing."),
    ]
    | UnsetType
)


class SessionDetails(Session, frozen=True):
    """A session, how far its participants have got, and what the visitor has accepted."""

    received: Received
    read: Seen
    consents: GivenConsents = UNSET


class SupervisionDetails(SupervisionRecord, frozen=True):
    """A supervision record, and how far its participants have got."""

    received: Received
    read: Seen


class MessagePage(msgspec.Struct, frozen=True):
    items: Annotated[list[Line], Meta(description="The messages, oldest first.")]
    next: Next


class SupportMessage(msgspec.Struct, frozen=True):
    """A message of a support conversation."""

    id: Annotated[str, Meta(description="The same id as in the frames.", examples=["c7-5"])]
    seq: Annotated[int, Meta(description="The number of the message: from 1, without gaps.", examples=[5])]
    sender: Annotated[str, Meta(description="The role of the sender.", examples=["user"])]
    sender_id: Annotated[str, Meta(description="The id of the sender; a text.", examples=["7"])]
    sender_name: Annotated[
        str | None, Meta(description="The name of the sender; null if none is known.", examples=["小林"])
    ]
    type: Annotated[str, Meta(description="`message_text` or `message_image`.", examples=["message_text"])]
    message: Annotated[str, Meta(description="The text, or the URL of the image.", examples=["你好"])]
    time: Time


class SupportMessagePage(msgspec.Struct, frozen=True):
    items: Annotated[list[SupportMessage], Meta(description="The messages, oldest first.")]
    next: Next
    handovers: Annotated[
        list[HandedOver], Meta(description="All changes of the waiter of the conversation, oldest first.")
    ]
    consents: GivenConsents = UNSET


class EndedConversation(msgspec.Struct, frozen=True):
    """A support conversation."""

    conversation: Annotated[Id, Meta(description="The number of the conversation.", examples=["7"])]
    user_id: AnyId
    user_name: str | None
    waiter_id: AnyId | None
    waiter_name: str | None
    created: Annotated[Time, Meta(description="The time at which the user joined the queue.")]
    assigned: Annotated[Time | None, Meta(description="The time at which the waiter was assigned.")]
    ended: Time | None
    messages: Annotated[int, Meta(description="The number of messages.", examples=[12])]
    rate: Stars | None
    feedback: str | None
    group: Annotated[str, Meta(description="The group of the conversation.", examples=["default"])]
    state: Annotated[
        ConversationState,
        Meta(description="`waiting` for a waiter, `active` with one, or `ended`.", examples=["ended"]),
    ]
    waiter_role: Annotated[
        str | None,
        Meta(description="`waiter`, `consultant` of a group, or `supervisor`.", examples=["waiter"]),
    ]


class ConversationParticipant(msgspec.Struct, frozen=True):
    """A person in a support conversation, from `joined` until `left`."""

    role: Annotated[str, Meta(examples=["user"])]
    id: AnyId
    name: Annotated[str | None, Meta(examples=["小林"])]
    part: Annotated[
        Part, Meta(description="`client`, `agent`, `supervisor` or `observer`.", examples=["client"])
    ]
    joined: Time
    left: Annotated[Time | None, Meta(description="Null while the person takes part.", examples=[None])]


class ConversationDetails(EndedConversation, frozen=True):
    """A support conversation with all people that take or took part, in the order of their joining."""

    participants: list[ConversationParticipant]


class ConversationTranscript(msgspec.Struct, frozen=True):
    """The transcript of a support conversation as JSON."""

    conversation: EndedConversation
    messages: list[SupportMessage]


class ConversationPage(msgspec.Struct, frozen=True):
    items: Annotated[list[EndedConversation], Meta(description="The conversations, newest first.")]
    next: Annotated[
        int | None, Meta(description="The value of `before` for the following page; null on the last page.")
    ]


class Prioritise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    score: Annotated[
        int,
        Meta(ge=0, le=MAX_SCORE, description="Users with a higher score come first.", examples=[50]),
    ]
    reason: (
        Annotated[
            str,
            Meta(
                max_length=MAX_REASON_CHARACTERS,
                description="A sentence for staff, stored with the conversation.",
                examples=["The form mentions self-harm"],
            ),
        ]
        | None
    ) = None


class Priority(msgspec.Struct, frozen=True):
    """The priority of a support conversation."""

    conversation: Annotated[Id, Meta(description="The number of the conversation.", examples=["7"])]
    state: Annotated[str, Meta(description="`waiting` or `active`.", examples=["waiting"])]
    score: Annotated[int, Meta(description="The score, 0 to 100.", examples=[50])]
    reason: Annotated[str | None, Meta(examples=["The form mentions self-harm"])]


class Transcript(msgspec.Struct, frozen=True):
    """The transcript of a session as JSON."""

    session: Session
    messages: list[Line]


class SupervisionTranscript(msgspec.Struct, frozen=True):
    """The transcript of a supervision record as JSON."""

    supervision: SupervisionRecord
    messages: list[Line]


class Notified(msgspec.Struct, frozen=True):
    notification_id: Annotated[Id, Meta(examples=["12"])]


class InboxItem(msgspec.Struct, frozen=True):
    """A notification in the inbox of its recipient."""

    notification_id: Annotated[Id, Meta(examples=["12"])]
    seq: Annotated[
        int,
        Meta(description="The number of the notification in the inbox: from 1, without gaps.", examples=[3]),
    ]
    type: Annotated[int, Meta(description="0, 1 or 2, as in `NotificationCreate`.", examples=[0])]
    msg: Annotated[str, Meta(examples=["您有新的请假申请待处理"])]
    time: Time
    data: Annotated[Mapping[str, Any] | None, Meta(examples=[None])]
    read: Annotated[
        bool,
        Meta(description="True if the recipient has marked the notification as read.", examples=[False]),
    ]
    read_at: Annotated[
        Time | None,
        Meta(
            description="The time at which it was first marked as read; else null.",
            examples=[None],
        ),
    ]


class Inbox(msgspec.Struct, frozen=True):
    items: Annotated[list[InboxItem], Meta(description="The notifications, in the order of the request.")]
    next: Next


class WaiterStatus(msgspec.Struct, frozen=True):
    id: AnyId
    name: Annotated[str | None, Meta(examples=["Bob"])]
    ready: Annotated[bool, Meta(description="True if the waiter accepts new users.")]
    connected: Annotated[bool, Meta(description="True if the waiter has an open socket.")]
    conversations: Annotated[
        int, Meta(description="The number of the waiter's open conversations.", examples=[2])
    ]
    capacity: Annotated[
        int, Meta(description="The maximum number of simultaneous conversations.", examples=[5])
    ]
    role: Annotated[str, Meta(description="`waiter`, or `consultant` of a group.", examples=["waiter"])]
    groups: Annotated[list[str], Meta(description="The groups that it serves.", examples=[["default"]])]


class Waiting(msgspec.Struct, frozen=True):
    id: AnyId
    name: Annotated[str | None, Meta(examples=["Ada"])]
    since: Time
    group: Annotated[str, Meta(description="The group that the user waits for.", examples=["default"])]
    conversation: (
        Annotated[Id, Meta(description="The number of the conversation.", examples=["7"])] | UnsetType
    ) = UNSET
    first_words: (
        Annotated[
            str,
            Meta(
                description=(
                    "The beginning of what the user has written while waiting, in one line, at most 80 "
                    "characters. Only for agents and supervisors of the group, and admins."
                ),
                examples=["我睡不着已经一周了"],
            ),
        ]
        | UnsetType
    ) = UNSET


class QueueStatus(msgspec.Struct, frozen=True):
    length: Annotated[int, Meta(description="The number of waiting users.", examples=[1])]
    waiting_since: Annotated[
        Time | None,
        Meta(description="The time since which the first user waits; null if the queue is empty."),
    ]
    first: Annotated[list[Waiting], Meta(description="The first users in the queue, in order, at most 100.")]


class SupportStatus(msgspec.Struct, frozen=True):
    time: Annotated[
        Time, Meta(description="The server's time at this moment, for the calculation of waiting times.")
    ]
    waiters: list[WaiterStatus]
    queue: QueueStatus
    conversations: Annotated[int, Meta(description="The number of open conversations.", examples=[2])]


class GuestToken(msgspec.Struct, frozen=True):
    token: Annotated[str, Meta(description="A JWT with the role `user`.", examples=["eyJhbGciOi…"])]
    id: Annotated[str, Meta(examples=["guest-9f0c8a526f0e4a538f1c3d0c1f9a7e21"])]
    expires_in: Annotated[int, Meta(description="The validity of the token, in seconds.", examples=[86400])]
