"""What the frames of the support dialect look like, to the parser, the encoders and the published description."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tornado_chat.core.types import Role

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
MessageId = Annotated[
    str, Meta(description="The same on every delivery, unique in the server.", examples=["c7-5"])
]
Address = Annotated[str, Meta(description="A UUID.", examples=["0b8fd0ae-8f4b-4d3c-9a57-1f4c2b3c7d10"])]
Stars = Annotated[int, Meta(ge=1, le=5, description="1 to 5.", examples=[5])]


# --- from the client ---


class ClientFrame(msgspec.Struct, frozen=True):
    """Any frame that a client sends."""

    type: str
    id: (
        Annotated[
            str,
            Meta(
                description="Made up by the client: the answer names it, and a message sent again with it counts once.",
                examples=["f1"],
            ),
        ]
        | None
    ) = None
    to: (
        Annotated[
            str,
            Meta(
                description="Of a waiter: the user's address, as `new_connection` told it.",
                examples=["5f0c8a52-6f0e-4a53-8f1c-3d0c1f9a7e21"],
            ),
        ]
        | None
    ) = None
    payload: msgspec.Raw | UnsetType = UNSET


class Auth(msgspec.Struct, frozen=True):
    token: Annotated[str, Meta(description="The JWT of whoever connects.", examples=["your token"])]
    features: Annotated[
        list[str], Meta(description="Opt-ins; unknown names are ignored.", examples=[["ack"]])
    ] = []


class Connect(msgspec.Struct, frozen=True):
    """``connect`` of a user. No payload needed.

    A page that is loaded again only wants to come back: nobody joins the line unasked.
    """

    resume: Annotated[
        bool,
        Meta(
            description="Only come back to what is not finished; `disconnected` if there is nothing.",
            examples=[True],
        ),
    ] = False


class Ready(msgspec.Struct, frozen=True):
    """``ready`` of a waiter. No payload."""


class Unready(msgspec.Struct, frozen=True):
    """A waiter finishes with whom it has, and gets nobody new. No payload."""


class Disconnect(msgspec.Struct, frozen=True):
    """Leave for good: a user its conversation, a waiter the one with ``to``. No payload."""


class MessageText(msgspec.Struct, frozen=True):
    message: Annotated[
        str, Meta(description="What is said. Not only spaces.", examples=["你好，这是一条信息!"])
    ]


class MessageImage(msgspec.Struct, frozen=True):
    """``url`` is an http(s) or data:image URL. Who did not ask for ``image`` gets it as a text."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://|data:image/)",
            description="An http(s) or data:image URL.",
            examples=["https://example.org/parcel.jpg"],
        ),
    ]


class GetHistory(msgspec.Struct, frozen=True):
    """A page of the conversation before ``before`` (a seq; null for the newest)."""

    before: (
        Annotated[int, Meta(ge=1, le=2**62, description="A seq; null for the newest page.", examples=[17])]
        | None
    ) = None
    limit: Annotated[int, Meta(ge=1, le=100, description="The most messages of the page.")] = 50


class TypingNow(msgspec.Struct, frozen=True):
    typing: Annotated[bool, Meta(description="Whether one is typing now.")] = True


class MarkRead(msgspec.Struct, frozen=True):
    """Everything up to ``seq`` of the conversation was read."""

    seq: Seq


class Transfer(msgspec.Struct, frozen=True):
    """Hand the user ``to`` over to the waiter with the id ``waiter``."""

    waiter: Annotated[str | int, Meta(description="The waiter's id, as its token says it.", examples=[8])]


class Rate(msgspec.Struct, frozen=True):
    rate: Stars
    feedback: (
        Annotated[str, Meta(max_length=2000, description="In the user's words.", examples=["Quick and kind"])]
        | None
    ) = None


Payload = (
    Auth
    | Connect
    | Ready
    | Unready
    | Disconnect
    | MessageText
    | MessageImage
    | GetHistory
    | TypingNow
    | MarkRead
    | Transfer
    | Rate
)

_BOTH: dict[str, type[Payload]] = {
    "auth": Auth,
    "message_text": MessageText,
    "message_image": MessageImage,
    "disconnect": Disconnect,
    "get_history": GetHistory,
    "typing": TypingNow,
    "read": MarkRead,
}
CLIENT_PAYLOADS: dict[Role, dict[str, type[Payload]]] = {
    Role.USER: {**_BOTH, "connect": Connect, "rate": Rate},
    Role.WAITER: {**_BOTH, "ready": Ready, "unready": Unready, "transfer": Transfer},
}
"""What a client may send, by the role of its endpoint."""


# --- to the client ---


class ServerFrame(msgspec.Struct, omit_defaults=True, rename={"from_": "from"}):
    """Any frame that a client gets."""

    id: Annotated[
        str, Meta(description="Of this frame; of a message: the same on every delivery.", examples=["c7-5"])
    ]
    to: Annotated[
        str,
        Meta(
            description="Your own address on this socket.", examples=["0b8fd0ae-8f4b-4d3c-9a57-1f4c2b3c7d10"]
        ),
    ]
    type: str
    payload: Any
    from_: (
        Annotated[
            str,
            Meta(description="The address of who did it.", examples=["5f0c8a52-6f0e-4a53-8f1c-3d0c1f9a7e21"]),
        ]
        | UnsetType
    ) = UNSET
    reply_id: (
        Annotated[str, Meta(description="The id of your frame that this answers.", examples=["f1"])]
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
        Annotated[
            str,
            Meta(
                description="Feature `seq`: when the message was stored; local time without zone.",
                examples=["2025-03-20T08:26:45.391706"],
            ),
        ]
        | UnsetType
    ) = UNSET
    conversation: (
        Annotated[int, Meta(description="Feature `seq`: the conversation it belongs to.", examples=[7])]
        | UnsetType
    ) = UNSET


class Failed(msgspec.Struct):
    message: Annotated[
        str, Meta(description="What is wrong and what to do, for people.", examples=["消息不能为空"])
    ]


class SignedIn(msgspec.Struct):
    """Who the server takes one for."""

    id: Annotated[str, Meta(examples=["7"])]
    type: Annotated[str, Meta(description="The role.", examples=["user"])]
    name: Annotated[str | None, Meta(examples=["小林"])]


class MessageStored(msgspec.Struct):
    """The message that ``reply_id`` names is stored."""

    id: MessageId
    seq: Seq
    time: Time


class Queued(msgspec.Struct):
    location: Annotated[int, Meta(ge=1, description="1 is the next in line.", examples=[100])]
    conversation: (
        Annotated[int, Meta(description="Feature `seq`: what one waits for.", examples=[7])] | UnsetType
    ) = UNSET
    returned: (
        Annotated[
            bool,
            Meta(
                description="Feature `seq`: the waiter was lost, and one can go on writing.", examples=[False]
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
                description="Feature `seq`: the conversation, which counts from 1 of its own.", examples=[7]
            ),
        ]
        | UnsetType
    ) = UNSET

    name: (
        Annotated[str | None, Meta(description="Feature `profile`: of the other side.", examples=["小林"])]
        | UnsetType
    ) = UNSET
    id: (
        Annotated[str | int, Meta(description="Feature `profile`, for waiters: the user's id.", examples=[7])]
        | UnsetType
    ) = UNSET
    since: (
        Annotated[
            str,
            Meta(
                description="Feature `profile`, for waiters: when the user joined the line.",
                examples=["2025-03-20T08:26:45.391706"],
            ),
        ]
        | UnsetType
    ) = UNSET


class ReadShown(msgspec.Struct):
    seq: Annotated[int, Meta(ge=0, description="The seq up to which everything was read.", examples=[17])]


class Line(msgspec.Struct, rename={"from_": "from"}):
    """A message in a page."""

    id: MessageId
    seq: Seq
    from_: Annotated[str | None, Meta(description="The address of who said it.")]
    sender: Annotated[str, Meta(description="The role of who said it.", examples=["user"])]
    type: Annotated[str, Meta(description="`message_text` or `message_image`.", examples=["message_text"])]
    message: Annotated[str, Meta(description="The text, or the URL of the image.", examples=["你好"])]
    time: Time


class History(msgspec.Struct):
    items: Annotated[list[Line], Meta(description="Oldest first.")]
    next: Annotated[
        int | None,
        Meta(description="The `before` of the request for the page before; null at the beginning."),
    ]


class Rated(msgspec.Struct):
    rate: Stars


class ReadyNoted(msgspec.Struct):
    """All conversations that go on have been told; those that have not been are over."""

    ready: Annotated[bool, Meta(description="Whether new users come.", examples=[True])]


class Transferred(msgspec.Struct):
    """Nothing more to say."""


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
    "ready_success": ReadyNoted,
    "transfer_success": Transferred,
    "rate_success": Rated,
    "disconnected": None,
    "kickout": None,
    "error": Failed,
}
"""What a client may get, and the payload of each; None: null."""
