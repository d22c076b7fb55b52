"""Another agent takes a session: who reads what, before and after."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from tests.conftest import Harness, on_both, token
from tornado_chat.client import RawClient
from tornado_chat.client.socket import ConnectionClosed
from tornado_chat.core.errors import Conflict
from tornado_chat.core.types import Kind, Person, Role, Room, Thread
from tornado_chat.storage import rooms

pytestmark = on_both

VISITOR, COUNSELLOR, NEXT = token("user", 1, "小林"), token("consultant", 2, "陈老师"), token("consultant", 5)
CHEN, WU = Person(Role.CONSULTANT, "2"), Person(Role.CONSULTANT, "5")
SUPERVISOR = Person(Role.SUPERVISOR, "3")
HOST = token("service", "host")


async def replace(harness: Harness, session: int, before: Person, after: Person, name: str | None) -> Room:
    thread = Thread(Kind.SESSION, session)
    return await harness.server._store.write(
        lambda tx: rooms.replace_agent(tx, thread, before, after, name), thread
    )


async def texts(client: RawClient, count: int) -> list[Any]:
    return [(await client.recv_json())["msg"] for _ in range(count)]


async def next_with(client: RawClient, key: str) -> Any:
    while key not in (frame := await client.recv_json()):
        pass
    return frame[key]


@pytest.mark.gen_test
async def test_the_next_agent_has_the_session_and_the_former_one_leaves(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    rich = await harness.chat(VISITOR, session, features="sender,presence,history")
    counsellor = await harness.chat(COUNSELLOR, session)
    await texts(visitor, 3)
    await counsellor.send_json({"msg": "before"})
    assert await texts(visitor, 1) == ["before"]
    room = await replace(harness, session, CHEN, WU, "吴老师")
    assert (room.helper, room.helper_name, room.agent_changes) == (WU, "吴老师", 1)
    assert await texts(visitor, 1) == ["陈老师已将会话交接给 吴老师"]
    handover = await next_with(rich, "handover")
    assert handover["from"] == {"role": "consultant", "id": "2", "name": "陈老师"}
    assert handover["to"] == {"role": "consultant", "id": "5", "name": "吴老师"}
    assert (await counsellor.wait_closed()).code == 4409
    await visitor.send_json({"msg": "after"})
    successor = await harness.chat(NEXT, session, features="sender")
    assert await next_with(successor, "msg") == "before"
    assert await next_with(successor, "msg") == "after"
    await successor.send_json({"msg": "from Wu"})
    assert await texts(visitor, 1) == ["from Wu"]
    presence = {"user": True, "consultant": False}
    while presence != {"user": True, "consultant": True}:
        presence = await next_with(rich, "presence")
    late = await harness.chat(COUNSELLOR, session)
    assert (await late.wait_closed()).code == 4403
    for path in (f"/sessions/{session}", f"/sessions/{session}/messages", f"/sessions/{session}/export"):
        assert (await harness.api("GET", f"/api/v1{path}", COUNSELLOR)).code == 403
        assert (await harness.api("GET", f"/api/v1{path}", NEXT)).code == 200
    shown = json.loads((await harness.api("GET", f"/api/v1/sessions/{session}", NEXT)).body)
    assert shown["agent"] == {"role": "consultant", "id": "5", "name": "吴老师"}
    transcript = await harness.api("GET", f"/api/v1/sessions/{session}/export?format=txt", HOST)
    assert "陈老师: before" in transcript.body.decode()
    assert "吴老师: from Wu" in transcript.body.decode()
    with pytest.raises(Conflict):
        await replace(harness, session, CHEN, SUPERVISOR, None)
    repeated = {"user_id": 1, "consultant_id": 2, "session_id": session}
    assert (await harness.api("POST", "/api/v1/sessions", HOST, repeated)).code == 200


@pytest.mark.gen_test
async def test_a_supervisor_as_agent_is_no_consultant_in_the_api(harness: Harness) -> None:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    await replace(harness, session, CHEN, SUPERVISOR, "周督导")
    supervisor = await harness.chat(token("supervisor", 3), session)
    await supervisor.send_json({"msg": "I am the supervisor"})
    while await texts(visitor, 1) != ["周督导: I am the supervisor"]:  # its frames name no sender
        pass
    shown = json.loads((await harness.api("GET", f"/api/v1/sessions/{session}", HOST)).body)
    assert (shown["consultant_id"], shown["agent"]["role"]) == (None, "supervisor")
    listed = json.loads((await harness.api("GET", f"/api/v1/sessions/{session}/messages", HOST)).body)
    assert [line["senderType"] for line in listed["items"]] == [True]


@pytest.mark.gen_test
async def test_messages_of_both_around_the_change(harness: Harness) -> None:
    """What is stored after the change never reaches the former agent, whose own late words are refused."""
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack,seq,echo")
    counsellor = await harness.chat(COUNSELLOR, session, features="ack,seq,echo")
    for n in range(100):
        await visitor.send_json({"msg": f"v{n}", "id": f"v{n}"})
        with suppress(ConnectionClosed):
            await counsellor.send_json({"msg": f"c{n}", "id": f"c{n}"})
        if n == 50:
            changing = asyncio.ensure_future(replace(harness, session, CHEN, WU, None))
        await asyncio.sleep(0)
    last = (await changing).last_seq
    while (await visitor.recv_json()).get("ack") != "v99":
        pass
    seen = []
    with suppress(ConnectionClosed):
        while True:
            frame = await counsellor.recv_json()
            if "seq" in frame and "ack" not in frame:
                seen.append(frame["seq"])
    assert seen == list(range(1, last + 1))
    page = json.loads((await harness.api("GET", f"/api/v1/sessions/{session}/messages?limit=200", HOST)).body)
    assert all(line["senderType"] is False for line in page["items"] if line["seq"] > last)
    assert len([line for line in page["items"] if line["senderType"] is False]) == 100
