"""Catalogue of the frames of ``/chat``, ``/notify`` and ``/observe``: descriptions and examples.

The AsyncAPI document is made from it.
"""

from tornado_chat.wire.counselling_frames import (
    Ack,
    Alive,
    AppointmentChanged,
    Approval,
    ChatFrame,
    ChatQuery,
    ClientFrame,
    ConsentAsked,
    ConsentNoted,
    DecisionFrame,
    HandedOver,
    Held,
    History,
    ListenerFrame,
    NewConversation,
    NotifyFrame,
    NotifyQuery,
    ObserveFrame,
    ObserveQuery,
    ObservingShown,
    Offered,
    PartShown,
    PlainAlert,
    PresenceShown,
    ReadShown,
    ReceiptShown,
    TokenAccepted,
    TypingShown,
)
from tornado_chat.wire.kinds import Endpoint, FrameKind

_TIME = "2025-03-20T08:26:45.391706"
_OFFSET_TIME = f"{_TIME}+08:00"  # for sockets that asked for a feature
_SYSTEM = {"isSystem": True, "system": True}
_SENDER = {"role": "consultant", "id": "2", "name": "陈老师"}
_OFFER = {
    "id": "7",
    "kind": "session",
    "number": "4",
    "state": "offered",
    "yours": True,
    "from": _SENDER,
    "to": {"role": "consultant", "id": "5", "name": "吴老师"},
    "by": _SENDER,
    "group": None,
    "client": {"role": "user", "id": "1", "name": "小林"},
    "note": "speaks Hakka",
    "until": "2025-03-20T08:27:45.391706+08:00",
    "time": "2025-03-20T08:26:45.391706+08:00",
}
_ALIVE_REQUESTS = (
    FrameKind(
        "alive",
        "Request an answer, to check the connection: scripts in a browser cannot see WebSocket pings.",
        Alive,
        [{"alive": True}],
        feature="alive",
    ),
)
_ANSWER = FrameKind(
    "alive",
    "The answer to `alive`: the connection is open and its token is accepted.",
    Alive,
    [{"alive": True}],
    feature="alive",
)
_RENEWAL_SUMMARY = (
    "Use a newer token of the same person and role for this socket. An error leaves the socket and its "
    "token as they are."
)
_TOKEN_ACCEPTED = FrameKind(
    "token",
    "The answer to `token`: the socket uses the newer token from now on.",
    TokenAccepted,
    [{"token": True}],
    feature="token",
)
_TOKEN_REFUSED = FrameKind(
    "token_refused",
    "A newer token is refused; the socket and its token stay as they are.",
    ChatFrame,
    [{**_SYSTEM, "msg": "错误: 新令牌必须属于同一人和同一角色", "time": _OFFSET_TIME, "token": False}],
    keys=("isSystem", "system", "msg", "time", "token"),
    constant_keys={"isSystem": True, "token": False},
    feature="token",
)
_RENEWAL_FEATURE = (
    "The client may replace the token of the open socket by a frame `token`, before the token expires."
)
_LISTENER_REQUESTS = (
    *_ALIVE_REQUESTS,
    FrameKind(
        "token",
        _RENEWAL_SUMMARY,
        ListenerFrame,
        [{"token": "eyJhbGciOi…"}],
        keys=("token",),
        required=("token",),
        feature="token",
    ),
)
_PRESENCE = FrameKind(
    "presence",
    "The roles that are connected: on joining and on each change. `until` names the absent whose grace runs.",
    PresenceShown,
    [
        {"presence": {"user": True, "consultant": True}, "grace": {"user": 120, "consultant": 120}},
        {
            "presence": {"user": True, "consultant": False},
            "until": {"consultant": "2025-03-20T08:28:45.391706+08:00"},
            "grace": {"user": 120, "consultant": 120},
            "time": "2025-03-20T08:26:45.391706+08:00",
        },
    ],
    feature="presence",
)
_ALIVE_FEATURE = "The server answers a frame `alive` with a frame `alive`."
_SENDER_FEATURE = "Each message carries the person that has sent it: `sender` with `role`, `id` and `name`."
_HELD = {
    "id": 12,
    "kind": "session",
    "number": 4,
    "group": "default",
    "sender": _SENDER,
    "media": "text",
    "text": "hi",
    "time": _OFFSET_TIME,
    "until": "2025-03-20T08:28:45.391706+08:00",
    "state": "held",
    "by": None,
    "decided": None,
    "final": None,
    "note": None,
    "seq": None,
}
_SUPERVISOR = {"role": "supervisor", "id": "3", "name": None}
_DECISIONS = (
    FrameKind(
        "approve",
        "Send a held message as it is.",
        DecisionFrame,
        [{"approve": 12}],
        keys=("approve",),
        required=("approve",),
        feature="approve",
    ),
    FrameKind(
        "edit",
        "Send a held message with another text.",
        DecisionFrame,
        [{"edit": 12, "text": "hello"}],
        keys=("edit", "text"),
        required=("edit", "text"),
        feature="approve",
    ),
    FrameKind(
        "refuse",
        "Refuse a held message.",
        DecisionFrame,
        [{"refuse": 12}, {"refuse": 12, "note": "Ask first what has happened."}],
        keys=("refuse", "note"),
        required=("refuse",),
        feature="approve",
    ),
)
_HELD_FRAME = FrameKind(
    "held",
    "A message of the agent that is held: on observing, when a message is held, and after the decision.",
    Held,
    [{"held": _HELD}],
    feature="approve",
)
_APPROVAL = FrameKind(
    "approval",
    "The state of an own message that waits, or has waited, for an approval: when it is held, after the "
    "decision, and on entering. The acknowledgement, or an error, comes after the decision.",
    Approval,
    [
        {
            "approval": {
                "held": 12,
                "state": "held",
                "client_id": "a1",
                "text": "hi",
                "time": _OFFSET_TIME,
                "until": "2025-03-20T08:28:45.391706+08:00",
            }
        },
        {
            "approval": {
                "held": 12,
                "state": "edited",
                "client_id": "a1",
                "text": "hi",
                "time": _OFFSET_TIME,
                "final": "hello",
                "seq": 5,
                "by": _SUPERVISOR,
            }
        },
    ],
    feature="approval",
)
_SEQ_FEATURE = (
    "Each message carries an `id` and a `seq` that are the same on every delivery; numbers have no gaps."
)

CHAT = Endpoint(
    name="chat",
    path="/chat",
    summary="A participant in a session, or in a supervision record",
    description=(
        "`type=0`: the visitor and the consultant of a session. `type=1`: the consultant and the "
        "supervisor of a record.\n\nA session is `ready`, becomes `active` when both are present for the "
        "first time, and ends as `completed` or `cancelled`. A participant whose connection drops during "
        "an active session may reconnect within `[counselling] rejoin_grace`, and then receives the missed "
        "messages, in order, in the same frames. After the close of a socket without features by its client "
        "(1000, 1001 or no code) the time is `leave_grace`. The session is completed when the grace time is "
        "over, when a participant closes the socket with 4000, or by `POST "
        "/api/v1/sessions/{session_id}/end`. A participant who returns after the end receives the missed "
        "messages, `会话已结束`, and 4409. Before the start, the session is cancelled `ready_grace` after "
        "the visitor's last socket has closed. The plain texts `ping` and `heartbeat` are ignored."
    ),
    access="The two participants of the session or record.",
    query=ChatQuery,
    from_client=(
        FrameKind(
            "say",
            "Post a message. The server delivers the message to the other participants after storing it.",
            ClientFrame,
            [{"msg": "hello"}, {"msg": "hello", "id": "a1"}],
            keys=("msg", "id"),
            required=("msg",),
        ),
        FrameKind(
            "typing",
            "The participant begins or stops typing.",
            ClientFrame,
            [{"typing": True}],
            keys=("typing",),
            required=("typing",),
            feature="typing",
        ),
        FrameKind(
            "read",
            "The participant has read all messages up to this seq.",
            ClientFrame,
            [{"read": 17}],
            keys=("read",),
            required=("read",),
            feature="read",
        ),
        FrameKind(
            "history",
            "Request the newest page of messages, or the page before a seq.",
            ClientFrame,
            [{"history": None}, {"history": 17}],
            keys=("history",),
            required=("history",),
            feature="history",
        ),
        FrameKind(
            "token",
            _RENEWAL_SUMMARY,
            ClientFrame,
            [{"token": "eyJhbGciOi…"}],
            keys=("token",),
            required=("token",),
            feature="token",
        ),
        FrameKind(
            "wait",
            "Wait longer for the absent participant, up to `[counselling] longest_grace`.",
            ClientFrame,
            [{"wait": 60}],
            keys=("wait",),
            required=("wait",),
            feature="presence",
        ),
        FrameKind(
            "consent",
            "Accept or decline the text of the frame `consent`. A visitor that declines gets 4403.",
            ClientFrame,
            [{"consent": {"version": "2026-01", "accept": True}}],
            keys=("consent",),
            required=("consent",),
            feature="consent",
        ),
        *(
            FrameKind(
                answer,
                summary,
                ClientFrame,
                [{answer: 7}],
                keys=(answer,),
                required=(answer,),
                feature="offer",
            )
            for answer, summary in (
                ("accept", "Take over a conversation that is offered to you; the answer is a frame `offer`."),
                ("decline", "Decline a conversation that is offered to you; the answer is a frame `offer`."),
            )
        ),
    ),
    to_client=(
        FrameKind(
            "message",
            "A message from another participant, or with the feature `echo` from the same person.",
            ChatFrame,
            [
                {"isSystem": False, "system": False, "msg": "hi", "time": _TIME},
                {
                    "isSystem": False,
                    "system": False,
                    "msg": "hi",
                    "time": _OFFSET_TIME,
                    "id": "s4-5",
                    "seq": 5,
                },
            ],
            constant_keys={"isSystem": False},
        ),
        FrameKind(
            "system",
            "A system text. To all participants: a participant has joined, `会话已开始`, `会话已结束`. To "
            "the sender of a refused frame only: `错误: …`, with the refused `id` if the feature `ack` is "
            "on. Texts are in `[server] language`.",
            ChatFrame,
            [
                {**_SYSTEM, "msg": "来访者 小林已进入会话", "time": _TIME},
                {**_SYSTEM, "msg": "会话已开始", "time": _TIME},
                {**_SYSTEM, "msg": "会话已结束", "time": _TIME},
                {**_SYSTEM, "msg": "错误: 消息不能为空", "time": _OFFSET_TIME, "id": "a1"},
            ],
            keys=("isSystem", "system", "msg", "time", "id"),
            constant_keys={"isSystem": True},
        ),
        FrameKind(
            "end",
            "The end of the session, with its reason: a participant's client has left (`left`); a "
            "participant or the host has ended it (`ended`); a participant was not back in time (`grace`); "
            "the visitor has cancelled it (`cancelled`), or was not back before the start (`not_started`).",
            ChatFrame,
            [{**_SYSTEM, "msg": "会话已结束", "time": _TIME, "reason": "grace"}],
            keys=("isSystem", "system", "msg", "time", "reason"),
            required=("reason",),
            constant_keys={"isSystem": True},
            feature="presence",
        ),
        FrameKind(
            "offer",
            "A conversation is offered to you, or one that you have offered: on joining and on each change.",
            Offered,
            [{"offer": _OFFER}],
            feature="offer",
        ),
        FrameKind(
            "offer_refused",
            "The offer cannot be accepted or declined: it is not offered to you any more.",
            ChatFrame,
            [{**_SYSTEM, "msg": "错误: 没有可回应的交接邀请", "time": _TIME, "offer": False}],
            keys=("isSystem", "system", "msg", "time", "offer"),
            constant_keys={"isSystem": True, "offer": False},
            feature="offer",
        ),
        FrameKind(
            "wait_refused",
            "The session does not wait longer: no participant is awaited, or `longest_grace` is reached.",
            ChatFrame,
            [{**_SYSTEM, "msg": "错误: 等待时间已达上限", "time": _TIME, "wait": False}],
            keys=("isSystem", "system", "msg", "time", "wait"),
            constant_keys={"isSystem": True, "wait": False},
            feature="presence",
        ),
        FrameKind(
            "ack",
            "The message with this id is stored durably: a restart or crash of the server does not lose it.",
            Ack,
            [{"ack": "a1", "seq": 5, "time": _OFFSET_TIME}],
            feature="ack",
        ),
        FrameKind(
            "typing",
            "Another participant begins or stops typing.",
            TypingShown,
            [{"typing": True, "role": "user"}],
            feature="typing",
        ),
        FrameKind(
            "read",
            "How far a participant has read: on joining and on each change, also by other sockets of the "
            "same person.",
            ReadShown,
            [{"read": 17, "role": "consultant"}],
            feature="read",
        ),
        FrameKind(
            "receipt",
            "Which messages have arrived at the other participant's client: the server has its pong up to "
            "this seq. On joining and on each change.",
            ReceiptShown,
            [{"receipt": 17, "role": "consultant"}],
            feature="receipt",
        ),
        FrameKind(
            "observing",
            "A supervisor has begun or stopped to listen in, if `[group] tell_observing` says so. Clients "
            "without the feature get a system text.",
            ObservingShown,
            [{"observing": True}],
            feature="observing",
        ),
        _PRESENCE,
        FrameKind(
            "handover",
            "Another agent has the session from now on, and who had it before. Sockets without the feature "
            "get a system text that says it.",
            HandedOver,
            [
                {
                    "handover": {
                        "from": _SENDER,
                        "to": {"role": "consultant", "id": "3", "name": "吴老师"},
                        "time": _OFFSET_TIME,
                    }
                }
            ],
            feature="sender",
        ),
        FrameKind(
            "history",
            "A page of messages: the newest page on joining, other pages on request.",
            History,
            [
                {
                    "history": [
                        {"seq": 17, "msg": "hi", "senderType": True, "time": _OFFSET_TIME, "sender": _SENDER}
                    ],
                    "next": 17,
                }
            ],
            feature="history",
        ),
        FrameKind(
            "consent",
            "What the visitor has to accept before its first message; on joining.",
            ConsentAsked,
            [
                {
                    "consent": {
                        "group": "default",
                        "version": "2026-01",
                        "language": "en",
                        "text": "What you write here is stored for six months.",
                    }
                }
            ],
            feature="consent",
        ),
        FrameKind(
            "consented",
            "The acceptance is stored, or the visitor has declined, of which nothing is stored.",
            ConsentNoted,
            [{"consented": {"group": "default", "version": "2026-01", "accepted": True}}],
            feature="consent",
        ),
        FrameKind(
            "consent_refused",
            "The answer to the question is not noted: it was about another version, or could not be stored.",
            ChatFrame,
            [{**_SYSTEM, "msg": "错误: 目前没有需要同意的说明", "time": _OFFSET_TIME, "consent": False}],
            keys=("isSystem", "system", "msg", "time", "consent"),
            constant_keys={"isSystem": True, "consent": False},
            feature="consent",
        ),
        _TOKEN_ACCEPTED,
        _TOKEN_REFUSED,
        _APPROVAL,
    ),
    features={
        "ack": (
            "A message with an `id` is answered by `ack` when it is stored; if it is refused, the error "
            "names the id."
        ),
        "echo": "The person's own messages are delivered, too, with `self`, to all sockets of the person.",
        "seq": _SEQ_FEATURE,
        "history": "Pages of earlier messages; the newest page is sent on joining.",
        "typing": "Shows when another participant is typing.",
        "read": "Shows how far each participant has read.",
        "presence": (
            "Shows which roles are connected, until when an absent participant is awaited, and why the "
            "session has ended; the client may extend the wait."
        ),
        "observing": "Shows that a supervisor listens in by a frame, and not by a system text.",
        "receipt": "Shows which messages have arrived at the other participant.",
        "sender": f"{_SENDER_FEATURE} A change of the agent is a frame `handover`.",
        "offer": "Hand-overs that are offered to you, or by you, are frames `offer`, which you may answer.",
        "consent": (
            "The visitor is asked to accept the text of its group (`[group:NAME] consent`) before its first "
            "message; until then its messages are refused."
        ),
        "token": _RENEWAL_FEATURE,
        "approval": "Shows the states of own messages that wait for an approval.",
    },
    close_codes=(1000, 1009, 1011, 1012, 1013, 4400, 4401, 4403, 4404, 4408, 4409, 4429),
    client_close_codes={
        4000: "End the session: it becomes `completed`.",
        4001: "Only for the visitor, before the session has started: stop waiting; it becomes `cancelled`.",
    },
)

NOTIFY = Endpoint(
    name="notify",
    path="/notify",
    summary="Pop-ups for one person",
    description=(
        "Each notification is stored first, then delivered to every open socket of the recipient. A "
        "recipient without a socket receives missed notifications in order on the next connect. "
        "Notifications are created by `POST /api/v1/notifications`, and by the server when a session is "
        "opened or a supervisor is called. A client without features receives an unread notification again "
        "on its next connects, `[notifications] repeat` times at most. All other frames of the client are "
        "ignored."
    ),
    access="Every role except `service`.",
    query=NotifyQuery,
    from_client=_LISTENER_REQUESTS,
    to_client=(
        FrameKind(
            "plain",
            "A text without data.",
            NotifyFrame,
            [{"type": 0, "msg": "您有新的请假申请待处理", "time": _TIME, "data": None}],
            constant_keys={"type": 0},
            types={"data": None},
        ),
        FrameKind(
            "alert",
            "A text that the recipient must acknowledge.",
            NotifyFrame,
            [
                {
                    "type": 0,
                    "msg": "支持对话 4 出现关键词预警，请尽快查看",
                    "time": _OFFSET_TIME,
                    "data": {"alert": True},
                    "id": "12",
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
            "An appointment has changed: the visitor is notified if the consultant cancelled, the "
            "consultant if the visitor did.",
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
            "A new conversation is open for the recipient.",
            NotifyFrame,
            [
                {"type": 2, "msg": "您有新的对话", "time": _TIME, "data": {"sessionId": 4}},
                {
                    "type": 2,
                    "msg": "您有新的对话",
                    "time": _TIME,
                    "data": {"sessionId": 4, "observeSessionId": 5},
                },
                {
                    "type": 2,
                    "msg": "您有新的对话",
                    "time": _TIME,
                    "data": {"sessionId": 4, "observeConversationId": 7},
                },
            ],
            constant_keys={"type": 2},
            types={"data": NewConversation},
        ),
        _ANSWER,
        _TOKEN_ACCEPTED,
        _TOKEN_REFUSED,
    ),
    features={
        "seq": (
            "Each notification carries its `id` and its `seq`, the same on every delivery; `alert` marks "
            "alerts."
        ),
        "alive": _ALIVE_FEATURE,
        "token": _RENEWAL_FEATURE,
    },
    close_codes=(1009, 1011, 1012, 1013, 4400, 4401, 4403, 4408, 4429),
)

OBSERVE = Endpoint(
    name="observe",
    path="/observe",
    summary="A supervisor or an admin observes a session or a support conversation",
    description=(
        "The query has exactly one of `sessionId` and `conversationId`. Delivers the messages from now on; "
        "after a break, delivery resumes where it stopped. The participants are not informed, unless "
        "`[group:NAME] tell_observing` says so. The last frame has `senderType` null; then the server "
        "closes the socket with 1000. All other frames of the client are ignored."
    ),
    access=(
        "Admins, supervisors of the group (`[group:NAME] supervisors`, or the claim `groups`), and "
        "supervisors with a record on the conversation; with `[counselling] observe = any` all supervisors."
    ),
    query=ObserveQuery,
    from_client=(
        *_LISTENER_REQUESTS,
        *_DECISIONS,
        FrameKind(
            "say",
            "Post a message, after `POST …/join` or `…/takeover`.",
            ClientFrame,
            [{"msg": "hello", "id": "a1"}],
            keys=("msg", "id"),
            required=("msg",),
            feature="speak",
        ),
        FrameKind(
            "typing",
            "The supervisor begins or stops typing.",
            ClientFrame,
            [{"typing": True}],
            keys=("typing",),
            required=("typing",),
            feature="typing",
        ),
        FrameKind(
            "read",
            "The agent has read all messages up to this seq.",
            ClientFrame,
            [{"read": 17}],
            keys=("read",),
            required=("read",),
            feature="read",
        ),
    ),
    to_client=(
        FrameKind(
            "message",
            "A message of a participant; the last frame states that the session has ended.",
            ObserveFrame,
            [
                {"msg": "hi", "senderType": False, "time": _TIME},
                {"msg": "会话已结束", "senderType": None, "time": _TIME},
            ],
        ),
        FrameKind(
            "part",
            "As what the person of the socket takes part: on each change, and on connecting if it does.",
            PartShown,
            [{"part": "supervisor"}, {"part": None}],
            feature="speak",
        ),
        FrameKind(
            "error",
            "What is wrong with a frame of the client, as before it has joined.",
            ChatFrame,
            [{**_SYSTEM, "msg": "错误: 请先加入或接管此对话", "time": _OFFSET_TIME, "id": "a1"}],
            keys=("isSystem", "system", "msg", "time", "id"),
            constant_keys={"isSystem": True},
            feature="speak",
        ),
        FrameKind(
            "ack",
            "The message is stored durably.",
            Ack,
            [{"ack": "a1", "seq": 17, "time": _OFFSET_TIME}],
            feature="ack",
        ),
        FrameKind(
            "typing",
            "A participant begins or stops typing.",
            TypingShown,
            [{"typing": True, "role": "user"}],
            feature="typing",
        ),
        FrameKind(
            "read",
            "How far a participant has read.",
            ReadShown,
            [{"read": 17, "role": "user"}],
            feature="read",
        ),
        _PRESENCE,
        _ANSWER,
        _TOKEN_ACCEPTED,
        _TOKEN_REFUSED,
        _HELD_FRAME,
    ),
    features={
        "seq": _SEQ_FEATURE,
        "alive": _ALIVE_FEATURE,
        "speak": (
            "After `POST …/join` or `…/takeover` the socket sends messages as `/chat` does. After a "
            "take-over it is the presence of the agent."
        ),
        "ack": "As of `/chat`, with `speak`.",
        "typing": "Shows when a participant is typing; with `speak`, the client may send it.",
        "read": "Shows how far each participant has read; with `speak`, an agent may send it.",
        "presence": "Shows which of the two participants are connected.",
        "sender": _SENDER_FEATURE,
        "token": _RENEWAL_FEATURE,
        "approve": "Shows the messages of the agent that wait for an approval, and takes decisions on them.",
    },
    close_codes=(1000, 1009, 1011, 1012, 1013, 4400, 4401, 4403, 4404, 4408, 4409, 4429),
)

ENDPOINTS = (CHAT, NOTIFY, OBSERVE)
