"""Hand-overs that are offered: sessions and support conversations, by sockets and by the HTTP API."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Harness, Peer, on_both, token
from tornado_chat import config
from tornado_chat.client import RawClient

pytestmark = on_both

VISITOR, CHEN, WU, ZHOU = (
    token("user", 1, "小林"),
    token("consultant", 2, "陈老师"),
    token("consultant", 5, "吴老师"),
    token("consultant", 6, "周老师"),
)
HOST = token("service", "host")


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    groups = {"crisis": config.Group(roles=("waiter",)), "default": config.Group(roles=("waiter",))}
    return replace(settings, groups=groups)


async def call(harness: Harness, path: str, who: str, body: Any = None, expected: int = 200) -> Any:
    answer = await harness.api("POST", f"/api/v1{path}", who, body)
    assert answer.code == expected, answer.body
    return json.loads(answer.body)


async def offer_with(client: RawClient, state: str) -> Any:
    """Return the next offer in ``state``."""
    while True:
        frame = await client.recv_json()
        if "offer" in frame and frame["offer"]["state"] == state:
            return frame["offer"]


async def texts_until(client: RawClient, text: str) -> list[str]:
    found: list[str] = []
    while text not in found:
        found.append((await client.recv_json()).get("msg"))
    return found


def people(*ids: int, role: str = "consultant") -> list[Any]:
    return [{"role": role, "id": id} for id in ids]


@pytest.mark.gen_test
async def test_a_session_is_offered_until_a_consultant_accepts(harness: Harness) -> None:
    session = await harness.session(consultant_name="陈老师")
    elsewhere = await harness.session(user=9, consultant=5)
    visitor = await harness.chat(VISITOR, session)
    chen = await harness.chat(CHEN, session, features="offer")
    wu = await harness.chat(WU, elsewhere, features="offer")
    zhou = await harness.connect(f"/notify?token={ZHOU}")
    path = f"/sessions/{session}/handover"
    await call(harness, path, WU, {"to": people(6)}, 403)
    await call(harness, path, VISITOR, {"to": people(6)}, 403)
    await call(harness, path, CHEN, {"to": people(2)}, 400)
    await call(harness, path, CHEN, {"to": people(7, role="waiter")}, 400)
    made = await call(harness, path, CHEN, {"to": people(5, 6), "note": "speaks Hakka"}, 201)
    assert (made["state"], made["to"]["id"], made["yours"]) == ("offered", "5", False)
    await call(harness, path, CHEN, {"to": people(6)}, 409)
    offered = await offer_with(wu, "offered")
    assert (offered["note"], offered["yours"], offered["number"]) == ("speaks Hakka", True, str(session))
    assert (offered["from"]["name"], offered["client"]["id"]) == ("陈老师", "1")
    assert offered["until"] > offered["time"]
    await call(harness, f"{path}/accept", ZHOU, None, 409)
    await wu.send_json({"decline": int(offered["id"])})
    declined = await offer_with(wu, "declined")
    assert (declined["note"], declined["yours"]) == (None, False)
    await wu.send_json({"accept": int(offered["id"])})
    assert (await wu.recv_json())["offer"] is False
    notified = await zhou.recv_json()
    assert (notified["type"], notified["data"]["sessionId"]) == (2, session)
    following = await harness.chat(ZHOU, session, features="sender")  # entering accepts
    assert (await texts_until(visitor, "陈老师已将会话交接给 周老师"))[-1]
    accepted = await offer_with(chen, "accepted")
    assert accepted["to"]["id"] == "6"
    assert (await chen.wait_closed()).code == 4409
    await following.send_json({"msg": "I am Zhou"})
    await texts_until(visitor, "I am Zhou")
    shown = json.loads((await harness.api("GET", f"/api/v1{path}", ZHOU)).body)
    assert (shown["state"], shown["note"]) == ("accepted", "speaks Hakka")
    assert (await harness.api("GET", f"/api/v1{path}", VISITOR)).code == 403
    exported = await harness.api("GET", f"/api/v1/sessions/{session}/export?format=json", VISITOR)
    assert "Hakka" not in exported.body.decode()


@pytest.mark.gen_test
async def test_after_the_last_candidate_the_agent_keeps_the_session(harness: Harness) -> None:
    session = await harness.session()
    chen = await harness.chat(CHEN, session, features="offer")
    path = f"/sessions/{session}/handover"
    await call(harness, path, CHEN, {"to": people(5, 6), "timeout": 1}, 201)
    for candidate in ("5", "6"):
        while (await offer_with(chen, "offered"))["to"]["id"] != candidate:
            pass
    assert (await offer_with(chen, "expired"))["to"]["id"] == "6"
    await call(harness, f"{path}/accept", ZHOU, None, 409)
    await call(harness, path, HOST, {"to": people(5)}, 201)
    await call(harness, f"{path}/withdraw", CHEN)
    assert (await offer_with(chen, "withdrawn"))["by"]["role"] == "service"
    await call(harness, path, HOST, {"to": people(5)}, 201)
    await call(harness, f"/sessions/{session}/end", HOST)
    assert (await offer_with(chen, "ended"))["to"]["id"] == "5"
    await call(harness, f"{path}/accept", WU, None, 409)


async def served(harness: Harness, features: list[str]) -> tuple[Peer, Peer]:
    """Return a user and the waiter 7 that serves it."""
    source = await harness.waiter(7, features=features, name="小王")
    user = await harness.user(1, features=["sender", "seq"], name="小林")
    await user.until("connect_success")
    await source.until("new_connection")
    return user, source


async def offer_in(peer: Peer, state: str) -> Any:
    while (payload := (await peer.until("offer"))["payload"])["state"] != state:
        pass
    return payload


@pytest.mark.gen_test
async def test_a_transfer_to_a_waiter_that_wants_to_be_asked(harness: Harness) -> None:
    user, source = await served(harness, ["offer", "ready"])
    target = await harness.waiter(8, features=["offer", "ready"], name="小李")
    await target.until("ready_success")
    await source.send_frame("transfer", {"waiter": 8, "note": "angry"}, to=user.uuid)
    await source.until("transfer_success")
    offered = await offer_in(target, "offered")
    assert (offered["note"], offered["kind"], offered["client"]["name"]) == ("angry", "conversation", "小林")
    await target.send_frame("decline_offer", {"offer": int(offered["id"])})
    assert (await offer_in(source, "declined"))["to"]["id"] == "8"
    await source.send_frame("transfer", {"waiter": 8, "note": "please"}, to=user.uuid)
    offered = await offer_in(target, "offered")
    await target.send_frame("accept_offer", {"offer": int(offered["id"])})
    await target.until("new_connection")
    assert (await offer_in(source, "accepted"))["id"] == offered["id"]
    handed = (await user.until("handed_over"))["payload"]
    assert (handed["from"]["id"], handed["to"]["id"]) == ("7", "8")
    again = await target.send_frame("decline_offer", {"offer": int(offered["id"])})
    assert (await target.until("error"))["reply_id"] == again


@pytest.mark.gen_test
async def test_plain_waiters_transfer_at_once_and_the_note_waits_for_the_next_one(harness: Harness) -> None:
    user, source = await served(harness, [])
    target = await harness.waiter(8, features=["ready"])
    await target.until("ready_success")
    await source.send_frame("transfer", {"waiter": 8, "note": "knows the shop"}, to=user.uuid)
    await source.until("transfer_success")
    connected = await target.until("new_connection")
    number = (await user.until("connect_success"))["payload"]["conversation"]
    path = f"/api/v1/support/conversations/{number}/handover"
    shown = json.loads((await harness.api("GET", path, token("waiter", 8))).body)
    assert (shown["state"], shown["note"]) == ("accepted", "knows the shop")
    await target.send_frame("message_text", {"message": "hi"}, to=connected["from"])
    assert (await user.until("message_text"))["payload"]["message"] == "hi"
    await target.send_frame("transfer", {}, to=connected["from"])
    assert "waiter" in (await target.until("error"))["payload"]["message"]


@pytest.mark.gen_test
async def test_a_user_returns_to_the_line_of_a_group_with_a_note(harness: Harness) -> None:
    source = await harness.waiter(7, features=["offer"], groups=["default"])
    user = await harness.user(1, features=["group", "seq"])
    await user.until("connect_success")
    await source.until("new_connection")
    await source.send_frame("transfer", {"group": "nowhere"}, to=user.uuid)
    await source.until("error")
    await source.send_frame("transfer", {"group": "crisis", "note": "in danger"}, to=user.uuid)
    await source.until("disconnected")
    waits = (await user.until("connect_queue"))["payload"]
    assert (waits["group"], waits["location"], waits["returned"]) == ("crisis", 1, True)
    target = await harness.waiter(8, features=["offer"], groups=["crisis"])
    offer = await offer_in(target, "accepted")
    assert (offer["note"], offer["group"], offer["yours"]) == ("in danger", "crisis", True)
    assert (await offer_in(source, "accepted"))["to"]["id"] == "8"
