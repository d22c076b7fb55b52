"""The routes of plugins have the limits of the server's own API."""

import json
from pathlib import Path

import pytest
from tornado.httpclient import HTTPResponse

from tests.conftest import Harness, changed, token
from tornado_chat import config
from tornado_chat.web.api.base import LARGE_ANSWER_BYTES

VISITOR, OTHER = token("user", 1), token("user", 2)
HOST = token("service", "host")

PLUGIN = """
import tornado.web, tornado.websocket
from tornado_chat.plugin_api import Plugin, hookimpl

class Page(tornado.web.RequestHandler):
    def initialize(self, context):
        self.context = context
    async def get(self, size):
        await self.context.verify(self.get_query_argument("token", None))
        self.write("x" * int(size))
    async def post(self, size):
        self.write({"size": len(self.request.body)})

class Parts(tornado.web.RequestHandler):
    async def get(self):
        for _ in range(100):
            self.write("x" * 1000)
            await self.flush()

class Broken(tornado.web.RequestHandler):
    def prepare(self):
        self.set_header("X-Own", "yes")
    def write_error(self, status_code, **kwargs):
        self.finish("own page")
    def get(self):
        raise tornado.web.HTTPError(418)

class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)

class Shop(Plugin):
    @hookimpl
    def register_handlers(self, context):
        return [
            (r"/shop/([0-9]+)", Page, {"context": context}),
            (r"/shop/parts", Parts),
            (r"/shop/broken", Broken),
            (r"/shop/echo", Echo),
        ]
"""


@pytest.fixture
def settings(settings: config.Config, tmp_path: Path) -> config.Config:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "shop.py").write_text(PLUGIN)
    settings = changed(settings, "limits", requests_per_minute=3, sockets_per_minute=2, network_factor=2)
    settings = changed(settings, "limits", answers_per_person=1)
    return changed(settings, "plugins", paths=(str(folder),))


def code(answer: HTTPResponse) -> str:
    return str(json.loads(answer.body)["code"])


@pytest.mark.gen_test
async def test_writing_requests_count_for_the_person_else_for_the_network(harness: Harness) -> None:
    answers = [await harness.api("POST", "/shop/1", VISITOR, {}) for _ in range(4)]
    assert [answer.code for answer in answers] == [200, 200, 200, 429]
    assert (code(answers[3]), int(answers[3].headers["Retry-After"])) == ("too_fast", 20)
    assert (await harness.api("POST", "/shop/1", OTHER, {})).code == 200
    codes = [(await harness.api("POST", "/shop/1", None, {})).code for _ in range(7)]
    assert codes == [200] * 6 + [429]
    codes = [(await harness.api("POST", "/shop/1", HOST, {})).code for _ in range(7)]
    assert codes == [200] * 7


@pytest.mark.gen_test
async def test_an_error_of_the_context_is_answered_as_in_the_api(harness: Harness) -> None:
    answer = await harness.api("GET", "/shop/1")
    assert (answer.code, code(answer)) == (401, "token_missing")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    own = await harness.api("GET", "/shop/broken")
    assert (own.code, own.body, own.headers.get("X-Own")) == (418, b"own page", None)


@pytest.mark.gen_test
async def test_sockets_count(harness: Harness) -> None:
    for _ in range(4):
        echo = await harness.connect("/shop/echo")
        await echo.send_json({"a": 1})
        assert await echo.recv_json() == {"a": 1}
    answer = await harness.api(
        "GET",
        "/shop/echo",
        **{
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        },
    )
    assert answer.code == 429


@pytest.mark.gen_test
async def test_large_answers_under_way_are_counted_until_they_are_taken(harness: Harness) -> None:
    answers = harness.server._connection_limits.large_answers
    end = answers.begin("user:1", "")
    refused = await harness.api("GET", f"/shop/{LARGE_ANSWER_BYTES + 1}?token={VISITOR}", VISITOR)
    assert (refused.code, code(refused)) == (429, "too_many_answers")
    assert (await harness.api("GET", f"/shop/{LARGE_ANSWER_BYTES}?token={VISITOR}", VISITOR)).code == 200
    end()
    for _ in range(3):
        assert (
            await harness.api("GET", f"/shop/{LARGE_ANSWER_BYTES + 1}?token={VISITOR}", VISITOR)
        ).code == 200
        assert (await harness.api("GET", "/shop/parts", VISITOR)).code == 200
    assert len(answers) == 0
