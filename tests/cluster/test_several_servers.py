"""Tests of several servers with one MariaDB and one Redis, whose participants are at different servers."""

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.cluster.conftest import settings as cluster_settings
from tests.conftest import Harness, Peer, changed, token
from tests.helpers.faults import FaultyProxy
from tests.helpers.handing_over import SessionHandovers, SupportHandovers
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.client.raw import RawClient
from tornado_chat.client.socket import ConnectionClosed
from tornado_chat.cluster.leader_election import ClusterMember
from tornado_chat.core.events import ConversationAssigned
from tornado_chat.core.types import Kind, Message, Person, Role, SessionState, Thread
from tornado_chat.server.server import Server
from tornado_chat.services.messaging.presence import PresenceLookup
from tornado_chat.storage import conversations, rooms
from tornado_chat.storage.writer import Transaction

VISITOR, COUNSELLOR, SUPERVISOR = (
    token("user", 1, "小林"),
    token("consultant", 2, "陈老师"),
    token("supervisor", 3),
)
HOST = token("service", "host")
HANDOVERS = int(os.environ.get("HANDOVERS", "12"))

pytestmark = pytest.mark.parametrize("database_kind", ["mariadb"], indirect=True)


@pytest.fixture
def settings(settings: config.Config, redis: RedisServer) -> config.Config:
    limits = replace(settings.limits, requests_per_minute=10**6, sockets_per_minute=10**6)
    return replace(settings, cluster=cluster_settings(redis), limits=limits)


@pytest.fixture
def harnesses(io_loop: IOLoop, settings: config.Config) -> Iterator[list[Harness]]:
    """Three servers, of which the first coordinates."""

    async def start() -> list[Harness]:
        started = []
        for _ in range(3):
            server = Server(settings)
            await server.start()
            started.append(Harness(server, settings, []))
        return started

    harnesses = io_loop.run_sync(start, timeout=WAIT_TIMEOUT_SECONDS)
    yield harnesses

    async def stop() -> None:
        for harness in harnesses:
            for client in harness.clients:
                await client.close()
        for harness in harnesses:
            await harness.server.stop()

    io_loop.run_sync(stop, timeout=WAIT_TIMEOUT_SECONDS)


async def texts(client: RawClient, count: int) -> list[str]:
    return [(await client.recv_json())["msg"] for _ in range(count)]


async def frame_with(client: RawClient, key: str) -> dict[str, object]:
    """Return the next frame that has ``key``."""
    while True:
        frame: dict[str, object] = await client.recv_json()
        if key in frame:
            return frame


@pytest.mark.gen_test
async def test_a_session_of_participants_at_different_servers(harnesses: list[Harness]) -> None:
    one, two, three = harnesses
    session = await one.session()
    visitor = await two.chat(VISITOR, session)
    assert await texts(visitor, 1) == ["来访者 小林已进入会话"]
    counsellor = await three.chat(COUNSELLOR, session)
    assert await texts(counsellor, 2) == ["咨询师 陈老师已进入会话", "会话已开始"]
    assert await texts(visitor, 2) == ["咨询师 陈老师已进入会话", "会话已开始"]
    await one.record(session)
    observer = await one.connect(f"/observe?token={SUPERVISOR}&sessionId={session}")
    for n in range(20):
        await visitor.send_json({"msg": f"visitor {n}"})
        await counsellor.send_json({"msg": f"counsellor {n}"})
    assert await texts(counsellor, 20) == [f"visitor {n}" for n in range(20)]
    assert await texts(visitor, 20) == [f"counsellor {n}" for n in range(20)]
    received = await texts(observer, 40)
    assert [text for text in received if text.startswith("v")] == [f"visitor {n}" for n in range(20)]
    assert [text for text in received if text.startswith("c")] == [f"counsellor {n}" for n in range(20)]
    await visitor.send_json({"msg": "good bye"})
    await visitor.close(4000)
    for client in (counsellor, observer):
        assert await texts(client, 2) == ["good bye", "会话已结束"]
        assert (await client.wait_closed()).code == 1000


@pytest.mark.gen_test
async def test_a_participant_that_returns_to_another_server_misses_no_message_and_is_not_announced(
    harnesses: list[Harness],
) -> None:
    one, two, three = harnesses
    session = await one.session()
    visitor = await two.chat(VISITOR, session)
    await texts(visitor, 1)
    counsellor = await three.chat(COUNSELLOR, session)
    await texts(visitor, 2)
    await texts(counsellor, 2)
    await visitor.close(1001)
    await counsellor.send_json({"msg": "meanwhile"})
    again = await one.chat(VISITOR, session)
    assert await texts(again, 1) == ["meanwhile"]
    await again.send_json({"msg": "back"})
    assert await texts(counsellor, 1) == ["back"]


@pytest.mark.gen_test
async def test_receipts_and_names_cross_servers(harnesses: list[Harness]) -> None:
    one, two, three = harnesses
    session = await one.session()
    counsellor = await three.chat(COUNSELLOR, session)  # a plain client
    visitor = await two.chat(VISITOR, session, features="receipt,sender")
    for n in range(1, 4):
        await visitor.send_json({"msg": f"hello {n}"})
        while (await frame_with(visitor, "receipt")) != {"receipt": n, "role": "consultant"}:
            pass
    await counsellor.close(1001)
    await visitor.send_json({"msg": "while you are away"})
    counsellor = await one.chat(COUNSELLOR, session, features="sender")  # another process, which has to ask
    while (await frame_with(visitor, "receipt")) != {"receipt": 4, "role": "consultant"}:
        pass
    while (frame := await frame_with(counsellor, "msg"))["msg"] != "while you are away":
        pass
    assert frame["sender"] == {"role": "user", "id": "1", "name": "小林"}
    await counsellor.send_json({"msg": "I am here"})
    while (frame := await frame_with(visitor, "msg"))["msg"] != "I am here":
        pass
    assert frame["sender"] == {"role": "consultant", "id": "2", "name": "陈老师"}


@pytest.mark.gen_test
async def test_a_hand_over_and_receipts_of_support_cross_servers(harnesses: list[Harness]) -> None:
    one, two, three = harnesses
    bob = await two.waiter(7, name="Bob")
    ada = await three.user(1, features=["receipt", "sender", "seq"])
    conversation = (await ada.until("connect_success"))["payload"]["conversation"]
    uuid = (await bob.until("new_connection"))["payload"]["uuid"]
    await ada.send_frame("message_text", {"message": "hello"})
    assert (await ada.until("receipt"))["payload"] == {"seq": 1, "conversation": conversation}
    await bob.until("message_text")
    eve = await one.waiter(8, name="Eve")
    while True:
        await bob.send_frame("transfer", {"waiter": 8}, to=uuid)
        if (await bob.client.recv_json())["type"] != "error":  # until Eve is known to be ready
            break
    payload = (await ada.until("handed_over"))["payload"]
    assert (payload["from"], payload["to"]) == ({"id": "7", "name": "Bob"}, {"id": "8", "name": "Eve"})
    await eve.until("new_connection")
    await eve.send_frame("message_text", {"message": "I am Eve"}, to=uuid)
    assert (await ada.until("message_text"))["sender"] == {"role": "waiter", "id": "8", "name": "Eve"}


@pytest.mark.gen_test
async def test_presence_typing_and_read_frames_cross_servers(harnesses: list[Harness]) -> None:
    one, two, three = harnesses
    session = await one.session()
    features = "typing,read,presence"
    visitor = await two.chat(VISITOR, session, features=features)
    presence = {"user": True, "consultant": False}
    assert await frame_with(visitor, "presence") == {"presence": presence, "grace": {"user": 300}}
    counsellor = await three.chat(COUNSELLOR, session, features=features)
    while (await frame_with(visitor, "presence"))["presence"] != {"user": True, "consultant": True}:
        pass
    await counsellor.send_json({"typing": True})
    assert (await frame_with(visitor, "typing"))["typing"] is True
    await visitor.send_json({"msg": "hello"})
    await frame_with(counsellor, "msg")
    await counsellor.close(1001)
    while (await frame_with(visitor, "presence"))["presence"] != {"user": True, "consultant": False}:
        pass


@pytest.mark.gen_test
async def test_all_servers_share_one_queue(harnesses: list[Harness]) -> None:
    one, two, three = harnesses
    first = await two.user(1)
    assert (await first.get("connect_queue"))["payload"]["location"] == 1
    second = await three.user(2)
    assert (await second.get("connect_queue"))["payload"]["location"] == 2
    waiter = await one.waiter(7)
    assert {(await waiter.get("new_connection"))["payload"]["uuid"] for _ in range(2)} == {
        first.uuid,
        second.uuid,
    }
    for user in (first, second):
        assert (await user.until("connect_success"))["payload"] == {"uuid": waiter.uuid}
        await user.send_frame("message_text", {"message": f"I am {user.uuid}"})
        frame = await waiter.get("message_text")
        assert (frame["from"], frame["payload"]["message"]) == (user.uuid, f"I am {user.uuid}")
        await waiter.send_frame("message_text", {"message": "hello"}, to=user.uuid)
        assert (await user.get("message_text"))["payload"]["message"] == "hello"
    await first.close(1001)
    back = await three.user(1)
    assert (await back.until("connect_success"))["payload"] == {"uuid": waiter.uuid}
    await back.send_frame("message_text", {"message": "from elsewhere"})
    assert (await waiter.get("message_text"))["from"] == first.uuid
    await back.send_frame("disconnect")
    assert (await waiter.get("disconnected"))["from"] == first.uuid
    for harness in harnesses:
        status = json.loads((await harness.api("GET", "/api/v1/support/status", HOST)).body)
        assert [each["conversations"] for each in status["waiters"]] == [1]
        whole = json.loads((await harness.api("GET", "/api/v1/status")).body)
        assert (whole["line"]["length"], whole["waiters"]["items"][0]["conversations"]) == (0, 1)


@pytest.mark.gen_test
async def test_a_waiting_user_learns_how_many_waiters_of_all_servers_serve(harnesses: list[Harness]) -> None:
    one, two, three = harnesses
    user = await three.user(100, features=["seq"])
    assert (await user.until("connect_queue"))["payload"]["serving"] == 0
    await user.send_frame("disconnect")
    await user.until("disconnected")

    waiter = await two.waiter(7)
    for id in range(config.Support().capacity):
        await (await one.user(id + 1)).until("connect_success")
    await user.send_frame("connect")
    assert (await user.until("connect_queue"))["payload"]["serving"] == 1
    for type, serving in (("unready", 0), ("ready", 1)):
        await waiter.send_frame(type)
        frame = (await user.until("connect_queue"))["payload"]
        assert (frame["location"], frame["serving"]) == (1, serving)


@pytest.mark.gen_test
async def test_a_user_with_a_tab_at_each_server_has_one_conversation(harnesses: list[Harness]) -> None:
    waiter = await harnesses[0].waiter(7, ready=False)
    tabs: list[Peer] = list(await asyncio.gather(*(harness.user(1) for harness in harnesses)))
    for tab in tabs:
        assert (await tab.get("connect_queue"))["payload"]["location"] == 1
    await waiter.send_frame("ready")
    user = (await waiter.get("new_connection"))["payload"]["uuid"]
    for tab in tabs:
        await tab.until("connect_success")
    await tabs[1].send_frame("message_text", {"message": "once"})
    assert (await waiter.get("message_text"))["from"] == user
    await tabs[2].send_frame("disconnect")
    assert (await waiter.get("disconnected"))["from"] == user
    for tab in tabs:
        await tab.until("disconnected")


@pytest.mark.gen_test
async def test_a_conversation_is_transferred_to_a_waiter_at_another_server(harnesses: list[Harness]) -> None:
    user, source = await harnesses[0].user(1), await harnesses[1].waiter(7)
    await user.until("connect_success")
    await source.get("new_connection")
    target = await harnesses[2].waiter(8)
    status = {}
    while len(status.get("waiters", ())) < 2:
        status = json.loads((await harnesses[0].api("GET", "/api/v1/support/status", HOST)).body)
    request_id = await source.send_frame("transfer", {"waiter": 8}, to=user.uuid)
    assert (await source.until("transfer_success"))["reply_id"] == request_id
    assert (await target.get("new_connection"))["payload"]["uuid"] == user.uuid
    assert (await user.until("connect_success"))["payload"] == {"uuid": target.uuid}
    wrong = await source.send_frame("transfer", {"waiter": 99}, to=user.uuid)
    assert (await source.until("error"))["reply_id"] == wrong


@pytest.mark.gen_test
async def test_a_notification_reaches_its_recipient_at_another_server(harnesses: list[Harness]) -> None:
    listener = await harnesses[1].connect(f"/notify?token={COUNSELLOR}")
    presence = PresenceLookup(harnesses[2].server._hub, harnesses[2].server._cluster_mode.bus)
    while not await presence.online(Person(Role.CONSULTANT, "2")):
        pass
    await harnesses[2].session()
    assert (await listener.recv_json())["type"] == 2


@pytest.mark.gen_test
async def test_a_waiter_who_signs_in_elsewhere_replaces_the_first_socket(harnesses: list[Harness]) -> None:
    first, second, *others = [
        Peer(await harness.connect("/v1/ws/waiter/connect"))
        for harness in (*harnesses, *harnesses, *harnesses)
    ]
    await first.sign_in("waiter", 7, features=["kickout", "ack"])
    await first.get("auth_success")
    await second.sign_in("waiter", 7, features=["kickout"])
    await first.get("kickout")
    assert (await first.client.wait_closed()).code == 4409
    # At the same moment: exactly one remains.
    await asyncio.gather(*(each.sign_in("waiter", 7, features=["kickout"]) for each in others))
    closed = [asyncio.ensure_future(each.client.wait_closed()) for each in (second, *others)]
    while sum(each.done() for each in closed) < len(others):
        await asyncio.wait([each for each in closed if not each.done()], return_when=asyncio.FIRST_COMPLETED)
    assert {each.result().code for each in closed if each.done()} == {4409}
    remaining = next(peer for peer, end in zip((second, *others), closed, strict=True) if not end.done())
    for end in closed:
        end.cancel()
    await remaining.send_frame("ready")
    await harnesses[2].user(1)
    await remaining.get("new_connection")


@pytest.mark.gen_test
async def test_a_revocation_closes_the_sockets_at_all_servers(
    harnesses: list[Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(seconds: float) -> None:
        await asyncio.Event().wait()

    for harness in harnesses:  # the bus alone
        monkeypatch.setattr(harness.server._revocations, "read", lambda: never(0))
    presence = PresenceLookup(harnesses[2].server._hub, harnesses[2].server._cluster_mode.bus)
    clients = [await harness.connect(f"/notify?token={COUNSELLOR}") for harness in harnesses[:2]]
    while not await presence.online(Person(Role.CONSULTANT, "2")):
        pass
    body = {"role": "consultant", "id": 2}
    assert (await harnesses[2].api("POST", "/api/v1/revocations", HOST, body)).code == 201
    for client in clients:
        assert (await client.wait_closed()).code == 4401
    for harness in harnesses[:2]:
        assert (await harness.api("GET", "/api/v1/notifications", COUNSELLOR)).code == 401


@pytest.mark.gen_test
async def test_a_revocation_reaches_servers_that_the_bus_does_not(
    harnesses: list[Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harnesses[0].server._cluster_mode.bus.link, "publish", lambda *arguments: None)
    client = await harnesses[1].connect(f"/notify?token={COUNSELLOR}&features=alive")
    await client.send_json({"alive": True})
    await client.recv_json()
    body = {"role": "consultant", "id": 2}
    assert (await harnesses[0].api("POST", "/api/v1/revocations", HOST, body)).code == 201
    for harness in harnesses[1:]:
        await harness.server._revocations.read()
    assert (await client.wait_closed()).code == 4401
    assert (await harnesses[2].api("GET", "/api/v1/notifications", COUNSELLOR)).code == 401


@pytest.mark.gen_test
async def test_a_stored_but_unpublished_message_is_published_when_it_is_sent_again(
    harnesses: list[Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = harnesses
    session = await one.session()
    counsellor = await three.chat(COUNSELLOR, session, features="seq")
    await texts(counsellor, 1)
    visitor = await one.chat(VISITOR, session, features="ack")
    await texts(counsellor, 2)
    monkeypatch.setattr(one.server._cluster_mode.bus, "publish", lambda event: None)
    await visitor.send_json({"msg": "help", "id": "1"})
    await frame_with(visitor, "ack")
    visitor = await two.chat(VISITOR, session, features="ack")
    await visitor.send_json({"msg": "help", "id": "1"})
    assert (await frame_with(visitor, "ack"))["seq"] == 1
    received = await frame_with(counsellor, "seq")
    assert (received["msg"], received["seq"]) == ("help", 1)


@pytest.mark.gen_test
async def test_a_user_that_connects_during_its_assignment_gets_its_waiter(
    harnesses: list[Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = harnesses
    user = await two.user(1)
    await user.get("connect_queue")
    was_read, assigned = asyncio.Event(), asyncio.Event()
    look_up = three.server._store.look_up

    async def slowly(query: Callable[..., Any], *arguments: Any) -> Any:
        found = await look_up(query, *arguments)
        if query is conversations.unfinished_of and not was_read.is_set():
            was_read.set()
            await assigned.wait()
        return found

    monkeypatch.setattr(three.server._store, "look_up", slowly)
    three.server._cluster_mode.bus.add_handler(lambda event: assigned.set(), ConversationAssigned)
    tab = await three.user(1)
    await was_read.wait()
    waiter = await one.waiter(7)
    await user.until("connect_success")
    assert (await tab.get("connect_success"))["payload"] == {"uuid": waiter.uuid}


@pytest.mark.gen_test
async def test_changes_that_a_server_stores_while_it_stops_are_published(
    harnesses: list[Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = harnesses
    session = await two.session()
    counsellor = await three.chat(COUNSELLOR, session)
    await texts(counsellor, 1)
    coordinator_client = one.server._cluster_mode._coordinator_client
    assert isinstance(coordinator_client, ClusterMember)
    leave = coordinator_client.stop

    def slowly(tx: Transaction) -> None:
        time.sleep(0.5)  # as with a busy database
        rooms.finish(tx, Thread(Kind.SESSION, session), SessionState.COMPLETED)

    async def stop() -> None:
        await leave()
        one.server._store.write(slowly)

    monkeypatch.setattr(coordinator_client, "stop", stop)
    await harnesses.pop(0).server.stop()
    assert await texts(counsellor, 1) == ["会话已结束"]


class TestRedisHangs:
    @pytest.fixture
    def settings(self, settings: config.Config, own_redis: RedisServer) -> config.Config:
        return replace(settings, cluster=cluster_settings(own_redis))

    @pytest.mark.gen_test
    async def test_a_user_that_reconnects_meanwhile_gets_its_queue_position(
        self, harnesses: list[Harness], own_redis: RedisServer, expected_logs: list[str]
    ) -> None:
        expected_logs.append("until it is back, the processes receive no events of each other")
        two = harnesses[1]
        await (await harnesses[2].user(1)).get("connect_queue")
        user = await two.user(2)
        assert (await user.get("connect_queue"))["payload"]["location"] == 2
        own_redis.freeze()
        while two.server._cluster_mode.bus.link.is_connected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await user.close(1001)
        again = await two.user(2)
        await again.client.send_json({"id": "x", "type": "nonsense", "payload": None})
        await again.get("error")  # the socket is registered
        own_redis.resume()
        assert (await again.get("connect_queue"))["payload"]["location"] == 2


class TestCoordinatorStops:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", rejoin_grace=1.5)

    @pytest.mark.gen_test
    async def test_the_queue_and_the_conversations_continue(self, harnesses: list[Harness]) -> None:
        one, two, three = harnesses
        waiter = await two.waiter(7)
        talking = await three.user(1)
        await waiter.get("new_connection")
        await talking.until("connect_success")
        await waiter.send_frame("unready")
        waiting = await three.user(2)
        assert (await waiting.get("connect_queue"))["payload"]["location"] == 1
        await one.server.stop()
        await talking.send_frame("message_text", {"message": "still here"})
        assert (await waiter.get("message_text"))["payload"]["message"] == "still here"
        await waiter.send_frame("ready")
        assert (await waiter.get("new_connection"))["payload"]["uuid"] == waiting.uuid
        await waiting.until("connect_success")
        await asyncio.sleep(2)  # longer than the grace period, but no participant counts as disconnected
        await talking.send_frame("message_text", {"message": "and here"})
        assert (await waiter.get("message_text"))["from"] == talking.uuid
        del harnesses[0]


class TestServerCutOffFromRedis:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(changed(settings, "support", rejoin_grace=1.0), "counselling", rejoin_grace=1.0)

    @pytest.mark.slow
    @pytest.mark.gen_test
    async def test_its_participants_can_continue_for_longer_than_the_grace_period(
        self, settings: config.Config, redis: RedisServer, harnesses: list[Harness], expected_logs: list[str]
    ) -> None:
        expected_logs += ["silent", "Redis"]
        async with FaultyProxy(redis.port) as proxy:
            url = proxy.url.replace("ws://", "redis://")
            server = Server(changed(settings, "cluster", url=url))
            await server.start()
            cut_off = Harness(server, settings, [])
            session = await cut_off.session()
            visitor = await cut_off.chat(VISITOR, session)
            await texts(visitor, 1)
            counsellor = await harnesses[1].chat(COUNSELLOR, session)
            await texts(visitor, 2)
            await texts(counsellor, 2)
            waiter = await harnesses[2].waiter(7)
            user = await cut_off.user(5)
            await waiter.get("new_connection")
            await user.until("connect_success")

            proxy.close()
            for n in range(10):  # seconds: the process counts as dead after 5 s, the grace period is 1 s
                await visitor.send_json({"msg": f"visitor {n}"})
                await waiter.send_frame("message_text", {"message": f"waiter {n}"}, to=user.uuid)
                assert await texts(counsellor, 1) == [f"visitor {n}"]
                assert (await user.get("message_text"))["payload"]["message"] == f"waiter {n}"
                await asyncio.sleep(1)
            for client in cut_off.clients:
                await client.close()
            await server.stop()


@pytest.mark.gen_test
async def test_a_forged_message_with_the_next_number_does_not_hide_the_true_one(
    harnesses: list[Harness], expected_logs: list[str]
) -> None:
    expected_logs.append("an item was delivered that is not stored")
    session = await harnesses[0].session()
    visitor = await harnesses[0].chat(VISITOR, session, features="ack")
    counsellor = await harnesses[1].chat(COUNSELLOR, session)
    forged = Message(Thread(Kind.SESSION, session), 1, Person(Role.USER, "1"), "forged", 1)
    while (await counsellor.recv_json())["msg"] != "会话已开始":
        pass
    harnesses[2].server._cluster_mode.bus.publish(forged)
    assert (await counsellor.recv_json())["msg"] == "forged"
    await visitor.send_json({"msg": "true", "id": "a"})
    assert (await counsellor.recv_json())["msg"] == "true"
    # The forged one comes second: the stored one was delivered already.
    harnesses[2].server._cluster_mode.bus.publish(forged)
    await visitor.send_json({"msg": "next", "id": "b"})
    assert (await counsellor.recv_json())["msg"] == "next"


class TestLeaving:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        graces = {"leave_grace": 600.0, "rejoin_grace": 3600.0}
        return changed(changed(settings, "counselling", **graces), "support", **graces)

    @staticmethod
    async def until_awaited_for(observing: RawClient, seconds: float) -> None:
        """Read until a presence frame says that the visitor is awaited for so long; some are repeated."""
        while True:
            frame: dict[str, Any] = await frame_with(observing, "until")
            until, now = (datetime.fromisoformat(each) for each in (frame["until"]["user"], frame["time"]))
            if (until - now).total_seconds() == pytest.approx(seconds, abs=20):
                return

    @pytest.mark.gen_test
    async def test_the_coordinator_learns_how_a_client_of_another_server_has_gone(
        self, harnesses: list[Harness]
    ) -> None:
        one, two, three = harnesses
        session = await one.session()
        counsellor = await three.chat(COUNSELLOR, session, features="presence")
        visitor = await two.chat(VISITOR, session)
        while (await frame_with(counsellor, "msg"))["msg"] != "会话已开始":
            pass
        await visitor.close()
        await self.until_awaited_for(counsellor, 600)
        await counsellor.send_json({"wait": 60})
        await self.until_awaited_for(counsellor, 660)
        joining = await two.chat(COUNSELLOR, session, features="presence")
        await self.until_awaited_for(joining, 660)
        await counsellor.send_json({"wait": 86400})
        await self.until_awaited_for(counsellor, 900)
        await counsellor.send_json({"wait": 60})
        assert (await frame_with(counsellor, "wait"))["wait"] is False
        visitor = await two.chat(VISITOR, session)
        while "until" in await frame_with(counsellor, "presence"):
            pass
        await two.server.stop()  # its clients have not left
        del harnesses[1]
        await self.until_awaited_for(counsellor, 3600)


class TestAccept:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", capacity=1, accept_timeout=1.0, queue_interval=0.05)

    @pytest.mark.gen_test
    async def test_confirmations_and_scores_cross_servers(self, harnesses: list[Harness]) -> None:
        one, two, three = harnesses  # the first coordinates
        silent = await two.waiter(7, features=["accept"])
        user = await three.user(1)
        await silent.until("new_connection")
        other = await three.waiter(8, features=["accept"])
        assert (await silent.until("disconnected"))["reason"] == "not_accepted"
        await other.until("new_connection")
        await other.send_frame("typing", {"typing": True}, to=user.uuid)
        await silent.send_frame("unready")
        line = [await two.user(id, features=["seq"]) for id in (2, 3)]
        numbers = [(await peer.get("connect_queue"))["payload"]["conversation"] for peer in line]
        path = f"/api/v1/support/conversations/{numbers[1]}/priority"
        assert (await three.api("POST", path, HOST, {"score": 9})).code == 200
        while (await line[1].until("connect_queue"))["payload"]["location"] != 1:
            pass
        await one.server.stop()  # another one coordinates, which has not heard of the confirmation
        await other.send_frame("message_text", {"message": "still here"}, to=user.uuid)
        while (await user.until("message_text"))["payload"]["message"] != "still here":
            pass
        await asyncio.sleep(1.5)  # longer than the time to confirm
        await other.send_frame("disconnect", to=user.uuid)
        assert (await other.until("new_connection"))["payload"]["uuid"] == line[1].uuid
        del harnesses[0]


@pytest.mark.gen_test
async def test_another_agent_takes_a_session_of_participants_at_different_servers(
    harnesses: list[Harness],
) -> None:
    """The change is stored at a third server, and the next agent comes before or after its event."""
    one, two, three = harnesses
    session = await one.session()
    thread = Thread(Kind.SESSION, session)
    visitor = await two.chat(VISITOR, session)
    agent = await three.chat(COUNSELLOR, session)
    await texts(visitor, 3)
    for turn in range(4):
        before, after = Person(Role.CONSULTANT, str(2 + turn)), Person(Role.CONSULTANT, str(3 + turn))
        await visitor.send_json({"msg": f"last {turn}"})
        await one.server._store.write(
            lambda tx, of=before, to=after: rooms.replace_agent(tx, thread, of, to, None), thread
        )
        await visitor.send_json({"msg": f"next {turn}"})
        following = await (two, three)[turn % 2].chat(token("consultant", 3 + turn), session)
        shown = []
        while (text := await text_or_end(agent)) is not None:
            shown.append(text)
        assert f"next {turn}" not in shown
        assert (await agent.wait_closed()).code == 4409
        while await texts(following, 1) != [f"next {turn}"]:
            pass
        await following.send_json({"msg": f"agent {turn}"})
        while await texts(visitor, 1) != [f"agent {turn}"]:
            pass
        agent = following
    await agent.close(4000)
    while await texts(visitor, 1) != ["会话已结束"]:
        pass


async def text_or_end(client: RawClient) -> str | None:
    """Return the text of the next message, None if the socket has closed."""
    try:
        return str((await client.recv_json())["msg"])
    except ConnectionClosed:
        return None


@pytest.mark.gen_test
async def test_a_supervisor_joins_and_takes_over_by_requests_at_another_server(
    harnesses: list[Harness],
) -> None:
    """Its socket, the participants and the requests are at three servers."""
    one, two, three = harnesses
    user = await two.user(1, features=["seq"])
    waiter = await three.waiter(7)
    number = (await user.until("connect_success"))["payload"]["conversation"]
    address = (await waiter.get("new_connection"))["payload"]["uuid"]
    admin = token("admin", 9, "Wu")
    speaker = await two.connect(f"/observe?token={admin}&conversationId={number}&features=speak,presence")
    watching = await three.connect(f"/observe?token={admin}&conversationId={number}")

    async def step(name: str, who: str = admin, body: dict[str, str] | None = None) -> int:
        path = f"/api/v1/support/conversations/{number}/{name}"
        return int((await one.api("POST", path, who, body)).code)

    async def part(expected: str | None) -> None:
        while (await frame_with(speaker, "part"))["part"] != expected:
            pass

    assert await step("join") == 200
    await part("supervisor")
    await speaker.send_json({"msg": "good evening"})
    await waiter.get("message_text")
    await user.get("message_text")
    assert await texts(watching, 1) == ["good evening"]
    assert await step("takeover", body={"former": "observe"}) == 200
    await part("agent")
    while (await frame_with(speaker, "presence"))["presence"] != {"user": True, "admin": True}:
        pass
    await waiter.until("disconnected")
    await waiter.send_frame("message_text", {"message": "mine"}, to=address)
    await waiter.get("error")
    await user.until("connect_success")
    former = await three.connect(f"/observe?token={token('waiter', 7)}&conversationId={number}")
    await user.send_frame("message_text", {"message": "who is there?"})
    assert await texts(former, 1) == ["who is there?"]
    assert await step("leave", token("waiter", 7)) == 204
    await user.send_frame("message_text", {"message": "not for the former agent"})
    with pytest.raises(ConnectionClosed):
        await former.recv_json()
    assert await texts(watching, 2) == ["who is there?", "not for the former agent"]
    await user.send_frame("disconnect")
    for client in (watching, speaker):
        while (await frame_with(client, "senderType"))["senderType"] is not None:
            pass
        assert (await client.wait_closed()).code == 1000


@pytest.mark.gen_test(timeout=WAIT_TIMEOUT_SECONDS + HANDOVERS)
async def test_many_handovers_between_people_at_different_servers(harnesses: list[Harness]) -> None:
    """``HANDOVERS=1000`` makes so many of each kind."""
    for kind in (SessionHandovers, SupportHandovers):
        figures = await kind(harnesses, random.Random(3)).run(HANDOVERS)
        print(kind.__name__, figures)
        assert figures.is_clean, figures
        assert figures.handovers == HANDOVERS
