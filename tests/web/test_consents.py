"""Consent over real sockets: who is asked, what is refused before it, and what is stored."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Harness, Peer, on_both, token
from tornado_chat import config
from tornado_chat.client.raw import RawClient

pytestmark = on_both

TEXT = "What you write here is stored.\nIn an emergency call 112."
DEFAULT = config.Group(consent=TEXT, consent_zh_cn="您写的内容会被保存。", consent_version="1")
LEGAL = config.Group(consent="L", consent_version="1")
GROUPS = {"default": DEFAULT, "crisis": config.Group(), "legal": LEGAL}
VISITOR, COUNSELLOR, HOST = token("user", 1, "小林"), token("consultant", 2), token("service", "host")
FIRST = "请先阅读并同意使用说明, 再发送消息"
ASKED = {"group": "default", "version": "1", "language": "zh_CN", "text": "您写的内容会被保存。"}


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return replace(settings, groups=GROUPS)


async def reload(harness: Harness, **options: Any) -> None:
    groups = {**GROUPS, "default": replace(DEFAULT, **options)}
    harness.config = replace(harness.config, groups=groups)
    await harness.server.reload(harness.config)


async def user(harness: Harness, id: int = 1, group: str | None = None) -> Peer:
    peer = await harness.user(id, connect=False, features=["consent", "ack"])
    await peer.get("auth_success")
    await peer.send_frame("connect", None if group is None else {"group": group})
    return peer


async def answer(peer: Peer, version: str = "1", accept: bool = True) -> dict[str, Any]:
    """Answer the question, and return the server's answer."""
    id = await peer.send_frame("consent", {"version": version, "accept": accept})
    while (frame := await peer.client.recv_json()).get("reply_id") != id:
        pass
    return dict(frame)


async def waiting(harness: Harness) -> int:
    status = json.loads((await harness.api("GET", "/api/v1/support/status", HOST)).body)
    return int(status["queue"]["length"])


async def given(harness: Harness, path: str) -> Any:
    """Return the consents that the API shows for a conversation; None if it shows none."""
    found = await harness.api("GET", f"/api/v1/{path}", HOST)
    assert found.code == 200, found.body
    return json.loads(found.body).get("consents")


async def frame_with(client: RawClient, key: str) -> Any:
    while key not in (frame := await client.recv_json()):
        pass
    return frame[key]


async def error(client: RawClient) -> str:
    while not (frame := await client.recv_json()).get("msg", "").startswith("错误"):
        pass
    return str(frame["msg"])


# --- support ---


@pytest.mark.gen_test
async def test_a_user_joins_the_queue_when_it_has_accepted(harness: Harness) -> None:
    peer = await user(harness)
    assert (await peer.get("consent"))["payload"] == ASKED
    await peer.send_frame("message_text", {"message": "too early"})
    assert (await peer.get("error"))["payload"]["message"] == FIRST
    assert (await answer(peer, "2"))["payload"]["message"] == "说明的版本不同, 当前版本为 1"
    assert await waiting(harness) == 0
    accepted = await answer(peer)
    assert accepted["type"] == "consent_success"
    assert accepted["payload"] == {"group": "default", "version": "1", "accepted": True}
    assert await waiting(harness) == 1
    waiter = await harness.waiter(7)
    await waiter.get("new_connection")
    await peer.until("connect_success")
    await peer.send_frame("message_text", {"message": "hello"})
    assert (await waiter.get("message_text"))["payload"]["message"] == "hello"
    (one,) = await given(harness, "support/conversations/1/messages")
    assert one.pop("accepted").startswith("20")
    assert one == {"group": "default", "version": "1", "language": "zh_CN"}
    again = await answer(peer)
    assert again["payload"]["message"] == "目前没有需要同意的说明"


@pytest.mark.gen_test
async def test_a_user_that_declines_does_not_wait_and_is_asked_again(harness: Harness) -> None:
    peer = await user(harness)
    await peer.get("consent")
    declined = await answer(peer, accept=False)
    assert declined["payload"] == {"group": "default", "version": "1", "accepted": False}
    await peer.send_frame("message_text", {"message": "hello"})
    await peer.get("error")
    assert await waiting(harness) == 0
    await peer.send_frame("connect")
    await peer.get("consent")
    await answer(peer)
    assert await waiting(harness) == 1


@pytest.mark.gen_test
async def test_a_conversation_asks_once_for_each_version(harness: Harness) -> None:
    peer = await user(harness)
    await answer(peer)
    await peer.close(1001)
    peer = await user(harness)
    assert (await peer.client.recv_json())["type"] == "connect_queue"
    await reload(harness, consent_version="2")
    await peer.send_frame("typing")  # an open connection is not asked
    tab = await user(harness)
    asked = [await tab.client.recv_json() for _ in range(2)]
    assert [frame["type"] for frame in asked] == ["consent", "connect_queue"]
    other = await user(harness)
    await other.until("consent")
    await answer(other, "2")
    await tab.send_frame("message_text", {"message": "hello"})  # accepted by the other tab
    assert "reply_id" not in await tab.until("consent_success")
    assert (await tab.until("error"))["payload"]["message"] == "正在排队, 请稍候"
    versions = [each["version"] for each in await given(harness, "support/conversations/1/messages")]
    assert versions == ["1", "2"]


@pytest.mark.gen_test
async def test_declining_a_newer_version_ends_the_conversation(harness: Harness) -> None:
    await answer(await user(harness))
    await reload(harness, consent_version="2")
    peer = await user(harness)
    await peer.until("consent")
    await peer.send_frame("consent", {"version": "2", "accept": False})
    types = [(await peer.client.recv_json())["type"] for _ in range(3)]
    assert sorted(types) == ["connect_queue", "consent_success", "disconnected"]
    assert await waiting(harness) == 0


@pytest.mark.gen_test
async def test_the_group_of_the_open_conversation_asks(harness: Harness) -> None:
    first = await user(harness, 1, "crisis")
    await first.get("connect_queue")  # this group has no text
    legal = await user(harness, 2, "legal")
    assert (await legal.get("consent"))["payload"]["group"] == "legal"
    other = await user(harness, 2, "crisis")
    await other.get("connect_queue")
    assert (await answer(legal))["type"] == "consent_success"  # of the conversation in the other group
    assert await given(harness, "support/conversations/2/messages") is None
    assert await waiting(harness) == 2


@pytest.mark.gen_test
async def test_clients_that_cannot_show_the_text(harness: Harness) -> None:
    plain = await harness.user(1)
    await plain.get("connect_queue")
    await reload(harness, consent_required=True)
    asking = await user(harness)
    await asking.until("consent")
    refused = await harness.user(1)
    assert "需要先同意使用说明" in (await refused.get("error"))["payload"]["message"]
    other = await harness.user(2)
    await other.get("error")
    assert await waiting(harness) == 1
    await answer(asking)
    await refused.send_frame("connect")
    await refused.get("connect_queue")  # accepted by another client
    await other.send_frame("connect", {"group": "crisis"})
    await other.get("connect_queue")


# --- counselling ---


@pytest.mark.gen_test
async def test_a_visitor_is_asked_before_its_first_message(harness: Harness) -> None:
    session = await harness.session()
    counsellor = await harness.chat(COUNSELLOR, session, features="consent")
    visitor = await harness.chat(VISITOR, session, features="consent,ack,history")
    assert await frame_with(visitor, "consent") == ASKED
    await visitor.send_json({"msg": "too early", "id": "a1"})
    assert await error(visitor) == f"错误: {FIRST}"
    await counsellor.send_json({"msg": "welcome"})
    while (await visitor.recv_json()).get("msg") != "welcome":
        pass
    await visitor.send_json({"consent": {"version": "1", "accept": True}})
    assert await frame_with(visitor, "consented") == {"group": "default", "version": "1", "accepted": True}
    await visitor.send_json({"msg": "hello", "id": "a2"})
    assert await frame_with(visitor, "ack") == "a2"
    while (await counsellor.recv_json())["msg"] != "hello":
        pass
    (one,) = await given(harness, f"sessions/{session}")
    assert (one["version"], one["language"]) == ("1", "zh_CN")
    again = await harness.chat(VISITOR, session, features="consent,ack")
    await again.send_json({"msg": "more", "id": "a3"})
    assert await frame_with(again, "ack") == "a3"
    await reload(harness, consent_version="2")
    newer = await harness.chat(VISITOR, session, features="consent")
    assert (await frame_with(newer, "consent"))["version"] == "2"


@pytest.mark.gen_test
async def test_a_visitor_that_declines_is_disconnected(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="consent")
    await visitor.send_json({"consent": {"version": "1", "accept": False}})
    assert (await frame_with(visitor, "consented"))["accepted"] is False
    assert (await visitor.wait_closed()).code == 4403
    assert await given(harness, f"sessions/{session}") is None
    record = await harness.chat(COUNSELLOR, await harness.record(session), 1, "consent")
    assert "isSystem" in await record.recv_json()  # records ask nobody


@pytest.mark.gen_test
async def test_a_required_consent_refuses_a_plain_visitor(harness: Harness) -> None:
    session = await harness.session()
    await harness.chat(VISITOR, session)
    await reload(harness, consent_required=True)
    plain = await harness.chat(VISITOR, session)
    assert "需要先同意使用说明" in await error(plain)
    assert (await plain.wait_closed()).code == 4403
    counsellor = await harness.chat(COUNSELLOR, session)
    await counsellor.recv_json()
    visitor = await harness.chat(VISITOR, session, features="consent")
    await visitor.send_json({"consent": {"version": "1", "accept": True}})
    await frame_with(visitor, "consented")
    plain = await harness.chat(VISITOR, session)
    await plain.send_json({"msg": "hello"})
    while (await counsellor.recv_json())["msg"] != "hello":
        pass


@pytest.mark.gen_test
async def test_the_groups_with_their_texts(harness: Harness) -> None:
    found = json.loads((await harness.api("GET", "/api/v1/groups?language=en", VISITOR)).body)["items"]
    texts = {each["name"]: each.get("consent") for each in found}
    assert texts == {
        "default": {"version": "1", "text": TEXT},
        "crisis": None,
        "legal": {"version": "1", "text": "L"},
    }
