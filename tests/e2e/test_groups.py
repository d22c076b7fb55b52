"""Groups on real processes: alone with a kill, and two over MariaDB and Redis with a lost coordinator."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, Peer, token
from tests.e2e.conftest import Process
from tests.helpers.chaos import NO_ANSWER, SILENT, Cluster
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import SupportFrame, UserClient, WaiterClient

pytestmark = pytest.mark.slow

OPTIONS = (
    "group:crisis.roles=consultant",
    "group:crisis.title_zh_CN=危机",
    "group:crisis.priority=10",
    "group:crisis.consent=What you write is stored.",
    "group:crisis.consent_version=1",
    "group:legal.roles=consultant",
    "group:legal.fallback=default",
    "group:legal.fallback_after=0.5",
)
FEATURES = ("ack", "seq", "group", "consent")
ADMIN = token("admin", 1)


def caller(server: Harness, id: int, group: str) -> UserClient:
    return UserClient(server.ws, token("user", id), FEATURES, group=group)


async def next_frame(client: UserClient | WaiterClient, type: str) -> SupportFrame:
    return await client.expect(type, WAIT_TIMEOUT_SECONDS)


async def position(client: UserClient, expected: int) -> None:
    """Wait until the client has this position in its group."""
    while (await next_frame(client, "connect_queue")).payload_value("location") != expected:
        pass


async def accept(client: UserClient) -> None:
    """Accept what the client's group asks for; the client waits in the queue then."""
    version = (await next_frame(client, "consent")).payload_value("version")
    answer = await client.request("consent", {"version": version, "accept": True})
    assert answer.payload_value("accepted")


async def numbers(server: Harness) -> dict[str, Any]:
    answer = await server.api("GET", "/api/v1/groups", ADMIN)
    assert answer.code == 200, answer.body
    return {each["name"]: each["numbers"] for each in json.loads(answer.body)["items"]}


async def talk(user: UserClient, agent: WaiterClient, text: str) -> None:
    await user.send(text)
    assert (await next_frame(agent, "message_text")).message == text
    assert user.uuid is not None
    address = (await next_frame(agent, "new_connection")).payload_value("uuid")
    await agent.send(address, f"re: {text}")
    assert (await next_frame(user, "message_text")).message == f"re: {text}"


@pytest.mark.gen_test
async def test_groups_survive_a_kill(process: Process) -> None:
    process.options += OPTIONS
    harness = (await process.start()).harness
    async with caller(harness, 1, "crisis") as first, caller(harness, 2, "crisis") as second:
        await accept(first)
        await position(first, 1)
        await accept(second)
        await position(second, 2)
        await process.stop(signal.SIGKILL)
        await process.start()  # which asks neither of them again: they talk below
        await position(first, 1)
        await position(second, 2)
        async with WaiterClient(harness.ws, token("waiter", 7)), caller(harness, 3, "legal") as third:
            matched = await next_frame(third, "connect_success")  # by its fallback group
            assert matched.payload_value("group") == "legal"
            assert (await numbers(harness))["crisis"]["waiting"] == 2
            agent_token = token("consultant", 5, "陈老师", groups="crisis", capacity=1)
            async with WaiterClient(harness.ws, agent_token, FEATURES) as agent:
                assert (await next_frame(first, "connect_success")).payload_value("group") == "crisis"
                await position(second, 1)
                await talk(first, agent, "help")
                process.forget("a process has ended|ended without")


@pytest.fixture
def cluster(
    io_loop: IOLoop, tmp_path: Path, own_mariadb: MariaDB, own_redis: RedisServer
) -> Iterator[Cluster]:
    """Run two servers with groups."""
    cluster = Cluster(tmp_path, own_mariadb, own_redis, 2, children=False)
    for server in cluster.servers:
        server.options += OPTIONS
    io_loop.run_sync(cluster.start, timeout=WAIT_TIMEOUT_SECONDS)
    yield cluster
    io_loop.run_sync(cluster.stop, timeout=WAIT_TIMEOUT_SECONDS)


@pytest.mark.gen_test
async def test_groups_on_two_processes(cluster: Cluster) -> None:
    one, two = (server.harness for server in cluster.servers)
    async with caller(one, 1, "crisis") as first, caller(two, 2, "crisis") as second:
        await accept(first)
        await position(first, 1)
        await accept(second)
        await position(second, 2)
        async with WaiterClient(one.ws, token("waiter", 7)), caller(two, 3, "legal") as third:
            await next_frame(third, "connect_success")
            for server in (one, two):
                found = await numbers(server)
                assert (found["crisis"]["waiting"], found["legal"]["conversations"]) == (2, 1)
            pid = cluster.coordinator()
            assert pid is not None
            await cluster.kill(pid)
            await cluster.replace()
            for user in (first, second):  # are they back? An agent takes the next of those who are there
                await user.request("get_history", {"limit": 1})
            agent_token = token("consultant", 5, "陈老师", groups="crisis", capacity=1)
            async with WaiterClient(two.ws, agent_token, FEATURES) as agent:
                await next_frame(first, "connect_success")
                await position(second, 1)
                await talk(first, agent, "help")
                async with caller(two, 1, "crisis") as elsewhere:  # accepted at the other process
                    await next_frame(elsewhere, "connect_success")
                    await elsewhere.send("more")
                    assert (await next_frame(agent, "message_text")).message == "more"
                for server in (one, two):
                    while (await numbers(server))["crisis"]["conversations"] != 1:
                        pass
    for server in cluster.servers:
        server.forget(f"{SILENT}|{NO_ANSWER}")


@pytest.mark.gen_test
async def test_plain_clients_of_groups_get_the_seeds_frames(process: Process) -> None:
    process.options += OPTIONS
    harness = (await process.start()).harness
    user = await harness.user(1, connect=False)
    await user.send_frame("connect", {"group": "crisis"})
    assert (await user.get("connect_queue"))["payload"] == {"location": 1}
    agent = Peer(await harness.connect("/v1/ws/waiter/connect"))
    await agent.sign_in("consultant", 5)
    await agent.send_frame("ready")
    assert (await agent.get("new_connection"))["payload"] == {"uuid": user.uuid}
    assert (await user.get("connect_success"))["payload"] == {"uuid": agent.uuid}
    await user.client.close(1000)
    await agent.client.close(1000)
