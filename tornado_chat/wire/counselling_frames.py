"""What the frames of the counselling dialect look like, to the parser, the encoders and the published description."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

HISTORY_PAGE = 50

Seq = Annotated[
    int, Meta(ge=1, le=2**62, description="The number of a message: from 1, without gaps.", examples=[5])
]
Time = Annotated[
    str,
    Meta(
        description="ISO 8601, local time of the server's zone, without zone.",
        examples=["2025-03-20T08:26:45.391706"],
    ),
]
Text = Annotated[str, Meta(description="What was said.", examples=["hi"])]
MessageId = Annotated[
    str,
    Meta(description="Feature `seq`: the same on every delivery, unique in the server.", examples=["s4-5"]),
]
Counted = Annotated[
    int,
    Meta(ge=1, description="Feature `seq`: the number of the message, from 1, without gaps.", examples=[5]),
]
WhoseRole = Annotated[str, Meta(description="The role of the one who did it.", examples=["consultant"])]
SenderType = Annotated[
    bool, Meta(description="False: the visitor (of a record: the supervisor); true: the consultant.")
]


# --- addresses ---

SessionNumber = Annotated[int, Meta(ge=0, le=10**18 - 1, examples=[4])]
Token = Annotated[str, Meta(description="The JWT of whoever connects.", examples=["eyJhbGciOi…"])]
Features = Annotated[
    str, Meta(description="Opt-ins, separated by commas; unknown names are ignored.", examples=["ack,seq"])
]


class NotifyQuery(msgspec.Struct, frozen=True):
    token: Token = ""
    features: Features = ""


class ObserveQuery(msgspec.Struct, frozen=True):
    sessionId: Annotated[SessionNumber, Meta(description="The session to listen to.")]  # noqa: N815 - the seed's spelling
    token: Token = ""
    features: Features = ""


class ChatQuery(msgspec.Struct, frozen=True):
    sessionId: Annotated[  # noqa: N815 - the seed's spelling
        SessionNumber, Meta(description="The session, or with `type=1` the supervision record.")
    ]
    token: Token = ""
    type: Annotated[
        Literal[0, 1], Meta(description="0: visitor and consultant. 1: consultant and supervisor.")
    ] = 0
    features: Features = ""


# --- from the client ---


class ClientFrame(msgspec.Struct, frozen=True):
    """Any frame that a participant sends to `/chat`."""

    msg: Annotated[str, Meta(description="The text. Not only spaces.", examples=["hello"])] | UnsetType = (
        UNSET
    )
    id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=64,
                description="Made up by the client. The same id again in the same session is stored and delivered once.",
                examples=["a1"],
            ),
        ]
        | None
    ) = None
    history: (
        Annotated[int, Meta(ge=1, le=2**62, description="A seq; null for the newest page.", examples=[17])]
        | UnsetType
        | None
    ) = UNSET
    typing: Annotated[bool, Meta(description="Whether one is typing now.")] | UnsetType = UNSET
    read: (
        Annotated[int, Meta(ge=1, le=2**62, description="Everything up to this seq was read.", examples=[17])]
        | UnsetType
    ) = UNSET


class Alive(msgspec.Struct, frozen=True):
    """What those who only listen ask to know whether the server is there, and its answer."""

    alive: Annotated[bool, Meta(description="Any value will do; true in the answer.", examples=[True])]


# --- to the client ---


class ChatFrame(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is said, and what the system says."""

    isSystem: Annotated[bool, Meta(description="Whether the system says it.")]  # noqa: N815 - the seed's spelling
    system: (
        Annotated[
            bool, Meta(description="The same as `isSystem`, unless `[counselling] legacy_system_key` is off.")
        ]
        | UnsetType
    ) = UNSET
    msg: Text
    time: Time
    id: MessageId | UnsetType = UNSET
    seq: Counted | UnsetType = UNSET
    self: (
        Annotated[bool, Meta(description="Feature `echo`: it is one's own, on all of one's sockets.")]
        | UnsetType
    ) = UNSET


class Ack(msgspec.Struct):
    """A message with an id is stored."""

    ack: Annotated[str, Meta(description="The id that the client gave it.", examples=["a1"])]
    seq: Seq
    time: Time


class TypingShown(msgspec.Struct):
    typing: Annotated[bool, Meta(description="Whether the other one is typing now.")]
    role: WhoseRole


class ReadShown(msgspec.Struct):
    read: Annotated[int, Meta(ge=0, description="The seq up to which everything was read.", examples=[17])]
    role: WhoseRole


class PresenceShown(msgspec.Struct):
    presence: Annotated[
        dict[str, bool],
        Meta(
            description="By role, whether anybody is there.", examples=[{"user": True, "consultant": False}]
        ),
    ]


class Line(msgspec.Struct):
    """A message in a page or transcript."""

    seq: Seq
    msg: Text
    senderType: SenderType  # noqa: N815 - the seed's spelling
    time: Time


class History(msgspec.Struct):
    history: Annotated[list[Line], Meta(description="Oldest first.")]
    next: Annotated[
        int | None,
        Meta(description="The `history` of the request for the page before; null at the beginning."),
    ]


class ObserveFrame(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What an observer hears."""

    msg: Text
    senderType: Annotated[  # noqa: N815 - the seed's spelling
        bool | None,
        Meta(description="False: the visitor. True: the consultant. Null: the session has ended."),
    ]
    time: Time
    id: MessageId | UnsetType = UNSET
    seq: Counted | UnsetType = UNSET


class NotifyFrame(msgspec.Struct, kw_only=True):
    """A pop-up."""

    type: Annotated[
        int, Meta(description="0: plain. 1: an appointment has changed. 2: a new conversation.", examples=[0])
    ]
    msg: Annotated[str, Meta(description="The text to show.", examples=["您有新的请假申请待处理"])]
    time: Time
    data: Annotated[
        Mapping[str, Any] | None, Meta(description="By `type`; null for 0, unless it is an alert.")
    ]
    id: (
        Annotated[
            int,
            Meta(description="Feature `seq`: for `POST /api/v1/notifications/{id}/read`.", examples=[12]),
        ]
        | UnsetType
    ) = UNSET
    seq: (
        Annotated[
            int, Meta(ge=1, description="Feature `seq`: its number in the recipient's inbox.", examples=[3])
        ]
        | UnsetType
    ) = UNSET


PersonId = Annotated[int, Meta(ge=0, le=2**62)] | Annotated[str, Meta(min_length=1, max_length=64)]
"""Hosts use integers or strings; 7 and "7" are the same person."""

Number = Annotated[int, Meta(ge=1, le=2**62)]


AlertMark = Annotated[
    bool,
    Meta(
        description="Feature `seq`: it must not be overlooked until somebody acknowledges it.",
        examples=[True],
    ),
]


class PlainAlert(msgspec.Struct):
    """`data` of a notification of type 0 that a plugin marks as an alert."""

    alert: AlertMark


class AppointmentChanged(msgspec.Struct):
    """`data` of a notification of type 1."""

    apointmentId: Annotated[  # noqa: N815 - the seed's spelling
        PersonId, Meta(description="The appointment. Spelled so.", examples=[3])
    ]
    consultantId: (  # noqa: N815 - the seed's spelling
        Annotated[
            PersonId,
            Meta(
                description="Whom to ask for another appointment; absent when the visitor cancelled.",
                examples=[5],
            ),
        ]
        | UnsetType
    ) = UNSET
    alert: AlertMark | UnsetType = UNSET


class NewConversation(msgspec.Struct):
    """`data` of a notification of type 2."""

    sessionId: Annotated[  # noqa: N815 - the seed's spelling
        Number,
        Meta(
            description="What to open at `/chat`: a session, or for a supervisor the record, with `type=1`.",
            examples=[4],
        ),
    ]
    observeSessionId: (  # noqa: N815 - the seed's spelling
        Annotated[
            Number,
            Meta(description="For a supervisor only: the session to listen to at `/observe`.", examples=[5]),
        ]
        | UnsetType
    ) = UNSET
    alert: AlertMark | UnsetType = UNSET


NOTIFICATION_DATA: Mapping[int, type[msgspec.Struct] | None] = {
    0: None,
    1: AppointmentChanged,
    2: NewConversation,
}
"""What ``data`` is, by the ``type`` of a notification."""
