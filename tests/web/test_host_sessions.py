"""A host's cookie session signs in without a token: the example of ``docs/plugins.md``, over real sockets."""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.conftest import Harness, Peer, changed, token
from tests.plugins.test_reference_doc import EXAMPLES
from tornado_chat import config
from tornado_chat.client import RawClient
from tornado_chat.config.loader import load
from tornado_chat.web.sockets import base

[EXAMPLE] = [code for code in EXAMPLES if "class ShopSession" in code]
SHOP = "https://shop.example"
EVIL = "https://evil.example"
JSON = {"Content-Type": "application/json"}


class Host:
    """The shop: its sessions by the value of the cookie, and how often each was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.sessions = {
            "lin-secret": {"role": "user", "id": 1, "name": "Lin"},
            "chen-secret": {"role": "consultant", "id": 2, "name": "Chen"},
            "wu-secret": {"role": "waiter", "id": 7, "name": "Wu"},
        }
        self.asked = asyncio.Queue[str]()


class Me(RequestHandler):
    def initialize(self, host: Host) -> None:
        self.host = host

    def get(self) -> None:
        cookie = self.get_cookie("shop_session") or ""
        self.host.asked.put_nowait(cookie)
        if cookie == "broken-secret":
            self.send_error(500)
        elif cookie not in self.host.sessions:
            self.send_error(401)
        else:
            self.write(self.host.sessions[cookie])


@pytest.fixture
def host(io_loop: IOLoop) -> Iterator[Host]:
    host = Host()
    [listening] = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([("/me", Me, {"host": host})], log_function=lambda handler: None))
    io_loop.run_sync(lambda: _add(server, listening))
    host.url = f"http://127.0.0.1:{listening.getsockname()[1]}/me"
    yield host
    server.stop()
    io_loop.run_sync(server.close_all_connections)


async def _add(server: HTTPServer, listening: Any) -> None:
    server.add_sockets([listening])


@pytest.fixture
def valid_seconds() -> float:
    return 60.0


@pytest.fixture
def settings(settings: config.Config, host: Host, tmp_path: Path, valid_seconds: float) -> config.Config:
    folder = tmp_path / "plugins.d"
    folder.mkdir()
    (folder / "shop_session.py").write_text(EXAMPLE)
    (folder / "page.py").write_text(PAGE)
    options = [
        f"plugins.paths={folder}",
        f"plugin:shop_session.url={host.url}",
        f"plugin:shop_session.valid={valid_seconds}",
    ]
    text = load(None, options, {"HOME": "/"})
    settings = replace(settings, plugins=text.plugins, plugin_entries=text.plugin_entries)
    settings = changed(settings, "auth", expiry_grace=0, leeway=0)
    return changed(settings, "web", origins=(SHOP, "*"))


PAGE = """
import tornado.web
from tornado_chat.plugin_api import Forbidden, Kind, Plugin, Thread, hookimpl

class Page(tornado.web.RequestHandler):
    def initialize(self, context):
        self.context = context
    async def get(self, session):
        caller = await self.context.verify(None, self.client_request)
        thread = Thread(Kind.SESSION, int(session))
        page = await self.context.messages(thread, reader=caller)
        self.write({"caller": caller.name, "texts": [each.text for each in page.items]})

class Lists(Page):
    async def get(self):
        caller = await self.context.verify(None, self.client_request)
        sessions, conversations = [], []
        try:
            page = await self.context.sessions(reader=caller, limit=1)
            while True:
                sessions += [each.thread.id for each in page.items]
                if page.next is None:
                    break
                page = await self.context.sessions(reader=caller, limit=1, after=page.next)
        except Forbidden as error:
            sessions = error.code
        try:
            page = await self.context.conversations(reader=caller)
            for each in page.items:
                said = await self.context.messages(each.thread, reader=caller)
                conversations.append([each.id, *[message.text for message in said.items]])
        except Forbidden as error:
            conversations = error.code
        self.write({"sessions": sessions, "conversations": conversations})

class Pages(Plugin):
    def __init__(self, settings):
        super().__init__(settings)
        self.read = []
    @hookimpl
    def transcript_read(self, thread, identity, how):
        self.read.append((identity.person.key, thread.id, how))
    @hookimpl
    def register_handlers(self, context):
        own = {"context": context}
        return [(r"/page/([0-9]+)", Page, own), (r"/lists", Lists, own)]
"""


def cookie(of: str) -> dict[str, str]:
    return {"Cookie": f"theme=dark; shop_session={of}"}


async def connect(harness: Harness, path: str, of: str, **headers: str) -> RawClient:
    return await harness.connect(path, headers={**cookie(of), **headers})


async def end(client: RawClient) -> tuple[int, str]:
    closed = await client.wait_closed()
    return closed.code, closed.reason


@pytest.mark.gen_test
async def test_counselling_needs_no_token(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    session = await harness.session()
    visitor = await connect(harness, f"/chat?sessionId={session}", "lin-secret", Origin=SHOP)
    consultant = await connect(harness, f"/chat?sessionId={session}", "chen-secret")
    for client in (visitor, consultant):
        while (await client.recv_json())["msg"] != "会话已开始":
            pass
    await visitor.send_json({"msg": "hello"})
    assert (await consultant.recv_json())["msg"] == "hello"
    stranger = await harness.connect(f"/chat?sessionId={session}")
    assert await end(stranger) == (4401, "No token was given")
    unknown = await connect(harness, f"/chat?sessionId={session}", "unknown-secret")
    assert await end(unknown) == (4401, "No token was given")
    notified = await connect(harness, "/notify?token=", "chen-secret")
    assert (await notified.recv_json())["data"] == {"sessionId": session}
    assert "secret" not in caplog.text.replace("secret_file", "")


@pytest.mark.gen_test
async def test_support_needs_an_auth_frame_without_a_token(harness: Harness) -> None:
    user = Peer(await connect(harness, "/v1/ws/user/connect", "lin-secret"))
    waiter = Peer(await connect(harness, "/v1/ws/waiter/connect", "wu-secret"))
    for peer in (user, waiter):
        await peer.get("initialize")
        await peer.send_frame("auth", {"features": ["ack"]})
        await peer.until("auth_success")
    await waiter.send_frame("ready")
    await user.send_frame("connect")
    await user.until("connect_success")
    found = await waiter.until("new_connection")
    assert found["payload"]["uuid"]
    # A user is no waiter, whatever signs in.
    wrong = Peer(await connect(harness, "/v1/ws/waiter/connect", "lin-secret"))
    await wrong.get("initialize")
    await wrong.send_frame("auth", {})
    await wrong.until("error")
    assert (await end(wrong.client))[0] == 4403
    # Tokens work as before, and nothing is not enough.
    other = await harness.user(5, features=["ack"])
    await other.until("auth_success")
    nothing = Peer(await harness.connect("/v1/ws/user/connect"))
    await nothing.get("initialize")
    await nothing.send_frame("auth", {})
    await nothing.until("error")
    assert (await end(nothing.client))[0] == 4401


@pytest.mark.gen_test
async def test_a_call_of_the_api_needs_no_token(harness: Harness) -> None:
    session = await harness.session()
    path = f"/api/v1/sessions/{session}"
    answer = await harness.api("GET", path, **cookie("lin-secret"))
    assert (answer.code, json.loads(answer.body)["state"]) == (200, "ready")
    assert (await harness.api("GET", path, **cookie("unknown-secret"))).code == 401
    assert (await harness.api("GET", path)).code == 401
    form = await harness.api("POST", f"{path}/end", **cookie("lin-secret"), **{"Content-Type": "text/plain"})
    assert (form.code, json.loads(form.body)["code"]) == (400, "bad_shape")
    answer = await harness.api("POST", f"{path}/end", **cookie("lin-secret"), **JSON, Origin=harness.http)
    assert (answer.code, json.loads(answer.body)["state"]) == (200, "completed")


@pytest.mark.gen_test
async def test_only_pages_of_named_origins_may_use_the_cookie(harness: Harness, host: Host) -> None:
    session = await harness.session()
    path = f"/api/v1/sessions/{session}"
    for foreign in ({"Origin": EVIL}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        for method in ("GET", "POST"):
            target = path if method == "GET" else f"{path}/end"
            answer = await harness.api(method, target, **cookie("lin-secret"), **JSON, **foreign)
            assert (answer.code, json.loads(answer.body)["code"]) == (403, "origin_not_listed")
            assert "Access-Control-Allow-Credentials" not in answer.headers
    answer = await harness.api("GET", path, **cookie("lin-secret"), Origin=SHOP)
    assert answer.code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    asked = host.asked.qsize()
    chat = await connect(harness, f"/chat?sessionId={session}", "lin-secret", Origin=EVIL)
    assert (await end(chat))[0] == 4403
    # Any token beside the cookie does not help a foreign page.
    chat = await connect(harness, f"/chat?sessionId={session}&token=any", "lin-secret", Origin=EVIL)
    assert (await end(chat))[0] == 4401
    user = Peer(await connect(harness, "/v1/ws/user/connect", "lin-secret", Origin=EVIL))
    await user.get("initialize")
    await user.send_frame("auth", {})
    await user.until("error")
    assert (await end(user.client))[0] == 4403
    assert host.asked.qsize() == asked
    # Its own token does, as before.
    own = await harness.api("GET", path, token("user", 1), **cookie("lin-secret"), Origin=EVIL)
    assert own.code == 200


@pytest.mark.gen_test
async def test_a_page_of_a_plugin_reads_with_the_rights_of_its_caller(harness: Harness) -> None:
    session = await harness.session()
    visitor = await connect(harness, f"/chat?sessionId={session}&features=ack", "lin-secret")
    await visitor.send_json({"msg": "hello", "id": "1"})
    while "ack" not in await visitor.recv_json():
        pass
    answer = await harness.api("GET", f"/page/{session}", **cookie("chen-secret"))
    assert json.loads(answer.body) == {"caller": "Chen", "texts": ["hello"]}
    other = await harness.session(11, 12)
    refused = await harness.api("GET", f"/page/{other}", **cookie("chen-secret"))
    assert (refused.code, json.loads(refused.body)["code"]) == (403, "not_your_session")
    assert (await harness.api("GET", "/page/99", **cookie("chen-secret"))).code == 404
    assert (await harness.api("GET", f"/page/{session}")).code == 401
    foreign = await harness.api("GET", f"/page/{session}", **cookie("chen-secret"), Origin=EVIL)
    assert foreign.code == 401
    [pages] = [each.plugin for each in harness.server._plugins.loaded if each.name == "page"]
    while not pages.read:  # type: ignore[attr-defined]  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    assert pages.read == [("consultant:2", session, "messages")]  # type: ignore[attr-defined]


@pytest.mark.gen_test
async def test_a_plugin_lists_what_its_caller_may_list(harness: Harness) -> None:
    one, two, _ = [await harness.session(*people) for people in ((1, 2), (1, 12), (11, 12))]
    waiter = await harness.waiter(7)
    user = await harness.user(1, features=["ack"])
    await user.until("connect_success")
    await user.send_frame("message_text", {"message": "hello"})
    await user.until("message_text_success")
    for number in (5, 6):
        await (await harness.user(number)).until("connect_success")

    async def lists(of: str) -> Any:
        return json.loads((await harness.api("GET", "/lists", **cookie(of))).body)

    assert await lists("lin-secret") == {"sessions": [two, one], "conversations": [[1, "hello"]]}
    assert await lists("chen-secret") == {"sessions": [one], "conversations": []}
    assert await lists("wu-secret") == {
        "sessions": "role_not_allowed",
        "conversations": [[3], [2], [1, "hello"]],
    }
    await waiter.close()


@pytest.mark.gen_test
async def test_a_host_that_fails_is_no_sign_out(
    harness: Harness, expected_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    expected_logs.append("shop_session")
    answer = await harness.api("GET", "/api/v1/notifications", **cookie("broken-secret"))
    assert (answer.code, json.loads(answer.body)["code"]) == (503, "not_checked")
    chat = await connect(harness, "/notify", "broken-secret")
    assert (await end(chat))[0] == 1013
    assert "broken-secret" not in caplog.text


@pytest.mark.gen_test
async def test_a_newer_token_or_the_cookie_again_renews_an_open_socket(
    harness: Harness, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "TOKEN_INTERVAL_SECONDS", 0.0)
    notified = await connect(harness, "/notify?features=token", "chen-secret")
    await notified.send_json({"token": token("consultant", 2)})
    assert await notified.recv_json() == {"token": True}
    user = Peer(await connect(harness, "/v1/ws/user/connect", "lin-secret"))
    await user.get("initialize")
    await user.send_frame("auth", {"features": ["ack"]})
    await user.until("auth_success")
    await user.send_frame("auth", {})  # the host is asked again
    await user.until("auth_success")
    host.sessions["lin-secret"] = {"role": "user", "id": 9, "name": "Other"}
    await user.send_frame("auth", {})
    assert "同一人" in (await user.until("error"))["payload"]["message"]
    await user.send_frame("connect")
    await user.until("connect_queue")


class TestSigningOut:
    @pytest.fixture
    def valid_seconds(self) -> float:
        return 0.2

    @pytest.mark.gen_test
    async def test_a_sign_out_at_the_host_ends_its_sockets(self, harness: Harness, host: Host) -> None:
        notified = await connect(harness, "/notify", "chen-secret")
        session = await harness.session()
        assert (await notified.recv_json())["data"] == {"sessionId": session}
        for _ in range(3):  # the socket stays, as the host still knows the session
            assert await host.asked.get() == "chen-secret"
        assert notified.close_code is None
        del host.sessions["chen-secret"]
        assert (await end(notified))[0] == 4401


class TestFloods:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", requests_per_minute=1, network_factor=1)

    @pytest.mark.gen_test
    async def test_cookies_that_no_plugin_knows_are_limited(self, harness: Harness, host: Host) -> None:
        codes = [
            (await harness.api("GET", "/api/v1/notifications", **cookie("unknown-secret"))).code
            for _ in range(8)
        ]
        assert codes == [401] * 5 + [429] * 3
        assert host.asked.qsize() == 5
        answer = await harness.api("GET", "/api/v1/notifications", token("user", 1))
        assert answer.code == 200
