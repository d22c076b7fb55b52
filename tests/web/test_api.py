"""The HTTP API: access, answers and errors of its operations."""

import asyncio
import json
import re
from typing import Any

import peewee as pw
import pytest

from tests.conftest import Harness, changed, on_both, token
from tornado_chat import config
from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.types import Kind, Thread
from tornado_chat.server.server import Server
from tornado_chat.storage import messages
from tornado_chat.storage.database import open_database

HOST = token("service", "host")
ADMIN = token("admin", 1)
VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")
SUPERVISOR = token("supervisor", 3, "S")
STRANGER = token("user", 9)
OPEN = {"user_id": 1, "consultant_id": 2}


async def call(
    harness: Harness, method: str, path: str, who: str | None, body: Any = None
) -> tuple[int, Any]:
    answer = await harness.api(method, f"/api/v1{path}", who, body)
    problem = answer.code >= 400
    expected = "application/problem+json" if problem else "application/json; charset=utf-8"
    assert answer.headers["Content-Type"] == expected
    value = json.loads(answer.body)
    if problem:
        assert value["status"] == answer.code
    return answer.code, value


async def talk(harness: Harness) -> int:
    """Make a session with a supervision record and five messages."""
    session = await harness.session(user_name="<b>Lin</b>", consultant_name="Chen")
    await harness.record(session)
    visitor = await harness.chat(VISITOR, session)
    counsellor = await harness.chat(COUNSELLOR, session)
    while (await counsellor.recv_json())["msg"] != "会话已开始":
        pass
    for n in range(5):
        await visitor.send_json({"msg": f"<i>{n}</i>"})
    while (await counsellor.recv_json())["msg"] != "<i>4</i>":
        pass
    return session


@pytest.mark.gen_test
async def test_opening_a_session(harness: Harness) -> None:
    more = {**OPEN, "session_id": 40, "appointment_id": 8, "user_name": "Lin"}
    code, session = await call(harness, "POST", "/sessions", HOST, more)
    assert code == 201
    assert {key: session[key] for key in more} == more
    assert (session["state"], session["started"], session["ended"]) == ("ready", None, None)
    assert await call(harness, "POST", "/sessions", HOST, more) == (200, session)
    code, problem = await call(harness, "POST", "/sessions", HOST, {**more, "user_id": 2})
    assert (code, problem["code"]) == (409, "session_exists")
    assert (await call(harness, "POST", "/sessions", VISITOR, OPEN))[1]["session_id"] == "1"
    assert (await call(harness, "POST", "/sessions", STRANGER, OPEN))[0] == 403
    assert (await call(harness, "POST", "/sessions", COUNSELLOR, OPEN))[0] == 403
    assert (await call(harness, "POST", "/sessions", ADMIN, {"user_id": "u-1", "consultant_id": "c"}))[1][
        "user_id"
    ] == "u-1"
    # Session 40 was requested several times; the consultant was notified of it once.
    inbox = (await call(harness, "GET", "/notifications", COUNSELLOR))[1]
    assert [item["data"]["sessionId"] for item in inbox["items"]] == ["40", "1"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "`user_id`"),
        ({"user_id": 1}, "`consultant_id`"),
        ({"user_id": 1.5, "consultant_id": 2}, "$.user_id"),
        ({"user_id": "", "consultant_id": 2}, "$.user_id"),
        ({**OPEN, "session_id": 0}, "$.session_id"),
        ([], "array"),
    ],
)
async def test_the_error_of_a_body_names_the_wrong_key(harness: Harness, body: Any, place: str) -> None:
    answer = await harness.api("POST", "/api/v1/sessions", HOST, body or {} if body != [] else [1])
    problem = json.loads(answer.body)
    assert (answer.code, problem["code"]) == (400, "bad_shape")
    assert place in problem["detail"]


@pytest.mark.gen_test
async def test_access_to_reading_ending_and_rating(harness: Harness) -> None:
    session = await talk(harness)
    for who in (VISITOR, COUNSELLOR, SUPERVISOR, ADMIN, HOST):
        assert (await call(harness, "GET", f"/sessions/{session}", who))[1]["state"] == "active"
    for who in (STRANGER, token("consultant", 5), token("supervisor", 5), token("waiter", 1)):
        assert (await call(harness, "GET", f"/sessions/{session}", who))[0] == 403
        assert (await call(harness, "GET", f"/sessions/{session}/messages", who))[0] == 403
        assert (await call(harness, "POST", f"/sessions/{session}/end", who))[0] == 403
    assert (await call(harness, "POST", f"/sessions/{session}/end", SUPERVISOR))[0] == 403
    assert (await call(harness, "POST", f"/sessions/{session}/rating", COUNSELLOR, {"rate": 5}))[0] == 403
    assert (await call(harness, "POST", f"/sessions/{session}/rating", VISITOR, {"rate": 6}))[0] == 400
    rating = {"rate": 4, "feedback": "kind"}
    assert (await call(harness, "POST", f"/sessions/{session}/rating", VISITOR, rating))[1]["rate"] == 4
    code, ended = await call(harness, "POST", f"/sessions/{session}/end", COUNSELLOR)
    assert (code, ended["state"]) == (200, "completed")
    assert await call(harness, "POST", f"/sessions/{session}/end", COUNSELLOR) == (200, ended)
    assert (await call(harness, "POST", f"/sessions/{session}/end", HOST))[1]["ended"] == ended["ended"]
    assert (await call(harness, "GET", "/sessions/99", HOST))[1]["detail"] == "There is no session 99"


@pytest.mark.gen_test
async def test_messages_come_in_pages(harness: Harness) -> None:
    session = await talk(harness)
    code, page = await call(harness, "GET", f"/sessions/{session}/messages?limit=3", SUPERVISOR)
    assert code == 200
    assert set(page["items"][0]) == {"seq", "msg", "senderType", "time", "sender"}
    assert ([item["seq"] for item in page["items"]], page["next"]) == ([1, 2, 3], 3)
    page = (await call(harness, "GET", f"/sessions/{session}/messages?after=3&limit=3", HOST))[1]
    assert ([item["seq"] for item in page["items"]], page["next"]) == ([4, 5], None)
    for query in ("after=-1", "after=x", "limit=0", "limit=9999"):
        problem = (await call(harness, "GET", f"/sessions/{session}/messages?{query}", HOST))[1]
        assert problem["code"] == "bad_parameter"
    assert (await call(harness, "GET", "/supervisions/1/messages", SUPERVISOR))[1]["items"] == []
    assert (await call(harness, "GET", "/supervisions/1/messages", VISITOR))[0] == 403


@pytest.mark.gen_test
@pytest.mark.parametrize("format", ["txt", "json", "html"])
async def test_a_transcript_is_a_download(harness: Harness, format: str) -> None:
    session = await talk(harness)
    answer = await harness.api("GET", f"/api/v1/sessions/{session}/export?format={format}", VISITOR)
    assert answer.code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="session-{session}.{format}"'
    text = answer.body.decode()
    if format == "html":
        assert "&lt;i&gt;3&lt;/i&gt;" in text
        assert "&lt;b&gt;Lin&lt;/b&gt;" in text
        assert "<i>" not in text
    elif format == "txt":
        assert "<b>Lin</b>: <i>3</i>" in text
    else:
        assert [line["seq"] for line in json.loads(text)["messages"]] == [1, 2, 3, 4, 5]
    assert (await call(harness, "GET", f"/sessions/{session}/export?format=doc", VISITOR))[0] == 400


@pytest.mark.gen_test
async def test_calling_a_supervisor(harness: Harness) -> None:
    session = await harness.session()
    body = {"supervisor_id": 3, "record_id": 12}
    code, record = await call(harness, "POST", f"/sessions/{session}/supervision", HOST, body)
    assert (code, record["record_id"], record["session_id"]) == (201, 12, session)
    assert (await call(harness, "POST", f"/sessions/{session}/supervision", HOST, body))[0] == 200
    del body["record_id"]
    assert (await call(harness, "POST", f"/sessions/{session}/supervision", VISITOR, body))[0] == 403
    assert (await call(harness, "POST", "/sessions/99/supervision", HOST, body))[0] == 404
    inbox = (await call(harness, "GET", "/notifications", SUPERVISOR))[1]["items"]
    assert [item["data"] for item in inbox] == [{"sessionId": "12", "observeSessionId": str(session)}]
    record = (await call(harness, "POST", f"/sessions/{session}/supervision", COUNSELLOR, body))[1]
    assert record["record_id"] == "1"


# --- numbers ---


@pytest.mark.gen_test
@pytest.mark.parametrize("number", [1, 1000, 2**62, MAX_NUMBER])
async def test_only_hosts_and_admins_choose_numbers(harness: Harness, number: int) -> None:
    for who in (VISITOR, token("user", "guest-1")):
        user_id = 1 if who is VISITOR else "guest-1"
        opening = {"user_id": user_id, "consultant_id": 2, "session_id": number}
        code, problem = await call(harness, "POST", "/sessions", who, opening)
        assert (code, problem["code"]) == (403, "number_by_host")
        assert "leave out session_id" in problem["detail"]
    for role in (HOST, ADMIN):
        assert (await call(harness, "POST", "/sessions", role, {**OPEN, "session_id": number}))[0] in (
            201,
            200,
        )
    path = f"/sessions/{number}/supervision"
    calling = {"supervisor_id": 3, "record_id": number}
    code, problem = await call(harness, "POST", path, COUNSELLOR, calling)
    assert (code, problem["code"]) == (403, "number_by_host")
    assert "leave out record_id" in problem["detail"]
    for role in (HOST, ADMIN):
        assert (await call(harness, "POST", path, role, calling))[0] in (201, 200)
    # The server's own numbers are small, whatever a host chose.
    assert await harness.session() == (2 if number == 1 else 1)
    assert await harness.record(number, 4) == (2 if number == 1 else 1)


@pytest.mark.gen_test
@pytest.mark.parametrize("number", [1, 10**18 - 1, 10**18, 2**62, MAX_NUMBER])
async def test_every_number_of_a_host_works_everywhere(harness: Harness, number: int) -> None:
    opening = {**OPEN, "session_id": number, "appointment_id": number}
    code, session = await call(harness, "POST", "/sessions", HOST, opening)
    assert (code, session["session_id"], session["appointment_id"]) == (201, number, number)
    calling = {"supervisor_id": 3, "record_id": number}
    assert (await call(harness, "POST", f"/sessions/{number}/supervision", HOST, calling))[0] == 201
    for path in ("", "/messages", "/export?format=json"):
        assert (await call(harness, "GET", f"/sessions/{number}{path}", VISITOR))[0] == 200
        assert (await call(harness, "GET", f"/supervisions/{number}{path}", SUPERVISOR))[0] == 200
    visitor = await harness.chat(VISITOR, number)
    counsellor = await harness.chat(COUNSELLOR, number)
    observer = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={number}")
    supervisor = await harness.chat(SUPERVISOR, number, type=1)
    await visitor.send_json({"msg": "hello"})
    for listener in (counsellor, observer):
        while (await listener.recv_json())["msg"] != "hello":
            pass
    assert "督导" in (await supervisor.recv_json())["msg"]
    notifier = await harness.connect(f"/notify?token={SUPERVISOR}")
    assert (await notifier.recv_json())["data"] == {"sessionId": number, "observeSessionId": number}
    sending = {"role": "user", "id": number, "type": 1, "msg": "m", "data": {"apointmentId": number}}
    assert (await call(harness, "POST", "/notifications", HOST, sending))[0] == 202
    assert (await call(harness, "POST", f"/sessions/{number}/rating", VISITOR, {"rate": 5}))[0] == 200
    assert (await call(harness, "POST", f"/sessions/{number}/end", HOST))[0] == 200


@pytest.mark.gen_test
@pytest.mark.parametrize("number", [0, MAX_NUMBER + 1, 2**64, 10**40])
async def test_a_number_out_of_range_is_refused_everywhere(harness: Harness, number: int) -> None:
    opening = {**OPEN, "session_id": number}
    assert (await call(harness, "POST", "/sessions", HOST, opening))[1]["code"] == "bad_shape"
    session = await harness.session()
    calling = {"supervisor_id": 3, "record_id": number}
    assert (await call(harness, "POST", f"/sessions/{session}/supervision", HOST, calling))[0] == 400
    sending = {"role": "supervisor", "id": 3, "type": 2, "msg": "m", "data": {"sessionId": number}}
    assert (await call(harness, "POST", "/notifications", HOST, sending))[0] == 400
    for path in (
        f"/sessions/{number}",
        f"/sessions/{number}/messages",
        f"/sessions/{number}/export",
        f"/supervisions/{number}",
        f"/supervisions/{number}/export",
        f"/support/conversations/{number}/messages",
    ):
        assert (await call(harness, "GET", path, HOST))[0] == 404
    for path in (f"/sessions/{number}/end", f"/notifications/{number}/read"):
        assert (await call(harness, "POST", path, HOST, {}))[0] == 404
    for query in (f"messages?after={-1 if number == 0 else number}", f"messages?limit={number}"):
        assert (await call(harness, "GET", f"/sessions/{session}/{query}", HOST))[0] == 400
    refused = await harness.connect(f"/chat?token={VISITOR}&sessionId={number}")
    assert (await refused.wait_closed()).code == 4400


@pytest.mark.gen_test
async def test_the_last_cursor_is_a_number_too(harness: Harness) -> None:
    session = await harness.session()
    for path in (f"/sessions/{session}/messages", "/notifications"):
        page = (await call(harness, "GET", f"{path}?after={MAX_NUMBER}", HOST))[1]
        assert page == {"items": [], "next": None}
    page = (await call(harness, "GET", f"/support/conversations?user=1&before={MAX_NUMBER}", HOST))[1]
    assert page == {"items": [], "next": None}
    visitor = await harness.chat(VISITOR, session, features="history,read")
    for key in ("history", "read"):
        await visitor.send_json({key: MAX_NUMBER})
        while key not in await visitor.recv_json():
            pass
        await visitor.send_json({key: MAX_NUMBER + 1})
        while "错误" not in (await visitor.recv_json()).get("msg", ""):
            pass
    user = await harness.user(1)
    await user.send_frame("get_history", {"before": MAX_NUMBER})
    await user.until("message_history")
    await user.send_frame("get_history", {"before": MAX_NUMBER + 1})
    assert (await user.until("error"))["payload"]["message"]


@pytest.mark.gen_test
async def test_ids_of_more_than_64_bits_stay_texts_in_answers(harness: Harness) -> None:
    opening = {"user_id": str(MAX_NUMBER + 1), "consultant_id": MAX_NUMBER}
    session = (await call(harness, "POST", "/sessions", HOST, opening))[1]
    assert (session["user_id"], session["consultant_id"]) == (str(MAX_NUMBER + 1), MAX_NUMBER)


class TestWithNumbersOfTheHost:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "counselling", first_number=10**12)

    @on_both
    @pytest.mark.gen_test
    async def test_the_servers_own_numbers_begin_behind_those_of_the_host(
        self, harness: Harness, settings: config.Config
    ) -> None:
        assert await harness.session(session_id=1) == 1
        assert (await call(harness, "POST", "/sessions", VISITOR, OPEN))[1]["session_id"] == str(10**12)
        assert await harness.record(1) == 10**12
        await harness.server.stop()
        harness.server = Server(settings)
        await harness.server.start()
        assert (await call(harness, "POST", "/sessions", VISITOR, OPEN))[1]["session_id"] == str(10**12 + 1)


# --- names and ids ---


@pytest.mark.gen_test
async def test_names_are_cleaned_like_those_in_tokens(harness: Harness) -> None:
    names = {"user_name": " \u202eLin\n\x1b[31m\u200b ", "consultant_name": "\x00\u2028"}
    session = (await call(harness, "POST", "/sessions", HOST, {**OPEN, **names}))[1]
    assert (session["user_name"], session["consultant_name"]) == ("Lin[31m", None)
    path = f"/sessions/{session['session_id']}/supervision"
    calling = {"supervisor_id": 3, "supervisor_name": "Wu\r\u2066"}
    record = (await call(harness, "POST", path, COUNSELLOR, calling))[1]["record_id"]
    assert (await call(harness, "GET", f"/supervisions/{record}", HOST))[1]["supervisor_name"] == "Wu"


@pytest.mark.gen_test
async def test_a_visitor_does_not_name_its_consultant(harness: Harness) -> None:
    names = {"user_name": "Lin", "consultant_name": "Dr Known"}
    session = (await call(harness, "POST", "/sessions", VISITOR, {**OPEN, **names}))[1]
    assert (session["user_name"], session["consultant_name"]) == ("Lin", None)
    session = (await call(harness, "POST", "/sessions", HOST, {**OPEN, **names}))[1]
    assert session["consultant_name"] == "Dr Known"


@pytest.mark.gen_test
@pytest.mark.parametrize("id", ["a\nb", " 2", "2 ", "\u202e2", "\x1b", "2\u200b", ""])
async def test_an_id_that_no_token_can_have_is_refused(harness: Harness, id: str) -> None:
    session = await harness.session()
    for path, body in (
        ("/sessions", {"user_id": 1, "consultant_id": id}),
        ("/sessions", {"user_id": id, "consultant_id": 2}),
        (f"/sessions/{session}/supervision", {"supervisor_id": id}),
        ("/notifications", {"role": "user", "id": id, "type": 0, "msg": "m"}),
    ):
        code, problem = await call(harness, "POST", path, HOST, body)
        assert (code, problem["code"]) == (400, "bad_shape")


@pytest.mark.gen_test
async def test_a_recipient_reads_only_its_own_notifications(harness: Harness) -> None:
    send = {"role": "user", "id": 1, "type": 0, "msg": "m"}
    code, made = await call(harness, "POST", "/notifications", HOST, send)
    assert (code, list(made)) == (202, ["notification_id"])
    assert (await call(harness, "POST", "/notifications", VISITOR, send))[0] == 403
    for change in (
        {"type": 3},
        {"role": "service"},
        {"type": 1},
        {"type": 2, "data": {}},
        {"data": {"a": 1}},
    ):
        assert (await call(harness, "POST", "/notifications", HOST, {**send, **change}))[0] == 400
    path = f"/notifications/{made['notification_id']}/read"
    assert (await call(harness, "POST", path, COUNSELLOR))[0] == 404
    assert (await call(harness, "POST", path, VISITOR))[1]["read"] is True
    await call(harness, "POST", "/notifications", HOST, send)
    page = (await call(harness, "GET", "/notifications?limit=1", VISITOR))[1]
    assert ([item["read"] for item in page["items"]], page["next"]) == ([True], 1)
    page = (await call(harness, "GET", "/notifications?after=1", VISITOR))[1]
    assert ([item["read"] for item in page["items"]], page["next"]) == ([False], None)


@pytest.mark.gen_test
async def test_the_newest_notifications_come_first_if_they_are_asked_for(harness: Harness) -> None:
    assert (await call(harness, "GET", "/notifications?order=newest", VISITOR))[1]["items"] == []
    for number in range(5):
        body = {"role": "user", "id": 1, "type": 0, "msg": f"note {number}"}
        await call(harness, "POST", "/notifications", HOST, body)
    pages, after = [], 0
    while after is not None:
        path = f"/notifications?order=newest&limit=2&after={after}"
        page = (await call(harness, "GET", path, VISITOR))[1]
        pages.append([item["msg"] for item in page["items"]])
        after = page["next"]
    assert pages == [["note 4", "note 3"], ["note 2", "note 1"], ["note 0"]]
    assert (await call(harness, "GET", "/notifications?order=random", VISITOR))[1]["code"] == "bad_parameter"


@pytest.mark.gen_test
async def test_support_status(harness: Harness) -> None:
    await (await harness.user(1)).get("connect_queue")
    waiter = await harness.waiter(7, name="Bob", ready=False)
    await waiter.send_frame("unready")
    await waiter.send_frame("nonsense")
    await waiter.get("error")  # so the frame before it was handled
    code, status = await call(harness, "GET", "/support/status", token("waiter", 8))
    assert code == 200
    assert status["waiters"] == [
        {
            "id": "7",
            "name": "Bob",
            "ready": False,
            "connected": True,
            "conversations": 0,
            "capacity": 5,
            "role": "waiter",
            "groups": ["default"],
        }
    ]
    assert status["queue"]["length"] == 1
    assert status["conversations"] == 0
    assert (await call(harness, "GET", "/support/status", VISITOR))[0] == 403


@pytest.mark.gen_test
async def test_problems(harness: Harness) -> None:
    answer = await harness.api("GET", "/api/v1/sessions/1")
    assert (answer.code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert json.loads(answer.body)["code"] == "token_missing"
    assert (await call(harness, "GET", "/sessions/1", "junk"))[1]["code"] == "token_invalid"
    assert (await call(harness, "GET", "/nothing", HOST))[1]["code"] == "no_such_page"
    assert (await call(harness, "DELETE", "/sessions", HOST))[0] == 405
    for path, verbs in (("/api/v1/notifications", "GET, POST, OPTIONS"), ("/healthz", "GET")):
        assert (await harness.api("PUT", path, HOST)).headers["Allow"] == verbs
    assert (await call(harness, "POST", "/guest", None))[1]["code"] == "guests_off"


class TestGuests:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(
            changed(changed(settings, "auth", guests=True), "limits", guests_per_minute=2),
            "web",
            origins=("https://shop.example",),
        )

    @pytest.mark.gen_test
    async def test_a_guest_can_chat_and_the_third_in_a_minute_is_refused(self, harness: Harness) -> None:
        answer = await harness.api("POST", "/api/v1/guest", Origin="https://shop.example")
        assert answer.code == 201
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        guest = json.loads(answer.body)
        client = await harness.connect("/v1/ws/user/connect")
        await client.recv_json()
        await client.send_json({"id": "1", "type": "auth", "payload": {"token": guest["token"]}})
        await client.send_json({"id": "2", "type": "connect"})
        assert (await client.recv_json())["type"] == "connect_queue"
        assert (await harness.api("POST", "/api/v1/guest")).code == 201
        assert (await call(harness, "POST", "/guest", None))[0] == 429

    @pytest.mark.gen_test
    async def test_a_guest_renews_its_token(self, harness: Harness) -> None:
        status, first = await call(harness, "POST", "/guest", None)
        assert status == 201
        for _ in range(3):  # renewing does not count as a new guest
            status, again = await call(harness, "POST", "/guest", first["token"])
            assert (status, again["id"]) == (200, first["id"])
        status, last = await call(harness, "POST", "/guest", again["token"])
        assert (status, last["id"]) == (200, first["id"])
        client = await harness.connect("/v1/ws/user/connect")
        await client.recv_json()
        payload = {"token": last["token"], "features": ["ack"]}
        await client.send_json({"id": "1", "type": "auth", "payload": payload})
        assert (await client.recv_json())["payload"]["id"] == first["id"]

    @pytest.mark.gen_test
    async def test_only_guests_of_this_server_renew_tokens(self, harness: Harness) -> None:
        for stranger in (VISITOR, HOST, token("user", "guest-7"), token("waiter", 7, guest=True)):
            assert (await call(harness, "POST", "/guest", stranger))[1]["code"] == "no_guest"
        expired = token("user", "guest-7", lifetime=-60, guest=True)
        assert (await call(harness, "POST", "/guest", expired))[1]["code"] == "token_expired"
        assert (await call(harness, "POST", "/guest", "junk"))[0] == 401

    @pytest.mark.gen_test
    async def test_cors_allows_only_configured_origins(self, harness: Harness) -> None:
        asked = await harness.api("OPTIONS", "/api/v1/sessions", Origin="https://shop.example")
        assert asked.code == 204
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
        asked = await harness.api("OPTIONS", "/api/v1/sessions", Origin="https://evil.example")
        assert "Access-Control-Allow-Origin" not in asked.headers


@on_both
@pytest.mark.gen_test
async def test_health_and_readiness(harness: Harness, expected_logs: list[str]) -> None:
    assert (await harness.api("GET", "/healthz")).code == 200
    ready = {"ok": True, "problems": {}, "degraded": []}
    assert json.loads((await harness.api("GET", "/readyz")).body) == ready
    database = open_database(harness.config.storage)
    database.execute_sql("ALTER TABLE receipt RENAME TO gone")
    expected_logs.append("the database refused a batch")
    answer = await harness.api("GET", "/readyz")
    assert answer.code == 503
    assert re.search("no such table|doesn't exist", json.loads(answer.body)["problems"]["database"])
    database.execute_sql("ALTER TABLE gone RENAME TO receipt")
    database.close()
    assert (await harness.api("GET", "/readyz")).code == 200  # the server recovers without a restart


class TestNetworks:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "web", ops_networks=("10.0.0.0/8",))

    @pytest.mark.gen_test
    async def test_health_requires_the_ops_networks(self, harness: Harness) -> None:
        assert (await harness.api("GET", "/healthz")).code == 403
        assert (await harness.api("GET", "/readyz")).code == 403
        answer = await harness.api("PUT", "/readyz")  # not supported for any client
        assert (answer.code, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.gen_test
async def test_access_to_a_supervision_record(harness: Harness) -> None:
    session = await harness.session(user_name="Lin", consultant_name="Chen")
    record = await harness.record(session)
    path = f"/supervisions/{record}"
    code, shown = await call(harness, "GET", path, SUPERVISOR)
    assert code == 200
    assert shown == {
        "record_id": str(record),
        "session_id": str(session),
        "conversation": None,
        "consultant_id": "2",
        "supervisor_id": "3",
        "consultant_name": "Chen",
        "supervisor_name": None,
        "state": "ready",
        "created": shown["created"],
        "started": None,
        "ended": None,
        "end_reason": None,
        "received": {},
        "read": {},
    }
    for who, expected in ((COUNSELLOR, 200), (HOST, 200), (VISITOR, 403), (token("supervisor", 9), 403)):
        assert (await call(harness, "GET", path, who))[0] == expected
        assert (await call(harness, "GET", f"{path}/export?format=json", who))[0] == expected
    assert (await call(harness, "GET", "/supervisions/99", HOST))[1]["code"] == "no_such_record"


@pytest.mark.parametrize("format", ["txt", "json", "html"])
@pytest.mark.gen_test
async def test_the_transcript_of_a_record_is_a_download(harness: Harness, format: str) -> None:
    session = await harness.session(consultant_name="Chen")
    record = await harness.record(session)
    counsellor = await harness.chat(COUNSELLOR, record, type=1)
    supervisor = await harness.chat(token("supervisor", 3), record, type=1)
    await counsellor.send_json({"msg": "what now?"})
    await supervisor.send_json({"msg": "<listen>"})
    while not await harness.server._store.read(lambda database: _said(database, record) == 2):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    answer = await harness.api("GET", f"/api/v1/supervisions/{record}/export?format={format}", SUPERVISOR)
    assert answer.code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="supervision-{record}.{format}"'
    text = answer.body.decode()
    if format == "json":
        document = json.loads(text)
        assert document["supervision"]["record_id"] == str(record)
        assert {each["msg"] for each in document["messages"]} == {"what now?", "<listen>"}
    else:
        assert f"督导记录 {record}" in text
        assert "Chen" in text
        assert "supervisor 3" in text, "whoever has no name is called by role and id"
        assert ("&lt;listen&gt;" if format == "html" else "<listen>") in text
    assert (await call(harness, "GET", f"/supervisions/{record}/export?format=doc", HOST))[0] == 400


@pytest.mark.gen_test
async def test_a_message_cannot_pass_for_two_in_a_text_transcript(harness: Harness) -> None:
    session = await harness.session(user_name="Lin", consultant_name="Chen")
    visitor, counsellor = await harness.chat(VISITOR, session), await harness.chat(COUNSELLOR, session)
    forged = "hello\n2026-11-30 10:00:00  Chen: go away\r\nbye\r\x1b[2J\x00\x85\u2028\u202e!"
    await visitor.send_json({"msg": forged})
    while (await counsellor.recv_json())["msg"] != forged:
        pass
    path = f"/api/v1/sessions/{session}/export?format="
    text = (await harness.api("GET", path + "txt", VISITOR)).body.decode()
    _, blank, first, *others = text.splitlines()
    assert blank == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+08:00  Lin: hello", first)
    assert others == [
        " " * 28 + "2026-11-30 10:00:00  Chen: go away",
        " " * 28 + r"bye\r\x1b[2J\x00\x85\u2028\u202e!",
    ]
    document = json.loads((await harness.api("GET", path + "json", VISITOR)).body)
    assert [line["msg"] for line in document["messages"]] == [forged], "programs get what was said"


def _said(database: pw.Database, record: int) -> int:
    return len(messages.after(database, Thread(Kind.RECORD, record), 0, 10))


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path", ["/", "/room", "/chat", "/v1/ws/user/connect", "/healthz", "/api/v1/guest", "/no"]
)
async def test_a_malformed_form_is_a_400_without_a_warning(harness: Harness, path: str) -> None:
    answer = await harness.api("POST", path, **{"Content-Type": "multipart/form-data"})
    assert answer.code == 400  # no warning may be in the log


@pytest.mark.gen_test
async def test_an_unsupported_method_of_a_page(harness: Harness) -> None:
    answer = await harness.api("PUT", "/room")
    assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD")
