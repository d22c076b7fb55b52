"""Ids as texts and times with an offset, for each kind of reader; and the forms that callers may send."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.conftest import Harness, Peer, token
from tests.web.test_api import call

NUMBER, NEIGHBOUR, MAX_NUMBER = 2**53 + 1, 2**53, 2**63 - 1
HOST, ADMIN = token("service", "host"), token("admin", NUMBER)
VISITOR, COUNSELLOR = token("user", NUMBER, "Lin"), token("consultant", NEIGHBOUR, "Chen")
SUPERVISOR = token("supervisor", MAX_NUMBER, "Wu")
ID_KEYS = re.compile(
    r"(session|record|user|consultant|supervisor|waiter|appointment|notification)_id|id|conversation"
    r"|(observeS|s)essionId|apointmentId|consultantId"
)
TIME_KEYS = {"time", "created", "started", "assigned", "ended", "read_at", "since", "waiting_since", "until"}


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a JSON document, also of nested objects, with their values."""
    if isinstance(value, list):
        for item in value:
            yield from members(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from members(inner)


def ids_of(answer: Any) -> dict[str, Any]:
    return {key: value for key, value in members(answer) if ID_KEYS.fullmatch(key) and value is not None}


def times_of(answer: Any) -> list[datetime]:
    return [
        datetime.fromisoformat(value)
        for key, value in members(answer)
        if key in TIME_KEYS and isinstance(value, str)
    ]


async def open_all(harness: Harness) -> None:
    """Open a session and a record with numbers above 2^53: the consultant and the supervisor are notified."""
    body = {"user_id": NUMBER, "consultant_id": NEIGHBOUR, "session_id": NUMBER, "appointment_id": MAX_NUMBER}
    assert (await call(harness, "POST", "/sessions", HOST, body))[0] == 201
    supervision = {"supervisor_id": MAX_NUMBER, "record_id": MAX_NUMBER}
    assert (await call(harness, "POST", f"/sessions/{NUMBER}/supervision", HOST, supervision))[0] == 201


async def serve_user(harness: Harness) -> tuple[Peer, dict[str, Any]]:
    """Let a waiter serve and lose a user; return another user's frame ``new_connection``."""
    waiter = await harness.waiter(NEIGHBOUR, name="Cy", features=["ack", "seq", "profile"])
    user = await harness.user(NUMBER, name="Lin", features=["ack", "seq"])
    await user.until("connect_success")
    await user.send_frame("message_text", {"message": "hello"})
    await user.until("message_text_success")
    await user.send_frame("disconnect")
    await user.until("disconnected")
    await user.send_frame("connect")
    await user.until("connect_success")
    await waiter.until("new_connection")
    return waiter, await waiter.until("new_connection")


READERS = [
    ("GET", f"/sessions/{NUMBER}", VISITOR),
    ("GET", f"/sessions/{NUMBER}", SUPERVISOR),
    ("GET", f"/supervisions/{MAX_NUMBER}", COUNSELLOR),
    ("POST", f"/sessions/{NUMBER}/rating", VISITOR),
    ("GET", "/notifications", COUNSELLOR),
    ("GET", "/notifications", SUPERVISOR),
    ("GET", "/support/status", token("waiter", NEIGHBOUR)),
    ("GET", f"/support/conversations?user={NUMBER}", token("waiter", NEIGHBOUR)),
    ("GET", "/support/status", ADMIN),
    ("GET", "/status", ADMIN),
]


@pytest.mark.gen_test
async def test_pages_read_ids_as_texts_and_times_with_an_offset(harness: Harness) -> None:
    await open_all(harness)
    await harness.chat(VISITOR, NUMBER)
    await serve_user(harness)
    for method, path, who in READERS:
        body = {"rate": 5} if method == "POST" else None
        code, answer = await call(harness, method, path, who, body)
        assert code == 200, (path, answer)
        ids = ids_of(answer)
        assert ids, path
        assert all(isinstance(id, str) for id in ids.values()), (path, ids)
        times = times_of(answer)
        assert times, path
        assert all(str(time.utcoffset()) == "8:00:00" for time in times), (path, answer)


@pytest.mark.gen_test
async def test_the_ids_in_answers_are_those_of_the_people(harness: Harness) -> None:
    await open_all(harness)
    session = (await call(harness, "GET", f"/sessions/{NUMBER}", VISITOR))[1]
    assert ids_of(session) == {
        "session_id": str(NUMBER),
        "user_id": str(NUMBER),
        "consultant_id": str(NEIGHBOUR),
        "appointment_id": str(MAX_NUMBER),
        "id": str(NEIGHBOUR),  # of the agent
    }
    record = (await call(harness, "GET", f"/supervisions/{MAX_NUMBER}", SUPERVISOR))[1]
    assert (record["record_id"], record["supervisor_id"]) == (str(MAX_NUMBER), str(MAX_NUMBER))
    notice = (await call(harness, "GET", "/notifications", SUPERVISOR))[1]["items"][0]
    assert notice["data"] == {"sessionId": str(MAX_NUMBER), "observeSessionId": str(NUMBER)}
    path = f"/notifications/{notice['notification_id']}/read"
    assert (await call(harness, "POST", path, SUPERVISOR))[1]["notification_id"] == notice["notification_id"]
    await harness.waiter(NEIGHBOUR, name="Cy")
    other = await harness.waiter(NUMBER, name="Dee", features=["ready"])
    await other.until("ready_success")
    status = (await call(harness, "GET", "/support/status", token("waiter", NUMBER)))[1]
    assert {each["name"]: each["id"] for each in status["waiters"]} == {
        "Cy": str(NEIGHBOUR),
        "Dee": str(NUMBER),
    }


@pytest.mark.gen_test
async def test_back_ends_read_numbers(harness: Harness) -> None:
    body = {"user_id": NUMBER, "consultant_id": "c-7", "session_id": 4001, "appointment_id": 8}
    opened = (await call(harness, "POST", "/sessions", HOST, body))[1]
    assert ids_of(opened) == {**body, "id": "c-7"}
    assert ids_of((await call(harness, "GET", "/sessions/4001", HOST))[1]) == {**body, "id": "c-7"}
    supervision = {"supervisor_id": 3, "record_id": 70}
    called = (await call(harness, "POST", "/sessions/4001/supervision", HOST, supervision))[1]
    assert ids_of(called) == {"record_id": 70, "session_id": 4001}
    note = {"role": "user", "id": 1, "type": 0, "msg": "hello"}
    assert isinstance((await call(harness, "POST", "/notifications", HOST, note))[1]["notification_id"], int)
    await harness.chat(token("user", NUMBER), 4001)
    rooms = (await call(harness, "GET", "/status", HOST))[1]["rooms"]["items"]
    assert (rooms[0]["id"], rooms[0]["people"][0]["id"]) == (4001, NUMBER)
    assert times_of(opened)[0].utcoffset() is not None


@pytest.mark.gen_test
async def test_numbers_may_be_sent_as_texts(harness: Harness) -> None:
    body = {
        "user_id": str(NUMBER),
        "consultant_id": 2,
        "session_id": str(NUMBER),
        "appointment_id": str(MAX_NUMBER),
    }
    opened = (await call(harness, "POST", "/sessions", HOST, body))[1]
    assert ids_of(opened) == {
        "session_id": NUMBER,
        "user_id": NUMBER,
        "consultant_id": 2,
        "appointment_id": MAX_NUMBER,
        "id": 2,
    }
    assert (await call(harness, "POST", "/sessions", HOST, body))[0] == 200
    call_body = {"supervisor_id": "3", "record_id": str(MAX_NUMBER)}
    called = (await call(harness, "POST", f"/sessions/{NUMBER}/supervision", HOST, call_body))[1]
    assert called["record_id"] == MAX_NUMBER
    for text in ("0", "-1", "1.5", "01", "1e3", "", "x", str(MAX_NUMBER + 1), "9" * 40):
        code, problem = await call(harness, "POST", "/sessions", HOST, {**body, "session_id": text})
        assert (code, problem["code"]) == (400, "bad_shape"), text


@pytest.mark.gen_test
async def test_notifications_have_numbers_for_plain_sockets_and_texts_for_others(harness: Harness) -> None:
    plain = await harness.connect(f"/notify?token={SUPERVISOR}")
    asking = await harness.connect(f"/notify?token={SUPERVISOR}&features=seq")
    for session in (NUMBER, str(NUMBER)):
        data = {"sessionId": session, "observeSessionId": NEIGHBOUR, "more": MAX_NUMBER}
        note = {"role": "supervisor", "id": MAX_NUMBER, "type": 2, "msg": "look", "data": data}
        assert (await call(harness, "POST", "/notifications", HOST, note))[0] == 202
        frame = await plain.recv_json()
        assert frame["data"] == {"sessionId": NUMBER, "observeSessionId": NEIGHBOUR, "more": MAX_NUMBER}
        assert datetime.fromisoformat(frame["time"]).utcoffset() is None
        frame = await asking.recv_json()
        expected = {"sessionId": str(NUMBER), "observeSessionId": str(NEIGHBOUR), "more": MAX_NUMBER}
        assert frame["data"] == expected
        assert isinstance(frame["id"], str)
        assert datetime.fromisoformat(frame["time"]).utcoffset() is not None
    note["data"] = {"sessionId": str(MAX_NUMBER + 1)}
    assert (await call(harness, "POST", "/notifications", HOST, note))[0] == 400


@pytest.mark.gen_test
async def test_sockets_with_a_feature_get_times_with_an_offset(harness: Harness) -> None:
    session = await harness.session(session_id=NUMBER, user=NUMBER, consultant=NEIGHBOUR)
    plain = await harness.chat(VISITOR, session)
    asking = await harness.chat(COUNSELLOR, session, features="ack,seq,history,unknown")
    unknown = await harness.chat(VISITOR, session, features="unknown")
    await asking.send_json({"msg": "hello", "id": "a1"})
    seen: dict[str, list[Any]] = {"plain": [], "asking": [], "unknown": []}
    for name, socket in (("plain", plain), ("unknown", unknown)):
        while not seen[name] or seen[name][-1]["msg"] != "hello":
            seen[name].append(await socket.recv_json())
    while not seen["asking"] or "ack" not in seen["asking"][-1]:
        seen["asking"].append(await asking.recv_json())
    await plain.send_json({"msg": "hi"})
    seen["asking"].append(await asking.recv_json())
    await asking.send_json({"history": None})
    seen["asking"].append(await asking.recv_json())
    for name, frames in seen.items():
        offsets = {str(time.utcoffset()) for time in times_of(frames)}
        assert offsets == {"8:00:00" if name == "asking" else "None"}, (name, frames)


@pytest.mark.gen_test
async def test_support_has_ids_as_texts_and_times_with_an_offset(harness: Harness) -> None:
    waiter, connection = await serve_user(harness)
    assert connection["payload"]["id"] == str(NUMBER)
    await waiter.send_frame("get_history", {}, to=connection["payload"]["uuid"])
    frames = [connection, await waiter.until("message_history")]
    other = await harness.waiter(NUMBER, name="Dee", features=["ack", "seq", "profile", "ready"])
    await other.until("ready_success")
    await waiter.send_frame("transfer", {"waiter": str(NUMBER)}, to=connection["payload"]["uuid"])
    frames.append(await other.until("new_connection"))
    assert times_of(frames)
    assert all(time.utcoffset() is not None for time in times_of(frames))


@pytest.mark.parametrize("format", ["txt", "html", "json"])
@pytest.mark.gen_test
async def test_transcripts_have_times_with_an_offset(harness: Harness, format: str) -> None:
    await open_all(harness)
    visitor = await harness.chat(VISITOR, NUMBER, features="ack")
    await visitor.send_json({"msg": "hello", "id": "a1"})
    while "ack" not in await visitor.recv_json():
        pass
    path = f"/api/v1/sessions/{NUMBER}/export?format={format}"
    body = (await harness.api("GET", path, VISITOR)).body.decode()
    assert str(NUMBER) in body
    if format == "json":
        document = json.loads(body)
        assert document["session"]["session_id"] == str(NUMBER)
        assert all(time.utcoffset() is not None for time in times_of(document))
    else:
        assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+08:00 .*Lin", body)
        assert re.search(rf"{NUMBER} 的记录, \d{{4}}-\d\d-\d\dT\d\d:\d\d \+08:00", body)


@pytest.mark.gen_test
async def test_half_a_character_is_refused_with_the_id_and_the_next_is_stored(harness: Harness) -> None:
    session = await harness.session(user=NUMBER)
    visitor = await harness.chat(VISITOR, session, features="ack")
    await visitor.send(r'{"msg": "half \ud83d", "id": "a1"}')
    while "错误" not in (frame := await visitor.recv_json()).get("msg", ""):
        pass
    assert frame["id"] == "a1"
    await visitor.send_json({"msg": "whole 😀", "id": "a2"})
    assert (await visitor.recv_json())["ack"] == "a2"

    waiter = await harness.waiter(5)
    user = await harness.user(NUMBER, features=["ack"])
    await user.until("connect_success")
    await user.client.send(r'{"type": "message_text", "id": "m1", "payload": {"message": "\ude00 half"}}')
    assert (await user.until("error"))["reply_id"] == "m1"
    await user.send_frame("message_text", {"message": "whole 😀"})
    await user.until("message_text_success")
    assert (await waiter.until("message_text"))["payload"]["message"] == "whole 😀"
