"""Conversations between people on different processes: each pair of roles, over the wire."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, Peer, token
from tests.helpers.chaos import Cluster
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import ChatClient, NotifyClient, ObserveClient, RawClient, UserClient, WaiterClient

HOST = token("service", "host")
VISITOR, COUNSELLOR, SUPERVISOR, ADMIN = (
    token("user", 1, "小林"),
    token("consultant", 2, "陈老师"),
    token("supervisor", 3, "王督导"),
    token("admin", 9),
)

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(
    io_loop: IOLoop, tmp_path: Path, own_mariadb: MariaDB, own_redis: RedisServer
) -> Iterator[Cluster]:
    """Run three servers."""
    cluster = Cluster(tmp_path, own_mariadb, own_redis, 3, children=False)
    io_loop.run_sync(cluster.start, timeout=WAIT_TIMEOUT_SECONDS)
    yield cluster
    io_loop.run_sync(cluster.stop, timeout=WAIT_TIMEOUT_SECONDS)
    assert not cluster.warnings()


@pytest.fixture
def harnesses(cluster: Cluster) -> list[Harness]:
    return [server.harness for server in cluster.servers]


async def said(client: ChatClient | ObserveClient, count: int) -> list[str]:
    """Return the next ``count`` texts, without those of the system."""
    found: list[str] = []
    while len(found) < count:
        frame = await client.receive(WAIT_TIMEOUT_SECONDS)
        if not frame.raw.get("isSystem"):
            found.append(frame.msg)
    return found


@pytest.mark.gen_test
async def test_counselling(harnesses: list[Harness]) -> None:
    one, two, three = harnesses
    async with (
        NotifyClient(three.ws, COUNSELLOR) as notified,
        NotifyClient(one.ws, SUPERVISOR) as asked,
    ):
        session = await two.session()
        assert (await notified.receive(WAIT_TIMEOUT_SECONDS)).raw["type"] == 2
        async with (
            ChatClient(one.ws, VISITOR, session) as visitor,
            ChatClient(two.ws, COUNSELLOR, session) as counsellor,
        ):
            await visitor.send("v1")
            await counsellor.send("c1")
            assert await said(counsellor, 1) == ["v1"]
            assert await said(visitor, 1) == ["c1"]

            record = await one.record(session)
            assert (await asked.receive(WAIT_TIMEOUT_SECONDS)).raw["type"]
            async with (
                ObserveClient(three.ws, SUPERVISOR, session) as supervisor,
                ObserveClient(two.ws, ADMIN, session) as admin,
                ChatClient(three.ws, SUPERVISOR, record, type=1) as helping,
                ChatClient(one.ws, COUNSELLOR, record, type=1) as asking,
            ):
                await asking.send("what would you do?")
                assert await said(helping, 1) == ["what would you do?"]
                await helping.send("listen")
                assert await said(asking, 1) == ["listen"]
                for n in range(20):
                    await visitor.send(f"v2 {n}")
                    await counsellor.send(f"c2 {n}")
                expected = [f"{who}2 {n}" for n in range(20) for who in "vc"]
                assert await said(supervisor, 40) == expected
                assert await said(admin, 40) == expected
                assert await said(counsellor, 20) == expected[::2]
                assert await said(visitor, 20) == expected[1::2]

                async with ChatClient(three.ws, VISITOR, session) as tab:
                    await counsellor.send("both")
                    assert await said(visitor, 1) == ["both"]
                    # A message that the other process has not recorded as received yet may come again.
                    while await said(tab, 1) != ["both"]:
                        pass

                answer = await three.api("POST", f"/api/v1/sessions/{session}/end", HOST)
                assert answer.code == 200
                for client in (visitor, counsellor, supervisor, admin):
                    while client.closed is None:
                        try:
                            await client.receive(WAIT_TIMEOUT_SECONDS)
                        except Exception:
                            break
                    assert client.closed is not None
                    assert client.closed.code == 1000


@pytest.mark.gen_test
async def test_support(harnesses: list[Harness]) -> None:
    one, two, three = harnesses
    async with (
        UserClient(one.ws, token("user", 1)) as user,
        UserClient(two.ws, token("user", 2)) as other,
    ):
        await user.expect("connect_queue", WAIT_TIMEOUT_SECONDS)
        await other.expect("connect_queue", WAIT_TIMEOUT_SECONDS)
        async with WaiterClient(three.ws, token("waiter", 7)) as waiter:
            for client in (user, other):
                await client.expect("connect_success", WAIT_TIMEOUT_SECONDS)
            assert user.uuid is not None
            assert other.uuid is not None
            for n in range(20):
                await asyncio.gather(user.send(f"u{n}"), other.send(f"o{n}"))
            heard: dict[str, list[str]] = {user.uuid: [], other.uuid: []}
            for _ in range(40):
                frame = await waiter.expect("message_text", WAIT_TIMEOUT_SECONDS)
                heard[str(frame.sender)].append(frame.message)
            assert heard == {
                user.uuid: [f"u{n}" for n in range(20)],
                other.uuid: [f"o{n}" for n in range(20)],
            }
            await waiter.send(user.uuid, "to the first")
            await waiter.send(other.uuid, "to the other")
            assert (await user.expect("message_text", WAIT_TIMEOUT_SECONDS)).message == "to the first"
            assert (await other.expect("message_text", WAIT_TIMEOUT_SECONDS)).message == "to the other"

            async with WaiterClient(one.ws, token("waiter", 8)) as second:
                status = {}
                while len(status.get("waiters", ())) < 2:
                    status = json.loads((await two.api("GET", "/api/v1/support/status", HOST)).body)
                await waiter.request("transfer", {"waiter": 8}, to=user.uuid)
                assert (await second.expect("new_connection", WAIT_TIMEOUT_SECONDS)).payload_value(
                    "uuid"
                ) == user.uuid
                heard_again = [
                    (await second.expect("message_text", WAIT_TIMEOUT_SECONDS)).message for _ in range(20)
                ]
                assert heard_again == [f"u{n}" for n in range(20)]
                await user.send("to the second")
                assert (await second.expect("message_text", WAIT_TIMEOUT_SECONDS)).message == "to the second"
                await second.send_frame("disconnect", to=user.uuid)
                await user.expect("disconnected", WAIT_TIMEOUT_SECONDS)
            assert (await waiter.expect("disconnected", WAIT_TIMEOUT_SECONDS)).sender == user.uuid
            await other.send_frame("disconnect")
            assert (await waiter.expect("disconnected", WAIT_TIMEOUT_SECONDS)).sender == other.uuid


@pytest.mark.gen_test
async def test_clients_with_the_seeds_protocols(harnesses: list[Harness]) -> None:
    one, two, three = harnesses
    session = await three.session()
    visitor = await RawClient.connect(f"{one.ws}/chat?token={VISITOR}&sessionId={session}&type=0")
    assert (await visitor.recv_json())["msg"] == "来访者 小林已进入会话"
    counsellor = await RawClient.connect(f"{two.ws}/chat?token={COUNSELLOR}&sessionId={session}&type=0")
    for client in (visitor, counsellor):
        text = ""
        while text != "会话已开始":
            text = (await client.recv_json())["msg"]
    await visitor.send_json({"msg": "你好"})
    assert (await counsellor.recv_json())["msg"] == "你好"
    await counsellor.close(4000)
    assert (await visitor.recv_json())["msg"] == "会话已结束"
    assert (await visitor.wait_closed()).code == 1000

    waiter, user = (
        Peer(await two.connect("/v1/ws/waiter/connect")),
        Peer(await one.connect("/v1/ws/user/connect")),
    )
    await waiter.sign_in("waiter", 7)
    await waiter.send_frame("ready")
    await user.sign_in("user", 1)
    await user.send_frame("connect")
    assert (await user.until("connect_success"))["payload"] == {"uuid": waiter.uuid}
    assert (await waiter.get("new_connection"))["payload"]["uuid"] == user.uuid
    await user.send_frame("message_text", {"message": "hello"})
    said = await waiter.get("message_text")
    assert (said["from"], said["payload"]["message"]) == (user.uuid, "hello")
    await waiter.send_frame("message_text", {"message": "good day"}, to=user.uuid)
    assert (await user.get("message_text"))["payload"]["message"] == "good day"
    await user.close()
    await waiter.close()
