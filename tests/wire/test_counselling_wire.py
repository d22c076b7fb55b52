"""The frames of ``/chat``, ``/notify`` and ``/observe``: keys and values as in the seed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.errors import ChatError, Conflict, Malformed
from tornado_chat.core.events import (
    Event,
    PresenceChanged,
    ReceiptAdvanced,
    RoomEnded,
    SystemNotice,
    TypingChanged,
)
from tornado_chat.core.types import (
    AppendResult,
    EndReason,
    Kind,
    Message,
    Notification,
    Person,
    Role,
    Room,
    SessionState,
    Thread,
)
from tornado_chat.wire import counselling
from tornado_chat.wire.counselling import (
    CheckAlive,
    CounsellingEncoders,
    GetHistory,
    PostMessage,
    RenewToken,
    WaitLonger,
    parse_chat,
    parse_listener,
)
from tornado_chat.wire.parsing import parse_features, peek_id
from tornado_chat.wire.times import LocalTimes

SESSION, RECORD, INBOX = Thread(Kind.SESSION, 4), Thread(Kind.RECORD, 6), Thread(Kind.INBOX, 1)
VISITOR, COUNSELLOR = Person(Role.USER, "1"), Person(Role.CONSULTANT, "2")
SUPERVISOR = Person(Role.SUPERVISOR, "3")
TIME = 1_742_430_405_391_706
TEXT = "2025-03-20T08:26:45.391706"
WITH_OFFSET = f"{TEXT}+08:00"
TIMES = LocalTimes("Asia/Shanghai")
FRAMES = CounsellingEncoders("zh_CN", TIMES, True)
STRICT = CounsellingEncoders("zh_CN", TIMES, False)
NONE: frozenset[str] = frozenset()


def message(text: str = "hi", sender: Person = COUNSELLOR, thread: Thread = SESSION, **more: Any) -> Message:
    return Message(thread, 17, sender, text, TIME, **more)


def chat(event: Event, *chosen: str, own: bool = False, frames: CounsellingEncoders = FRAMES) -> Any:
    frame = frames.chat(frozenset(chosen)).encode(event, own)
    return None if frame is None else json.loads(frame)


def observed(event: Event, *chosen: str) -> Any:
    frame = FRAMES.observe(frozenset(chosen)).encode(event, False)
    return None if frame is None else json.loads(frame)


def notified(event: Event, *chosen: str) -> Any:
    frame = FRAMES.notify(frozenset(chosen)).encode(event, False)
    return None if frame is None else json.loads(frame)


# --- /chat ---


def test_a_message_has_the_keys_of_the_seed_and_the_legacy_key() -> None:
    assert chat(message()) == {"isSystem": False, "system": False, "msg": "hi", "time": TEXT}
    assert chat(message(media="image", client_id="c1")) == chat(message())


def test_legacy_system_key_off_leaves_only_the_keys_of_the_seed() -> None:
    assert chat(message(), frames=STRICT) == {"isSystem": False, "msg": "hi", "time": TEXT}


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (SystemNotice(SESSION, "joined_user", TIME, "小林"), "来访者 小林已进入会话"),
        (SystemNotice(SESSION, "joined_consultant", TIME, "陈老师"), "咨询师 陈老师已进入会话"),
        (SystemNotice(RECORD, "joined_supervisor", TIME, "周督导"), "督导 周督导已进入会话"),
        (SystemNotice(SESSION, "session_started", TIME), "会话已开始"),
        (RoomEnded(SESSION, SessionState.COMPLETED, TIME), "会话已结束"),
        (RoomEnded(SESSION, SessionState.CANCELLED, TIME), "会话已结束"),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_system_frames_have_the_deployed_texts(event: Event, text: str, own: bool) -> None:
    assert chat(event, own=own) == {"isSystem": True, "system": True, "msg": text, "time": TEXT}
    assert chat(event, "seq", "echo", own=own) == {**chat(event), "time": WITH_OFFSET}


def test_braces_in_a_name_are_not_formatted() -> None:
    assert (
        chat(SystemNotice(SESSION, "joined_user", TIME, "{name}{0}"))["msg"] == "来访者 {name}{0}已进入会话"
    )


def test_own_messages_require_the_feature_echo() -> None:
    assert chat(message(), own=True) is None
    shown = {**chat(message()), "time": WITH_OFFSET}
    assert chat(message(), "echo", own=True) == {**shown, "self": True}
    assert chat(message(), "echo") == shown


def test_feature_seq_adds_id_and_seq() -> None:
    assert chat(message(), "seq") == {**chat(message(), "ack"), "id": "s4-17", "seq": 17}
    assert chat(message(thread=RECORD), "seq")["id"] == "r6-17"


def test_other_events_have_no_frame() -> None:
    assert chat(TypingChanged(SESSION, VISITOR, True)) is None
    assert chat(Notification(1, Person(Role.USER, "1"), INBOX, 1, 0, "m", None, TIME)) is None


def test_ack_requires_the_feature_and_an_id() -> None:
    stored = AppendResult(17, TIME)
    asking, plain = FRAMES.chat(frozenset({"ack"})), FRAMES.chat(NONE)
    assert json.loads(asking.ack("c1", stored) or b"") == {"ack": "c1", "seq": 17, "time": WITH_OFFSET}
    assert asking.ack("c1", AppendResult(17, TIME, duplicate=True)) == asking.ack("c1", stored)
    assert asking.ack(None, stored) is None
    assert plain.ack("c1", stored) is None


def test_an_error_is_a_system_frame_and_names_the_id_with_feature_ack() -> None:
    error = Conflict("session_finished")
    expected = {"isSystem": True, "system": True, "msg": "错误: 会话已结束", "time": TEXT}
    asking, plain = FRAMES.chat(frozenset({"ack"})), FRAMES.chat(NONE)
    assert json.loads(plain.error(error, TIME, "c1")) == expected
    expected["time"] = WITH_OFFSET
    assert json.loads(asking.error(error, TIME)) == expected
    assert json.loads(asking.error(error, TIME, "c1")) == {**expected, "id": "c1"}


def test_an_error_text_differs_from_the_end_of_the_session() -> None:
    frame = json.loads(FRAMES.chat(NONE).error(Conflict("session_finished"), TIME))
    assert frame["msg"] != chat(RoomEnded(SESSION, SessionState.COMPLETED, TIME))["msg"]


def test_feature_presence_adds_the_reason_of_the_end() -> None:
    room = Room(SESSION, VISITOR, COUNSELLOR, None, None, SessionState.COMPLETED, 0, 4, TIME)
    for reason in EndReason:
        ended = RoomEnded(SESSION, room.state, TIME, msgspec.structs.replace(room, end_reason=reason))
        plain = chat(RoomEnded(SESSION, room.state, TIME))
        assert chat(ended) == plain
        assert chat(ended, "seq") == {**plain, "time": WITH_OFFSET}
        assert chat(ended, "presence") == {**plain, "time": WITH_OFFSET, "reason": reason.value}
        assert observed(ended, "presence") == {**observed(ended), "time": WITH_OFFSET}
    old_end = RoomEnded(SESSION, room.state, TIME, room)
    assert chat(old_end, "presence") == {**plain, "time": WITH_OFFSET}


def test_presence_names_until_when_the_absent_are_awaited() -> None:
    both = PresenceChanged(SESSION, {Role.USER: True, Role.CONSULTANT: True})
    assert chat(both) is None
    assert chat(both, "presence") == {"presence": {"user": True, "consultant": True}}
    away = PresenceChanged(
        SESSION,
        {Role.USER: True, Role.CONSULTANT: False},
        {Role.CONSULTANT: TIME + 120_000_000},
        {Role.USER: 120.0, Role.CONSULTANT: 120.0},
        TIME,
    )
    shown = {
        "presence": {"user": True, "consultant": False},
        "until": {"consultant": "2025-03-20T08:28:45.391706+08:00"},
        "grace": {"user": 120, "consultant": 120},
        "time": "2025-03-20T08:26:45.391706+08:00",
    }
    assert chat(away, "presence") == observed(away, "presence") == shown


def test_a_wait_requires_the_feature_presence_and_a_number_of_seconds() -> None:
    presence = frozenset({"presence"})
    assert parse_chat('{"wait": 60}', presence) == WaitLonger(60)
    for frame, features in [
        ('{"wait": 60}', frozenset({"ack", "seq"})),
        ('{"wait": 0}', presence),
        ('{"wait": 86401}', presence),
        ('{"wait": "60"}', presence),
        ('{"wait": null}', presence),
    ]:
        with pytest.raises(Malformed):
            parse_chat(frame, features)
    refused = json.loads(FRAMES.chat(presence).error(Conflict("waits_longest"), TIME, refused="wait"))
    assert (refused["isSystem"], refused["wait"]) == (True, False)


def test_a_history_page_carries_the_next_seq() -> None:
    encoder = FRAMES.chat(frozenset({"history"}))
    said = [message("a", VISITOR), Message(SESSION, 18, COUNSELLOR, "b", TIME)]
    lines = [
        {
            "seq": 17,
            "msg": "a",
            "senderType": False,
            "time": WITH_OFFSET,
            "sender": {"role": "user", "id": VISITOR.id, "name": None},
        },
        {
            "seq": 18,
            "msg": "b",
            "senderType": True,
            "time": WITH_OFFSET,
            "sender": {"role": "consultant", "id": COUNSELLOR.id, "name": None},
        },
    ]
    assert json.loads(encoder.history(said, more=True)) == {"history": lines, "next": 17}
    assert json.loads(encoder.history(said, more=False)) == {"history": lines, "next": None}
    assert json.loads(encoder.history([], more=False)) == {"history": [], "next": None}


def test_sockets_with_equal_features_share_an_encoder() -> None:
    assert FRAMES.chat(frozenset({"ack", "seq"})) is FRAMES.chat(frozenset({"seq", "ack"}))
    assert FRAMES.chat(NONE) is not FRAMES.chat(frozenset({"ack"}))
    assert FRAMES.observe(NONE) is FRAMES.observe(NONE)
    assert FRAMES.notify(NONE) is FRAMES.notify(NONE)


def test_the_language_is_a_setting() -> None:
    english = CounsellingEncoders("en", TIMES, True)
    ended = RoomEnded(SESSION, SessionState.COMPLETED, TIME)
    assert chat(ended, frames=english)["msg"] == "The session has ended"


# --- /observe ---


def test_an_observer_gets_messages_with_their_sender_type() -> None:
    assert observed(message("q", VISITOR)) == {"msg": "q", "senderType": False, "time": TEXT}
    assert observed(message("a")) == {"msg": "a", "senderType": True, "time": TEXT}
    expected = {**observed(message("a")), "time": WITH_OFFSET, "id": "s4-17", "seq": 17}
    assert observed(message("a"), "seq") == expected


def test_an_observer_gets_the_end_but_no_join_notices() -> None:
    ended = observed(RoomEnded(SESSION, SessionState.COMPLETED, TIME))
    assert ended == {"msg": "会话已结束", "senderType": None, "time": TEXT}
    assert observed(SystemNotice(SESSION, "joined_user", TIME, "小林")) is None


# --- /notify ---


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        (0, None),
        (1, {"apointmentId": 3, "consultantId": 5}),
        (1, {"apointmentId": 3}),
        (2, {"sessionId": 4}),
        (2, {"sessionId": 4, "observeSessionId": 5}),
    ],
)
def test_a_notification_has_the_keys_and_spelling_of_the_seed(
    type_: int, data: dict[str, int] | None
) -> None:
    event = Notification(9, Person(Role.USER, "1"), INBOX, 3, type_, "您好，您有一条预约状态变更", data, TIME)
    frame = {"type": type_, "msg": "您好，您有一条预约状态变更", "time": TEXT, "data": data}
    assert notified(event) == frame
    ids = None if data is None else {key: str(value) for key, value in data.items()}
    assert notified(event, "alive") == {**frame, "time": WITH_OFFSET, "data": ids}
    assert notified(event, "seq") == {**frame, "time": WITH_OFFSET, "data": ids, "id": "9", "seq": 3}
    assert notified(message()) is None


@pytest.mark.parametrize("data", [{"sessionId": 4, "observeSessionId": 5}, {}])
def test_an_alert_is_marked_with_the_feature_seq(data: dict[str, int]) -> None:
    event = Notification(9, Person(Role.USER, "1"), INBOX, 3, 2, "look", {**data, "alert": True}, TIME)
    frame = notified(event, "seq")
    assert frame is not None
    assert frame["data"] == {**{key: str(value) for key, value in data.items()}, "alert": True}
    frame = notified(event)
    assert frame is not None
    assert frame["data"] == (data or None)


# --- from the client ---


def test_a_message_may_have_an_id() -> None:
    assert parse_chat('{"msg": "hello"}', NONE) == PostMessage("hello")
    assert parse_chat(b'{"msg": "hello", "id": "c1"}', NONE) == PostMessage("hello", "c1")
    assert parse_chat('{"id": null, "msg": " x ", "other": [1]}', NONE) == PostMessage(" x ")


def test_history_requires_its_feature() -> None:
    opted = frozenset({"history"})
    assert parse_chat('{"history": 17}', opted) == GetHistory(17)
    assert parse_chat('{"history": null}', opted) == GetHistory(None)
    assert parse_chat('{"msg": "both", "history": 3}', opted) == PostMessage("both")
    with pytest.raises(Malformed, match="bad_shape"):
        parse_chat('{"history": 17}', NONE)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("", "not_json"),
        ("hello", "not_json"),
        ('{"msg": "hel', "not_json"),
        (b'{"msg": "\xff"}', "not_json"),
        ('{"msg": "\\ud800"}', "half_character"),
        ("[" * 100_000, "bad_shape"),
        ('{"x": ' + "[" * 100_000, "not_json"),
        ('"hello"', "bad_shape"),
        ("[]", "bad_shape"),
        ("{}", "bad_shape"),
        ('{"msg": 1}', "bad_shape"),
        ('{"msg": null}', "bad_shape"),
        ('{"msg": "a", "id": 1}', "bad_shape"),
        ('{"msg": "a", "id": ""}', "bad_shape"),
        ('{"msg": "a", "id": "%s"}' % ("x" * 65), "bad_shape"),
        ('{"history": 0}', "bad_shape"),
        ('{"history": 9223372036854775808}', "bad_shape"),
        ('{"msg": ""}', "empty_message"),
        ('{"msg": " \\n\\u3000"}', "empty_message"),
    ],
)
def test_invalid_frames_are_refused_with_their_error_code(data: str | bytes, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_chat(data, frozenset({"history"}))
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["ping", "heartbeat", "PING", " Heartbeat\r\n"])
def test_a_heartbeat_in_a_plain_text_is_no_command(text: str) -> None:
    assert parse_chat(text, NONE) is None
    assert parse_chat(text, counselling.CHAT_FEATURES) is None


@pytest.mark.parametrize("data", [b"ping", "pong", "ping!", '"ping"', '{"type": "ping"}', "ping" + 64 * " "])
def test_other_texts_than_heartbeats_are_refused(data: str | bytes) -> None:
    with pytest.raises(Malformed):
        parse_chat(data, NONE)
    assert parse_chat('{"msg": "ping"}', NONE) == PostMessage("ping")


LISTENER_FEATURES = sorted(counselling.NOTIFY_FEATURES | counselling.OBSERVE_FEATURES)


def test_a_listener_may_ask_whether_it_is_connected_and_renew_its_token() -> None:
    alive, renewal = '{"alive": true}', '{"token": "t"}'
    assert parse_listener(alive, frozenset({"alive"})) == CheckAlive()
    assert parse_listener(alive, frozenset({"alive", "token"})) == CheckAlive()
    assert parse_listener(renewal, frozenset({"token"})) == RenewToken("t")
    assert parse_listener(renewal, frozenset({"alive", "token"})) == RenewToken("t")
    for text, features in ((alive, {"token"}), (renewal, {"alive"}), (alive, set()), (renewal, {"seq"})):
        assert parse_listener(text, frozenset(features)) is None


@pytest.mark.parametrize(
    "data",
    [
        *("ping", "heartbeat", "PING", "", "[]", "null", "1", '"ping"', "{", b"\xff", "[" * 100_000),
        *('{"type": "ping"}', '{"type":"heartbeat","time":1}', '{"msg": "may I?"}'),
        *('{"alive": "yes"}', '{"token": 5}', '{"token": null}'),
    ],
)
def test_everything_else_that_a_listener_sends_is_ignored(data: str | bytes) -> None:
    for features in (NONE, frozenset({"alive"}), frozenset({"token"}), frozenset(LISTENER_FEATURES)):
        assert parse_listener(data, features) is None


def test_half_a_character_is_refused_with_the_id_of_the_frame() -> None:
    half = r'{"msg": "half \ud83d", "id": "c1"}'
    with pytest.raises(Malformed) as caught:
        parse_chat(half, frozenset({"ack"}))
    assert caught.value.code == "half_character"
    answer = FRAMES.chat(frozenset({"ack"})).error(caught.value, TIME, peek_id(half))
    assert json.loads(answer)["id"] == "c1"


def test_unknown_features_are_ignored() -> None:
    known = counselling.CHAT_FEATURES
    assert parse_features("ack, history,teleport,", known) == {"ack", "history"}
    assert parse_features("", known) == NONE


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
nearly = st.fixed_dictionaries({}, optional={"msg": anything, "id": anything, "history": anything})
frames = st.text() | st.binary() | (nearly | anything).map(json.dumps)


@given(data=frames, opted=st.sets(st.sampled_from(sorted(counselling.CHAT_FEATURES))))
def test_parsing_raises_only_chat_errors(data: str | bytes, opted: set[str]) -> None:
    peek_id(data)
    try:
        command = parse_chat(data, frozenset(opted))
    except ChatError as error:
        answer = FRAMES.chat(frozenset(opted)).error(error, TIME, peek_id(data))
        assert json.loads(answer)["isSystem"] is True
    else:
        if isinstance(command, PostMessage):
            assert command.msg.strip()
            assert command.id is None or 1 <= len(command.id) <= 64
        elif command is not None:
            assert "history" in opted
            assert command.before is None or 1 <= command.before < 2**63


@given(data=frames, opted=st.sets(st.sampled_from(LISTENER_FEATURES)))
def test_a_listener_sends_what_it_likes(data: str | bytes, opted: set[str]) -> None:
    command = parse_listener(data, frozenset(opted))
    assert command is None or opted & {"alive", "token"}


@given(text=st.text(min_size=1).filter(str.strip), escaped=st.booleans())
def test_every_text_arrives_unchanged(text: str, escaped: bool) -> None:
    said = parse_chat(json.dumps({"msg": text}, ensure_ascii=escaped), NONE)
    assert said == PostMessage(text)
    assert chat(message(text))["msg"] == text
    assert observed(message(text))["msg"] == text
    assert notified(Notification(1, Person(Role.USER, "1"), INBOX, 1, 0, text, {"t": text}, TIME))[
        "data"
    ] == {"t": text}


def test_a_receipt_is_shown_with_its_feature_to_the_others_only() -> None:
    event = ReceiptAdvanced(SESSION, COUNSELLOR, 17)
    assert chat(event, "receipt") == {"receipt": 17, "role": "consultant"}
    assert chat(event, "receipt", own=True) is None
    assert chat(event, *(counselling.CHAT_FEATURES - {"receipt"})) is None
    assert observed(event, *counselling.OBSERVE_FEATURES) is None


def test_a_message_names_its_sender_with_the_feature_sender() -> None:
    named = CounsellingEncoders("zh_CN", TIMES, True, lambda thread, person: f"{thread.id}-{person.key}")
    frame = chat(message(), "sender", frames=named)
    assert frame["sender"] == {"role": "consultant", "id": "2", "name": "4-consultant:2"}
    assert observed(message(), "sender")["sender"] == {"role": "consultant", "id": "2", "name": None}
    assert "sender" not in chat(message(), *(counselling.CHAT_FEATURES - {"sender"}))
    assert "sender" not in observed(message(), *(counselling.OBSERVE_FEATURES - {"sender"}))
