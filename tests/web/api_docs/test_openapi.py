"""``/api/v1/openapi.json`` describes all operations, and all answers match the description."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.routing import PathMatches
from tornado.web import Application, RequestHandler

from tests.conftest import Harness, changed, token
from tests.helpers.accounts import SESSION, TOKEN, Browser, cheap_passwords, make_account
from tests.web.api_docs.document_checks import problems
from tornado_chat import config
from tornado_chat.core.numbers import NUMBER_PATTERN
from tornado_chat.core.types import TOKEN_ROLES
from tornado_chat.server import builders
from tornado_chat.server.server import Server
from tornado_chat.storage import revocations
from tornado_chat.web.api.operations import VERBS

OF_ACCOUNTS = ("sign_in", "get_account", "sign_out", "make_own_token")
LIMITED = (
    *("open_session", "call_supervisor", "end_session", "rate_session", "read_notification"),
    *("get_session", "list_sessions", "list_session_messages", "export_session", "list_notifications"),
    *("get_supervision", "list_supervision_messages", "export_supervision"),
    *("list_conversations", "list_conversation_messages", "get_support_status", "list_groups"),
    *("list_left_messages", "mark_left_message_handled"),
    *("get_conversation", "export_conversation", "call_supervisor_to_conversation"),
    *("list_approvals", "approve_message", "refuse_message"),
    *("join_session", "leave_session", "take_over_session"),
    *("join_conversation", "leave_conversation", "take_over_conversation"),
    *("offer_session", "offer_conversation"),
    *(
        f"{verb}_{what}_offer"
        for verb in ("get", "accept", "decline", "withdraw")
        for what in ("session", "conversation")
    ),
)
HOST = token("service", "host")
VISITOR = token("user", 1, "Lin")
COUNSELLOR = token("consultant", 2, "Chen")
STRANGER = token("user", 9)
JSON, PROBLEM = "application/json", "application/problem+json"
RESPONSE = "#/components/responses/"
LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
OFFSET_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d")
TIME_KEYS = {
    *("time", "created", "started", "ended", "assigned", "read_at", "since", "until", "waiting_since"),
    *("last_commit", "opened_from", "opened_before", "accepted", "joined", "left"),
}


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "Passwords", cheap_passwords)


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return changed(changed(settings, "auth", guests=True), "limits", guests_per_minute=3)


async def described(harness: Harness) -> dict[str, Any]:
    return dict(json.loads((await harness.api("GET", "/api/v1/openapi.json")).body))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in document["paths"].items():
        for verb, about in verbs.items():
            yield verb.upper(), path, about


def responses(document: dict[str, Any], about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the responses of an operation by status, with the shared ones in the place of references."""
    shared = document["components"]["responses"]
    return {
        status: shared[answer["$ref"].removeprefix(RESPONSE)] if "$ref" in answer else answer
        for status, answer in about["responses"].items()
    }


def routes(application: Application) -> list[tuple[str, Any]]:
    """Return the patterns and handlers of all routes, including those of plugins and pages."""
    return [
        (rule.matcher.regex.pattern.rstrip("$"), rule.target)
        for rule in application.wildcard_router.rules
        if isinstance(rule.matcher, PathMatches)
    ]


def undocumented(routes: list[tuple[str, Any]]) -> Iterator[str]:
    """Yield the verbs of ``routes`` that have no @operation."""
    for pattern, handler in routes:
        for verb in VERBS:
            method = getattr(handler, verb)
            if method is not getattr(RequestHandler, verb) and not hasattr(method, "operation"):
                yield f"{verb.upper()} {pattern}"


@pytest.mark.gen_test
async def test_the_document_is_valid(harness: Harness) -> None:
    document = await described(harness)
    assert document["openapi"].startswith("3.1")
    errors = [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()]
    assert errors == []


@pytest.mark.gen_test
async def test_the_document_has_exactly_the_routes(harness: Harness) -> None:
    document = await described(harness)
    application = harness.server.application
    served = [(path, handler) for path, handler in routes(application) if path.startswith("/api/v1/")]
    assert list(undocumented(served)) == [], "give these an @operation (web/described/operations.py)"
    addresses = {(verb, path) for verb, path, _ in operations(document)}
    for verb, path in addresses:
        found = [
            handler
            for pattern, handler in routes(application)
            if pattern.replace(NUMBER_PATTERN, "1").replace("\\", "") == _example_path(path)
        ]
        assert len(found) == 1, (verb, path)
        assert hasattr(getattr(found[0], verb.lower()), "operation")
    assert len(addresses) == sum(
        hasattr(getattr(handler, verb), "operation")
        for _, handler in routes(application)
        for verb in ("get", "post", "put", "patch", "delete")
        if hasattr(handler, verb)
    )
    ids = [about["operationId"] for _, _, about in operations(document)]
    assert len(ids) == len(set(ids))


@pytest.mark.gen_test
async def test_the_document_is_cached_and_readable_from_other_origins(harness: Harness) -> None:
    for path in ("/api/v1/openapi.json", "/asyncapi.json"):
        answer = await harness.api("GET", path, Origin="https://tools.example")
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        again = await harness.api("GET", path, **{"If-None-Match": answer.headers["Etag"]})
        assert (again.code, again.body) == (304, b"")


@pytest.mark.gen_test
async def test_the_document_describes_the_tokens_of_this_server(settings: config.Config) -> None:
    auth = {"role_claim": "role", "id_claim": "sub", "require_exp": False, "issuer": "https://host.example"}
    server = Server(changed(changed(settings, "auth", **auth), "web", pages=False))
    await server.start()
    document = await described(Harness(server, settings, []))
    text = document["components"]["securitySchemes"]["bearer"]["description"]
    for words in ("`sub`", "`role`", "optionally `exp`", "`iss` must be `https://host.example`", "HS256"):
        assert words in text
    await server.stop()


@pytest.mark.gen_test
async def test_examples_match_the_schemas(harness: Harness) -> None:
    document = await described(harness)
    checked = 0
    for verb, path, about in operations(document):
        contents = [answer["content"] for answer in responses(document, about).values()]
        contents += [about["requestBody"]["content"]] if "requestBody" in about else []
        for content in itertools.chain.from_iterable(each.values() for each in contents):
            examples = [each["value"] for each in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            for example in examples:
                assert problems(example, content["schema"], document) == [], (verb, path)
                checked += 1
    assert checked > 100


def times_without_offset(value: Any) -> list[str]:
    """Return the texts in an answer that are times without an offset."""
    if isinstance(value, dict):
        return [found for each in value.values() for found in times_without_offset(each)]
    if isinstance(value, list):
        return [found for each in value for found in times_without_offset(each)]
    is_time = isinstance(value, str) and LOCAL_TIME.match(value)
    return [value] if is_time and not OFFSET_TIME.fullmatch(value) else []


class Caller:
    """Calls operations by name, compares the answers with the document, and records them."""

    def __init__(self, harness: Harness, document: dict[str, Any]) -> None:
        self._harness = harness
        self._document = document
        self._operations = {
            about["operationId"]: (verb, path, about) for verb, path, about in operations(document)
        }
        self.seen: set[tuple[str, int, str]] = set()

    async def __call__(
        self, name: str, who: str | None, body: Any = None, query: str = "", **ids: int
    ) -> Any:
        verb, path, about = self._operations[name]
        path = path.format(**ids) + query
        headers = {"Authorization": f"Bearer {who}"} if who else {}
        data = body if isinstance(body, bytes) else json.dumps(body) if verb == "POST" else None
        answer = await AsyncHTTPClient().fetch(
            self._harness.http + path, method=verb, headers=headers, body=data, raise_error=False
        )
        return self._check(name, about, answer)

    def check(self, name: str, answer: HTTPResponse) -> Any:
        """Compare an answer of a call that was made in another way."""
        return self._check(name, self._operations[name][2], answer)

    def _check(self, name: str, about: dict[str, Any], answer: HTTPResponse) -> Any:
        assert str(answer.code) in about["responses"], (name, answer.code, answer.body)
        content = about["responses"][str(answer.code)].get("content")
        if not content:
            assert answer.body == b"", name
            self.seen.add((name, answer.code, ""))
            return None
        media = answer.headers["Content-Type"].partition(";")[0]
        assert media in content, (name, answer.code)
        value = json.loads(answer.body) if media in (JSON, PROBLEM) else answer.body
        if media in (JSON, PROBLEM) and content[media]["schema"] != {"type": "object"}:
            found = problems(value, content[media]["schema"], self._document)
            assert found == [], (name, value)
        code = ""
        if media == PROBLEM:
            code = value["code"]
            assert code in content[PROBLEM]["examples"], (name, answer.code, code)
        self.seen.add((name, answer.code, code))
        if media in (JSON, PROBLEM) and name not in ("get_openapi", "get_asyncapi"):
            assert times_without_offset(value) == [], name
        return value

    def expected(self) -> set[tuple[str, int, str]]:
        """Return all described answers, except those that require a broken server or a plugin."""
        every = set()
        for name, (_, _, about) in self._operations.items():
            for status, answer in about["responses"].items():
                if status == "default":  # see test_every_address_answers_other_methods_as_documented
                    continue
                codes = answer.get("content", {}).get(PROBLEM, {}).get("examples", {""})
                every |= {(name, int(status), code) for code in codes}
        return {each for each in every if each[1] not in (422, 503)}


@pytest.mark.gen_test
async def test_every_operation_answers_as_documented(harness: Harness) -> None:
    """Each operation is called until each of its answers and errors was received."""
    document = await described(harness)
    call = Caller(harness, document)
    opening = {"user_id": 1, "consultant_id": 2, "user_name": "Lin", "session_id": 7, "appointment_id": 3}

    session = await call("open_session", HOST, opening)
    ids = {"session_id": session["session_id"]}
    await call("open_session", HOST, opening)
    await call("open_session", HOST, {**opening, "user_id": 5})
    await call("open_session", STRANGER, opening)
    await call("open_session", token("waiter", 1), opening)
    await call("open_session", HOST, {**opening, "session_id": 8, "group": "nowhere"})
    await call("open_session", VISITOR, opening)

    assert len((await call("list_sessions", COUNSELLOR))["items"]) == 1
    await call("list_sessions", COUNSELLOR, query="?consultant_id=99")
    await call("list_sessions", token("waiter", 1))

    record = await call("call_supervisor", HOST, {"supervisor_id": "s-3", "record_id": 2}, **ids)
    await call("call_supervisor", HOST, {"supervisor_id": "s-3", "record_id": 2}, **ids)
    await call("call_supervisor", HOST, {"supervisor_id": 4, "record_id": 2}, **ids)
    await call("call_supervisor", COUNSELLOR, {"supervisor_id": 4, "record_id": 2}, **ids)
    await call("call_supervisor", VISITOR, {"supervisor_id": 4}, **ids)
    await call("call_supervisor", HOST, {"supervisor_id": 4}, session_id=99)

    visitor, counsellor = await harness.chat(VISITOR, 7), await harness.chat(COUNSELLOR, 7)
    await visitor.send_json({"msg": "hello"})
    while (await counsellor.recv_json())["msg"] != "hello":
        pass
    records = {"record_id": record["record_id"]}
    for name, mine, other in (
        ("get_session", ids, {"session_id": 99}),
        ("list_session_messages", ids, {"session_id": 99}),
        ("list_supervision_messages", records, {"record_id": 99}),
        ("get_supervision", records, {"record_id": 99}),
        ("export_supervision", records, {"record_id": 99}),
        ("export_session", ids, {"session_id": 99}),
    ):
        await call(name, COUNSELLOR, **mine)
        await call(name, STRANGER, **mine)
        await call(name, HOST, **other)
    for format in ("txt", "html"):
        await call("export_session", VISITOR, query=f"?format={format}", **ids)
    transcript = await call("export_session", VISITOR, query="?format=json", **ids)
    assert transcript["messages"][0]["msg"] == "hello"

    trainee = await harness.chat(token("consultant", 2, trainee=True), 7, features="approval")
    for text in ("one", "two", "three"):
        await trainee.send_json({"msg": text})
        while (await trainee.recv_json()).get("approval", {}).get("text") != text:
            pass
    supervisor, other = token("supervisor", "s-3"), token("supervisor", 99)
    assert len((await call("list_approvals", supervisor, query="?state=held"))["items"]) == 3
    await call("approve_message", supervisor, {}, held_id=2)  # an earlier message is held
    await call("approve_message", supervisor, {"text": " "}, held_id=1)
    await call("approve_message", supervisor, {"text": "1"}, held_id=1)
    await call("refuse_message", supervisor, {"note": "no"}, held_id=3)
    for name in ("approve_message", "refuse_message"):
        await call(name, token("admin", 1), {}, held_id=1)  # decided
        await call(name, other, {}, held_id=2)
        await call(name, other, {}, held_id=99)
        await call(name, supervisor, {"text" if name == "approve_message" else "note": 5}, held_id=2)
    admin, taken = token("admin", 9), {"former": "leave"}
    for name in ("join_session", "leave_session"):
        await call(name, admin, **ids)
        await call(name, admin, session_id=99)
    await call("join_session", STRANGER, **ids)
    await call("take_over_session", admin, taken, session_id=99)
    await call("take_over_session", STRANGER, taken, **ids)
    await call("take_over_session", admin, {"former": 1}, **ids)

    to_next = {"to": [{"role": "consultant", "id": 5}]}
    for name, body, everyone in (
        ("offer_session", {"to": []}, HOST),
        ("offer_session", {"to": 5}, HOST),
        ("get_session_offer", None, HOST),
        ("accept_session_offer", None, HOST),
        ("decline_session_offer", None, HOST),
        ("withdraw_session_offer", None, HOST),
        ("offer_session", to_next, STRANGER),
        ("offer_session", to_next, COUNSELLOR),
        ("offer_session", to_next, HOST),
        ("get_session_offer", None, STRANGER),
        ("get_session_offer", None, COUNSELLOR),
        ("withdraw_session_offer", None, STRANGER),
        ("accept_session_offer", None, STRANGER),
        ("decline_session_offer", None, token("consultant", 5)),
        ("decline_session_offer", None, token("consultant", 5)),
        ("offer_session", to_next, COUNSELLOR),
        ("withdraw_session_offer", None, COUNSELLOR),
        ("withdraw_session_offer", None, COUNSELLOR),
        ("offer_session", to_next, COUNSELLOR),
        ("accept_session_offer", None, token("consultant", 5)),
    ):
        await call(name, everyone, body, **ids)
    await call("offer_session", HOST, to_next, session_id=99)
    next_counsellor = token("consultant", 5)
    await call("rate_session", VISITOR, {"rate": 5, "feedback": "It helped."}, **ids)
    await call("rate_session", COUNSELLOR, {"rate": 5}, **ids)
    await call("rate_session", VISITOR, {"rate": 5}, session_id=99)
    await call("end_session", STRANGER, **ids)
    await call("end_session", HOST, session_id=99)
    assert (await call("end_session", next_counsellor, **ids))["state"] == "completed"
    await call("offer_session", HOST, to_next, **ids)

    for type, data in ((0, None), (1, {"apointmentId": 3}), (2, {"sessionId": 7, "more": True})):
        made = await call("notify", HOST, {"role": "user", "id": 1, "type": type, "msg": "m", "data": data})
    assert len((await call("list_notifications", VISITOR))["items"]) == 3
    await call("read_notification", VISITOR, **made)
    await call("read_notification", STRANGER, **made)

    ada = await harness.user(1, name="Ada")
    await ada.get("connect_queue")
    await harness.waiter(8, ready=False)
    assert (await call("get_support_status", HOST))["queue"]["length"] == 1
    await call("get_support_status", COUNSELLOR)  # serves no group
    gone = await harness.user(2, features=["early", "ack", "seq"])
    await gone.until("connect_queue")
    await gone.send_frame("message_text", {"message": "hello"})
    left = {"conversation_id": (await gone.until("message_text_success"))["payload"]["id"][1:].split("-")[0]}
    await gone.send_frame("disconnect")
    await gone.until("disconnected")
    assert len((await call("list_left_messages", HOST))["items"]) == 1
    await call("list_left_messages", COUNSELLOR)
    await call("list_left_messages", COUNSELLOR, query="?group=default")
    await call("list_left_messages", HOST, query="?group=nowhere")
    await call("mark_left_message_handled", COUNSELLOR, **left)
    await call("mark_left_message_handled", HOST, conversation_id=99)
    assert (await call("mark_left_message_handled", token("waiter", 8), **left))["handled"]["id"] == "8"
    assert len((await call("list_groups", HOST))["items"]) == 1
    assert len((await call("list_groups", VISITOR))["items"]) == 1
    await call("list_conversations", HOST, query="?user=1")
    await call("list_conversations", token("waiter", 8), query="?user=1")
    scored = await call("prioritise_conversation", HOST, {"score": 50, "reason": "form"}, conversation_id=1)
    assert (scored["state"], scored["score"], scored["reason"]) == ("waiting", 50, "form")
    await call("prioritise_conversation", HOST, {"score": 50}, conversation_id=99)
    await call("prioritise_conversation", STRANGER, {"score": 50}, conversation_id=1)
    await call("call_supervisor_to_conversation", HOST, {"supervisor_id": 4}, conversation_id=1)
    await call("offer_conversation", HOST, {"to": [{"role": "waiter", "id": 9}]}, conversation_id=1)
    waiter = await harness.waiter(7, features=["approval"], trainee=True)
    await waiter.until("new_connection")
    await ada.until("connect_success")
    await waiter.send_frame("message_image", {"url": "https://example.org/map.png"}, to=ada.uuid)
    image = (await waiter.until("approval"))["payload"]["held"]
    await call("approve_message", token("admin", 1), {"text": "a map"}, held_id=image)
    for name in ("approve_message", "refuse_message"):
        await call(name, other, {}, held_id=image)
    for format in ("txt", "html"):
        await call("export_conversation", HOST, query=f"?format={format}", conversation_id=1)
    await call("export_conversation", HOST, query="?format=json", conversation_id=1)
    for name in ("list_conversation_messages", "get_conversation", "export_conversation"):
        await call(name, HOST, conversation_id=1)
        await call(name, token("waiter", 8), conversation_id=1)
        await call(name, HOST, conversation_id=99)
    name, one = "call_supervisor_to_conversation", {"conversation_id": 1}
    record = {"supervisor_id": "s-3", "record_id": 5}
    await call(name, HOST, record, **one)
    await call(name, HOST, record, **one)
    await call(name, HOST, {**record, "supervisor_id": 4}, **one)
    await call(name, token("waiter", 7), record, **one)
    await call(name, token("waiter", 8), {"supervisor_id": 4}, **one)
    await call(name, HOST, {"supervisor_id": 4}, conversation_id=99)
    await call("list_conversations", token("waiter", 8), query="?state=open&user=1")
    await call("list_conversations", VISITOR, query="?state=open")
    to_next = {"to": [{"role": "waiter", "id": 9}]}
    waiter, other = token("waiter", 7), token("waiter", 9)
    for name, who, body in (
        ("offer_conversation", HOST, {"to": []}),
        ("offer_conversation", HOST, {"to": 5}),
        ("offer_conversation", HOST, {"group": "nowhere"}),
        ("get_conversation_offer", HOST, None),
        ("accept_conversation_offer", HOST, None),
        ("decline_conversation_offer", HOST, None),
        ("withdraw_conversation_offer", HOST, None),
        ("offer_conversation", STRANGER, to_next),
        ("offer_conversation", waiter, to_next),
        ("offer_conversation", waiter, to_next),
        ("get_conversation_offer", STRANGER, None),
        ("get_conversation_offer", waiter, None),
        ("withdraw_conversation_offer", STRANGER, None),
        ("accept_conversation_offer", other, None),
        ("decline_conversation_offer", other, None),
        ("decline_conversation_offer", other, None),
        ("accept_conversation_offer", other, None),
        ("offer_conversation", waiter, to_next),
        ("withdraw_conversation_offer", waiter, None),
        ("withdraw_conversation_offer", waiter, None),
        ("offer_conversation", waiter, to_next),
    ):
        await call(name, who, body, conversation_id=1)
    await call("offer_conversation", HOST, to_next, conversation_id=99)
    next_waiter = await harness.waiter(9, features=["ready"])
    await next_waiter.until("ready_success")
    await call("accept_conversation_offer", other, conversation_id=1)
    for name, body in (
        ("join_conversation", None),
        ("leave_conversation", None),
        ("take_over_conversation", taken),
    ):
        await call(name, admin, body, **one)
        await call(name, admin, body, conversation_id=99)
        if name != "leave_conversation":
            await call(name, STRANGER, body, **one)
    await call("join_conversation", admin, **one)
    await call("take_over_conversation", admin, {"former": 1}, **one)
    other_session = {
        "session_id": (await call("open_session", HOST, {"user_id": 1, "consultant_id": 2}))["session_id"]
    }
    await call("take_over_session", admin, taken, **other_session)
    await call("join_session", admin, **other_session)
    await ada.send_frame("disconnect")
    await ada.until("disconnected")
    for name, body in (("join_conversation", None), ("take_over_conversation", taken)):
        await call(name, admin, body, **one)
    for name, body in (("join_session", None), ("take_over_session", taken)):
        await call(name, admin, body, **ids)
    await call("prioritise_conversation", HOST, {"score": 50}, conversation_id=1)
    await call("offer_conversation", HOST, to_next, conversation_id=1)
    guest = await call("admit_guest", None)
    assert (await call("admit_guest", guest["token"]))["id"] == guest["id"]
    await call("admit_guest", HOST)
    await call("admit_guest", " ")
    for _ in range(3):
        await call("admit_guest", None)
    for name in ("get_health", "get_readiness", "get_metrics", "get_openapi", "get_asyncapi"):
        await call(name, None)
    await call("get_status", HOST)

    revoked = {"role": "user", "id": 99, "for": "1h"}
    await call("revoke", HOST, revoked)
    assert len((await call("list_revocations", HOST))["items"]) == 1
    with mock.patch.object(revocations, "MAX_REVOCATIONS", 0):
        await call("revoke", HOST, revoked)
    for _ in range(2):
        await call("undo_revocation", HOST, query="?role=user&id=99")

    await _try_common_errors(call, document)
    strangers = {(name, 403, "") for name in ("get_health", "get_readiness", "get_metrics")}
    off = {("admit_guest", 403, "guests_off")}
    missing = {each for each in call.expected() - call.seen if each[0] not in OF_ACCOUNTS}
    local = {("get_status", 401, "token_missing")}
    limits = {(name, 429, "too_fast") for name in LIMITED}
    # See the next tests, tests/web/test_client_limits.py and tests/web/test_unread_answers.py.
    unread = {each for each in missing if each[1:] == (429, "too_many_answers")}
    assert missing == strangers | off | local | limits | unread
    assert {name for name, _, _ in unread} >= {"export_session", "export_supervision"}


@pytest.mark.gen_test
async def test_account_operations_answer_as_documented(harness: Harness, expected_logs: list[str]) -> None:
    expected_logs.append("many attempts to sign in")
    call = Caller(harness, await described(harness))
    await make_account(harness, "chen")
    await make_account(harness, "gone", disabled=True)
    browser, stranger = Browser(harness), Browser(harness, Origin="https://elsewhere.example")
    stranger_headers = {"Sec-Fetch-Site": "cross-site"}
    for name, method, path in (
        ("sign_in", "POST", SESSION),
        ("get_account", "GET", SESSION),
        ("sign_out", "DELETE", SESSION),
        ("make_own_token", "POST", TOKEN),
    ):
        call.check(name, await stranger.ask(method, path, **stranger_headers))
    call.check("get_account", await browser.ask("GET", SESSION))
    call.check("make_own_token", await browser.ask("POST", TOKEN))
    call.check("make_own_token", await browser.ask("POST", TOKEN, **{"Content-Type": "text/plain"}))
    call.check("sign_in", await browser.sign_in("gone"))
    call.check("sign_in", await browser.sign_in("chen"))
    assert call.check("get_account", await browser.ask("GET", SESSION))["account"]["id"] == "staff-chen"
    call.check("make_own_token", await browser.ask("POST", TOKEN))
    call.check("sign_out", await browser.ask("DELETE", SESSION))
    for body in ({"name": 5}, {"nonsense": 1}, "{"):
        call.check("sign_in", await browser.ask("POST", SESSION, body))
    while (answer := await browser.sign_in("chen", "wrong")).code == 401:
        call.check("sign_in", answer)
    call.check("sign_in", answer)
    missing = {each for each in call.expected() - call.seen if each[0] in OF_ACCOUNTS}
    assert {code for _, _, code in missing} <= {"accounts_off", "not_json", "too_fast"}


async def _try_common_errors(call: Caller, document: dict[str, Any]) -> None:
    """Call each operation with wrong tokens, bodies and queries, as far as it has them."""
    ids = {"session_id": 7, "record_id": 2, "notification_id": 1, "conversation_id": 1, "held_id": 99}
    tokens = (None, token("service", 1, lifetime=-99), "junk")
    for _, _, about in operations(document):
        name = about["operationId"]
        for who in tokens if about["security"] else ():
            await call(name, who, {}, **ids)
        caller = HOST
        if "x-roles" in about:
            await call(name, token("supervisor", 9), {}, **ids)
            await call(name, STRANGER, {}, **ids)
            caller = HOST if "service" in about["x-roles"] else token("admin", 1)
        if "requestBody" in about:
            await call(name, caller, b"{", **ids)
            await call(name, caller, {}, **ids)
            await call(name, caller, {"nonsense": 1}, **ids)
        for parameter in about.get("parameters", ()):
            if parameter["in"] == "query":
                await call(name, caller, query=f"?{parameter['name']}=!", **ids)


class TestElsewhere:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(changed(settings, "auth", guests=False), "web", ops_networks=("192.0.2.0/24",))

    @pytest.mark.gen_test
    async def test_disabled_operations_and_other_networks(self, harness: Harness) -> None:
        call = Caller(harness, await described(harness))
        for name in ("get_health", "get_readiness", "get_metrics", "admit_guest"):
            await call(name, None)
        assert {code for _, code, _ in call.seen} == {403}
        await call("get_status", None)
        assert ("get_status", 401, "token_missing") in call.seen


@pytest.mark.gen_test
async def test_roles_with_access_are_those_of_the_document(harness: Harness) -> None:
    document = await described(harness)
    by_role = [each for each in operations(document) if "x-roles" in each[2]]
    assert {about["operationId"] for _, _, about in by_role} >= {"notify", "list_conversations"}
    for verb, path, about in by_role:
        for role in TOKEN_ROLES:
            answer = await harness.api(verb, _example_path(path), token(role.value, 1), {})
            refused = answer.code == 403 and json.loads(answer.body)["code"] == "role_not_allowed"
            assert refused != (role.value in about["x-roles"]), (path, role)


def _example_path(path: str) -> str:
    return "/".join("1" if part.startswith("{") else part for part in path.split("/"))


@pytest.mark.gen_test
async def test_every_address_answers_other_methods_as_documented(harness: Harness) -> None:
    document = await described(harness)
    problem = document["components"]["responses"]["OtherProblem"]["content"][PROBLEM]
    assert {each["value"]["status"] for each in problem["examples"].values()} == {404, 405, 500}
    tried = 0
    for path, verbs in document["paths"].items():
        if not path.startswith("/api/"):
            continue
        for verb in VERBS:
            if verb not in verbs:
                answer = await harness.api(verb.upper(), _example_path(path), HOST)
                value = json.loads(answer.body)
                assert (answer.code, value["code"]) == (405, "unknown_method"), (verb, path)
                assert value["detail"] == f"The resource does not support {verb.upper()}"
                assert problems(value, problem["schema"], document) == []
                assert set(answer.headers["Allow"].lower().split(", ")) >= set(verbs)
                tried += 1
        assert all("default" in about["responses"] for about in verbs.values())
    assert tried > 50
    answer = await harness.api("GET", "/api/v1/nothing")
    assert (answer.code, json.loads(answer.body)["code"]) == (404, "no_such_page")
    assert problems(json.loads(answer.body), problem["schema"], document) == []


@pytest.mark.gen_test
async def test_no_key_of_a_body_has_a_default(harness: Harness) -> None:
    """Generators make a key with a default a required one."""
    document = await described(harness)
    for name, schema in document["components"]["schemas"].items():
        for key, about in schema.get("properties", {}).items():
            assert "default" not in about, (name, key)
    for _, path, about in operations(document):
        for parameter in about.get("parameters", ()):
            assert parameter["schema"].get("default", 0) is not None, (path, parameter["name"])
    schemas = document["components"]["schemas"]
    assert schemas["SessionCreate"]["required"] == ["user_id", "consultant_id"]
    assert schemas["RevocationCreate"]["properties"]["for"]["description"].endswith("Default: `2592000`.")
    # What the server always writes is required in its answers.
    assert set(schemas["ServerStatus"]["properties"]) == set(schemas["ServerStatus"]["required"])
    assert set(schemas["Problem"]["properties"]) == set(schemas["Problem"]["required"])


@pytest.mark.gen_test
async def test_every_time_is_described_as_one_with_an_offset(harness: Harness) -> None:
    document = await described(harness)
    found = 0
    for name, schema in document["components"]["schemas"].items():
        for key, about in schema.get("properties", {}).items():
            if key in TIME_KEYS and about.get("type") != "array":
                text = about if "anyOf" not in about else about["anyOf"][0]
                assert (text["type"], text["format"]) == ("string", "date-time"), (name, key)
                found += 1
            elif about.get("format") == "date-time":
                raise AssertionError(f"{name}.{key} is a time: add it to TIME_KEYS")
    for _, path, about in operations(document):
        for parameter in about.get("parameters", ()):
            if parameter["name"] in TIME_KEYS:
                assert parameter["schema"]["format"] == "date-time", path
                found += 1
    assert found > 20
