"""The base class of plugins' API calls, over real sockets: the example of the manual, and what it refuses."""

import json
import re
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.conftest import Harness, changed, token
from tests.helpers.accounts import SESSION, Browser, cheap_passwords, make_account
from tornado_chat import config
from tornado_chat.server import builders

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
[KIOSK] = re.findall(r"```python\n((?:(?!```).)+?class Kiosk.+?)```", PAGE.read_text(), re.DOTALL)
ORDERS = "/api/kiosk/orders"
LIN, CHEN = token("user", 1), token("consultant", 2)
TEA = {"item": "tea", "pieces": 1}
COFFEE = {"item": "coffee", "pieces": 2}

MORE = """
import tornado.web, tornado.websocket
from tornado_chat.plugin_api import *

class Query(msgspec.Struct):
    pieces: int = 1

class Edges(PluginHandler):
    max_body_bytes = 100
    async def get(self):
        await self.authenticate()
        if self.get_query_argument("how") == "own":
            raise Conflict("sold_out", reason="the tea is sold out")
        if self.get_query_argument("how") == "incomplete":
            raise Unauthenticated("token_invalid")
        if self.get_query_argument("how") == "query":
            self.respond(self.query(Query).pieces)
            return
        raise ValueError("a bug")
    async def put(self):
        self.respond(self.body(dict[str, int]))

class Plain(tornado.web.RequestHandler):
    def initialize(self, context):
        self.context = context
    async def get(self):
        self.write((await self.context.verify(self.get_query_argument("token"))).person.key)

class Socket(tornado.websocket.WebSocketHandler):
    def initialize(self, context):
        self.context = context
    async def open(self):
        await self.context.verify(self.get_query_argument("token", None))
        self.write_message('"welcome"')
    async def on_message(self, message):
        await self.context.verify(message)
        self.write_message('"verified"')

class Edge(Plugin):
    @hookimpl
    def register_handlers(self, context):
        arguments = {"context": context}
        return [("/edges", Edges, arguments), ("/plain", Plain, arguments), ("/socket", Socket, arguments)]
"""


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "Passwords", cheap_passwords)


@pytest.fixture
def settings(settings: config.Config, tmp_path: Path) -> config.Config:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "kiosk.py").write_text(KIOSK)
    (folder / "edges.py").write_text(f"import msgspec\n{MORE}")
    settings = changed(settings, "web", origins=("https://shop.example",))
    settings = changed(settings, "limits", requests_per_minute=5, network_factor=4)
    return changed(settings, "plugins", paths=(str(folder),))


def problem(answer: HTTPResponse) -> tuple[int, str, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = json.loads(answer.body)
    assert body["status"] == answer.code
    assert (body["type"], body["title"]) == ("about:blank", answer.reason)
    return answer.code, body.get("code", ""), body.get("detail", "")


@pytest.mark.gen_test
async def test_the_example_of_the_manual(harness: Harness) -> None:
    missing = await harness.api("GET", ORDERS, LIN)
    assert problem(missing) == (404, "no_order", "you have not ordered anything")
    made = await harness.api("POST", ORDERS, LIN, COFFEE)
    assert (made.code, json.loads(made.body)) == (201, COFFEE)
    assert made.headers["Content-Type"] == "application/json; charset=utf-8"
    assert made.headers["Cache-Control"] == "no-store"
    assert json.loads((await harness.api("GET", ORDERS, LIN)).body) == [COFFEE]
    english = await harness.api("POST", ORDERS, LIN, TEA, **{"Accept-Language": "en-GB, zh;q=0.5"})
    assert problem(english) == (409, "sold_out", "The tea is sold out.")
    chinese = await harness.api("POST", ORDERS, LIN, TEA, **{"Accept-Language": "de, zh-CN;q=0.5"})
    assert problem(chinese) == (409, "sold_out", "茶已售完。")
    default = await harness.api("POST", ORDERS, LIN, TEA)  # as the server's own API
    assert problem(default)[2] == "The tea is sold out."


@pytest.mark.gen_test
async def test_pages_of_allowed_origins_may_read_the_answers(
    harness: Harness, expected_logs: list[str]
) -> None:
    expected_logs += ["plugin edges failed in an HTTP handler: ValueError"]
    shop = {"Origin": "https://shop.example"}
    answers = [
        await harness.api("GET", ORDERS, LIN, **shop),
        await harness.api("GET", ORDERS, **shop),
        await harness.api("GET", "/edges?how=own", LIN, **shop),
        await harness.api("GET", "/edges?how=bug", LIN, **shop),
    ]
    assert [each.code for each in answers] == [404, 401, 409, 500]
    for each in answers:
        assert each.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert "Access-Control-Allow-Credentials" not in each.headers
    preflight = {**shop, "Access-Control-Request-Method": "POST"}
    allowed = [await harness.api("OPTIONS", ORDERS, **preflight) for _ in range(30)]
    answer = allowed[-1]  # preflight requests have no token, and are not limited
    assert (answer.code, answer.headers["Access-Control-Allow-Methods"]) == (204, "GET, POST")
    other = await harness.api("GET", ORDERS, LIN, Origin="https://other.example")
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.gen_test
async def test_callers_without_an_identity_or_the_role(harness: Harness) -> None:
    none = await harness.api("GET", ORDERS)
    assert problem(none) == (401, "token_missing", "No token was given")
    assert none.headers["WWW-Authenticate"] == "Bearer"
    bad = await harness.api("GET", ORDERS, "nonsense", **{"Accept-Language": "en"})
    assert problem(bad)[:2] == (401, "token_invalid")
    assert problem(bad)[2].startswith("The token is not valid")
    assert problem(await harness.api("GET", ORDERS, token("user", 1, lifetime=-60)))[:2] == (
        401,
        "token_expired",
    )
    assert problem(await harness.api("GET", ORDERS, CHEN))[:2] == (403, "role_not_allowed")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "not_json"),
        ('{"item": "\\ud83d"}', "half_character"),
        ('{"item": "tea"}', "bad_shape"),
        ('{"item": "tea", "pieces": 100}', "bad_shape"),
        ("[]", "bad_shape"),
    ],
)
async def test_bodies_that_do_not_match(harness: Harness, body: str, code: str) -> None:
    answer = await send(harness, "POST", ORDERS, body)
    assert problem(answer)[:2] == (400, code)


async def send(harness: Harness, method: str, path: str, body: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        harness.http + path,
        method=method,
        body=body,
        headers={"Authorization": f"Bearer {LIN}"},
        raise_error=False,
    )


@pytest.mark.gen_test
async def test_a_body_above_the_limit(harness: Harness) -> None:
    small = await harness.api("PUT", "/edges", LIN, {"a": 1})
    assert json.loads(small.body) == {"a": 1}
    large = await harness.api("PUT", "/edges", LIN, {"a" * 100: 1}, **{"Accept-Language": "en"})
    assert problem(large) == (413, "too_big", "Too big: at most 100 bytes")


@pytest.mark.gen_test
async def test_other_errors(harness: Harness, expected_logs: list[str]) -> None:
    expected_logs += ["plugin edges failed in an HTTP handler: ValueError"]
    own = await harness.api("GET", "/edges?how=own", LIN)
    assert problem(own) == (409, "sold_out", "the tea is sold out")
    incomplete = await harness.api("GET", "/edges?how=incomplete", LIN, **{"Accept-Language": "en"})
    assert problem(incomplete) == (401, "token_invalid", "")
    missing = await harness.api("GET", "/edges", LIN, **{"Accept-Language": "en"})
    assert problem(missing) == (400, "bad_parameter", "The parameter how is not valid: it is missing")
    assert json.loads((await harness.api("GET", "/edges?how=query&pieces=3", LIN)).body) == 3
    wrong = await harness.api("GET", "/edges?how=query&pieces=x", LIN)
    assert problem(wrong)[:2] == (400, "bad_parameter")
    bug = await harness.api("GET", "/edges?how=bug", LIN)
    assert problem(bug)[:2] == (500, "internal")
    assert b"a bug" not in bug.body
    unsupported = await harness.api("DELETE", "/edges", LIN)
    assert problem(unsupported)[0] == 405
    assert unsupported.headers["Allow"] == "GET, PUT"


async def signed_in(harness: Harness, role: str = "user") -> Browser:
    await make_account(harness, "lin", role)
    browser = Browser(harness)
    assert (await browser.sign_in("lin")).code == 204
    return browser


@pytest.mark.gen_test
async def test_a_page_is_identified_by_its_cookie(harness: Harness) -> None:
    browser = await signed_in(harness)
    assert (await browser.ask("POST", ORDERS, COFFEE)).code == 201
    assert json.loads((await browser.ask("GET", ORDERS)).body) == [COFFEE]
    other = await browser.ask("GET", ORDERS, Authorization=f"Bearer {CHEN}")
    assert problem(other)[:2] == (403, "role_not_allowed"), "a token counts before the cookie"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}, (403, "other_origin")),
        ({"Sec-Fetch-Site": "same-site"}, (403, "other_origin")),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": ""}, (403, "other_origin")),
        ({"Content-Type": "text/plain"}, (400, "bad_shape")),
    ],
)
async def test_another_site_cannot_use_the_cookie(
    harness: Harness, headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    browser = await signed_in(harness)
    assert problem(await browser.ask("POST", ORDERS, COFFEE, **headers))[:2] == refusal
    assert problem(await browser.ask("GET", ORDERS))[:2] == (404, "no_order")


@pytest.mark.gen_test
async def test_a_cookie_that_is_signed_out(harness: Harness) -> None:
    browser = await signed_in(harness)
    kept = dict(browser.cookies)
    assert (await browser.ask("DELETE", SESSION)).code == 204
    browser.cookies = kept
    assert problem(await browser.ask("GET", ORDERS))[:2] == (401, "signed_out")


@pytest.mark.gen_test
async def test_requests_with_the_cookie_count_for_the_person(harness: Harness) -> None:
    browser = await signed_in(harness)
    codes = [(await browser.ask("POST", ORDERS, COFFEE)).code for _ in range(6)]
    assert codes == [201] * 5 + [429]


@pytest.mark.gen_test
async def test_a_plain_handler_answers_401_for_a_bad_token(harness: Harness) -> None:
    assert (await harness.api("GET", f"/plain?token={LIN}")).body == b"user:1"
    for bad in ("nonsense", token("user", 1, lifetime=-60), "x" * 10_000):
        answer = await harness.api("GET", f"/plain?token={bad}")
        assert problem(answer)[0] == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.gen_test
async def test_a_websocket_is_closed_for_a_bad_token(harness: Harness) -> None:
    good = await harness.connect(f"/socket?token={LIN}")
    assert await good.recv_json() == "welcome"
    await good.send(LIN)
    assert await good.recv_json() == "verified"
    await good.send("nonsense")
    assert (await good.wait_closed()).code == 4401
    bad = await harness.connect("/socket?token=nonsense")
    closed = await bad.wait_closed()
    assert (closed.code, closed.reason.partition(":")[0]) == (4401, "令牌无效")
