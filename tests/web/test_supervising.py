"""Supervision of support conversations and of groups: who may follow, read, list and ask for help."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Harness, Peer, on_both, token
from tornado_chat import config

pytestmark = on_both

HOST, ADMIN = token("service", "host"), token("admin", 9)
WU = token("supervisor", 3, "Wu")
LI = token("supervisor", 4, "Li")
CLAIMED = token("supervisor", 5, groups=["crisis"])
STRANGERS = (
    token("supervisor", 6, groups=["school"]),
    token("user", 2),
    token("waiter", 8),
    token("consultant", 2, groups=["crisis"]),
    HOST,
)
"""People who may not follow the conversation of ``crisis``; the host may read and list it."""

GROUPS = {
    "crisis": config.Group(supervisors=("supervisor:4",), tell_observing=True),
    "school": config.Group(),
    "default": config.Group(),
}


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return replace(settings, groups=GROUPS)


async def talk(harness: Harness, group: str = "crisis", *features: str) -> tuple[Peer, Peer, int]:
    """Return a user and a waiter in a conversation of a group, and its number."""
    waiter = await harness.waiter(7, name="Anne")
    user = await harness.user(1, name="Lin", connect=False, features=["seq", *features])
    await user.send_frame("connect", {"group": group})
    number = (await user.until("connect_success"))["payload"]["conversation"]
    await waiter.get("new_connection")
    return user, waiter, number


async def observe(harness: Harness, who: str, number: int, features: str = "") -> Any:
    return await harness.connect(f"/observe?token={who}&conversationId={number}&features={features}")


async def get(harness: Harness, path: str, who: str) -> tuple[int, Any]:
    answer = await harness.api("GET", f"/api/v1/support/conversations{path}", who)
    return answer.code, json.loads(answer.body)


async def ask(harness: Harness, who: str, number: int, **body: Any) -> tuple[int, Any]:
    path = f"/api/v1/support/conversations/{number}/supervision"
    answer = await harness.api("POST", path, who, body)
    return answer.code, json.loads(answer.body)


@pytest.mark.gen_test
async def test_supervisors_follow_a_support_conversation_to_its_end(harness: Harness) -> None:
    user, waiter, number = await talk(harness)
    assert (await ask(harness, token("waiter", 7), number, supervisor_id=3))[0] == 201
    watching = [await observe(harness, who, number) for who in (WU, LI, CLAIMED, ADMIN)]
    seen = await observe(harness, WU, number, "seq,sender,presence")
    assert await seen.recv_json() == {"presence": {"user": True, "waiter": True}}
    await user.send_frame("message_text", {"message": "help"})
    await waiter.get("message_text")
    await waiter.send_frame("message_text", {"message": "I am here"}, to=user.uuid)
    for client in watching:
        for text, is_agent in (("help", False), ("I am here", True)):
            frame = await client.recv_json()
            del frame["time"]
            assert frame == {"msg": text, "senderType": is_agent}
    first = await seen.recv_json()
    assert (first["id"], first["seq"]) == (f"c{number}-1", 1)
    assert first["sender"] == {"role": "user", "id": "1", "name": "Lin"}
    await watching[1].close()
    await user.send_frame("message_text", {"message": "still there?"})
    assert (await watching[0].recv_json())["msg"] == "still there?"
    watching[1] = await observe(harness, LI, number)  # returns, and gets what it has missed
    assert (await watching[1].recv_json())["msg"] == "still there?"
    await user.send_frame("disconnect")
    for client in (seen, *watching):
        frame = {"senderType": False}
        while frame["senderType"] is not None:
            frame = await client.recv_json()
        assert frame["msg"] == "会话已结束"
        assert (await client.wait_closed()).code == 1000
    late = await observe(harness, LI, number)
    assert (await late.recv_json())["senderType"] is None
    assert (await late.wait_closed()).code == 4409


@pytest.mark.gen_test
async def test_other_people_see_nothing(harness: Harness) -> None:
    _, _, number = await talk(harness)
    for who in (*STRANGERS, WU):
        refused = await observe(harness, who, number)
        assert (await refused.wait_closed()).code == 4403
        if who == HOST:
            continue
        for path in (f"/{number}", f"/{number}/messages", f"/{number}/export"):
            assert (await get(harness, path, who))[0] == 403, (who, path)
        code, found = await get(harness, "?state=open", who)
        assert (code, found.get("items", [])) in ((200, []), (403, [])), who
        assert (await ask(harness, who, number, supervisor_id=3))[0] == 403
    assert (await (await observe(harness, LI, 99)).wait_closed()).code == 4404
    for query in ("", f"&sessionId=1&conversationId={number}"):
        refused = await harness.connect(f"/observe?token={LI}{query}")
        assert (await refused.wait_closed()).code == 4400
    # A record about a session with the same number gives no right to the conversation.
    session = await harness.session(session_id=number)
    await harness.record(session, 3)
    refused = await observe(harness, WU, number)
    assert (await refused.wait_closed()).code == 4403


@pytest.mark.gen_test
async def test_supervisors_list_and_read_what_they_may_follow(harness: Harness) -> None:
    user, waiter, number = await talk(harness)
    await user.send_frame("message_text", {"message": "help"})
    await waiter.get("message_text")
    other = await harness.user(2)  # waits in the default group
    await other.get("connect_success")

    async def listed(who: str, query: str = "?state=open") -> list[str]:
        code, page = await get(harness, query, who)
        assert code == 200
        return [each["conversation"] for each in page["items"]]

    for who in (LI, CLAIMED):
        assert await listed(who) == [str(number)]
    assert len(await listed(ADMIN)) == 2
    assert await listed(ADMIN, "?group=crisis&state=active") == [str(number)]
    assert await listed(ADMIN, "?state=ended") == []
    assert await listed(WU) == []
    await ask(harness, token("waiter", 7), number, supervisor_id=3)
    assert await listed(WU) == [str(number)]
    code, shown = await get(harness, f"/{number}", WU)
    assert (code, shown["state"], shown["group"], shown["waiter_role"]) == (200, "active", "crisis", "waiter")
    people = [(each["role"], each["id"], each["part"], each["left"]) for each in shown["participants"]]
    assert people == [("user", "1", "client", None), ("waiter", "7", "agent", None)]
    code, page = await get(harness, f"/{number}/messages", LI)
    assert [each["message"] for each in page["items"]] == ["help"]
    answer = await harness.api("GET", f"/api/v1/support/conversations/{number}/export?format=json", WU)
    transcript = json.loads(answer.body)
    assert transcript["conversation"]["conversation"] == str(number)
    assert [each["message"] for each in transcript["messages"]] == ["help"]


@pytest.mark.gen_test
async def test_an_agent_asks_a_supervisor_and_talks_to_it(harness: Harness) -> None:
    _, _, number = await talk(harness, "default")
    notified = await harness.connect(f"/notify?token={WU}")
    code, made = await ask(harness, token("waiter", 7), number, supervisor_id=3, supervisor_name="Wu")
    assert (code, made["conversation"], made["session_id"]) == (201, str(number), None)
    record = int(made["record_id"])
    data = {"sessionId": record, "observeConversationId": number}
    assert (await notified.recv_json())["data"] == data
    supervisor = await harness.chat(WU, record, type=1)
    agent = await harness.chat(token("waiter", 7, "Anne"), record, type=1)
    while (await supervisor.recv_json())["msg"] != "会话已开始":
        pass
    await agent.send_json({"msg": "what shall I say?"})
    assert (await supervisor.recv_json())["msg"] == "what shall I say?"
    refused = await harness.chat(token("user", 1), record, type=1)
    assert (await refused.wait_closed()).code == 4403


@pytest.mark.gen_test
async def test_participants_are_told_of_observers_if_the_group_says_so(harness: Harness) -> None:
    user, waiter, number = await talk(harness, "crisis", "observing")
    observer = await observe(harness, LI, number)
    shown = {"observing": True, "conversation": number}
    assert (await user.get("observing"))["payload"] == shown
    await observer.close()
    assert (await user.get("observing"))["payload"] == {**shown, "observing": False}
    await user.send_frame("message_text", {"message": "hi"})
    await waiter.get("message_text")  # a plain client gets no frame of it
    session = await harness.session(session_id=50, group="crisis")
    plain = await harness.chat(token("user", 1), session)
    asked = await harness.chat(token("consultant", 2), session, features="observing")
    while (await plain.recv_json())["msg"] != "会话已开始":
        pass
    await harness.connect(f"/observe?token={CLAIMED}&sessionId={session}")
    assert (await plain.recv_json())["msg"] == "有督导正在旁听此会话"
    frame: dict[str, Any] = {}
    while "observing" not in frame:
        frame = await asked.recv_json()
    assert frame == {"observing": True}


async def step(harness: Harness, who: str, number: int, name: str, kind: str = "", **body: Any) -> int:
    """Call ``join``, ``leave`` or ``takeover``; return the status."""
    path = f"/api/v1/sessions/{number}" if kind else f"/api/v1/support/conversations/{number}"
    return int((await harness.api("POST", f"{path}/{name}", who, body or None)).code)


async def until(client: Any, **has: Any) -> dict[str, Any]:
    """Return the next frame with these keys and values."""
    while True:
        frame: dict[str, Any] = await client.recv_json()
        if has.items() <= frame.items():
            return frame


SPEAK = "speak,ack,sender,seq"


@pytest.mark.gen_test
async def test_a_supervisor_joins_a_support_conversation_and_leaves_it(harness: Harness) -> None:
    user, waiter, number = await talk(harness)
    asked = await harness.user(1, name="Lin", features=["sender"])
    await asked.get("connect_success")
    silent = await observe(harness, LI, number)
    speaker = await observe(harness, LI, number, SPEAK)
    await speaker.send_json({"msg": "may I?", "id": "a1"})
    refused = await until(speaker, id="a1")
    assert (refused["isSystem"], refused["msg"]) == (True, "错误: 请先加入或接管此对话")
    assert await step(harness, token("supervisor", 6), number, "join") == 403
    for _ in range(2):
        assert await step(harness, LI, number, "join") == 200
    assert await until(speaker, part="supervisor")
    joined = {"joined": True, "name": "Li", "conversation": number}
    assert (await asked.get("supervisor"))["payload"] == joined
    await speaker.send_json({"msg": "I am Li", "id": "a2"})
    await silent.send_json({"msg": "ignored: it has not asked to speak"})
    assert (await until(speaker, ack="a2"))["seq"] == 1
    for plain in (user, waiter):
        assert (await plain.get("message_text"))["payload"]["message"] == "Li: I am Li"
    frame = await asked.get("message_text")
    assert (frame["payload"]["message"], frame["sender"]["role"]) == ("I am Li", "supervisor")
    assert (await silent.recv_json())["msg"] == "I am Li"
    assert await step(harness, LI, number, "leave") == 204
    assert await until(speaker, part=None)
    assert (await asked.get("supervisor"))["payload"] == {**joined, "joined": False}
    await speaker.send_json({"msg": "gone", "id": "a3"})
    assert (await until(speaker, id="a3"))["isSystem"]
    await user.send_frame("message_text", {"message": "thank you"})
    assert (await silent.recv_json())["msg"] == "thank you"  # and no message in between
    _, shown = await get(harness, f"/{number}", LI)
    assert [each["left"] is None for each in shown["participants"] if each["part"] == "supervisor"] == [False]


@pytest.mark.gen_test
async def test_a_supervisor_takes_a_support_conversation_over(harness: Harness) -> None:
    user, waiter, number = await talk(harness)
    address = user.uuid
    speaker = await observe(harness, LI, number, f"{SPEAK},presence")
    assert await step(harness, LI, number, "takeover", former="observe") == 200
    assert await until(speaker, part="agent")
    assert (await until(speaker, presence={"user": True, "supervisor": True}))["presence"]
    assert (await user.get("connect_success"))["payload"]["uuid"]
    await waiter.get("disconnected")
    await waiter.send_frame("message_text", {"message": "still me?"}, to=address)
    await waiter.get("error")
    await user.send_frame("message_text", {"message": "who are you?"})
    assert (await until(speaker, seq=1))["msg"] == "who are you?"
    await speaker.send_json({"msg": "Li", "id": "b1"})
    assert (await user.get("message_text"))["payload"]["message"] == "Li: Li"
    former = await observe(harness, token("waiter", 7), number, SPEAK)
    await former.send_json({"msg": "I may only read", "id": "c1"})
    assert (await until(former, id="c1"))["isSystem"]
    await user.send_frame("message_text", {"message": "seen by the former agent"})
    assert (await until(former, seq=3))["msg"] == "seen by the former agent"
    assert await step(harness, token("waiter", 7), number, "leave") == 204
    assert (await former.wait_closed()).code == 1000
    await user.send_frame("message_text", {"message": "not any more"})
    assert (await until(speaker, seq=4))["msg"] == "not any more"
    again = await observe(harness, token("waiter", 7), number)
    assert (await again.wait_closed()).code == 4403
    assert (await get(harness, f"/{number}/messages", token("waiter", 7)))[0] == 403


@pytest.mark.gen_test
async def test_a_former_agent_that_leaves_at_a_take_over_sees_nothing_more(harness: Harness) -> None:
    _, waiter, number = await talk(harness)
    await observe(harness, LI, number, SPEAK)
    assert await step(harness, LI, number, "takeover", former="leave") == 200
    await waiter.get("disconnected")
    refused = await observe(harness, token("waiter", 7), number)
    assert (await refused.wait_closed()).code == 4403
    assert (await get(harness, f"/{number}", token("waiter", 7)))[0] == 403


class TestGrace:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        support = replace(settings.support, rejoin_grace=1.0)
        counselling = replace(settings.counselling, rejoin_grace=60.0)
        return replace(settings, support=support, counselling=counselling)

    @pytest.mark.gen_test
    async def test_the_socket_of_a_supervisor_is_its_presence(self, harness: Harness) -> None:
        user, waiter, number = await talk(harness)
        await waiter.send_frame("unready")
        speaker = await observe(harness, LI, number, SPEAK)
        await step(harness, LI, number, "takeover", former="leave")
        await until(speaker, part="agent")
        await user.get("connect_success")
        await speaker.close()
        back = await observe(harness, LI, number, SPEAK)  # in time
        await until(back, part="agent")
        await back.send_json({"msg": "here again"})
        await user.get("message_text")
        await back.close()
        assert (await user.get("connect_queue"))["payload"]["location"] == 1
        await waiter.send_frame("ready")
        await user.get("connect_success")
        late = await observe(harness, LI, number, SPEAK)
        await late.send_json({"msg": "too late", "id": "d1"})
        assert (await until(late, id="d1"))["isSystem"]


@pytest.mark.gen_test
async def test_a_supervisor_joins_a_session_and_takes_it_over(harness: Harness) -> None:
    session = await harness.session(session_id=60, group="crisis", consultant_name="Chen")
    visitor = await harness.chat(token("user", 1), session)
    agent = await harness.chat(token("consultant", 2, "Chen"), session, features="sender,seq")
    await until(visitor, msg="会话已开始")
    speaker = await harness.connect(f"/observe?token={LI}&sessionId={session}&features={SPEAK}")
    assert await step(harness, WU, session, "join", "sessions") == 403
    assert await step(harness, LI, session, "join", "sessions") == 200
    await until(visitor, msg="督导 Li已进入会话")
    await speaker.send_json({"msg": "good evening", "id": "a1"})
    await until(visitor, msg="Li: good evening")
    shown = await until(agent, msg="good evening")
    assert shown["sender"] == {"role": "supervisor", "id": "4", "name": "Li"}
    again = await harness.chat(token("user", 1), session)  # a new socket knows the name, too
    await speaker.send_json({"msg": "shall we?"})
    await until(again, msg="Li: shall we?")
    assert await step(harness, LI, session, "takeover", "sessions", former="leave") == 200
    await until(speaker, part="agent")
    assert (await agent.wait_closed()).code == 4409
    await visitor.send_json({"msg": "where is Chen?"})
    await until(speaker, msg="where is Chen?")
    await speaker.send_json({"msg": "I go on", "id": "a2"})
    await until(visitor, msg="Li: I go on")
    former = await harness.chat(token("consultant", 2), session)
    assert (await former.wait_closed()).code == 4403
    refused = await harness.connect(f"/observe?token={token('consultant', 2)}&sessionId={session}")
    assert (await refused.wait_closed()).code == 4403
