"""The frames of the support dialect: keys and values as in the seed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.errors import ChatError, Malformed, Unauthenticated
from tornado_chat.core.events import Event, ReceiptAdvanced, SystemNotice, TypingChanged
from tornado_chat.core.types import (
    AppendResult,
    Conversation,
    ConversationState,
    EarlyWords,
    Handover,
    Kind,
    Message,
    Notification,
    Part,
    Participant,
    Person,
    Role,
    Thread,
)
from tornado_chat.wire import support, support_frames
from tornado_chat.wire.parsing import peek_id
from tornado_chat.wire.support import Command, SupportEncoder, parse_command
from tornado_chat.wire.times import LocalTimes

USER, WAITER = Person(Role.USER, "1"), Person(Role.WAITER, "2")
THREAD = Thread(Kind.SUPPORT, 5)
TIME = 1_742_430_405_391_706
TEXT = "2025-03-20T08:26:45.391706+08:00"
CONVERSATION = Conversation(
    id=5,
    user=USER,
    user_name="小林",
    user_uuid="uuid-user",
    state=ConversationState.ACTIVE,
    last_seq=3,
    created=TIME,
    waiter=WAITER,
    waiter_name="客服",
    waiter_uuid="uuid-waiter",
)


def frames(role: Role = Role.USER, *chosen: str, introduced: bool = True) -> SupportEncoder:
    made = SupportEncoder("uuid-me", role, "zh_CN", LocalTimes("Asia/Shanghai"))
    made.features = frozenset(chosen)
    if introduced:
        made.set_peer(THREAD, "uuid-peer")
    return made


def said(text: str = "你好", sender: Person = WAITER, **more: Any) -> Message:
    return Message(THREAD, 3, sender, text, TIME, **more)


def read(frame: bytes | None) -> Any:
    """Return the decoded frame without its random ``id``, which every frame must have."""
    assert frame is not None
    decoded = json.loads(frame)
    assert isinstance(decoded["id"], str)
    assert decoded.pop("id")
    return decoded


# --- to the client ---


def test_initialize_carries_the_sockets_address() -> None:
    assert read(frames().initialize()) == {"to": "uuid-me", "type": "initialize", "payload": None}


def test_match_frames_carry_the_address_of_the_other_side() -> None:
    assert read(frames().connect_success(CONVERSATION, "f2")) == {
        "to": "uuid-me",
        "type": "connect_success",
        "payload": {"uuid": "uuid-waiter"},
        "from": "uuid-waiter",
        "reply_id": "f2",
    }
    assert read(frames(Role.WAITER).new_connection(CONVERSATION)) == {
        "to": "uuid-me",
        "type": "new_connection",
        "payload": {"uuid": "uuid-user"},
        "from": "uuid-user",
    }


def test_auth_success_requires_the_feature_ack_unless_it_is_sent_unasked() -> None:
    expected = {
        "to": "uuid-me",
        "type": "auth_success",
        "payload": {"id": "7", "type": "user", "name": "Lin"},
        "reply_id": "f1",
    }
    assert frames().auth_success("7", Role.USER, "Lin", "f1") is None
    assert read(frames().auth_success("7", Role.USER, "Lin", "f1", is_unasked=True)) == expected
    assert read(frames(Role.USER, "ack").auth_success("7", Role.USER, "Lin", "f1")) == expected


def test_feature_seq_adds_the_conversation_to_connect_success() -> None:
    assert read(frames(Role.USER, "seq").connect_success(CONVERSATION))["payload"] == {
        "uuid": "uuid-waiter",
        "conversation": 5,
    }


def test_connect_queue_carries_the_position() -> None:
    frame = {"to": "uuid-me", "type": "connect_queue", "payload": {"location": 100}}
    assert read(frames().connect_queue(100)) == frame
    assert read(frames().connect_queue(100, "f2")) == {**frame, "reply_id": "f2"}
    assert read(frames().connect_queue(100, conversation=CONVERSATION)) == frame


def test_feature_seq_adds_the_conversation_to_connect_queue() -> None:
    told = read(frames(Role.USER, "seq").connect_queue(1, conversation=CONVERSATION))
    assert told["payload"] == {"location": 1, "conversation": 5, "returned": False}
    told = read(frames(Role.USER, "seq").connect_queue(1, conversation=CONVERSATION, serving=0))
    assert told["payload"] == {"location": 1, "conversation": 5, "returned": False, "serving": 0}
    assert "serving" not in read(frames().connect_queue(1, conversation=CONVERSATION, serving=0))["payload"]


def test_feature_early_says_what_becomes_of_first_words() -> None:
    for early in EarlyWords:
        told = read(frames(Role.USER, "early").connect_queue(1, early=early))["payload"]
        assert told == {"location": 1, "early": early.value}
    assert "early" not in read(frames(Role.USER, "seq").connect_queue(1, early=EarlyWords.KEEP))["payload"]
    assert "early" not in read(frames(Role.USER, "early").connect_queue(1))["payload"]


@pytest.mark.parametrize(("role", "sender"), [(Role.USER, WAITER), (Role.WAITER, USER)])
def test_a_message_carries_the_senders_address(role: Role, sender: Person) -> None:
    frame = frames(role).encode(said(sender=sender), False)
    assert json.loads(frame or b"") == {
        "id": "c5-3",
        "to": "uuid-me",
        "type": "message_text",
        "payload": {"message": "你好"},
        "from": "uuid-peer",
    }


def test_message_ids_are_stable_and_other_frame_ids_are_unique() -> None:
    assert frames().encode(said(), False) == frames().encode(said(), False)
    ids = {json.loads(frames().initialize())["id"] for _ in range(20)}
    assert len(ids) == 20


def test_feature_seq_adds_the_number_of_a_message() -> None:
    assert read(frames(Role.USER, "seq").encode(said(), False))["seq"] == 3


@pytest.mark.parametrize("role", [Role.USER, Role.WAITER])
def test_a_client_gets_no_frames_of_its_own_side(role: Role) -> None:
    mine = USER if role is Role.USER else WAITER
    for own in (True, False):
        assert frames(role, "typing", "seq").encode(said(sender=mine), own) is None
        assert frames(role, "typing").encode(TypingChanged(THREAD, mine, True), own) is None


def test_an_image_is_a_text_without_the_feature_image() -> None:
    image = said("https://example.org/a.png", media="image")
    asking = read(frames(Role.USER, "image").encode(image, False))
    assert (asking["type"], asking["payload"]) == ("message_image", {"url": "https://example.org/a.png"})
    plain = read(frames().encode(image, False))
    assert (plain["type"], plain["payload"]) == ("message_text", {"message": "https://example.org/a.png"})


def test_typing_requires_its_feature() -> None:
    assert frames().encode(TypingChanged(THREAD, WAITER, True), False) is None
    for now in (True, False):
        assert read(frames(Role.USER, "typing").encode(TypingChanged(THREAD, WAITER, now), False)) == {
            "to": "uuid-me",
            "type": "typing",
            "payload": {"typing": now},
            "from": "uuid-peer",
        }


@pytest.mark.parametrize(
    "event",
    [
        SystemNotice(THREAD, "session_started", TIME),
        Notification(1, Person(Role.USER, "1"), THREAD, 1, 0, "m", None, TIME),
    ],
)
def test_events_of_the_other_dialect_have_no_frame(event: Event) -> None:
    assert frames(Role.USER, *support.FEATURES).encode(event, False) is None


def test_disconnected_carries_the_peers_address_once() -> None:
    mine = frames()
    frame = {"to": "uuid-me", "type": "disconnected", "payload": None}
    assert read(mine.disconnected(THREAD)) == {**frame, "from": "uuid-peer"}
    assert read(mine.disconnected(THREAD)) == frame


def test_an_error_carries_the_id_of_the_refused_frame() -> None:
    error = Unauthenticated("token_expired")
    frame = {"to": "uuid-me", "type": "error", "payload": {"message": "令牌已过期, 请重新登录"}}
    assert read(frames().error(error, "f1")) == {**frame, "reply_id": "f1"}
    assert read(frames().error(error, None)) == frame
    assert read(frames().error(error, "")) == {**frame, "reply_id": ""}


def test_acknowledgements_require_the_feature_ack() -> None:
    plain, asking = frames(), frames(Role.USER, "ack")
    assert plain.auth_success("1", Role.USER, None, "f1") is None
    assert read(asking.message_success(5, "f1", AppendResult(3, TIME))) == {
        "to": "uuid-me",
        "type": "message_text_success",
        "payload": {"id": "c5-3", "seq": 3, "time": TEXT},
        "reply_id": "f1",
    }
    assert read(asking.auth_success("1", Role.USER, "小林", None)) == {
        "to": "uuid-me",
        "type": "auth_success",
        "payload": {"id": "1", "type": "user", "name": "小林"},
    }


def test_a_history_page_carries_senders_and_the_next_seq() -> None:
    page = [said("a", USER), said("b", WAITER, media="image")]
    items = [
        {
            "id": "c5-3",
            "seq": 3,
            "from": f"uuid-{sender}",
            "sender": sender,
            "type": f"message_{media}",
            "message": text,
            "time": TEXT,
        }
        for sender, media, text in (("user", "text", "a"), ("waiter", "image", "b"))
    ]
    frame = read(frames().history(CONVERSATION, page, True, "f1"))
    assert frame == {
        "to": "uuid-me",
        "type": "message_history",
        "payload": {"items": items, "next": 3},
        "reply_id": "f1",
    }
    assert read(frames().history(CONVERSATION, [], False, None))["payload"] == {"items": [], "next": None}


def test_success_frames_carry_the_reply_id() -> None:
    assert read(frames().success("rate_success", {"rate": 5}, "f9")) == {
        "to": "uuid-me",
        "type": "rate_success",
        "payload": {"rate": 5},
        "reply_id": "f9",
    }


# --- from the client ---


@pytest.mark.parametrize(
    ("role", "data", "command"),
    [
        (
            Role.USER,
            {"type": "auth", "payload": {"token": "t"}},
            Command(None, None, support_frames.Auth("t")),
        ),
        (
            Role.WAITER,
            {"id": "1", "type": "auth", "payload": {"token": "t", "features": ["ack", "teleport"]}},
            Command("1", None, support_frames.Auth("t", ["ack", "teleport"])),
        ),
        (Role.USER, {"type": "connect"}, Command(None, None, support_frames.Connect())),
        (Role.USER, {"type": "connect", "payload": None}, Command(None, None, support_frames.Connect())),
        (Role.USER, {"type": "connect", "payload": {}}, Command(None, None, support_frames.Connect())),
        (Role.WAITER, {"type": "ready", "payload": "please"}, Command(None, None, support_frames.Ready())),
        (Role.WAITER, {"type": "unready"}, Command(None, None, support_frames.Unready())),
        (
            Role.USER,
            {"id": "3", "type": "message_text", "payload": {"message": "你好，这是一条信息!"}},
            Command("3", None, support_frames.MessageText("你好，这是一条信息!")),
        ),
        (
            Role.WAITER,
            {"to": "uuid", "type": "message_text", "payload": {"message": "hi"}},
            Command(None, "uuid", support_frames.MessageText("hi")),
        ),
        (
            Role.USER,
            {"type": "message_image", "payload": {"url": "data:image/png;base64,AA"}},
            Command(None, None, support_frames.MessageImage("data:image/png;base64,AA")),
        ),
        (Role.USER, {"type": "get_history"}, Command(None, None, support_frames.GetHistory())),
        (
            Role.WAITER,
            {"type": "get_history", "to": "u", "payload": {"before": 9, "limit": 5}},
            Command(None, "u", support_frames.GetHistory(9, 5)),
        ),
        (Role.USER, {"type": "typing"}, Command(None, None, support_frames.TypingNow(True))),
        (
            Role.USER,
            {"type": "typing", "payload": {"typing": False}},
            Command(None, None, support_frames.TypingNow(False)),
        ),
        (Role.USER, {"type": "disconnect"}, Command(None, None, support_frames.Disconnect())),
        (
            Role.USER,
            {"type": "disconnect", "payload": {"uuid": "uuid-waiter"}},
            Command(None, None, support_frames.Disconnect()),
        ),
        (
            Role.USER,
            {"type": "disconnect", "payload": {"withdraw": True}},
            Command(None, None, support_frames.Disconnect(withdraw=True)),
        ),
        (
            Role.USER,
            {"type": "disconnect", "payload": {"withdraw": "yes"}},
            Command(None, None, support_frames.Disconnect()),
        ),
        (Role.USER, {"type": "disconnect", "payload": [1]}, Command(None, None, support_frames.Disconnect())),
        (
            Role.WAITER,
            {"type": "disconnect", "to": "u"},
            Command(None, "u", support_frames.DisconnectUser()),
        ),
        (
            Role.WAITER,
            {"type": "disconnect", "to": "u", "payload": {}},
            Command(None, "u", support_frames.DisconnectUser()),
        ),
        (
            Role.WAITER,
            {"type": "disconnect", "payload": {"uuid": "u"}},
            Command(None, None, support_frames.DisconnectUser("u")),
        ),
        (Role.USER, {"type": "rate", "payload": {"rate": 5}}, Command(None, None, support_frames.Rate(5))),
        (
            Role.WAITER,
            {"type": "transfer", "to": "u", "payload": {"waiter": 3}},
            Command(None, "u", support_frames.Transfer(3)),
        ),
    ],
)  # fmt: skip
def test_valid_frames_become_commands(role: Role, data: dict[str, Any], command: Command) -> None:
    assert parse_command(json.dumps(data), role) == command


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("", "not_json"),
        ("connect", "not_json"),
        (b'{"type": "\xff"}', "not_json"),
        ('{"type": "connect", "x": ' + "[" * 100_000, "not_json"),
        ("[]", "bad_shape"),
        ("{}", "bad_shape"),
        ('{"type": 1}', "bad_shape"),
        ('{"type": "connect", "id": 1}', "bad_shape"),
        ('{"type": "connect", "to": 1}', "bad_shape"),
        ('{"type": "nonsense"}', "unknown_type"),
        ('{"type": "ready"}', "unknown_type"),
        ('{"type": "transfer"}', "unknown_type"),
        ('{"type": "auth", "payload": {"token": 5}}', "bad_shape"),
        ('{"type": "message_text"}', "bad_shape"),
        ('{"type": "message_text", "payload": "hello"}', "bad_shape"),
        ('{"type": "message_text", "payload": {"message": " "}}', "empty_message"),
        ('{"type": "message_image", "payload": {"url": "javascript:alert(1)"}}', "bad_shape"),
        ('{"type": "rate", "payload": {"rate": 6}}', "bad_shape"),
        ('{"type": "get_history", "payload": {"limit": 101}}', "bad_shape"),
        ('{"type": "get_history", "payload": {"before": 9223372036854775808}}', "bad_shape"),
    ],
)
def test_invalid_frames_are_refused_with_their_error_code(data: str | bytes, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_command(data, Role.USER)
    assert caught.value.code == code


def test_half_a_character_is_refused_with_the_id_of_the_frame() -> None:
    half = r'{"type": "message_text", "id": "f1", "payload": {"message": "half \ud83d"}}'
    with pytest.raises(Malformed) as caught:
        parse_command(half, Role.USER)
    assert caught.value.code == "half_character"
    assert read(frames().error(caught.value, peek_id(half)))["reply_id"] == "f1"


@given(id=st.text(max_size=200), other=st.text(max_size=200))
def test_stored_ids_fit_the_column_and_stay_distinct(id: str, other: str) -> None:
    stored = [Command(i, None, support_frames.Connect()).client_id for i in (id, other)]
    assert all(s is not None and len(s) <= 64 for s in stored)
    assert (stored[0] == stored[1]) == (id == other)
    assert Command(None, None, support_frames.Connect()).client_id is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = sorted({name for types in support_frames.CLIENT_PAYLOADS.values() for name in types})
fields = sorted(
    {
        f
        for types in support_frames.CLIENT_PAYLOADS.values()
        for s in types.values()
        for f in s.__struct_fields__
    }
)
payloads = anything | st.fixed_dictionaries({}, optional=dict.fromkeys(fields, anything))
nearly = st.fixed_dictionaries(
    {"type": st.sampled_from(names) | anything},
    optional={"id": anything, "to": anything, "payload": payloads},
)
some_frames = st.text() | st.binary() | (nearly | anything).map(json.dumps)


@given(data=some_frames, role=st.sampled_from([Role.USER, Role.WAITER]))
def test_parsing_raises_only_chat_errors(data: str | bytes, role: Role) -> None:
    try:
        command = parse_command(data, role)
    except ChatError as error:
        answer = read(frames(role).error(error, peek_id(data)))
        assert answer["type"] == "error"
    else:
        assert type(command.payload) in support_frames.CLIENT_PAYLOADS[role].values()
        assert command.id == peek_id(data)


@given(text=st.text(min_size=1).filter(str.strip), escaped=st.booleans())
def test_every_text_arrives_unchanged(text: str, escaped: bool) -> None:
    sent = json.dumps({"type": "message_text", "payload": {"message": text}}, ensure_ascii=escaped)
    assert parse_command(sent, Role.USER).payload == support_frames.MessageText(text)
    assert read(frames().encode(said(text), False))["payload"] == {"message": text}


def test_a_receipt_of_the_other_side_is_shown_with_its_feature() -> None:
    event = ReceiptAdvanced(THREAD, WAITER, 17)
    assert read(frames(Role.USER, "receipt").encode(event, False)) == {
        "to": "uuid-me",
        "from": "uuid-peer",
        "type": "receipt",
        "payload": {"seq": 17, "conversation": 5},
    }
    assert frames(Role.WAITER, "receipt").encode(event, False) is None, "the own side's"
    assert frames(Role.USER, *(support.FEATURES - {"receipt"})).encode(event, False) is None
    supervisor = ReceiptAdvanced(THREAD, Person(Role.SUPERVISOR, "3"), 17)
    assert frames(Role.USER, "receipt").encode(supervisor, False) is None
    assert frames(Role.WAITER, "receipt").encode(supervisor, False) is None


def stay(person: Person, name: str | None, joined: int, left: int | None = None) -> Participant:
    return Participant(THREAD, person, Part.AGENT, name, joined, left)


EVE = Person(Role.WAITER, "8")
HANDOVERS = [
    Handover(stay(WAITER, "客服", TIME - 9, TIME), stay(EVE, None, TIME, TIME + 3)),
    Handover(stay(EVE, None, TIME, TIME + 3), stay(WAITER, "客服", TIME + 5)),
]


def test_a_hand_over_is_told_with_the_feature_sender() -> None:
    frame = read(frames(Role.USER, "sender").handed_over(HANDOVERS[0]))
    assert frame["payload"] == {
        "from": {"id": "2", "name": "客服"},
        "to": {"id": "8", "name": None},
        "time": TEXT,
    }
    assert frames(Role.USER, *(support.FEATURES - {"sender"})).handed_over(HANDOVERS[0]) is None


def test_a_history_page_names_people_and_hand_overs_since_its_first_message() -> None:
    encoder = frames(Role.USER, "sender")
    names = {WAITER: "客服"}
    page = [said("a", WAITER), said("b", EVE)]
    payload = read(encoder.history(CONVERSATION, page, False, None, names, HANDOVERS))["payload"]
    assert [item["sender"] for item in payload["items"]] == [
        {"role": "waiter", "id": "2", "name": "客服"},
        {"role": "waiter", "id": "8", "name": None},
    ]
    assert [(each["to"]["id"], each["lost"]) for each in payload["handovers"]] == [("8", False), ("2", True)]
    later = [msgspec.structs.replace(said(), time=TIME + 1)]
    payload = read(encoder.history(CONVERSATION, later, True, None, names, HANDOVERS))["payload"]
    assert [each["to"]["id"] for each in payload["handovers"]] == ["2"]
    assert read(encoder.history(CONVERSATION, [], False, None))["payload"]["handovers"] == []
