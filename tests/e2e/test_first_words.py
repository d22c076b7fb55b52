"""First words on real processes: kills and a pause neither lose nor repeat them for the agent."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, token
from tests.e2e.conftest import Process
from tests.helpers.chaos import NO_ANSWER, SILENT, Cluster
from tests.helpers.mariadb import MariaDB
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import UserClient, WaiterClient

pytestmark = pytest.mark.slow

FEATURES = ("early", "ack", "seq")
WORDS = [f"word {number}" for number in range(12)]
SECRET = "a sentence that no log has"
KILLED = "a process has ended|ended without"


def visitor(harness: Harness, id: int) -> UserClient:
    return UserClient(harness.ws, token("user", id), FEATURES)


async def texts(agent: WaiterClient, count: int) -> dict[str, list[str]]:
    """Return the texts of the next ``count`` messages, by the address of the user."""
    found: dict[str, list[str]] = {}
    for _ in range(count):
        frame = await agent.expect("message_text", WAIT_TIMEOUT_SECONDS)
        found.setdefault(str(frame.raw["from"]), []).append(str(frame.message))
    return found


async def left(harness: Harness) -> list[str]:
    answer = await harness.api("GET", "/api/v1/support/left-messages", token("admin", 1))
    assert answer.code == 200, answer.body
    return [each["beginning"] for each in json.loads(answer.body)["items"]]


@pytest.mark.gen_test
async def test_first_words_survive_kills_and_reach_the_agent_once(process: Process) -> None:
    harness = (await process.start()).harness
    async with visitor(harness, 1) as user:
        await user.expect("connect_queue", WAIT_TIMEOUT_SECONDS)
        for number, text in enumerate(WORDS):
            sending = asyncio.create_task(user.send(text))
            if number % 4 == 2:  # it may be stored or not: the client sends it again
                await process.stop(signal.SIGKILL)
                await process.start()
            await sending
        gone = await harness.user(2, features=[*FEATURES])
        await gone.send_frame("message_text", {"message": SECRET})
        await gone.until("message_text_success")
        await process.stop(signal.SIGKILL)
        await process.start()
        gone = await harness.user(2, features=[*FEATURES])
        await gone.until("connect_queue")
        await gone.send_frame("disconnect")
        await gone.until("disconnected")
        assert await left(harness) == [SECRET]
        async with WaiterClient(harness.ws, token("waiter", 7), ("ack", "seq")) as agent:
            (shown,) = (await texts(agent, len(WORDS))).values()
            assert shown == WORDS
            await process.stop(signal.SIGKILL)
            await process.start()
            await user.send("after the kill")
            assert list((await texts(agent, 1)).values()) == [["after the kill"]]
    assert not any(SECRET in line or WORDS[0] in line for line in process.log)
    process.forget(KILLED)


@pytest.fixture
def cluster(
    io_loop: IOLoop, tmp_path: Path, own_mariadb: MariaDB, own_redis: RedisServer
) -> Iterator[Cluster]:
    """Run two servers."""
    cluster = Cluster(tmp_path, own_mariadb, own_redis, 2, children=False)
    io_loop.run_sync(cluster.start, timeout=WAIT_TIMEOUT_SECONDS)
    yield cluster
    io_loop.run_sync(cluster.stop, timeout=WAIT_TIMEOUT_SECONDS)


@pytest.mark.gen_test
async def test_first_words_on_two_processes_with_a_paused_and_a_killed_coordinator(cluster: Cluster) -> None:
    one, two = (server.harness for server in cluster.servers)
    async with visitor(one, 1) as first, visitor(two, 2) as second:
        for user in (first, second):
            await user.expect("connect_queue", WAIT_TIMEOUT_SECONDS)
        sent: dict[str, list[str]] = {"1": [], "2": []}

        async def write(count: int) -> None:
            for _ in range(count):
                for id, user in (("1", first), ("2", second)):
                    sent[id].append(f"{id}: {len(sent[id])}")
                    await user.send(sent[id][-1])

        await write(2)
        pid = cluster.coordinator()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        writing = asyncio.create_task(write(2))  # those on the paused process go on when it does
        while cluster.coordinator() == pid:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGCONT)
        await writing
        pid = cluster.coordinator()
        assert pid is not None
        await cluster.kill(pid)
        writing = asyncio.create_task(write(2))
        await cluster.replace()
        await writing
        async with WaiterClient(two.ws, token("waiter", 7), ("ack", "seq")) as agent:
            shown = await texts(agent, 12)
            assert sorted(shown.values()) == list(sent.values())
            for user in (first, second):
                await user.expect("connect_success", WAIT_TIMEOUT_SECONDS)
            await first.send("now")
            assert list((await texts(agent, 1)).values()) == [["now"]]
    for server in cluster.servers:
        server.forget(f"{SILENT}|{NO_ANSWER}|{KILLED}")
