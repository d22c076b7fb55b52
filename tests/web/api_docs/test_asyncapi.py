"""``/asyncapi.json`` describes all frames, and all frames match the description."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Harness, Peer, token
from tests.web.api_docs.document_checks import problems
from tornado_chat import config
from tornado_chat.client import RawClient
from tornado_chat.client.socket import ConnectionClosed
from tornado_chat.core import errors
from tornado_chat.core.types import Person, Role
from tornado_chat.wire import counselling, counselling_catalogue, support, support_catalogue
from tornado_chat.wire.kinds import CLOSE_CODES
from tornado_chat.wire.support_frames import CLIENT_PAYLOADS, SERVER_PAYLOADS

JS = Path(__file__).parents[2] / "js"

VISITOR = token("user", 1, "Lin")
COUNSELLOR = token("consultant", 2, "Chen")
SUPERVISOR = token("supervisor", 3, "Wu")
HOST = token("service", "host")


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return replace(settings, groups={"default": config.Group(tell_observing=True)})


async def described(harness: Harness) -> dict[str, Any]:
    return dict(json.loads((await harness.api("GET", "/asyncapi.json")).body))


def kinds(document: dict[str, Any], channel: str, way: str) -> dict[str, dict[str, Any]]:
    """Return the messages of a channel: ``in`` for those of clients, ``out`` for those of the server."""
    prefix = f"{channel}.{way}."
    messages = document["components"]["messages"]
    return {key.removeprefix(prefix): value for key, value in messages.items() if key.startswith(prefix)}


@pytest.mark.gen_test
async def test_the_official_parser_accepts_the_document(harness: Harness) -> None:
    node = shutil.which("node")
    assert node, "there is no node: scripts/test installs Debian's, or: apt-get install nodejs npm"
    assert (JS / "node_modules").exists(), "scripts/test installs it, or: npm ci --prefix tests/js"
    parser = await asyncio.create_subprocess_exec(
        node, JS / "asyncapi.js", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    found, _ = await parser.communicate((await harness.api("GET", "/asyncapi.json")).body)
    assert parser.returncode == 0
    assert json.loads(found) == []


@pytest.mark.gen_test
async def test_examples_match_the_schemas_and_are_parsed(harness: Harness) -> None:
    document = await described(harness)
    for name, message in document["components"]["messages"].items():
        for example in message["examples"]:
            assert problems(example["payload"], message["payload"], document) == [], name
    for endpoint in counselling_catalogue.ENDPOINTS:
        for kind in endpoint.from_client:
            for example in kind.examples:
                if endpoint is counselling_catalogue.CHAT:
                    counselling.parse_chat(json.dumps(example), counselling.CHAT_FEATURES)
                else:
                    counselling.parse_listener(json.dumps(example), frozenset(endpoint.features))
    for endpoint, role in ((support_catalogue.USER, Role.USER), (support_catalogue.WAITER, Role.WAITER)):
        for kind in endpoint.from_client:
            for example in kind.examples:
                support.parse_command(json.dumps(example), role)


@pytest.mark.gen_test
async def test_every_time_has_an_offset_but_those_of_the_published_frames(harness: Harness) -> None:
    schemas = (await described(harness))["components"]["schemas"]
    without_format = {
        name
        for name, schema in schemas.items()
        for key, about in schema["properties"].items()
        if key in ("time", "since") and about.get("format") != "date-time"
    }
    assert without_format == {
        "ObserveOutError",
        *("ChatOutMessage", "ChatOutSystem", "ChatOutEnd", "ChatOutWaitRefused", "ChatOutTokenRefused"),
        "ChatOutConsentRefused",
        "ChatOutOfferRefused",
        *("NotifyOutPlain", "NotifyOutAlert", "NotifyOutAppointment", "NotifyOutConversation"),
        *("NotifyOutTokenRefused", "ObserveOutMessage", "ObserveOutTokenRefused"),
    }
    for name in without_format:  # the description names the exception
        assert "Without an offset" in schemas[name]["properties"]["time"]["description"]
    until = schemas["ChatOutPresence"]["properties"]["until"]
    assert until["additionalProperties"]["format"] == "date-time"


def test_the_document_has_all_features_and_frames() -> None:
    for endpoint, role in ((support_catalogue.USER, Role.USER), (support_catalogue.WAITER, Role.WAITER)):
        assert {kind.name for kind in endpoint.from_client} == set(CLIENT_PAYLOADS[role])
    heard = [*support_catalogue.USER.to_client, *support_catalogue.WAITER.to_client]
    assert {kind.name for kind in heard} == set(SERVER_PAYLOADS)
    assert set(support_catalogue.WAITER.features) == support.FEATURES - {"consent", "eta"}
    agents_only = {"accept", "kickout", "ready", "offer", "approval"}
    assert set(support_catalogue.USER.features) == support.FEATURES - agents_only
    assert set(counselling_catalogue.CHAT.features) == counselling.CHAT_FEATURES
    assert set(counselling_catalogue.NOTIFY.features) == counselling.NOTIFY_FEATURES
    assert set(counselling_catalogue.OBSERVE.features) == counselling.OBSERVE_FEATURES
    raised = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.close_code for each in raised if issubclass(each, errors.ChatError)}
    assert codes <= set(CLOSE_CODES)


class Listener:
    """Reads frames of sockets and compares them with the document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self.seen: set[tuple[str, str]] = set()

    async def until(
        self, client: RawClient, channel: str, features: Iterable[str], name: str, **has: Any
    ) -> Any:
        """Return the next frame of the kind ``name``; the frames before are compared, too."""
        while True:
            frame = await client.recv_json()
            found = self.kind(frame, channel, features)
            if found == name and has.items() <= frame.items():
                return frame

    async def all_of(self, client: RawClient, channel: str, features: Iterable[str], names: set[str]) -> None:
        """Read until every kind of ``names`` was received, in any order."""
        missing = set(names)
        while missing:
            missing.discard(self.kind(await client.recv_json(), channel, features))

    async def rest(self, client: RawClient, channel: str, features: Iterable[str]) -> int:
        """Read all remaining frames; return the close code."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.kind(await client.recv_json(), channel, features)
        assert client.close_code is not None
        assert str(client.close_code) in self._document["channels"][channel]["x-close-codes"]
        return client.close_code

    def kind(self, frame: Any, channel: str, features: Iterable[str]) -> str:
        """Return the kind of ``frame``: exactly one of those that a client with these features can get."""
        every = kinds(self._document, channel, "out")
        wrong = {name: problems(frame, message["payload"], self._document) for name, message in every.items()}
        found = [name for name in every if not wrong[name]]
        assert len(found) == 1, (channel, frame, wrong)
        feature = every[found[0]].get("x-feature")
        assert feature is None or feature in features, (channel, frame)
        self.seen.add((channel, found[0]))
        return found[0]

    def unseen(self, *channels: str) -> set[tuple[str, str]]:
        every = {(channel, name) for channel in channels for name in kinds(self._document, channel, "out")}
        return every - self.seen


async def ask_for_consent(harness: Harness) -> None:
    """Let the default group ask its users for their consent."""
    own = config.Group(tell_observing=True, consent="Your words are stored.", consent_version="1")
    groups = {"default": own}
    await harness.server.reload(replace(harness.config, groups=groups))


@pytest.mark.gen_test
async def test_a_counselling_conversation(harness: Harness) -> None:
    """With all features and with none; at the end every kind of frame was received."""
    listen = Listener(await described(harness))
    plain: list[str] = []
    every = sorted(counselling.CHAT_FEATURES)
    watching = sorted(counselling.OBSERVE_FEATURES)
    at_work = await harness.connect(f"/notify?token={COUNSELLOR}")
    asked = await harness.connect(f"/notify?token={SUPERVISOR}&features=seq,alive,token")
    await ask_for_consent(harness)
    session = await harness.session(user_name="Lin", consultant_name="Chen")
    await listen.until(at_work, "notify", plain, "conversation")
    await harness.record(session)
    frame = await listen.until(asked, "notify", ["seq"], "conversation")
    assert {"id", "seq"} <= set(frame)

    visitor = await harness.chat(VISITOR, session)
    counsellor = await harness.chat(COUNSELLOR, session, features=",".join(every))
    observer = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}")
    counting = await harness.connect(
        f"/observe?token={SUPERVISOR}&sessionId={session}&features=seq,alive,presence,token,approve"
    )
    await listen.until(visitor, "chat", plain, "system", msg="会话已开始")
    await listen.until(counsellor, "chat", every, "system", msg="会话已开始")
    for _ in range(2):
        await listen.until(counsellor, "chat", every, "observing")
    await visitor.send_json({"msg": "hello"})
    await listen.until(counsellor, "chat", every, "message", msg="hello")
    await counsellor.send_json({"msg": " ", "id": "a2"})
    await listen.until(counsellor, "chat", every, "system", id="a2")
    await counsellor.send_json({"wait": 60})
    await listen.until(counsellor, "chat", every, "wait_refused")
    for frame in ({"msg": "hi", "id": "a1"}, {"typing": True}, {"read": 1}, {"history": None}):
        await counsellor.send_json(frame)
    await listen.all_of(counsellor, "chat", every, {"ack", "history", "message"})
    await listen.until(visitor, "chat", plain, "message", msg="hi")
    asking = await harness.chat(VISITOR, session, features="consent")
    await listen.until(asking, "chat", ["consent"], "consent")
    await asking.send_json({"consent": {"version": "2", "accept": True}})
    await listen.until(asking, "chat", ["consent"], "consent_refused")
    await asking.send_json({"consent": {"version": "1", "accept": True}})
    await listen.until(asking, "chat", ["consent"], "consented")
    typing = await harness.chat(VISITOR, session, features="typing,read,presence")
    await listen.until(typing, "chat", ["typing", "read", "presence"], "read")
    await counsellor.send_json({"typing": False})
    await listen.until(typing, "chat", ["typing", "read", "presence"], "typing")
    await listen.until(observer, "observe", plain, "message", msg="hi", senderType=True)
    await listen.until(counting, "observe", watching, "message", msg="hi", senderType=True)
    trainee = token("consultant", 2, trainee=True)
    held = await harness.chat(trainee, session, features="approval")
    await held.send_json({"msg": "may I?"})
    await listen.until(held, "chat", ["approval"], "approval")
    number = (await listen.until(counting, "observe", watching, "held"))["held"]["id"]
    await counting.send_json({"edit": number, "text": "you may"})
    await listen.until(counting, "observe", watching, "held")
    await counting.send_json({"refuse": number, "note": "too late"})
    await listen.until(counting, "observe", watching, "error")
    for client, channel in ((asked, "notify"), (counting, "observe")):
        await client.send_json({"alive": True})
        await listen.until(client, channel, watching, "alive")
    newer = {
        "chat": (counsellor, COUNSELLOR),
        "notify": (asked, SUPERVISOR),
        "observe": (counting, SUPERVISOR),
    }
    for channel, (client, own) in newer.items():
        await client.send_json({"token": own})
        await listen.until(client, channel, every, "token")
        await client.send_json({"token": own})  # too soon
        await listen.until(client, channel, every, "token_refused")
    for type, data in ((0, None), (1, {"apointmentId": 3, "consultantId": 2}), (1, {"apointmentId": 3})):
        body = {"role": "consultant", "id": 2, "type": type, "msg": "m", "data": data}
        await harness.api("POST", "/api/v1/notifications", HOST, body)
    await harness.server._services.notifications.notify(
        Person(Role.SUPERVISOR, "3"), 0, "look", {"alert": True}
    )
    await listen.until(asked, "notify", ["seq"], "alert")
    await listen.until(at_work, "notify", plain, "plain")
    await listen.until(at_work, "notify", plain, "appointment")
    await listen.until(at_work, "notify", plain, "appointment")

    speaking = sorted(counselling.OBSERVE_FEATURES)
    path = f"/observe?token={SUPERVISOR}&sessionId={session}&features={','.join(speaking)}"
    speaker = await harness.connect(path)
    await speaker.send_json({"msg": "not yet", "id": "c1"})
    await listen.until(speaker, "observe", speaking, "error", id="c1")
    await harness.api("POST", f"/api/v1/sessions/{session}/join", SUPERVISOR)
    await listen.until(speaker, "observe", speaking, "part", part="supervisor")
    await speaker.send_json({"msg": "I am here", "id": "c2"})
    await listen.until(speaker, "observe", speaking, "ack", ack="c2")
    await counsellor.send_json({"typing": True})
    await counsellor.send_json({"read": 3})
    await listen.all_of(speaker, "observe", speaking, {"typing", "read"})

    path = f"/api/v1/sessions/{session}/handover"
    await harness.api("POST", path, HOST, {"to": [{"role": "consultant", "id": 5}]})
    offered = await listen.until(counsellor, "chat", every, "offer")
    await counsellor.send_json({"accept": int(offered["offer"]["id"])})  # it is another's
    await listen.until(counsellor, "chat", every, "offer_refused")
    following = await harness.chat(token("consultant", 5), session)
    await listen.until(counsellor, "chat", every, "handover")
    assert await listen.rest(counsellor, "chat", every) == 4409
    await following.close(4000)
    assert await listen.rest(visitor, "chat", plain) == 1000
    assert await listen.rest(typing, "chat", ["typing", "read", "presence"]) == 1000
    assert await listen.rest(observer, "observe", plain) == 1000
    assert await listen.rest(counting, "observe", watching) == 1000
    assert listen.unseen("chat", "notify", "observe") == set()


@pytest.mark.gen_test
async def test_a_support_conversation(harness: Harness) -> None:
    listen = Listener(await described(harness))
    plain: list[str] = []
    every = sorted(support.FEATURES)

    async def until(peer: Peer, channel: str, features: list[str], name: str, **has: Any) -> Any:
        return await listen.until(peer.client, channel, features, name, **has)

    async def sign_in(channel: str, who: str, features: list[str]) -> Peer:
        peer = Peer(await harness.connect(f"/v1/ws/{channel}/connect"))
        await until(peer, channel, features, "initialize")
        await peer.send_frame("auth", {"token": who, "features": features})
        return peer

    ada = await sign_in("user", token("user", 1, "Ada"), every)
    await until(ada, "user", every, "auth_success")
    await ask_for_consent(harness)
    await ada.send_frame("connect")
    await until(ada, "user", every, "consent")
    await ada.send_frame("consent", {"version": "1", "accept": True})
    await listen.all_of(ada.client, "user", every, {"consent_success", "connect_queue"})
    bob = await sign_in("waiter", token("waiter", 7, "Bob"), plain)
    await bob.send_frame("ready")
    uuid = (await until(bob, "waiter", plain, "new_connection"))["payload"]["uuid"]
    number = (await until(ada, "user", every, "connect_success"))["payload"]["conversation"]
    admin = token("admin", 9)
    observer = await harness.connect(f"/observe?token={admin}&conversationId={number}&features=seq")
    await until(ada, "user", every, "observing", payload={"observing": True, "conversation": number})

    await ada.send_frame("message_text", {"message": "hello"})
    await until(ada, "user", every, "message_text_success")
    await ada.send_frame("message_image", {"url": "https://example.org/parcel.jpg"})
    await until(bob, "waiter", plain, "message_text")
    await until(bob, "waiter", plain, "message_text")  # as a URL
    for type, payload in (
        ("message_text", {"message": "hi"}),
        ("message_image", {"url": "https://example.org/map.png"}),
        ("typing", {"typing": True}),
        ("read", {"seq": 2}),
    ):
        await bob.send_frame(type, payload, to=uuid)
    await listen.all_of(ada.client, "user", every, {"message_text", "message_image", "typing", "read"})
    await ada.send_frame("get_history")
    assert len((await until(ada, "user", every, "message_history"))["payload"]["items"]) == 4
    await ada.send_frame("rate", {"rate": 5})
    await until(ada, "user", every, "rate_success")
    for peer, channel, features in ((ada, "user", every), (bob, "waiter", plain)):
        await peer.send_frame("nonsense")
        await until(peer, channel, features, "error")

    eve = await sign_in("waiter", token("waiter", 8, "Eve", trainee=True), every)
    await until(eve, "waiter", every, "auth_success")
    await eve.send_frame("ready")
    while len(json.loads((await harness.api("GET", "/api/v1/support/status", HOST)).body)["waiters"]) < 2:
        pass
    await bob.send_frame("transfer", {"waiter": 8}, to=uuid)
    await until(bob, "waiter", plain, "transfer_success")
    offered = await until(eve, "waiter", every, "offer")
    await eve.send_frame("accept_offer", {"offer": int(offered["payload"]["id"])})
    await until(eve, "waiter", every, "new_connection")
    await until(ada, "user", every, "connect_success")
    await harness.connect(f"/observe?token={admin}&conversationId={number}")
    await until(eve, "waiter", every, "observing")
    await harness.api("POST", f"/api/v1/support/conversations/{number}/join", admin)
    await until(eve, "waiter", every, "supervisor")
    await until(ada, "user", every, "supervisor")
    for type, payload in (
        ("message_text", {"message": "hi"}),
        ("message_image", {"url": "https://example.org/map.png"}),
        ("typing", {"typing": True}),
        ("read", {"seq": 2}),
    ):
        await ada.send_frame(type, payload)
    await listen.all_of(eve.client, "waiter", every, {"message_text", "message_image", "typing", "read"})
    await eve.send_frame("accept", to=uuid)
    await until(eve, "waiter", every, "accept_success")
    await eve.send_frame("message_text", {"message": "hi"}, to=uuid)
    held = (await until(eve, "waiter", every, "approval"))["payload"]["held"]
    assert (await harness.api("POST", f"/api/v1/approvals/{held}/approve", admin, {})).code == 200
    await until(eve, "waiter", every, "message_text_success")
    await eve.send_frame("get_history", to=uuid)
    await until(eve, "waiter", every, "message_history")

    again = await sign_in("waiter", token("waiter", 8, "Eve"), every)
    await until(eve, "waiter", every, "kickout")
    assert await listen.rest(eve.client, "waiter", every) == 4409
    await again.send_frame("ready")
    await until(again, "waiter", every, "new_connection")
    await ada.send_frame("disconnect")
    await until(again, "waiter", every, "disconnected")
    await until(ada, "user", every, "disconnected")
    assert await listen.rest(observer, "observe", ["seq"]) == 1000
    assert listen.unseen("user", "waiter") == set()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("channel", "path"),
    [
        ("chat", "/chat"),
        ("chat", f"/chat?token={VISITOR}"),
        ("chat", f"/chat?token={VISITOR}&sessionId=4&type=2"),
        ("chat", f"/chat?token={VISITOR}&sessionId=4"),
        ("chat", "/chat?token=junk&sessionId=4"),
        ("notify", "/notify"),
        ("notify", f"/notify?token={HOST}"),
        ("observe", f"/observe?token={SUPERVISOR}"),
        ("observe", f"/observe?token={SUPERVISOR}&sessionId=4"),
    ],
)
async def test_close_codes_are_those_of_the_document(harness: Harness, channel: str, path: str) -> None:
    listen = Listener(await described(harness))
    assert await listen.rest(await harness.connect(path), channel, []) >= 4400


@pytest.mark.gen_test
async def test_query_parameters_are_those_of_the_document(harness: Harness) -> None:
    document = await described(harness)
    query = document["channels"]["chat"]["bindings"]["ws"]["query"]
    assert query["required"] == ["token", "sessionId"]
    assert list(query["properties"]) == ["sessionId", "token", "type", "features", "language"]
    for name in ("user", "waiter"):
        assert "query" not in document["channels"][name]["bindings"]["ws"]
