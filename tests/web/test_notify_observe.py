"""``/notify`` and ``/observe`` over real sockets."""

import asyncio
import json
from typing import Any

import pytest

from tests.conftest import Harness, changed, on_both, token
from tornado_chat import config
from tornado_chat.core.types import Kind, Person, Role, Thread

pytestmark = on_both

HOST = token("service", "host")
VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")
SUPERVISOR = token("supervisor", 3, "S")


async def notify(harness: Harness, msg: str, type: int = 0, data: Any = None) -> None:
    body = {"role": "user", "id": 1, "type": type, "msg": msg, "data": data}
    assert (await harness.api("POST", "/api/v1/notifications", HOST, body)).code == 202


@pytest.mark.gen_test
async def test_the_three_types_have_the_frames_of_the_seed(harness: Harness) -> None:
    client = await harness.connect(f"/notify?token={VISITOR}")
    for type, data in [
        (0, None),
        (1, {"apointmentId": 3, "consultantId": 5}),
        (1, {"apointmentId": 3}),
        (2, {"sessionId": 4, "observeSessionId": 5}),
    ]:
        await notify(harness, "您好，您有一条预约状态变更", type, data)
        frame = await client.recv_json()
        assert list(frame) == ["type", "msg", "time", "data"]
        assert (frame["type"], frame["msg"], frame["data"]) == (type, "您好，您有一条预约状态变更", data)


@pytest.mark.gen_test
async def test_missed_notifications_arrive_once_and_in_order(harness: Harness) -> None:
    for n in range(5):
        await notify(harness, str(n))
    client = await harness.connect(f"/notify?token={VISITOR}")
    assert [(await client.recv_json())["msg"] for _ in range(5)] == list("01234")
    await harness.receipt(Person(Role.USER, "1"), Thread(Kind.INBOX, 1), 5)
    other = await harness.connect(f"/notify?token={VISITOR}&features=seq")
    somebody_else = await harness.connect(f"/notify?token={COUNSELLOR}")
    await notify(harness, "5")
    assert (await client.recv_json())["msg"] == "5"
    frame = await other.recv_json()
    assert (frame["msg"], frame["seq"]) == ("5", 6)
    read = await harness.api("POST", f"/api/v1/notifications/{frame['id']}/read", VISITOR)
    assert b'"read":true' in read.body
    await somebody_else.send_json({"msg": "hi"})
    assert "错误" in (await somebody_else.recv_json())["msg"]  # no notification of the visitor before it


@pytest.mark.gen_test
async def test_a_connect_during_notifications_misses_none(harness: Harness) -> None:
    await notify(harness, "0")

    async def receive() -> None:
        client = await harness.connect(f"/notify?token={VISITOR}&features=seq")
        seen = [(await client.recv_json())["seq"]]
        while seen[-1] < 16:
            seen.append((await client.recv_json())["seq"])
        assert seen == list(range(seen[0], seen[-1] + 1))

    clients = asyncio.gather(*(receive() for _ in range(15)))
    await asyncio.gather(*(notify(harness, str(n)) for n in range(15)))
    # A socket that opens after the other sockets have confirmed all of them gets the next one only.
    while not clients.done():
        await notify(harness, "next")
    await clients


@pytest.mark.gen_test
async def test_a_supervisor_observes_resumes_and_gets_the_end(harness: Harness) -> None:
    session = await harness.session()
    await harness.record(session)
    visitor = await harness.chat(VISITOR, session)
    counsellor = await harness.chat(COUNSELLOR, session)
    await visitor.send_json({"msg": "before anybody listened"})
    while (await counsellor.recv_json())["isSystem"]:
        pass
    listening = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}")
    admin = await harness.connect(f"/observe?token={token('admin', 9)}&sessionId={session}&features=seq")
    await visitor.send_json({"msg": "one"})
    frame = await listening.recv_json()
    assert list(frame) == ["msg", "senderType", "time"]
    assert (frame["msg"], frame["senderType"]) == ("one", False)
    assert (await admin.recv_json())["seq"] == 2
    await harness.receipt(Person(Role.SUPERVISOR, "3"), Thread(Kind.SESSION, session), 2)
    await listening.close()
    await counsellor.send_json({"msg": "two"})
    listening = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}")
    frame = await listening.recv_json()
    assert (frame["msg"], frame["senderType"]) == ("two", True)
    await listening.send_json({"msg": "may I?"})
    assert "错误" in (await listening.recv_json())["msg"]
    await counsellor.close(4000)
    last = await listening.recv_json()
    assert (last["msg"], last["senderType"]) == ("会话已结束", None)
    assert (await listening.wait_closed()).code == 1000
    heard = []
    while not heard or heard[-1] != "会话已结束":
        heard.append((await visitor.recv_json())["msg"])
    assert not any("督导" in text or "may I" in text for text in heard)
    late = await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}")
    assert (await late.wait_closed()).code == 4409


@pytest.mark.gen_test
async def test_listeners_may_send_alive(harness: Harness) -> None:
    session = await harness.session()
    for path in ("/notify?", f"/observe?sessionId={session}&"):
        admin = token("admin", 9)
        client = await harness.connect(f"{path}token={admin}&features=alive")
        await client.send_json({"alive": True})
        assert await client.recv_json() == {"alive": True}
        await client.send_json({"msg": "hi"})
        assert "错误" in (await client.recv_json())["msg"]
        plain = await harness.connect(f"{path}token={admin}")
        await plain.send_json({"alive": True})
        assert "只能接收" in (await plain.recv_json())["msg"]


@pytest.mark.gen_test
async def test_an_observer_gets_presence_with_its_feature(harness: Harness) -> None:
    session = await harness.session()
    path = f"/observe?token={token('admin', 9)}&sessionId={session}"
    observer = await harness.connect(f"{path}&features=presence")
    assert await observer.recv_json() == {"presence": {"user": False, "consultant": False}}
    visitor = await harness.chat(VISITOR, session)
    assert await observer.recv_json() == {"presence": {"user": True, "consultant": False}}
    plain = await harness.connect(path)
    counsellor = await harness.chat(COUNSELLOR, session)
    assert await observer.recv_json() == {"presence": {"user": True, "consultant": True}}
    late = await harness.connect(f"{path}&features=presence")
    assert await late.recv_json() == {"presence": {"user": True, "consultant": True}}
    await visitor.close()
    assert await observer.recv_json() == {"presence": {"user": False, "consultant": True}}
    await counsellor.send_json({"msg": "are you there?"})
    assert (await plain.recv_json())["msg"] == "are you there?"  # no presence frame before it


@pytest.mark.gen_test
async def test_a_notification_keeps_the_time_of_the_first_read(harness: Harness) -> None:
    await notify(harness, "one")

    async def inbox() -> Any:
        return json.loads((await harness.api("GET", "/api/v1/notifications", VISITOR)).body)["items"][0]

    unread = await inbox()
    assert (unread["read"], unread["read_at"]) == (False, None)
    answers = [
        json.loads((await harness.api("POST", "/api/v1/notifications/1/read", VISITOR)).body)
        for _ in range(2)
    ]
    assert answers[0]["read"] is True
    assert answers[0]["read_at"] > unread["time"]
    assert answers[0] == answers[1] == await inbox()


class TestAnySupervisor:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "counselling", observe="any")

    @pytest.mark.gen_test
    async def test_any_supervisor_observes_if_configured(self, harness: Harness) -> None:
        session = await harness.session()
        listening = await harness.connect(f"/observe?token={token('supervisor', 44)}&sessionId={session}")
        visitor = await harness.chat(VISITOR, session)
        await visitor.send_json({"msg": "hello"})
        assert (await listening.recv_json())["msg"] == "hello"
        refused = await harness.connect(f"/observe?token={COUNSELLOR}&sessionId={session}")
        assert (await refused.wait_closed()).code == 4403
