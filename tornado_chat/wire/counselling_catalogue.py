"""What goes over ``/chat``, ``/notify`` and ``/observe``, in words and examples, for the published description."""

from tornado_chat.wire.counselling_frames import (
    Ack,
    Alive,
    AppointmentChanged,
    ChatFrame,
    ChatQuery,
    ClientFrame,
    History,
    NewConversation,
    NotifyFrame,
    NotifyQuery,
    ObserveFrame,
    ObserveQuery,
    PlainAlert,
    PresenceShown,
    ReadShown,
    TypingShown,
)
from tornado_chat.wire.kinds import Endpoint, FrameKind

_TIME = "2025-03-20T08:26:45.391706"
_SYSTEM = {"isSystem": True, "system": True}
_ERROR = FrameKind(
    "error",
    "What was sent is refused, in words for people. The tenth malformed frame within a minute closes the socket.",
    ChatFrame,
    [{**_SYSTEM, "msg": "错误: 此连接只能接收消息", "time": _TIME}],
    keys=("isSystem", "system", "msg", "time"),
    constant_keys={"isSystem": True},
)
_ALIVE_REQUESTS = (
    FrameKind(
        "alive",
        "Ask whether the server is there, as a browser hears no pings.",
        Alive,
        [{"alive": True}],
        feature="alive",
    ),
)
_ANSWER = FrameKind(
    "alive", "The answer: the connection is alive, and let in.", Alive, [{"alive": True}], feature="alive"
)
_PRESENCE = FrameKind(
    "presence",
    "Who is there: on joining and on each change.",
    PresenceShown,
    [{"presence": {"user": True, "consultant": False}}],
    feature="presence",
)
_ASK = "A frame `alive` is answered by one."
_SEQ = "Each message carries an `id` and a `seq` that are the same on every delivery; numbers have no gaps."

CHAT = Endpoint(
    name="chat",
    path="/chat",
    summary="A participant in a session, or in a supervision record",
    description=(
        "`type=0`: the visitor and the consultant of a session. `type=1`: the consultant and the supervisor "
        "of a record.\n\n"
        "A session is `ready`, becomes `active` when both are present for the first time, and ends as "
        "`completed` or `cancelled`. Whoever drops out of an active session has `[counselling] rejoin_grace` "
        "to come back, and gets what was said meanwhile, in order, in the same frames; after that, or with "
        "close code 4000, or by `POST /api/v1/sessions/{session_id}/end`, it is completed."
    ),
    who="The two people of the session or record.",
    query=ChatQuery,
    from_client=(
        FrameKind(
            "say",
            "Say something. The others get it when it is stored.",
            ClientFrame,
            [{"msg": "hello"}, {"msg": "hello", "id": "a1"}],
            keys=("msg", "id"),
            required=("msg",),
        ),
        FrameKind(
            "typing",
            "One begins or stops typing.",
            ClientFrame,
            [{"typing": True}],
            keys=("typing",),
            required=("typing",),
            feature="typing",
        ),
        FrameKind(
            "read",
            "One has read everything up to a message.",
            ClientFrame,
            [{"read": 17}],
            keys=("read",),
            required=("read",),
            feature="read",
        ),
        FrameKind(
            "history",
            "Ask for the newest page of messages, or for the page before one.",
            ClientFrame,
            [{"history": None}, {"history": 17}],
            keys=("history",),
            required=("history",),
            feature="history",
        ),
    ),
    to_client=(
        FrameKind(
            "message",
            "What the other one says.",
            ChatFrame,
            [
                {"isSystem": False, "system": False, "msg": "hi", "time": _TIME},
                {"isSystem": False, "system": False, "msg": "hi", "time": _TIME, "id": "s4-5", "seq": 5},
            ],
            constant_keys={"isSystem": False},
        ),
        FrameKind(
            "system",
            "What the system says, to everybody there: who has joined, `会话已开始`, `会话已结束`; and to one alone: "
            "`错误: …`, which with the feature `ack` names the refused `id`. Texts are in `[server] language`.",
            ChatFrame,
            [
                {**_SYSTEM, "msg": "来访者 小林已进入会话", "time": _TIME},
                {**_SYSTEM, "msg": "会话已开始", "time": _TIME},
                {**_SYSTEM, "msg": "会话已结束", "time": _TIME},
                {**_SYSTEM, "msg": "错误: 消息不能为空", "time": _TIME, "id": "a1"},
            ],
            keys=("isSystem", "system", "msg", "time", "id"),
            constant_keys={"isSystem": True},
        ),
        FrameKind(
            "ack",
            "The message with this id is stored: it survives whatever happens to the server.",
            Ack,
            [{"ack": "a1", "seq": 5, "time": _TIME}],
            feature="ack",
        ),
        FrameKind(
            "typing",
            "The other one begins or stops typing.",
            TypingShown,
            [{"typing": True, "role": "user"}],
            feature="typing",
        ),
        FrameKind(
            "read",
            "How far somebody has read: on joining and on each change, one's own other sockets included.",
            ReadShown,
            [{"read": 17, "role": "consultant"}],
            feature="read",
        ),
        _PRESENCE,
        FrameKind(
            "history",
            "A page of messages: the newest on joining, others on request.",
            History,
            [{"history": [{"seq": 17, "msg": "hi", "senderType": True, "time": _TIME}], "next": 17}],
            feature="history",
        ),
    ),
    features={
        "ack": "A message with an `id` is answered by `ack` when it is stored; a refused one is named by its id.",
        "echo": "One's own messages come too, with `self`, on all of one's sockets.",
        "seq": _SEQ,
        "history": "Pages of what was said, the newest at once.",
        "typing": "Who is typing.",
        "read": "How far everybody has read.",
        "presence": "Who is there.",
    },
    close_codes=(1000, 1009, 1012, 1013, 4400, 4401, 4403, 4404, 4408, 4409, 4429),
    client_close_codes={
        4000: "End the session: it is completed.",
        4001: "Of the visitor, before the session has started: give up waiting, it is cancelled.",
    },
)

NOTIFY = Endpoint(
    name="notify",
    path="/notify",
    summary="Pop-ups for one person",
    description=(
        "Notifications are stored first. Every open socket of the recipient gets each of them; who is away gets "
        "them in order on the next connect. They are sent by `POST /api/v1/notifications`, and by the server "
        "itself when a session is opened or a supervisor called."
    ),
    who="Anybody with a token, except the role `service`.",
    query=NotifyQuery,
    from_client=_ALIVE_REQUESTS,
    to_client=(
        FrameKind(
            "plain",
            "Only a text.",
            NotifyFrame,
            [{"type": 0, "msg": "您有新的请假申请待处理", "time": _TIME, "data": None}],
            constant_keys={"type": 0},
            types={"data": None},
        ),
        FrameKind(
            "alert",
            "Only a text, which must not be overlooked.",
            NotifyFrame,
            [
                {
                    "type": 0,
                    "msg": "支持对话 4 出现关键词预警，请尽快查看",
                    "time": _TIME,
                    "data": {"alert": True},
                    "id": 12,
                    "seq": 3,
                }
            ],
            required=("id", "seq"),
            constant_keys={"type": 0},
            types={"data": PlainAlert},
            feature="seq",
        ),
        FrameKind(
            "appointment",
            "An appointment has changed: cancelled by the consultant, for the visitor, or by the visitor, for the "
            "consultant.",
            NotifyFrame,
            [
                {
                    "type": 1,
                    "msg": "您好，您有一条预约状态变更",
                    "time": _TIME,
                    "data": {"apointmentId": 3, "consultantId": 5},
                },
                {"type": 1, "msg": "您好，您有一条预约状态变更", "time": _TIME, "data": {"apointmentId": 3}},
            ],
            constant_keys={"type": 1},
            types={"data": AppointmentChanged},
        ),
        FrameKind(
            "conversation",
            "A new conversation waits.",
            NotifyFrame,
            [
                {"type": 2, "msg": "您有新的对话", "time": _TIME, "data": {"sessionId": 4}},
                {
                    "type": 2,
                    "msg": "您有新的对话",
                    "time": _TIME,
                    "data": {"sessionId": 4, "observeSessionId": 5},
                },
            ],
            constant_keys={"type": 2},
            types={"data": NewConversation},
        ),
        _ANSWER,
        _ERROR,
    ),
    features={
        "seq": "Each notification carries its `id` and its `seq`, the same on every delivery; alerts are marked.",
        "alive": _ASK,
    },
    close_codes=(1009, 1012, 1013, 4400, 4401, 4403, 4408, 4429),
)

OBSERVE = Endpoint(
    name="observe",
    path="/observe",
    summary="A supervisor or an admin listens in",
    description=(
        "Begins with what is said from now on, and after a break goes on where it stopped. The participants are "
        "not told. The last frame has `senderType` null; then the socket is closed with 1000."
    ),
    who=(
        "An admin, and a supervisor with a record on the session, or with `[counselling] observe = any` every "
        "supervisor."
    ),
    query=ObserveQuery,
    from_client=_ALIVE_REQUESTS,
    to_client=(
        FrameKind(
            "message",
            "What one of the two says; at the end, that it has ended.",
            ObserveFrame,
            [
                {"msg": "hi", "senderType": False, "time": _TIME},
                {"msg": "会话已结束", "senderType": None, "time": _TIME},
            ],
        ),
        _PRESENCE,
        _ANSWER,
        _ERROR,
    ),
    features={"seq": _SEQ, "alive": _ASK, "presence": "Who is there, of the two who are listened to."},
    close_codes=(1000, 1009, 1012, 1013, 4400, 4401, 4403, 4404, 4408, 4409, 4429),
)

ENDPOINTS = (CHAT, NOTIFY, OBSERVE)
