"""Approvals over real sockets: what agents, clients and supervisors see of held messages."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Harness, Peer, on_both, token
from tornado_chat import config
from tornado_chat.client import RawClient
from tornado_chat.core.types import Activity
from tornado_chat.storage import held_messages

pytestmark = on_both

SUPERVISOR, OTHER, ADMIN = token("supervisor", 3, "Wu"), token("supervisor", 4), token("admin", 1)
GROUP = config.Group(supervisors=("supervisor:3",), approval_timeout=3600.0)


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return replace(settings, groups={"default": GROUP, "crisis": replace(GROUP, approval=True)})


async def trainee(harness: Harness, session: int, features: str = "") -> RawClient:
    text = token("consultant", 2, "Chen", trainee=True)
    return await harness.connect(f"/chat?token={text}&sessionId={session}&type=0&features={features}")


async def until(client: RawClient, key: str) -> dict[str, Any]:
    """Return the next frame with this key."""
    while True:
        frame = await client.recv_json()
        if key in frame:
            return dict(frame)


async def becomes(client: RawClient, state: str) -> dict[str, Any]:
    """Return the next state of a held message that is ``state``."""
    while True:
        frame = await client.recv_json()
        shown = frame.get("approval") or (frame.get("type") == "approval" and frame["payload"])
        if shown and shown["state"] == state:
            return dict(shown)


async def said(client: RawClient) -> str:
    """Return the next text that is no system message."""
    while True:
        frame = await client.recv_json()
        if "msg" in frame and not frame.get("isSystem"):
            return str(frame["msg"])


async def system(client: RawClient, text: str) -> None:
    """Wait for a system message that contains ``text``."""
    while True:
        frame = await client.recv_json()
        if frame.get("isSystem") and text in frame["msg"]:
            return


async def held(harness: Harness, who: str = SUPERVISOR, query: str = "") -> list[dict[str, Any]]:
    answer = await harness.api("GET", f"/api/v1/approvals{query}", who)
    assert answer.code == 200, answer.body
    items: list[dict[str, Any]] = json.loads(answer.body)["items"]
    return items


async def decide(harness: Harness, id: int, what: str, who: str = SUPERVISOR, **body: Any) -> tuple[int, Any]:
    answer = await harness.api("POST", f"/api/v1/approvals/{id}/{what}", who, body)
    return answer.code, json.loads(answer.body)


@pytest.mark.gen_test
async def test_a_message_of_a_trainee_waits_for_a_supervisor(harness: Harness) -> None:
    actions: list[Activity] = []
    harness.server.plugins.report_action = actions.append  # type: ignore[method-assign]
    session = await harness.session()
    visitor = await harness.chat(token("user", 1), session, features="seq")
    agent = await trainee(harness, session, "ack,approval,seq")
    await agent.send_json({"msg": "one", "id": "a"})
    state = (await until(agent, "approval"))["approval"]
    assert (state["state"], state["client_id"], state["text"]) == ("held", "a", "one")
    assert "until" in state
    # No supervisor is there: the agent is told who could approve.
    assert (await until(agent, "approval"))["approval"]["approvers"] == [{"id": "3", "name": None}]
    await agent.send_json({"msg": "two", "id": "b"})
    second = (await until(agent, "approval"))["approval"]["held"]
    await visitor.send_json({"msg": "still there?"})  # others are not delayed
    assert await said(agent) == "still there?"

    first, later = await held(harness)
    assert (first["id"], first["text"], first["sender"]) == (
        state["held"],
        "one",
        {"role": "consultant", "id": "2", "name": "Chen"},
    )
    assert (first["kind"], first["number"], first["state"]) == ("session", session, "held")
    assert await held(harness, ADMIN, "?group=default") == [first, later]
    assert await held(harness, OTHER) == await held(harness, ADMIN, "?group=crisis") == []
    assert (await decide(harness, first["id"], "approve", OTHER))[0] == 403
    assert (await decide(harness, first["id"], "approve", token("consultant", 2)))[0] == 403
    assert (await decide(harness, 99, "approve"))[0] == 404
    code, problem = await decide(harness, second, "approve")
    assert (code, problem["code"]) == (409, "earlier_held")

    assert (await decide(harness, first["id"], "approve"))[0] == 200
    assert (await decide(harness, first["id"], "approve"))[0] == 200  # a repeated request
    assert (await becomes(agent, "approved"))["seq"] == 2
    assert (await until(agent, "ack"))["seq"] == 2
    code, problem = await decide(harness, first["id"], "refuse", ADMIN)
    assert (code, problem["code"]) == (409, "already_decided")
    assert "supervisor:3" in problem["detail"]
    code, edited = await decide(harness, second, "approve", ADMIN, text="three")
    assert (code, edited["state"], edited["final"], edited["seq"]) == (200, "edited", "three", 3)
    assert (await becomes(agent, "edited"))["final"] == "three"
    assert (await until(agent, "ack")) | {"time": ""} == {"ack": "b", "seq": 3, "time": ""}
    assert await said(visitor) == "one"
    assert await said(visitor) == "three"

    # A resend after the decision is acknowledged, and not sent again.
    again = await trainee(harness, session, "ack,approval")
    states = [(await until(again, "approval"))["approval"]["state"] for _ in range(2)]
    assert states == ["approved", "edited"]
    await again.send_json({"msg": "two", "id": "b"})
    assert (await until(again, "ack"))["seq"] == 3
    decided = await held(harness, ADMIN, "?state=decided")
    assert [(each["text"], each["by"]["role"], each["seq"]) for each in decided] == [
        ("two", "admin", 3),
        ("one", "supervisor", 2),
    ]
    shown = [(each.actor, each.action, each.detail) for each in actions if each.action.endswith("ed message")]
    assert shown == [
        ("supervisor:3", "approved message", "held 1 of consultant:2, sent as 2"),
        ("admin:1", "edited message", "held 2 of consultant:2, sent as 3"),
    ]


@pytest.mark.gen_test
async def test_plain_clients_of_a_trainee_are_told_only_of_a_refusal(harness: Harness) -> None:
    session = await harness.session()
    visitor, agent = await harness.chat(token("user", 1), session), await trainee(harness, session)
    inbox = await harness.connect(f"/notify?token={SUPERVISOR}")
    await agent.send_json({"msg": "one"})
    notice = await inbox.recv_json()
    assert (notice["type"], str(session) in notice["msg"]) == (0, True)
    await agent.send_json({"msg": "two"})
    watch = await harness.connect(f"/observe?token={ADMIN}&sessionId={session}&features=approve")
    first, second = [(await until(watch, "held"))["held"] for _ in range(2)]
    await watch.send_json({"refuse": first["id"], "note": "not so fast"})
    assert (await until(watch, "held"))["held"]["note"] == "not so fast"
    await system(agent, "not so fast")
    await watch.send_json({"edit": second["id"], "text": " "})
    await system(watch, "")
    await watch.send_json({"edit": second["id"], "text": "better"})
    assert await said(visitor) == "better"
    assert await said(watch) == "better"
    assert (await until(watch, "held"))["held"]["state"] == "edited"
    await watch.send_json({"approve": second["id"]})  # it was edited by the same person: no effect
    await agent.send_json({"msg": "three"})
    third = (await until(watch, "held"))["held"]
    assert third["text"] == "three"
    # The end of the session lets the message expire, and the agent is told before its socket is closed.
    host = token("service", "host")
    assert (await harness.api("POST", f"/api/v1/sessions/{session}/end", host, {})).code == 200
    await system(agent, "审批" if harness.config.server.language == "en" else "未发送")
    code, problem = await decide(harness, third["id"], "approve")
    assert (code, problem["code"]) == (409, "already_decided")


@pytest.mark.gen_test
async def test_a_group_holds_the_messages_of_all_its_agents(harness: Harness) -> None:
    user = await harness.user(1, connect=False)
    await user.send_frame("connect", {"group": "crisis"})
    agent = Peer(await harness.connect("/v1/ws/waiter/connect"))
    await agent.sign_in("waiter", 5, ["ack", "approval"], name="Bob")
    await agent.send_frame("ready")
    await agent.until("new_connection")
    await user.until("connect_success")
    sent = await agent.send_frame("message_text", {"message": "hello"}, to=user.uuid)
    state = (await agent.until("approval"))["payload"]
    assert (state["state"], state["client_id"]) == ("held", sent)
    plain = Peer(await harness.connect("/v1/ws/waiter/connect"))
    await plain.sign_in("waiter", 5, ["approval"])
    await plain.send_frame("ready")
    assert (await plain.until("approval"))["payload"]["held"] == state["held"]
    assert (await decide(harness, state["held"], "approve"))[0] == 200
    assert (await user.get("message_text"))["payload"]["message"] == "hello"
    assert (await agent.until("message_text_success"))["reply_id"] == sent
    await becomes(plain.client, "approved")
    await agent.send_frame("message_text", {"message": "bye"}, to=user.uuid)
    await agent.until("approval")
    await user.send_frame("disconnect")
    await becomes(agent.client, "expired")
    assert [each["state"] for each in await held(harness, ADMIN, "?state=decided")] == ["expired", "approved"]


@pytest.mark.gen_test
async def test_the_time_is_over(harness: Harness) -> None:
    groups = {"default": replace(GROUP, approval_timeout=0.2, approval_expired="send")}
    await harness.server.reload(replace(harness.config, groups=groups))
    session = await harness.session()
    visitor, agent = await harness.chat(token("user", 1), session), await trainee(harness, session, "ack")
    for text in ("one", "two"):
        await agent.send_json({"msg": text, "id": text})
    assert [await said(visitor), await said(visitor)] == ["one", "two"]
    assert (await until(agent, "ack"))["ack"] == "one"
    groups = {"default": replace(GROUP, approval_timeout=0.2)}
    await harness.server.reload(replace(harness.config, groups=groups))
    await agent.send_json({"msg": "three", "id": "three"})
    while (frame := await agent.recv_json()).get("id") != "three":
        pass
    assert frame["isSystem"]
    await visitor.send_json({"msg": "and?"})
    assert await said(agent) == "and?"


@pytest.mark.gen_test
async def test_nothing_is_held_for_others(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation without approval has no query and no call more."""
    monkeypatch.delattr(held_messages, "hold")
    session = await harness.session()
    visitor = await harness.chat(token("user", 1), session)
    agent = await harness.chat(token("consultant", 2), session)
    await visitor.send_json({"msg": "hi"})
    await agent.send_json({"msg": "hello"})
    assert (await said(agent), await said(visitor)) == ("hi", "hello")
