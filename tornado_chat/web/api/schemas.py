"""The bodies of the HTTP API, in and out, and its parameters."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tornado_chat.core.errors import ChatError, Malformed
from tornado_chat.core.texts import error_text
from tornado_chat.core.types import Person, Role, SessionState
from tornado_chat.wire.counselling_frames import NOTIFICATION_DATA, Line, Number, PersonId, Time

MAX_PAGE_ITEMS = 500

Name = Annotated[str, Meta(max_length=64)]
Feedback = Annotated[str, Meta(max_length=2000)]
Stars = Annotated[int, Meta(ge=1, le=5, description="1 to 5.", examples=[5])]
SessionNumber = Annotated[int, Meta(description="The session.", examples=[4])]
State = Annotated[
    SessionState,
    Meta(
        description="`ready` until both were present for the first time, then `active`; the others are final."
    ),
]
Next = Annotated[int | None, Meta(description="The `after` of the following page; null at the end.")]

UserId = Annotated[PersonId, Meta(description="The visitor, as its tokens name it.", examples=[1])]
ConsultantId = Annotated[PersonId, Meta(description="The consultant, as its tokens name it.", examples=[2])]
AnyId = Annotated[
    int | str, Meta(description="As the host writes it: a number if it looks like one.", examples=[1])
]


DATA_SCHEMAS = [
    {"$ref": f"#/components/schemas/{struct.__name__}"} for struct in NOTIFICATION_DATA.values() if struct
]


# --- in ---


class OpenSession(msgspec.Struct, frozen=True):
    user_id: UserId
    consultant_id: ConsultantId
    session_id: Annotated[
        Number | None, Meta(description="The number that the host gives it; null takes the next one.")
    ] = None
    appointment_id: Annotated[
        Number | None, Meta(description="The host's appointment, to be kept with it.")
    ] = None
    user_name: Annotated[Name | None, Meta(description="What the other one sees.", examples=["小林"])] = None
    consultant_name: Annotated[
        Name | None, Meta(description="What the other one sees.", examples=["陈老师"])
    ] = None


class CallSupervisor(msgspec.Struct, frozen=True):
    supervisor_id: Annotated[
        PersonId, Meta(description="The supervisor, as its tokens name it.", examples=[3])
    ]
    supervisor_name: Annotated[Name | None, Meta(description="What the consultant sees.")] = None
    record_id: Annotated[
        Number | None, Meta(description="The number that the host gives it; null takes the next one.")
    ] = None


class Rating(msgspec.Struct, frozen=True):
    rate: Stars
    feedback: Annotated[
        Feedback | None, Meta(description="In the visitor's words.", examples=["It helped."])
    ] = None


class Notify(msgspec.Struct, frozen=True):
    role: Annotated[
        Literal["user", "consultant", "supervisor", "waiter", "admin"], Meta(description="Of the recipient.")
    ]
    id: Annotated[PersonId, Meta(description="Of the recipient.", examples=[1])]
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
            description="Null for type 0; see `AppointmentChanged` for 1, `NewConversation` for 2.",
            extra_json_schema={"anyOf": [*DATA_SCHEMAS, {"type": "null"}]},
        ),
    ] = None

    @property
    def recipient(self) -> Person:
        return Person(Role(self.role), str(self.id))

    def validate_data(self) -> None:
        """Hold ``data`` to what the seed says of the type. What else is in it goes along.

        :raises Malformed: a client of the seed could not read it.
        """
        expected = NOTIFICATION_DATA[self.type]
        if expected is None:
            if self.data is not None:
                raise Malformed("bad_shape", reason=f"`data` of type {self.type} must be null")
            return
        try:
            msgspec.convert(self.data, expected)
        except msgspec.ValidationError as error:
            reason = f"{error} (`data` of type {self.type}; keys are spelled as the protocol has them)"
            raise Malformed("bad_shape", reason=reason) from None


class PageQuery(msgspec.Struct, frozen=True):
    after: Annotated[
        int, Meta(ge=0, le=2**62, description="The `next` of the page before; 0 for the first.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_ITEMS, description="The most items of the page.")] = 100


class ConversationQuery(msgspec.Struct, frozen=True):
    user: Annotated[str, Meta(min_length=1, max_length=64, description="The id of a user.", examples=["1"])]
    before: Annotated[
        int, Meta(ge=1, le=2**62, description="The `next` of the page before; the newest first.")
    ] = 2**62
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_ITEMS, description="The most items of the page.")] = 100


class ExportQuery(msgspec.Struct, frozen=True):
    format: Annotated[
        Literal["txt", "json", "html"], Meta(description="For people (txt, html) or for programs (json).")
    ] = "txt"


# --- out ---


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong (RFC 9457). ``code`` is stable, for programs; ``detail`` is a sentence, for people."""

    type: Annotated[str, Meta(examples=["about:blank"])]
    title: Annotated[str, Meta(description="The phrase of the status.", examples=["Not Found"])]
    status: Annotated[int, Meta(examples=[404])]
    code: Annotated[str, Meta(description="What happened; absent if the status says it all.")] = ""
    detail: Annotated[str, Meta(description="What happened and what to do, in English.")] = ""

    @classmethod
    def of(cls, error: ChatError) -> "Problem":
        status = error.http_status
        return cls("about:blank", HTTPStatus(status).phrase, status, error.code, error_text("en", error))


class Session(msgspec.Struct, frozen=True):
    session_id: SessionNumber
    user_id: AnyId
    consultant_id: Annotated[AnyId, Meta(examples=[2])]
    user_name: Annotated[str | None, Meta(examples=["小林"])]
    consultant_name: Annotated[str | None, Meta(examples=["陈老师"])]
    appointment_id: Annotated[int | None, Meta(examples=[8])]
    state: State
    created: Time
    started: Annotated[
        Time | None, Meta(description="When both were present for the first time.", examples=[None])
    ]
    ended: Annotated[Time | None, Meta(examples=[None])]
    rate: Annotated[int | None, Meta(description="The visitor's rating, 1 to 5.", examples=[None])]
    feedback: Annotated[str | None, Meta(examples=[None])]


class Supervision(msgspec.Struct, frozen=True):
    """A record: the conversation of a session's consultant with a supervisor."""

    record_id: Annotated[int, Meta(description="What to open at `/chat` with `type=1`.", examples=[6])]
    session_id: Annotated[int, Meta(description="The session it is about.", examples=[4])]
    state: State


class SupervisionRecord(msgspec.Struct, frozen=True):
    """A record with its people: a session's consultant asks, a supervisor answers."""

    record_id: Annotated[int, Meta(description="What to open at `/chat` with `type=1`.", examples=[6])]
    session_id: Annotated[int, Meta(description="The session it is about.", examples=[4])]
    consultant_id: Annotated[AnyId, Meta(examples=[2])]
    supervisor_id: Annotated[AnyId, Meta(examples=[3])]
    consultant_name: Annotated[str | None, Meta(examples=["陈老师"])]
    supervisor_name: Annotated[str | None, Meta(examples=["吴督导"])]
    state: State
    created: Time
    started: Annotated[
        Time | None, Meta(description="When both were present for the first time.", examples=[None])
    ]
    ended: Annotated[Time | None, Meta(examples=[None])]


class MessagePage(msgspec.Struct, frozen=True):
    items: Annotated[list[Line], Meta(description="Oldest first.")]
    next: Next


class SupportMessage(msgspec.Struct, frozen=True):
    """What was said in a support conversation."""

    id: Annotated[str, Meta(description="The same in every frame.", examples=["c7-5"])]
    seq: Annotated[int, Meta(description="From 1, without gaps.", examples=[5])]
    sender: Annotated[str, Meta(description="The role of who said it.", examples=["user"])]
    type: Annotated[str, Meta(description="`message_text` or `message_image`.", examples=["message_text"])]
    message: Annotated[str, Meta(description="The text, or the URL of the image.", examples=["你好"])]
    time: Time


class SupportMessagePage(msgspec.Struct, frozen=True):
    items: Annotated[list[SupportMessage], Meta(description="Oldest first.")]
    next: Next


class EndedConversation(msgspec.Struct, frozen=True):
    """A support conversation that is over."""

    conversation: Annotated[int, Meta(description="Its number.", examples=[7])]
    user_id: AnyId
    user_name: str | None
    waiter_id: AnyId | None
    waiter_name: str | None
    created: Annotated[Time, Meta(description="When the user joined the line.")]
    assigned: Annotated[str | None, Meta(description="When the waiter came.")]
    ended: str | None
    messages: Annotated[int, Meta(description="How many were said.", examples=[12])]
    rate: Stars | None
    feedback: str | None


class ConversationPage(msgspec.Struct, frozen=True):
    items: Annotated[list[EndedConversation], Meta(description="Newest first.")]
    next: Annotated[int | None, Meta(description="The `before` of the following page; null at the end.")]


class Transcript(msgspec.Struct, frozen=True):
    """The transcript as JSON."""

    session: Session
    messages: list[Line]


class SupervisionTranscript(msgspec.Struct, frozen=True):
    """The transcript of a supervision record as JSON."""

    supervision: SupervisionRecord
    messages: list[Line]


class Notified(msgspec.Struct, frozen=True):
    notification_id: Annotated[int, Meta(examples=[12])]


class InboxItem(msgspec.Struct, frozen=True):
    """A notification, as its recipient sees it."""

    notification_id: Annotated[int, Meta(examples=[12])]
    seq: Annotated[int, Meta(description="Its number in the inbox, from 1, without gaps.", examples=[3])]
    type: Annotated[int, Meta(description="0, 1 or 2, as in `Notify`.", examples=[0])]
    msg: Annotated[str, Meta(examples=["您有新的请假申请待处理"])]
    time: Time
    data: Annotated[Mapping[str, Any] | None, Meta(examples=[None])]
    read: Annotated[bool, Meta(description="Whether the recipient has marked it as read.", examples=[False])]
    read_at: Annotated[
        str | None,
        Meta(description="When it was first marked as read, as `time`; null before.", examples=[None]),
    ]


class Inbox(msgspec.Struct, frozen=True):
    items: Annotated[list[InboxItem], Meta(description="Oldest first.")]
    next: Next


class WaiterStatus(msgspec.Struct, frozen=True):
    id: AnyId
    name: Annotated[str | None, Meta(examples=["Bob"])]
    ready: Annotated[bool, Meta(description="Whether it takes new users.")]
    connected: Annotated[bool, Meta(description="Whether it has a socket open.")]
    conversations: Annotated[int, Meta(description="Users it has now.", examples=[2])]
    capacity: Annotated[int, Meta(description="Users it may have at once.", examples=[5])]


class Waiting(msgspec.Struct, frozen=True):
    id: AnyId
    name: Annotated[str | None, Meta(examples=["Ada"])]
    since: Time


class QueueStatus(msgspec.Struct, frozen=True):
    length: Annotated[int, Meta(description="How many wait.", examples=[1])]
    waiting_since: Annotated[Time | None, Meta(description="Since when the first one waits.")]
    first: Annotated[list[Waiting], Meta(description="At most 100 of them, the next one first.")]


class SupportStatus(msgspec.Struct, frozen=True):
    time: Annotated[Time, Meta(description="The server's clock, to tell from how long somebody waits.")]
    waiters: list[WaiterStatus]
    queue: QueueStatus
    conversations: Annotated[int, Meta(description="How many are going on.", examples=[2])]


class GuestToken(msgspec.Struct, frozen=True):
    token: Annotated[str, Meta(description="A JWT of the role `user`.", examples=["eyJhbGciOi…"])]
    id: Annotated[str, Meta(examples=["guest-9f0c8a526f0e4a538f1c3d0c1f9a7e21"])]
    expires_in: Annotated[int, Meta(description="Seconds.", examples=[86400])]
