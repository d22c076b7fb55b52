"""The frames of the counselling dialect as structs, for the parser, the encoders and the API documents."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tornado_chat.core.errors import Malformed
from tornado_chat.core.numbers import MAX_NUMBER, Number, NumberText
from tornado_chat.core.types import Kind, Thread
from tornado_chat.wire.approval_frames import ApprovalShown, HeldNumber, HeldShown, Note
from tornado_chat.wire.offers import OfferDetails
from tornado_chat.wire.people import Sender
from tornado_chat.wire.times import Time

HISTORY_PAGE = 50

Seq = Annotated[Number, Meta(description="The number of the message: from 1, without gaps.", examples=[5])]
PublishedTime = Annotated[
    str,
    Meta(
        description=(
            "ISO 8601 in the server's zone. Without an offset for sockets that asked for no feature, with it "
            "for all others."
        ),
        examples=["2025-03-20T08:26:45.391706"],
    ),
]
Text = Annotated[str, Meta(description="The text of the message.", examples=["hi"])]
MessageId = Annotated[
    str,
    Meta(description="Feature `seq`: the same on every delivery, unique in the server.", examples=["s4-5"]),
]
Counted = Annotated[
    int,
    Meta(ge=1, description="Feature `seq`: the number of the message, from 1, without gaps.", examples=[5]),
]
ParticipantRole = Annotated[str, Meta(description="The role of the participant.", examples=["consultant"])]
SenderShown = Annotated[Sender, Meta(description="The person that has sent the message.")]
SenderType = Annotated[
    bool, Meta(description="False: the visitor (in a record: the supervisor). True: the consultant.")
]


# --- query parameters ---

SessionNumber = Annotated[Number, Meta(examples=[4])]
Token = Annotated[str, Meta(description="The JWT of the connecting person.", examples=["eyJhbGciOi…"])]
Features = Annotated[
    str,
    Meta(
        description="Opt-in features, separated by commas; unknown names are ignored.", examples=["ack,seq"]
    ),
]
AskedLanguage = Annotated[
    str,
    Meta(
        description=(
            "Opt-in: the language of the errors and system messages for this socket, `zh` or `en`; without "
            "it that of the server (`[server] language`)."
        ),
        examples=["en"],
    ),
]


class NotifyQuery(msgspec.Struct, frozen=True):
    token: Token = ""
    features: Features = ""
    language: AskedLanguage = ""


class ObserveQuery(msgspec.Struct, frozen=True):
    sessionId: (  # noqa: N815 - the seed
        Annotated[SessionNumber, Meta(description="The session to observe; or give `conversationId`.")] | None
    ) = None
    conversationId: (  # noqa: N815 - as sessionId
        Annotated[SessionNumber, Meta(description="The support conversation to observe.")] | None
    ) = None
    token: Token = ""
    features: Features = ""
    language: AskedLanguage = ""

    @property
    def thread(self) -> Thread:
        """The conversation. :raises Malformed: the query has none, or both numbers."""
        if self.conversationId is None and self.sessionId is not None:
            return Thread(Kind.SESSION, self.sessionId)
        if self.sessionId is None and self.conversationId is not None:
            return Thread(Kind.SUPPORT, self.conversationId)
        reason = "give exactly one of sessionId and conversationId"
        raise Malformed("bad_parameter", name="sessionId", reason=reason)


class ChatQuery(msgspec.Struct, frozen=True):
    sessionId: Annotated[  # noqa: N815 - the seed's spelling
        SessionNumber, Meta(description="The session, or with `type=1` the supervision record.")
    ]
    token: Token = ""
    type: Annotated[
        Literal[0, 1], Meta(description="0: visitor and consultant. 1: consultant and supervisor.")
    ] = 0
    features: Features = ""
    language: AskedLanguage = ""


# --- from the client ---

NewerToken = Annotated[
    str, Meta(description="A newer JWT of the same person and role.", examples=["eyJhbGciOi…"])
]


class ConsentAnswer(msgspec.Struct, frozen=True):
    version: Annotated[str, Meta(description="The version of the text.", examples=["2026-01"])]
    accept: Annotated[bool, Meta(description="True: accepts. False: declines.", examples=[True])]


class ClientFrame(msgspec.Struct, frozen=True):
    """Any frame that a participant sends to `/chat`."""

    msg: (
        Annotated[str, Meta(description="The text; more than white space.", examples=["hello"])] | UnsetType
    ) = UNSET
    id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=64,
                description=(
                    "Chosen by the client. A message that is sent again with the same id in the same "
                    "session is stored and delivered once."
                ),
                examples=["a1"],
            ),
        ]
        | None
    ) = None
    history: (
        Annotated[
            Number,
            Meta(description="Request the page before this seq; null: the newest page.", examples=[17]),
        ]
        | UnsetType
        | None
    ) = UNSET
    typing: Annotated[bool, Meta(description="True while the participant is typing.")] | UnsetType = UNSET
    read: (
        Annotated[
            Number,
            Meta(description="The participant has read all messages up to this seq.", examples=[17]),
        ]
        | UnsetType
    ) = UNSET
    token: NewerToken | UnsetType = UNSET
    wait: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=86400,
                description="Wait so many seconds more for the absent participant.",
                examples=[60],
            ),
        ]
        | UnsetType
    ) = UNSET
    consent: (
        Annotated[
            ConsentAnswer,
            Meta(description="The visitor accepts or declines the text of the frame `consent`."),
        ]
        | UnsetType
    ) = UNSET
    accept: (
        Annotated[Number | NumberText, Meta(description="Accept the offer with this id.", examples=["7"])]
        | UnsetType
    ) = UNSET
    decline: (
        Annotated[Number | NumberText, Meta(description="Decline the offer with this id.", examples=["7"])]
        | UnsetType
    ) = UNSET


class ListenerFrame(msgspec.Struct, frozen=True):
    """Any frame that a client sends to `/notify` or `/observe`."""

    token: NewerToken | UnsetType = UNSET


class Alive(msgspec.Struct, frozen=True):
    """The request of a client of `/notify` or `/observe` to check the connection, and the server's answer."""

    alive: Annotated[bool, Meta(description="Any value in the request; true in the answer.", examples=[True])]


# --- to the client ---


class TokenAccepted(msgspec.Struct):
    """The answer to `token`: the socket uses the newer token from now on."""

    token: Annotated[bool, Meta(description="Always true.", examples=[True])]


class ChatFrame(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A message of a participant, or a system text."""

    isSystem: Annotated[bool, Meta(description="True for a system text.")]  # noqa: N815 - the seed's spelling
    system: (
        Annotated[
            bool, Meta(description="The same as `isSystem`, unless `[counselling] legacy_system_key` is off.")
        ]
        | UnsetType
    ) = UNSET
    msg: Text
    time: PublishedTime
    id: MessageId | UnsetType = UNSET
    seq: Counted | UnsetType = UNSET
    self: (
        Annotated[bool, Meta(description="Feature `echo`: true if the receiving person sent the message.")]
        | UnsetType
    ) = UNSET
    token: (
        Annotated[bool, Meta(description="Feature `token`: false in the error for a refused token.")]
        | UnsetType
    ) = UNSET
    wait: (
        Annotated[bool, Meta(description="Feature `presence`: false in the error for a refused `wait`.")]
        | UnsetType
    ) = UNSET
    consent: (
        Annotated[bool, Meta(description="Feature `consent`: false in the error for a refused `consent`.")]
        | UnsetType
    ) = UNSET
    offer: (
        Annotated[
            bool, Meta(description="Feature `offer`: false in the error for a refused `accept` or `decline`.")
        ]
        | UnsetType
    ) = UNSET
    reason: (
        Annotated[
            str,
            Meta(
                description=(
                    "Feature `presence`, with the end of the session: `left`, `ended`, `grace`, `cancelled` "
                    "or `not_started`."
                ),
                examples=["grace"],
            ),
        ]
        | UnsetType
    ) = UNSET
    sender: SenderShown | UnsetType = UNSET


class Ack(msgspec.Struct):
    """The acknowledgement that a message with an id is stored."""

    ack: Annotated[str, Meta(description="The id that the client gave the message.", examples=["a1"])]
    seq: Seq
    time: Time


class TypingShown(msgspec.Struct):
    typing: Annotated[bool, Meta(description="True while the participant is typing.")]
    role: ParticipantRole


class ObservingShown(msgspec.Struct):
    observing: Annotated[
        bool, Meta(description="True: a supervisor has begun to listen in. False: it has stopped.")
    ]


class PartShown(msgspec.Struct):
    """As what the person of the socket takes part."""

    part: Annotated[
        str | None,
        Meta(
            description=(
                "`supervisor`: it has joined. `agent`: it has taken the conversation over. Null: it observes."
            ),
            examples=["supervisor"],
        ),
    ]


class ReadShown(msgspec.Struct):
    read: Annotated[
        int, Meta(ge=0, description="The participant has read all messages up to this seq.", examples=[17])
    ]
    role: ParticipantRole


class ReceiptShown(msgspec.Struct):
    receipt: Annotated[
        int, Meta(ge=0, description="All messages up to this seq have arrived at the client.", examples=[17])
    ]
    role: ParticipantRole


class Handover(msgspec.Struct, rename={"from_": "from"}):
    """Who had a session, and who has it from then on."""

    from_: Annotated[Sender, Meta(description="The agent before.")]
    to: Annotated[Sender, Meta(description="The agent from then on.")]
    time: Time


class HandedOver(msgspec.Struct):
    """Another agent has the session from now on."""

    handover: Handover


class Offered(msgspec.Struct):
    """An offer of a conversation to or of the person of the socket, on each change."""

    offer: OfferDetails


class PresenceShown(msgspec.Struct):
    presence: Annotated[
        dict[str, bool],
        Meta(
            description="By role: true if a participant of the role is connected.",
            examples=[{"user": True, "consultant": False}],
        ),
    ]
    until: (
        Annotated[
            dict[str, Time],
            Meta(
                description="By role: until when an absent participant is awaited, with the zone's offset.",
                examples=[{"consultant": "2025-03-20T08:28:45.391706+08:00"}],
            ),
        ]
        | UnsetType
    ) = UNSET
    grace: (
        Annotated[
            dict[str, float],
            Meta(
                description=(
                    "By role: for how many seconds the session would wait for a participant whose connection "
                    "is lost."
                ),
                examples=[{"user": 120, "consultant": 120}],
            ),
        ]
        | UnsetType
    ) = UNSET
    time: (
        Annotated[
            Time,
            Meta(
                description="With `until`: the server's time, to compare it with.",
                examples=["2025-03-20T08:26:45.391706+08:00"],
            ),
        ]
        | UnsetType
    ) = UNSET


class Approval(msgspec.Struct):
    """The state of a message that waits, or has waited, for an approval."""

    approval: Annotated[ApprovalShown, Meta(description="The message and its state.")]


class Held(msgspec.Struct):
    """A held message: when an observer comes, when a message is held, and after the decision."""

    held: Annotated[HeldShown, Meta(description="The message and its state.")]


class DecisionFrame(msgspec.Struct, frozen=True):
    """The decision of a supervisor on a held message, with one of the keys `approve`, `edit` and `refuse`."""

    approve: HeldNumber | UnsetType = UNSET
    edit: HeldNumber | UnsetType = UNSET
    refuse: HeldNumber | UnsetType = UNSET
    text: (
        Annotated[str, Meta(description="With `edit`: the text to send instead.", examples=["hello"])] | None
    ) = None
    note: Note | None = None


class ConsentText(msgspec.Struct):
    group: Annotated[str, Meta(description="The group whose text it is.", examples=["default"])]
    version: Annotated[str, Meta(description="For the answer.", examples=["2026-01"])]
    language: Annotated[str, Meta(description="`zh_CN` or `en`.", examples=["en"])]
    text: Annotated[
        str, Meta(description="Plain text with line breaks.", examples=["What you write here is stored."])
    ]


class ConsentAsked(msgspec.Struct):
    """What the visitor has to accept before its first message."""

    consent: ConsentText


class ConsentDecision(msgspec.Struct):
    group: Annotated[str, Meta(examples=["default"])]
    version: Annotated[str, Meta(examples=["2026-01"])]
    accepted: Annotated[
        bool, Meta(description="True: the acceptance is stored. False: the visitor has declined.")
    ]


class ConsentNoted(msgspec.Struct):
    """The answer to `consent`."""

    consented: ConsentDecision


class Line(msgspec.Struct):
    """A message in a history page or transcript."""

    seq: Seq
    msg: Text
    senderType: SenderType  # noqa: N815 - the seed's spelling
    time: Time
    sender: SenderShown


class History(msgspec.Struct):
    history: Annotated[list[Line], Meta(description="The messages, oldest first.")]
    next: Annotated[
        int | None,
        Meta(description="The value of `history` that requests the page before; null if there is none."),
    ]


class ObserveFrame(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A message of a participant, or the end of the session, as observers receive it."""

    msg: Text
    senderType: Annotated[  # noqa: N815 - the seed's spelling
        bool | None,
        Meta(description="False: the visitor. True: the consultant. Null: the session has ended."),
    ]
    time: PublishedTime
    id: MessageId | UnsetType = UNSET
    seq: Counted | UnsetType = UNSET
    sender: SenderShown | UnsetType = UNSET


class NotifyFrame(msgspec.Struct, kw_only=True):
    """A notification, to be shown as a pop-up."""

    type: Annotated[
        int,
        Meta(description="0: plain. 1: an appointment has changed. 2: a new conversation.", examples=[0]),
    ]
    msg: Annotated[str, Meta(description="The text to show.", examples=["您有新的请假申请待处理"])]
    time: PublishedTime
    data: Annotated[
        Mapping[str, Any] | None,
        Meta(
            description=(
                "Depends on `type`; null for type 0, unless the notification is an alert. Its ids are texts "
                "for sockets that asked for a feature."
            )
        ),
    ]
    id: (
        Annotated[
            str,
            Meta(description="Feature `seq`: for `POST /api/v1/notifications/{id}/read`.", examples=["12"]),
        ]
        | UnsetType
    ) = UNSET
    seq: (
        Annotated[
            int,
            Meta(
                ge=1,
                description="Feature `seq`: the number of the notification in the recipient's inbox.",
                examples=[3],
            ),
        ]
        | UnsetType
    ) = UNSET


PersonId = Annotated[int, Meta(ge=0, le=MAX_NUMBER)] | Annotated[str, Meta(min_length=1, max_length=64)]
"""A person's id in the host system, an integer or a string; 7 and "7" are the same person."""

AlertMark = Annotated[
    bool,
    Meta(
        description="Feature `seq`: true if the notification is to be shown until it is acknowledged.",
        examples=[True],
    ),
]


class PlainAlert(msgspec.Struct):
    """`data` of a notification of type 0 that a plugin marks as an alert."""

    alert: AlertMark


class AppointmentChanged(msgspec.Struct):
    """`data` of a notification of type 1."""

    apointmentId: Annotated[  # noqa: N815 - the seed's spelling
        PersonId, Meta(description="The id of the appointment. The key has one `p`.", examples=[3])
    ]
    consultantId: (  # noqa: N815 - the seed's spelling
        Annotated[
            PersonId,
            Meta(
                description="The consultant to book a new appointment with; absent if the visitor cancelled.",
                examples=[5],
            ),
        ]
        | UnsetType
    ) = UNSET
    alert: AlertMark | UnsetType = UNSET


class NewConversation(msgspec.Struct):
    """`data` of a notification of type 2."""

    sessionId: Annotated[  # noqa: N815 - the seed's spelling
        Number | NumberText,
        Meta(
            description=(
                "The `sessionId` for `/chat`: a session, or for a supervisor the record (with `type=1`)."
            ),
            examples=[4],
        ),
    ]
    observeSessionId: (  # noqa: N815 - the seed's spelling
        Annotated[
            Number | NumberText,
            Meta(description="For a supervisor only: the session to observe at `/observe`.", examples=[5]),
        ]
        | UnsetType
    ) = UNSET
    observeConversationId: (  # noqa: N815 - as observeSessionId
        Annotated[
            Number | NumberText,
            Meta(
                description="For a supervisor only: the support conversation to observe at `/observe`.",
                examples=[7],
            ),
        ]
        | UnsetType
    ) = UNSET
    alert: AlertMark | UnsetType = UNSET


NOTIFICATION_DATA: Mapping[int, type[msgspec.Struct] | None] = {
    0: None,
    1: AppointmentChanged,
    2: NewConversation,
}
"""The struct of ``data`` by the ``type`` of a notification; None: null."""

DATA_IDS = ("sessionId", "observeSessionId", "observeConversationId", "apointmentId", "consultantId")
"""The keys of ``data`` that hold an id."""
