"""Held messages on two processes: kills, pauses and two supervisors at once."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, token
from tests.helpers.chaos import Cluster
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import RawClient

SUPERVISOR, ADMIN = token("supervisor", 3), token("admin", 9)
TRAINEE = token("consultant", 2, "Chen", trainee=True)

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(
    io_loop: IOLoop, tmp_path: Path, own_mariadb: MariaDB, own_redis: RedisServer
) -> Iterator[Cluster]:
    """Run two servers; the held messages of the group quick are sent after some seconds."""
    cluster = Cluster(tmp_path, own_mariadb, own_redis, 2, children=False)
    for server in cluster.servers:
        server.options += [
            "group:default.approval_timeout=0",
            "group:quick.approval_timeout=3",
            "group:quick.approval_expired=send",
        ]
    io_loop.run_sync(cluster.start, timeout=WAIT_TIMEOUT_SECONDS)
    yield cluster
    io_loop.run_sync(cluster.stop, timeout=WAIT_TIMEOUT_SECONDS)


async def connect(harness: Harness, session: int, who: str, features: str) -> RawClient:
    return await harness.connect(f"/chat?token={who}&sessionId={session}&type=0&features={features}")


async def until(client: RawClient, key: str) -> Any:
    while True:
        frame = await client.recv_json(WAIT_TIMEOUT_SECONDS)
        if key in frame:
            return frame


async def said(client: RawClient) -> tuple[int, str]:
    frame = await until(client, "seq")
    return frame["seq"], frame["msg"]


async def approve(harness: Harness, who: str, held: int, **body: Any) -> tuple[int, Any]:
    answer = await harness.api("POST", f"/api/v1/approvals/{held}/approve", who, body)
    return answer.code, json.loads(answer.body)


@pytest.mark.gen_test
async def test_a_held_message_survives_a_kill_and_is_sent_once(cluster: Cluster) -> None:
    one, two = [server.harness for server in cluster.servers]
    session = await two.session()
    await two.record(session)
    visitor = await connect(two, session, token("user", 1), "seq")
    watch = await two.connect(f"/observe?token={SUPERVISOR}&sessionId={session}&features=approve,seq")
    agent = await connect(one, session, TRAINEE, "ack,approval")
    await agent.send_json({"msg": "hello", "id": "a"})
    assert (await until(agent, "approval"))["approval"]["state"] == "held"
    held = (await until(watch, "held"))["held"]

    await cluster.kill(cluster.servers[0].pid)
    await cluster.replace()
    one = cluster.servers[0].harness
    agent = await connect(one, session, TRAINEE, "ack,approval")
    await agent.send_json({"msg": "hello", "id": "a"})  # as clients do without an acknowledgement
    assert (await until(agent, "approval"))["approval"]["held"] == held["id"]
    answers = await asyncio.gather(
        approve(one, ADMIN, held["id"]), approve(two, SUPERVISOR, held["id"], text="hi")
    )
    assert sorted(code for code, _ in answers) == [200, 409]
    sent = "hello" if answers[0][0] == 200 else "hi"
    assert await said(visitor) == (1, sent)
    assert await until(agent, "ack") == {"ack": "a", "seq": 1, "time": answers[sent == "hi"][1]["decided"]}
    assert (await until(watch, "held"))["held"]["state"] == ("approved" if sent == "hello" else "edited")


@pytest.mark.gen_test
async def test_another_process_decides_while_the_coordinator_is_suspended(cluster: Cluster) -> None:
    coordinator = cluster.coordinator()
    assert coordinator is not None
    other = next(server for server in cluster.servers if server.pid != coordinator).harness
    session = await other.session(group="quick")
    visitor = await connect(other, session, token("user", 1), "seq")
    agent = await connect(other, session, TRAINEE, "ack,approval")
    await until(visitor, "isSystem")
    os.kill(coordinator, signal.SIGSTOP)
    try:
        await agent.send_json({"msg": "are you there?", "id": "b"})
        assert (await until(agent, "approval"))["approval"]["state"] == "held"
        assert await said(visitor) == (1, "are you there?")
    finally:
        os.kill(coordinator, signal.SIGCONT)
    assert (await until(agent, "ack"))["seq"] == 1
    await agent.send_json({"msg": "hello?", "id": "c"})  # decided after the suspended process has gone on
    assert await said(visitor) == (2, "hello?")
    assert (await until(agent, "ack"))["seq"] == 2
