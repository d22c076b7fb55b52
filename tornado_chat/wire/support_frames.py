"""The frames of the support dialect as structs, for the parser, the encoder and the API documents."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tornado_chat.core.numbers import Number, NumberText
from tornado_chat.core.types import Role
from tornado_chat.wire.approval_frames import ApprovalShown
from tornado_chat.wire.offers import OfferDetails
from tornado_chat.wire.people import Named, Sender
from tornado_chat.wire.times import Time

Seq = Annotated[Number, Meta(description="The number of the message: from 1, without gaps.", examples=[5])]
MessageId = Annotated[
    str, Meta(description="The same on every delivery, unique in the server.", examples=["c7-5"])
]
Address = Annotated[str, Meta(description="A UUID.", examples=["0b8fd0ae-8f4b-4d3c-9a57-1f4c2b3c7d10"])]
GroupName = (
    Annotated[str, Meta(description="Feature `group`: the group of the conversation.", examples=["crisis"])]
    | UnsetType
)
OfferNumber = Annotated[Number | NumberText, Meta(description="The id of the offer.", examples=["7"])]
Stars = Annotated[int, Meta(ge=1, le=5, description="1 to 5.", examples=[5])]


# --- from the client ---


class ClientFrame(msgspec.Struct, frozen=True):
    """Any frame that a client sends."""

    type: str
    id: (
        Annotated[
            str,
            Meta(
                description=(
                    "Chosen by the client: the answer names it, and a message that is sent again with the "
                    "same id is stored once."
                ),
                examples=["f1"],
            ),
        ]
        | None
    ) = None
    to: (
        Annotated[
            str,
            Meta(
                description="In frames of a waiter: the user's address, from `new_connection`.",
                examples=["5f0c8a52-6f0e-4a53-8f1c-3d0c1f9a7e21"],
            ),
        ]
        | None
    ) = None
    payload: msgspec.Raw | UnsetType = UNSET


class Auth(msgspec.Struct, frozen=True):
    token: (
        Annotated[
            str,
            Meta(
                description=(
                    "The JWT of the connecting person. Left out only where a plugin of the server knows the "
                    "person by the handshake, for example by a cookie of the host."
                ),
                examples=["your token"],
            ),
        ]
        | UnsetType
    ) = UNSET
    features: Annotated[
        list[str], Meta(description="Opt-in features; unknown names are ignored.", examples=[["ack"]])
    ] = []
    language: Annotated[
        str,
        Meta(
            description=(
                "Opt-in: the language of the errors for this socket, `zh` or `en`; without it that of the "
                "server (`[server] language`)."
            ),
            examples=["en"],
        ),
    ] = ""


class Connect(msgspec.Struct, frozen=True):
    """``connect`` of a user. The payload is optional.

    A page that is loaded again sends ``resume``, so that reloading does not put the user into the queue.
    """

    resume: Annotated[
        bool,
        Meta(
            description=(
                "Only resume the open conversation or the queue position; the answer is `disconnected` if "
                "there is neither."
            ),
            examples=[True],
        ),
    ] = False
    group: (
        Annotated[
            str,
            Meta(
                description=(
                    "The group to wait for, by its name; without it the default group. An open conversation "
                    "is resumed in its own group."
                ),
                examples=["crisis"],
            ),
        ]
        | None
    ) = None


class Ready(msgspec.Struct, frozen=True):
    """``ready`` of a waiter: accept users. No payload."""


class Unready(msgspec.Struct, frozen=True):
    """``unready`` of a waiter: keep the open conversations, accept no new users. No payload."""


class Disconnect(msgspec.Struct, frozen=True):
    """``disconnect`` of a user: end the own conversation. The payload is optional."""

    withdraw: Annotated[
        bool,
        Meta(
            description=(
                "Feature `early`: take back what was written while waiting for the first waiter: it is "
                "deleted, whatever the group says. Once a waiter has come it has no effect."
            ),
            examples=[True],
        ),
    ] = False


class DisconnectUser(msgspec.Struct, frozen=True):
    """``disconnect`` of a waiter: end the conversation with the user ``to``, or, without it, ``uuid``."""

    uuid: (
        Annotated[
            str,
            Meta(
                description="The user's address, if `to` does not name it.",
                examples=["5f0c8a52-6f0e-4a53-8f1c-3d0c1f9a7e21"],
            ),
        ]
        | None
    ) = None


class MessageText(msgspec.Struct, frozen=True):
    message: Annotated[
        str, Meta(description="The text; more than white space.", examples=["你好，这是一条信息!"])
    ]


class MessageImage(msgspec.Struct, frozen=True):
    """An image. Clients without the feature ``image`` get its URL as a text message."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://|data:image/)",
            description="An http(s) or data:image URL.",
            examples=["https://example.org/parcel.jpg"],
        ),
    ]


class GetHistory(msgspec.Struct, frozen=True):
    """Request the page of the conversation before the seq ``before``; null: the newest page."""

    before: (
        Annotated[
            Number,
            Meta(description="Request the page before this seq; null: the newest page.", examples=[17]),
        ]
        | None
    ) = None
    limit: Annotated[int, Meta(ge=1, le=100, description="The maximum number of messages in the page.")] = 50


class TypingNow(msgspec.Struct, frozen=True):
    typing: Annotated[bool, Meta(description="True while the sender is typing.")] = True


class MarkRead(msgspec.Struct, frozen=True):
    """The sender has read all messages of the conversation up to ``seq``."""

    seq: Seq


class Transfer(msgspec.Struct, frozen=True):
    """Transfer the user ``to`` to the waiter, or consultant, with the id ``waiter``, or to a group."""

    waiter: Annotated[
        str | int | None,
        Meta(description="The waiter's id, as in its token; left out with `group`.", examples=[8]),
    ] = None
    role: Annotated[
        Literal["waiter", "consultant"],
        Meta(description="The role of that person; consultants serve the groups that let them."),
    ] = "waiter"
    group: Annotated[
        str | None,
        Meta(description="Return the user to the head of the line of this group.", examples=["crisis"]),
    ] = None
    note: (
        Annotated[
            str,
            Meta(
                max_length=4000,
                description="For the next waiter; users never get it.",
                examples=["speaks Hakka"],
            ),
        ]
        | None
    ) = None


class AcceptOffer(msgspec.Struct, frozen=True):
    """Accept the offer of a user (feature ``offer``)."""

    offer: OfferNumber


class DeclineOffer(msgspec.Struct, frozen=True):
    """Decline the offer of a user (feature ``offer``)."""

    offer: OfferNumber


class Accept(msgspec.Struct, frozen=True):
    """``accept`` of a waiter: confirm the user ``to``. No payload."""


class Rate(msgspec.Struct, frozen=True):
    rate: Stars
    feedback: (
        Annotated[str, Meta(max_length=2000, description="The user's comment.", examples=["Quick and kind"])]
        | None
    ) = None


class AnswerConsent(msgspec.Struct, frozen=True):
    """The user accepts or declines the text of the frame ``consent``."""

    version: Annotated[str, Meta(description="The version of the text.", examples=["2026-01"])]
    accept: Annotated[bool, Meta(description="True: accepts. False: declines.", examples=[True])]


Payload = (
    Auth
    | Connect
    | Ready
    | Unready
    | Disconnect
    | DisconnectUser
    | MessageText
    | MessageImage
    | GetHistory
    | TypingNow
    | MarkRead
    | Transfer
    | Accept
    | AcceptOffer
    | DeclineOffer
    | Rate
    | AnswerConsent
)

_COMMON_PAYLOADS: dict[str, type[Payload]] = {
    "auth": Auth,
    "message_text": MessageText,
    "message_image": MessageImage,
    "get_history": GetHistory,
    "typing": TypingNow,
    "read": MarkRead,
}
CLIENT_PAYLOADS: dict[Role, dict[str, type[Payload]]] = {
    Role.USER: {
        **_COMMON_PAYLOADS,
        "connect": Connect,
        "disconnect": Disconnect,
        "rate": Rate,
        "consent": AnswerConsent,
    },
    Role.WAITER: {
        **_COMMON_PAYLOADS,
        "ready": Ready,
        "unready": Unready,
        "transfer": Transfer,
        "accept": Accept,
        "accept_offer": AcceptOffer,
        "decline_offer": DeclineOffer,
        "disconnect": DisconnectUser,
    },
}
"""The payload struct by frame type, by the role of the client's endpoint."""


# --- to the client ---


class ServerFrame(msgspec.Struct, omit_defaults=True, rename={"from_": "from"}):
    """Any frame that the server sends."""

    id: Annotated[
        str,
        Meta(description="The id of the frame; for a message the same on every delivery.", examples=["c7-5"]),
    ]
    to: Annotated[
        str,
        Meta(
            description="The client's own address on this socket.",
            examples=["0b8fd0ae-8f4b-4d3c-9a57-1f4c2b3c7d10"],
        ),
    ]
    type: str
    payload: Any
    from_: (
        Annotated[
            str,
            Meta(
                description="The address of the side that caused the frame.",
                examples=["5f0c8a52-6f0e-4a53-8f1c-3d0c1f9a7e21"],
            ),
        ]
        | UnsetType
    ) = UNSET
    reply_id: (
        Annotated[
            str, Meta(description="The id of the client's frame that this frame answers.", examples=["f1"])
        ]
        | UnsetType
    ) = UNSET
    seq: (
        Annotated[
            int,
            Meta(ge=1, description="Feature `seq`: the number of the message, without gaps.", examples=[5]),
        ]
        | UnsetType
    ) = UNSET
    time: (
        Annotated[Time, Meta(description="Feature `seq`: the time at which the message was stored.")]
        | UnsetType
    ) = UNSET
    conversation: (
        Annotated[
            int, Meta(description="Feature `seq`: the conversation that the frame is about.", examples=[7])
        ]
        | UnsetType
    ) = UNSET
    sender: (
        Annotated[Sender, Meta(description="Feature `sender`: the person that has sent the message.")]
        | UnsetType
    ) = UNSET
    reason: (
        Annotated[
            str,
            Meta(
                description=(
                    "Feature `accept`: `not_accepted`, if the waiter has lost the user as it has not "
                    "confirmed the user in time."
                ),
                examples=["not_accepted"],
            ),
        ]
        | UnsetType
    ) = UNSET


class Failed(msgspec.Struct):
    message: Annotated[
        str,
        Meta(description="A text for people: the error, and how to correct it.", examples=["消息不能为空"]),
    ]


class SignedIn(msgspec.Struct):
    """The profile of the signed-in person, from the token."""

    id: Annotated[str, Meta(examples=["7"])]
    type: Annotated[str, Meta(description="The role.", examples=["user"])]
    name: Annotated[str | None, Meta(examples=["小林"])]


class MessageStored(msgspec.Struct):
    """The message that ``reply_id`` names is stored."""

    id: MessageId
    seq: Seq
    time: Time


class Eta(msgspec.Struct):
    """How long a user is expected to wait."""

    seconds: Annotated[
        float,
        Meta(
            description="Rounded up: to minutes below ten minutes, to five minutes below an hour.",
            examples=[300.0],
        ),
    ]
    based_on: Annotated[int, Meta(description="The number of conversations that it rests on.", examples=[23])]
    places: Annotated[
        int,
        Meta(
            description="The number of users that the agents on duty serve at the same time.", examples=[10]
        ),
    ]


class Queued(msgspec.Struct):
    location: Annotated[
        int, Meta(ge=1, description="The position in the queue; 1 is the first.", examples=[100])
    ]
    conversation: (
        Annotated[
            int, Meta(description="Feature `seq`: the conversation that waits for a waiter.", examples=[7])
        ]
        | UnsetType
    ) = UNSET
    returned: (
        Annotated[
            bool,
            Meta(
                description=(
                    "Feature `seq`: true if the conversation lost its waiter; the user can go on writing."
                ),
                examples=[False],
            ),
        ]
        | UnsetType
    ) = UNSET
    serving: (
        Annotated[
            int,
            Meta(
                ge=0,
                description=(
                    "Feature `seq`: how many waiters serve the queue, free or not. 0: the user waits until a "
                    "waiter comes on duty. The frame is sent again when the number changes."
                ),
                examples=[2],
            ),
        ]
        | UnsetType
    ) = UNSET
    group: GroupName = UNSET
    eta: (
        Annotated[
            Eta,
            Meta(
                description=(
                    "Feature `eta`: the expected wait. It is left out while there is too little data, or no "
                    "agent on duty. The frame is sent again when it changes noticeably."
                )
            ),
        ]
        | UnsetType
    ) = UNSET
    early: (
        Annotated[
            Literal["keep", "discard"],
            Meta(
                description=(
                    "Feature `early`: messages are stored while the user waits, and become a left message "
                    "(`keep`) or are deleted (`discard`) if the user gives up. Absent while the user may not "
                    "write, and after it had a waiter."
                ),
                examples=["keep"],
            ),
        ]
        | UnsetType
    ) = UNSET


class Matched(msgspec.Struct):
    uuid: Annotated[
        str | None, Meta(description="The address of the other side.", examples=["对方的 UUID"])
    ] = None
    conversation: (
        Annotated[
            int,
            Meta(
                description="Feature `seq`: the conversation. Each conversation counts its `seq` from 1.",
                examples=[7],
            ),
        ]
        | UnsetType
    ) = UNSET
    name: (
        Annotated[
            str | None, Meta(description="Feature `profile`: the name of the other side.", examples=["小林"])
        ]
        | UnsetType
    ) = UNSET
    id: (
        Annotated[str, Meta(description="Feature `profile`, for waiters: the user's id.", examples=["7"])]
        | UnsetType
    ) = UNSET
    since: (
        Annotated[
            Time,
            Meta(description="Feature `profile`, for waiters: the time at which the user joined the queue."),
        ]
        | UnsetType
    ) = UNSET
    group: GroupName = UNSET
    accept_within: (
        Annotated[
            float,
            Meta(
                description=(
                    "Feature `accept`, for waiters: the seconds of `[support] accept_timeout`, unless the "
                    "waiter has confirmed the user already. 0: no confirmation is needed."
                ),
                examples=[30.0],
            ),
        ]
        | UnsetType
    ) = UNSET


class ReadShown(msgspec.Struct):
    seq: Annotated[
        int, Meta(ge=0, description="The reader has read all messages up to this seq.", examples=[17])
    ]


class ReceiptShown(msgspec.Struct):
    seq: Annotated[
        int,
        Meta(
            ge=0,
            description="All messages of the conversation up to this seq have arrived at the other side.",
            examples=[17],
        ),
    ]
    conversation: Annotated[int, Meta(description="The conversation.", examples=[7])]


class Observing(msgspec.Struct):
    """A supervisor has begun or stopped to listen in."""

    observing: Annotated[bool, Meta(description="True: it has begun.", examples=[True])]
    conversation: Annotated[int, Meta(description="The conversation.", examples=[7])]


class Supervising(msgspec.Struct):
    """A supervisor takes part in the conversation from now on, or does not any more."""

    joined: Annotated[bool, Meta(description="True: it has joined. False: it has left.", examples=[True])]
    name: Annotated[str, Meta(description="The name of the supervisor.", examples=["吴督导"])]
    conversation: Annotated[int, Meta(description="The conversation.", examples=[7])]


class HandedOver(msgspec.Struct, rename={"from_": "from"}):
    """Another waiter has the conversation from now on."""

    from_: Annotated[Named, Meta(description="The waiter before.")]
    to: Annotated[Named, Meta(description="The waiter from then on.")]
    time: Time
    lost: (
        Annotated[
            bool,
            Meta(
                description="In a history page: true if the waiter before had lost its connection.",
                examples=[True],
            ),
        ]
        | UnsetType
    ) = UNSET


class Line(msgspec.Struct, rename={"from_": "from"}):
    """A message in a history page."""

    id: MessageId
    seq: Seq
    from_: Annotated[str | None, Meta(description="The address of the sender.")]
    sender: Annotated[
        str | Sender,
        Meta(
            description="The role of the sender; with the feature `sender` the person.",
            examples=["user"],
        ),
    ]
    type: Annotated[str, Meta(description="`message_text` or `message_image`.", examples=["message_text"])]
    message: Annotated[str, Meta(description="The text, or the URL of the image.", examples=["你好"])]
    time: Time


class History(msgspec.Struct):
    items: Annotated[list[Line], Meta(description="The messages, oldest first.")]
    next: Annotated[
        int | None,
        Meta(description="The value of `before` that requests the page before; null if there is none."),
    ]
    handovers: (
        Annotated[
            list[HandedOver],
            Meta(description="Feature `sender`: since the first message of the page, oldest first."),
        ]
        | UnsetType
    ) = UNSET


class ConsentAsked(msgspec.Struct):
    """What the user has to accept before its first message."""

    group: Annotated[str, Meta(description="The group whose text it is.", examples=["default"])]
    version: Annotated[str, Meta(description="For the answer.", examples=["2026-01"])]
    language: Annotated[str, Meta(description="`zh_CN` or `en`.", examples=["en"])]
    text: Annotated[
        str, Meta(description="Plain text with line breaks.", examples=["What you write here is stored."])
    ]


class ConsentNoted(msgspec.Struct):
    group: Annotated[str, Meta(examples=["default"])]
    version: Annotated[str, Meta(examples=["2026-01"])]
    accepted: Annotated[
        bool, Meta(description="True: the acceptance is stored. False: the user has declined.")
    ]


class Rated(msgspec.Struct):
    rate: Stars


class ReadyNoted(msgspec.Struct):
    """The answer to `ready` or `unready`. All open conversations were sent before; all others have ended."""

    ready: Annotated[bool, Meta(description="True if new users are assigned.", examples=[True])]


class Accepted(msgspec.Struct):
    """The answer to `accept`: an empty object."""


class Transferred(msgspec.Struct):
    """The answer to `transfer`: an empty object."""


SERVER_PAYLOADS: Mapping[str, type[msgspec.Struct] | None] = {
    "initialize": None,
    "auth_success": SignedIn,
    "connect_queue": Queued,
    "connect_success": Matched,
    "new_connection": Matched,
    "message_text": MessageText,
    "message_image": MessageImage,
    "message_text_success": MessageStored,
    "message_history": History,
    "typing": TypingNow,
    "read": ReadShown,
    "receipt": ReceiptShown,
    "approval": ApprovalShown,
    "handed_over": HandedOver,
    "observing": Observing,
    "supervisor": Supervising,
    "offer": OfferDetails,
    "ready_success": ReadyNoted,
    "transfer_success": Transferred,
    "accept_success": Accepted,
    "rate_success": Rated,
    "consent": ConsentAsked,
    "consent_success": ConsentNoted,
    "disconnected": None,
    "kickout": None,
    "error": Failed,
}
"""The payload struct by type of the server's frames; None: null."""
