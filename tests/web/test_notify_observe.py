"""``/notify`` and ``/observe`` over real sockets."""

import asyncio
import json
from typing import Any

import pytest

from tests.conftest import Harness, changed, on_both, token
from tornado_chat import config
from tornado_chat.client import RawClient
from tornado_chat.core.types import Kind, Person, Role, Thread

pytestmark = on_both

HOST = token("service", "host")
VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")
SUPERVISOR = token("supervisor", 3, "S")


PATH = "/api/v1/notifications"
TO_VISITOR = {"role": "user", "id": 1, "type": 0}


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
    answer = await harness.api(
        "POST", "/api/v1/notifications", HOST, {"role": "consultant", "id": 2, "type": 0, "msg": "yours"}
    )
    assert answer.code == 202
    assert (await somebody_else.recv_json())["msg"] == "yours"  # no notification of the visitor before it


@pytest.mark.gen_test
async def test_a_plain_client_gets_an_unread_notification_again_until_it_was_read(harness: Harness) -> None:
    """A pong proves that the browser has the frame: the page may be blocked, and closed before it reads."""

    async def visit(count: int, features: str = "") -> list[str]:
        """Connect, and return the notifications before a new one, which is read at once."""
        client = await harness.connect(f"/notify?token={VISITOR}{features}")
        got = [(await client.recv_json())["msg"] for _ in range(count)]
        answer = await harness.api("POST", "/api/v1/notifications", HOST, {**TO_VISITOR, "msg": "last"})
        assert (await client.recv_json())["msg"] == "last"
        number = json.loads(answer.body)["notification_id"]  # also its seq, as there is no other recipient
        await harness.receipt(Person(Role.USER, "1"), Thread(Kind.INBOX, 1), number)
        # Repetitions are counted by now: the writer stores in the order of the requests.
        assert (await harness.api("POST", f"{PATH}/{number}/read", VISITOR)).code == 200
        await client.close()
        return got

    for text in ("one", "two"):
        await notify(harness, text)
    assert await visit(2) == ["one", "two"]
    assert await visit(0, "&features=seq") == []
    assert await visit(2) == ["one", "two"]
    assert (await harness.api("POST", f"{PATH}/1/read", VISITOR)).code == 200
    assert await visit(1) == ["two"]
    assert await visit(1) == ["two"]
    assert await visit(0) == []  # three repetitions


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


HEARTBEATS: list[str | bytes] = [
    *("ping", "heartbeat", "", "[]", '"ping"', '{"type":"ping"}', '{"type": "heartbeat"}'),
    *('{"alive": true}', '{"msg": "may I?"}', '{"token": "t"}'),
]


def ignored_count(harness: Harness, endpoint: str) -> int:
    return harness.server.metrics.frames_ignored.counts.get((endpoint,), 0)


@pytest.mark.gen_test
async def test_everything_that_a_plain_listener_sends_is_ignored_and_counted(harness: Harness) -> None:
    session = await harness.session()
    notified = await harness.connect(f"/notify?token={VISITOR}")
    observer = await harness.connect(f"/observe?token={token('admin', 9)}&sessionId={session}")
    for client, endpoint in ((notified, "notify"), (observer, "observe")):
        for heartbeat in HEARTBEATS * 3:  # more than the malformed frames that close a socket of /chat
            await client.send(heartbeat)
        while ignored_count(harness, endpoint) < 3 * len(HEARTBEATS):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    metrics = (await harness.api("GET", "/metrics")).body.decode()
    assert 'tornado_chat_frames_ignored_total{endpoint="notify"} 30.0' in metrics
    assert "tornado_chat_frames_refused_total{" not in metrics
    await notify(harness, "after the heartbeats")
    assert (await notified.recv_json())["msg"] == "after the heartbeats"  # and no frame before it
    visitor = await harness.chat(VISITOR, session)
    await visitor.send_json({"msg": "hi"})
    assert (await observer.recv_json())["msg"] == "hi"


@pytest.mark.gen_test
async def test_a_listener_with_features_gets_no_error_either(harness: Harness) -> None:
    client = await harness.connect(f"/notify?token={VISITOR}&features=seq,alive,token")
    for frame in ("ping", "{}", '{"token": 5}', '{"alive": "yes"}', '{"msg": "hi"}'):
        await client.send(frame)
    await client.send_json({"alive": True})
    assert await client.recv_json() == {"alive": True}


class TestFloods:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", messages_per_second=0.001, burst=5)

    @pytest.mark.gen_test
    async def test_ignored_frames_are_rate_limited(self, harness: Harness) -> None:
        client = await harness.connect(f"/notify?token={VISITOR}")
        for _ in range(6):
            await client.send("ping")
        assert (await client.wait_closed()).code == 4429
        assert ignored_count(harness, "notify") == 5


@pytest.mark.gen_test
async def test_an_observer_gets_presence_with_its_feature(harness: Harness) -> None:
    session = await harness.session()
    path = f"/observe?token={token('admin', 9)}&sessionId={session}"
    observer = await harness.connect(f"{path}&features=presence")

    async def expect(client: RawClient, user: bool, consultant: bool) -> None:
        """Read until this presence; a start of the session repeats it with other graces."""
        while (await client.recv_json())["presence"] != {"user": user, "consultant": consultant}:
            pass

    assert await observer.recv_json() == {"presence": {"user": False, "consultant": False}}
    visitor = await harness.chat(VISITOR, session)
    await expect(observer, True, False)
    plain = await harness.connect(path)
    counsellor = await harness.chat(COUNSELLOR, session)
    await expect(observer, True, True)
    late = await harness.connect(f"{path}&features=presence")
    await expect(late, True, True)
    await visitor.close()
    await expect(observer, False, True)
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
