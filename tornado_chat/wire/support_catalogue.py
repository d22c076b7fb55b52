"""Catalogue of the frames of users' and waiters' sockets: descriptions and examples.

The AsyncAPI document is made from it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tornado_chat.core.types import Role
from tornado_chat.wire.kinds import Endpoint, FrameKind
from tornado_chat.wire.support_frames import (
    CLIENT_PAYLOADS,
    SERVER_PAYLOADS,
    ClientFrame,
    DisconnectUser,
    ServerFrame,
)

FEATURE_KEYS = ("seq", "time", "conversation", "sender", "reason")
"""Keys of frames that are sent only to clients with the feature ``seq``, ``sender`` or ``accept``."""

_YOU, _PEER = "你的 UUID", "对方的 UUID"
_TIME = "2025-03-20T08:26:45.391706+08:00"
_SENDER = {"role": "waiter", "id": "7", "name": "小王"}
_OFFER = {
    "id": "7",
    "kind": "conversation",
    "number": "4",
    "state": "offered",
    "yours": True,
    "from": _SENDER,
    "to": {"role": "waiter", "id": "8", "name": "小李"},
    "by": _SENDER,
    "group": None,
    "client": {"role": "user", "id": "1", "name": "小林"},
    "note": "speaks Hakka",
    "until": "2025-03-20T08:27:45.391706+08:00",
    "time": "2025-03-20T08:26:45.391706+08:00",
}


def _from_client(role: Role, type: str, summary: str, payload: Any = None, **more: str) -> FrameKind:
    """Return a kind of frame that clients of ``role`` send. Types without payload accept null, {} or no key.

    :arg more: further keys of the example, such as ``to``; ``to`` is then required.
    """
    struct = CLIENT_PAYLOADS[role][type]
    example: dict[str, Any] = {"id": "f1", "type": type, **more}
    if payload is not None:
        example["payload"] = payload
    has_payload = bool(struct.__struct_fields__)
    keys = [key for key in ("type", "id", "to", "payload") if key != "to" or role is Role.WAITER]
    if not has_payload:
        keys.remove("payload")
    return FrameKind(
        type,
        summary,
        ClientFrame,
        [example],
        keys=keys,
        required=[
            *(["to"] if more else []),
            *(["payload"] if has_payload and not _is_payload_optional(type) else []),
        ],
        constant_keys={"type": type},
        types={"payload": struct} if has_payload else {},
    )


def _is_payload_optional(type: str) -> bool:
    return type in ("connect", "get_history", "typing", "disconnect")


def _to_client(
    type: str, summary: str, payload: Mapping[str, Any] | None = None, feature: str = "", **more: Any
) -> FrameKind:
    """Return a kind of frame that the server sends.

    :arg more: further keys: ``from_`` and ``reply_id`` go into the example, those of ``FEATURE_KEYS`` do not.
    """
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
    """Return the kinds of frame that users and waiters may send."""
    to = {"to": _PEER} if role is Role.WAITER else {}
    return (
        _from_client(
            role,
            "message_text",
            "Post a message. The server delivers the message to the other side after storing it.",
            {"message": "你好，这是一条信息!"},
            **to,
        ),
        _from_client(
            role,
            "message_image",
            "Post an image by its URL.",
            {"url": "https://example.org/parcel.jpg"},
            **to,
        ),
        _from_client(role, "typing", "The sender begins or stops typing.", {"typing": True}, **to),
        _from_client(role, "read", "The sender has read all messages up to a seq.", {"seq": 17}, **to),
        _from_client(
            role,
            "get_history",
            "Request the newest page of the conversation, or the page before a seq.",
            {"before": 17, "limit": 50},
            **to,
        ),
    )


_AUTH_SUMMARY = (
    "Sign in with a token: the first frame, within `[support] auth_timeout`. Later with a newer token of the "
    "same person and role, before the token expires: an error leaves the socket and its token as they are."
)
_SIGN_IN_FRAMES = (
    _to_client("initialize", "The first frame: `to` is the client's address on this socket."),
    _to_client(
        "auth_success",
        "The token is accepted; the payload is the profile of the signed-in person.",
        {"id": "7", "type": "user", "name": "小林"},
        feature="ack",
        reply_id="f1",
    ),
)
_COMMON_SERVER_FRAMES = (
    _to_client(
        "message_text",
        "A message from the other side. Without the feature `image` also an image, as its URL.",
        {"message": "你好，这是一条信息!"},
        from_=_PEER,
        seq=5,
        time=_TIME,
        conversation=7,
        sender=_SENDER,
    ),
    _to_client(
        "message_image",
        "An image from the other side.",
        {"url": "https://example.org/parcel.jpg"},
        feature="image",
        from_=_PEER,
        seq=5,
        time=_TIME,
        conversation=7,
        sender=_SENDER,
    ),
    _to_client(
        "message_text_success",
        "The message or image is stored durably: a restart or crash of the server does not lose it.",
        {"id": "c7-5", "seq": 5, "time": _TIME},
        feature="ack",
        reply_id="f1",
    ),
    _to_client(
        "message_history",
        "The page that `get_history` requested.",
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
        "supervisor",
        "A supervisor takes part in the conversation from now on, or does not any more. Its messages have "
        "the sender; clients without the feature get its name in front of the text.",
        {"joined": True, "name": "吴督导", "conversation": 7},
        feature="sender",
    ),
    _to_client(
        "observing",
        "A supervisor has begun or stopped to listen in, if `[group] tell_observing` says so.",
        {"observing": True, "conversation": 7},
        feature="observing",
    ),
    _to_client(
        "typing", "The other side begins or stops typing.", {"typing": True}, feature="typing", from_=_PEER
    ),
    _to_client(
        "read",
        "How far a participant has read: on each change and on resuming. `from` is the reader's address, the "
        "client's own address for its own side.",
        {"seq": 17},
        feature="read",
        from_=_PEER,
        conversation=7,
    ),
    _to_client(
        "receipt",
        "Which messages have arrived at the client of the other side: the server has its pong up to a seq. "
        "On each change and on resuming.",
        {"seq": 17, "conversation": 7},
        feature="receipt",
        from_=_PEER,
    ),
    _to_client(
        "disconnected",
        "The conversation has ended; `from` is the other side. Without `from`: there is no conversation to "
        "resume. Also sent to a waiter that has the user no more.",
        from_=_PEER,
        reason="not_accepted",
    ),
    _to_client(
        "error",
        "The request with the id `reply_id` failed. The socket stays open.",
        {"message": "消息不能为空"},
        reply_id="f1",
    ),
)
_FEATURES = {
    "ack": "`auth` is answered by `auth_success`, and a stored message by `message_text_success`.",
    "seq": (
        "Messages carry their `seq` and their `time`; messages, `read`, `connect_success` and "
        "`new_connection` carry the number of the conversation."
    ),
    "echo": (
        "Messages of the client's own side are delivered, too, `from` its own address, so that several "
        "windows show the same."
    ),
    "group": "`connect_queue`, `connect_success` and `new_connection` carry the group of the conversation.",
    "early": (
        "Messages of a user are stored while it waits for its first waiter, who gets them first. "
        "`connect_queue` says what becomes of them if the user gives up."
    ),
    "profile": "`connect_success` and `new_connection` carry the profile of the other side.",
    "typing": "Delivers `typing` of the other side.",
    "read": "Delivers `read` of both sides.",
    "image": "Images are delivered as `message_image`, not as their URL in a text.",
    "receipt": "Delivers `receipt`: which messages have arrived at the other side.",
    "observing": "Delivers `observing`: a supervisor has begun or stopped to listen in.",
    "sender": (
        "Messages carry the person that has sent them: `sender` with `role`, `id` and `name`, also in "
        "history pages, which then have the hand-overs. A user gets `handed_over`."
    ),
}
_CODES = (1009, 1012, 1013, 4401, 4403, 4408, 4429)
_FLOW_DESCRIPTION = (
    "The server sends `initialize` first; then the client sends `auth`. Until then every other frame is "
    "answered by `error`. A dropped socket does not end a conversation: within `[support] rejoin_grace` "
    "the same person may sign in again, and gets the position in the queue or the conversations back, with "
    "the missed messages and the same addresses. After the close of a socket without features by its client "
    "(1000, 1001 or no code) the time is `[support] leave_grace`."
)

USER = Endpoint(
    name="user",
    path="/v1/ws/user/connect",
    summary="A user of the support service",
    description=(
        f"{_FLOW_DESCRIPTION}\n\nAfter `auth` the client sends `connect`, to join the queue or to resume the "
        "conversation. Also at `/v1/ws/connect/user`."
    ),
    access="The role `user`, including guests.",
    query=None,
    from_client=(
        _from_client(Role.USER, "auth", _AUTH_SUMMARY, {"token": "your token"}),
        _from_client(
            Role.USER, "connect", "Request a waiter, or resume the open conversation.", {"resume": True}
        ),
        *_common_client_frames(Role.USER),
        _from_client(
            Role.USER, "disconnect", "End the conversation, or leave the queue.", {"withdraw": True}
        ),
        _from_client(
            Role.USER,
            "rate",
            "Rate the current conversation, or the last one.",
            {"rate": 5, "feedback": "Quick and kind"},
        ),
        replace(
            _from_client(
                Role.USER,
                "consent",
                "Accept or decline the text of the frame `consent`. Accepting joins the queue if "
                "`connect` has not done so; declining leaves it, or ends the conversation.",
                {"version": "2026-01", "accept": True},
            ),
            feature="consent",
        ),
    ),
    to_client=(
        *_SIGN_IN_FRAMES,
        _to_client(
            "connect_queue",
            "No waiter is free: the position in the queue, sent again on each change.",
            {"location": 100},
        ),
        _to_client(
            "connect_success",
            "A waiter is assigned: on a match, on resuming, and with another `uuid` after a transfer.",
            {"uuid": _PEER},
            from_=_PEER,
        ),
        _to_client(
            "handed_over",
            "Another waiter has the conversation from now on; `connect_success` has its address.",
            {"from": {"id": "7", "name": "小王"}, "to": {"id": "8", "name": "小李"}, "time": _TIME},
            feature="sender",
        ),
        *_COMMON_SERVER_FRAMES,
        _to_client("rate_success", "The rating is stored.", {"rate": 5}, reply_id="f1"),
        _to_client(
            "consent",
            "The answer to `connect`: what the user has to accept before its first message. Before that, the "
            "user does not join the queue; an open conversation is resumed.",
            {
                "group": "default",
                "version": "2026-01",
                "language": "en",
                "text": "What you write here is stored for six months.",
            },
            feature="consent",
            reply_id="f1",
        ),
        _to_client(
            "consent_success",
            "The acceptance is stored, or the user has declined, of which nothing is stored. Without "
            "`reply_id`: the user has accepted on another socket.",
            {"group": "default", "version": "2026-01", "accepted": True},
            feature="consent",
            reply_id="f1",
        ),
    ),
    features={
        **_FEATURES,
        "eta": "`connect_queue` carries the expected wait.",
        "consent": (
            "The user is asked to accept the text of its group (`[group:NAME] consent`) before its first "
            "message; until then its messages are refused."
        ),
    },
    close_codes=_CODES,
)

WAITER = Endpoint(
    name="waiter",
    path="/v1/ws/waiter/connect",
    summary="A waiter of the support service",
    description=(
        f"{_FLOW_DESCRIPTION}\n\nAfter `auth` the client sends `ready`, to accept users of its groups, up to "
        "its capacity, or to resume its conversations. Frames of a waiter name the user in `to`. If a waiter "
        "does not return in time, its users go to the head of the queue. Also at `/v1/ws/connect/waiter`."
    ),
    access="The role `waiter`, and a `consultant` who serves a group (`[group:NAME] roles`).",
    query=None,
    from_client=(
        _from_client(Role.WAITER, "auth", _AUTH_SUMMARY, {"token": "your token"}),
        _from_client(Role.WAITER, "ready", "Accept users, or resume the open conversations."),
        _from_client(Role.WAITER, "unready", "Accept no new users; the open conversations go on."),
        *_common_client_frames(Role.WAITER),
        FrameKind(
            "disconnect",
            "End the conversation with a user, whom `to` names, or `uuid`.",
            ClientFrame,
            [
                {"id": "f1", "type": "disconnect", "to": _PEER},
                {"id": "f1", "type": "disconnect", "payload": {"uuid": _PEER}},
            ],
            keys=("type", "id", "to", "payload"),
            constant_keys={"type": "disconnect"},
            types={"payload": DisconnectUser},
        ),
        _from_client(
            Role.WAITER,
            "transfer",
            "Transfer a user to another waiter, or with `role` to a consultant; or with `group` back to the "
            "head of the line of a group. A waiter with the feature `offer` is asked first.",
            {"waiter": 8},
            to=_PEER,
        ),
        _from_client(
            Role.WAITER,
            "accept",
            "Confirm a new user, where the server requires it (`[support] accept_timeout`). Writing or "
            "typing to the user does the same.",
            to=_PEER,
        ),
        _from_client(
            Role.WAITER,
            "accept_offer",
            "Take over a user that is offered to you; the answers are `offer` and `new_connection`.",
            {"offer": 7},
        ),
        _from_client(
            Role.WAITER,
            "decline_offer",
            "Decline a user that is offered to you; the answer is `offer`.",
            {"offer": 7},
        ),
    ),
    to_client=(
        *_SIGN_IN_FRAMES,
        _to_client(
            "new_connection",
            "A user is assigned: on a match, and again on resuming.",
            {"uuid": _PEER},
            from_=_PEER,
        ),
        *_COMMON_SERVER_FRAMES,
        _to_client(
            "ready_success",
            "`ready` or `unready` is done; `new_connection` was sent for every open conversation.",
            {"ready": True},
            feature="ready",
            reply_id="f1",
        ),
        _to_client(
            "accept_success",
            "The user is confirmed.",
            {},
            feature="accept",
            reply_id="f1",
        ),
        _to_client(
            "offer",
            "A user is offered to you, or one that you have offered: after `ready`, and on each change.",
            _OFFER,
            feature="offer",
        ),
        _to_client("transfer_success", "The user is assigned to the other waiter.", {}, reply_id="f1"),
        _to_client(
            "approval",
            "The state of an own message that waits, or has waited, for an approval: when it is held, after "
            "the decision, and on resuming. The acknowledgement, or an `error`, comes after the decision.",
            {
                "held": 12,
                "state": "held",
                "client_id": "m1",
                "text": "你好",
                "time": _TIME,
                "until": _TIME,
                "conversation": 7,
            },
            feature="approval",
            from_=_PEER,
        ),
        _to_client(
            "kickout",
            "The same waiter signed in elsewhere; the server then closes this socket with 4409.",
            feature="kickout",
        ),
    ),
    features={
        **_FEATURES,
        "ready": "`ready` and `unready` are answered by `ready_success`.",
        "approval": "Delivers `approval`: the states of own messages that wait for an approval.",
        "accept": (
            "`new_connection` says within which time the user has to be confirmed, and `accept` is answered "
            "by `accept_success`. `disconnected` says if the user was lost for want of it, and "
            "`ready_success` that the server has paused the waiter."
        ),
        "offer": "You are asked before another waiter's user is transferred to you, and get its note.",
        "kickout": "One socket at a time: signing in closes the waiter's other sockets with this feature.",
    },
    close_codes=(*_CODES[:-1], 4409, 4429),
)

ENDPOINTS = (USER, WAITER)
