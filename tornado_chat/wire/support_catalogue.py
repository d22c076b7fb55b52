"""What goes over the sockets of users and waiters, in words and examples, for the published description."""

from collections.abc import Mapping
from typing import Any

from tornado_chat.core.types import Role
from tornado_chat.wire.kinds import Endpoint, FrameKind
from tornado_chat.wire.support_frames import CLIENT_PAYLOADS, SERVER_PAYLOADS, ClientFrame, ServerFrame

FEATURE_KEYS = ("seq", "time", "conversation")
"""Keys of frames that only who has asked for them gets."""

_YOU, _PEER = "你的 UUID", "对方的 UUID"
_TIME = "2025-03-20T08:26:45.391706"


def _from_client(role: Role, type: str, summary: str, payload: Any = None, **more: str) -> FrameKind:
    """A frame of ``role``. Types without a payload take null, {} and nothing."""
    struct = CLIENT_PAYLOADS[role][type]
    example: dict[str, Any] = {"id": "f1", "type": type, **more}
    if payload is not None:
        example["payload"] = payload
    mute = not struct.__struct_fields__
    keys = [key for key in ("type", "id", "to", "payload") if key != "to" or role is Role.WAITER]
    if mute:
        keys.remove("payload")
    return FrameKind(
        type,
        summary,
        ClientFrame,
        [example],
        keys=keys,
        required=[*(["to"] if more else []), *([] if mute or _optional(type) else ["payload"])],
        constant_keys={"type": type},
        types={} if mute else {"payload": struct},
    )


def _optional(type: str) -> bool:
    return type in ("connect", "get_history", "typing")


def _to_client(
    type: str, summary: str, payload: Mapping[str, Any] | None = None, feature: str = "", **more: Any
) -> FrameKind:
    """``more``: the keys ``from_`` and ``reply_id`` that the example has, and those that take a feature."""
    example: dict[str, Any] = {"id": "5b0e6f0f", "to": _YOU, "type": type, "payload": payload}
    if "from_" in more:
        example["from"] = more.pop("from_")
    keys = ["id", "to", "type", "payload", *(["from"] if "from" in example else []), *more]
    return FrameKind(
        type,
        summary,
        ServerFrame,
        [{**example, **{key: value for key, value in more.items() if key not in FEATURE_KEYS}}],
        keys=keys,
        constant_keys={"type": type},
        types={"payload": SERVER_PAYLOADS[type]},
        feature=feature,
    )


def _common_client_frames(role: Role) -> tuple[FrameKind, ...]:
    """What both may send."""
    to = {"to": _PEER} if role is Role.WAITER else {}
    return (
        _from_client(
            role,
            "message_text",
            "Say something. The other side gets it when it is stored.",
            {"message": "你好，这是一条信息!"},
            **to,
        ),
        _from_client(
            role,
            "message_image",
            "Show an image.",
            {"url": "https://example.org/parcel.jpg"},
            **to,
        ),
        _from_client(role, "typing", "One begins or stops typing.", {"typing": True}, **to),
        _from_client(role, "read", "One has read everything up to a message.", {"seq": 17}, **to),
        _from_client(
            role,
            "get_history",
            "Ask for the newest page of the conversation, or for the page before a message.",
            {"before": 17, "limit": 50},
            **to,
        ),
        _from_client(role, "disconnect", "Leave the conversation, or the line, for good.", **to),
    )


_AUTH_SUMMARY = "The first frame, within `[support] auth_timeout`: who one is."
_HEARD_FIRST = (
    _to_client("initialize", "The first frame: `to` is your address on this socket."),
    _to_client(
        "auth_success",
        "The token is good, and this is who you are.",
        {"id": "7", "type": "user", "name": "小林"},
        feature="ack",
        reply_id="f1",
    ),
)
_COMMON_SERVER_FRAMES = (
    _to_client(
        "message_text",
        "What the other side says. Also an image, as its URL, for who has no feature `image`.",
        {"message": "你好，这是一条信息!"},
        from_=_PEER,
        seq=5,
        time=_TIME,
        conversation=7,
    ),
    _to_client(
        "message_image",
        "The other side shows an image.",
        {"url": "https://example.org/parcel.jpg"},
        feature="image",
        from_=_PEER,
        seq=5,
        time=_TIME,
        conversation=7,
    ),
    _to_client(
        "message_text_success",
        "Your message or image is stored: it survives whatever happens to the server.",
        {"id": "c7-5", "seq": 5, "time": _TIME},
        feature="ack",
        reply_id="f1",
    ),
    _to_client(
        "message_history",
        "The page that `get_history` asked for.",
        {
            "items": [
                {
                    "id": "c7-17",
                    "seq": 17,
                    "from": _PEER,
                    "sender": "waiter",
                    "type": "message_text",
                    "message": "你好",
                    "time": _TIME,
                }
            ],
            "next": 17,
        },
        reply_id="f1",
    ),
    _to_client(
        "typing", "The other side begins or stops typing.", {"typing": True}, feature="typing", from_=_PEER
    ),
    _to_client(
        "read",
        "How far somebody has read, on coming back too; `from` is the reader, your own address for yourself.",
        {"seq": 17},
        feature="read",
        from_=_PEER,
        conversation=7,
    ),
    _to_client(
        "disconnected",
        "The conversation is over; `from` is the other side. Without it: there was nothing to come back to.",
        from_=_PEER,
    ),
    _to_client(
        "error",
        "What the frame `reply_id` asked for was not done. The socket stays open.",
        {"message": "消息不能为空"},
        reply_id="f1",
    ),
)
_FEATURES = {
    "ack": "`auth` is answered by `auth_success`, and a stored message by `message_text_success`.",
    "seq": (
        "Messages carry their `seq` and their `time`; they, `read`, `connect_success` and `new_connection` carry the "
        "number of the conversation."
    ),
    "echo": "What your own side says comes too, `from` your own address: several windows show the same.",
    "profile": "`connect_success` and `new_connection` tell who the other side is.",
    "typing": "The other side's `typing`.",
    "read": "How far everybody has read.",
    "image": "Images come as `message_image`, not as their URL in a text.",
}
_CODES = (1009, 1012, 1013, 4401, 4403, 4408, 4429)
_FLOW_DESCRIPTION = (
    "The server speaks first (`initialize`); then comes `auth`, and until it has all else is answered by `error`. "
    "A dropped socket is no departure: within `[support] rejoin_grace` the same person signs in again, and has "
    "its place in the line or its conversations back, with what it missed and the same addresses."
)

USER = Endpoint(
    name="user",
    path="/v1/ws/user/connect",
    summary="A user who wants a waiter",
    description=f"{_FLOW_DESCRIPTION}\n\nAfter `auth` comes `connect`, which joins the line or comes back.",
    who="The role `user`, guests included.",
    query=None,
    from_client=(
        _from_client(Role.USER, "auth", _AUTH_SUMMARY, {"token": "your token"}),
        _from_client(Role.USER, "connect", "Ask for a waiter, or come back.", {"resume": True}),
        *_common_client_frames(Role.USER),
        _from_client(
            Role.USER,
            "rate",
            "Rate the conversation, or the last one.",
            {"rate": 5, "feedback": "Quick and kind"},
        ),
    ),
    to_client=(
        *_HEARD_FIRST,
        _to_client(
            "connect_queue",
            "Nobody is free: the place in the line, sent again when it changes.",
            {"location": 100},
        ),
        _to_client(
            "connect_success",
            "A waiter is there: on being matched, on coming back, and with another `uuid` after a transfer.",
            {"uuid": _PEER},
        ),
        *_COMMON_SERVER_FRAMES,
        _to_client("rate_success", "The rating is stored.", {"rate": 5}, reply_id="f1"),
    ),
    features=_FEATURES,
    close_codes=_CODES,
)

WAITER = Endpoint(
    name="waiter",
    path="/v1/ws/waiter/connect",
    summary="A waiter at work",
    description=(
        f"{_FLOW_DESCRIPTION}\n\nAfter `auth` comes `ready`, which takes users up to `[support] capacity`, or comes back. "
        "A waiter names the user in `to`. One that does not come back loses its users to the head of the line."
    ),
    who="The role `waiter`.",
    query=None,
    from_client=(
        _from_client(Role.WAITER, "auth", _AUTH_SUMMARY, {"token": "your token"}),
        _from_client(Role.WAITER, "ready", "Take users, or come back."),
        _from_client(Role.WAITER, "unready", "Take nobody new; those one has stay."),
        *_common_client_frames(Role.WAITER),
        _from_client(Role.WAITER, "transfer", "Hand a user to another waiter.", {"waiter": 8}, to=_PEER),
    ),
    to_client=(
        *_HEARD_FIRST,
        _to_client("new_connection", "A user is assigned, or still there on coming back.", {"uuid": _PEER}),
        *_COMMON_SERVER_FRAMES,
        _to_client(
            "ready_success",
            "`ready` or `unready` is done, and all conversations that go on have been told.",
            {"ready": True},
            feature="ready",
            reply_id="f1",
        ),
        _to_client("transfer_success", "The other waiter has the user now.", {}, reply_id="f1"),
        _to_client("kickout", "The same waiter has signed in elsewhere; 4409 follows.", feature="kickout"),
    ),
    features={
        **_FEATURES,
        "ready": "`ready` and `unready` are answered by `ready_success`.",
        "kickout": "One socket at a time: signing in closes the others that have this feature too.",
    },
    close_codes=(*_CODES[:-1], 4409, 4429),
)

ENDPOINTS = (USER, WAITER)
