"""Plugins of two servers with one MariaDB and one Redis: each event and each run of a task happens once."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.cluster.conftest import settings as cluster_settings
from tests.conftest import Harness, changed, token
from tests.helpers.redis_server import RedisServer
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat import config
from tornado_chat.core.types import AgentState, Kind, Person, Role, Thread
from tornado_chat.server.server import Server
from tornado_chat.testing.plugins_under_test import found_class
from tornado_chat.testing.recorder import NAME, Recorder

pytestmark = pytest.mark.parametrize("database_kind", ["mariadb"], indirect=True)

LIN, BOB = Person(Role.USER, "1"), Person(Role.WAITER, "7")


@pytest.fixture
def settings(settings: config.Config, redis: RedisServer) -> config.Config:
    return changed(replace(settings, cluster=cluster_settings(redis)), "plugins", enabled=(NAME,))


@pytest.fixture
def harnesses(io_loop: IOLoop, settings: config.Config) -> Iterator[list[Harness]]:
    async def start() -> list[Harness]:
        started = []
        for _ in range(2):
            server = Server(settings, more_plugins=[found_class(NAME, Recorder)])
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


def recorder(harness: Harness) -> Recorder:
    [found] = [each.plugin for each in harness.server.plugins.loaded if each.name == NAME]
    assert isinstance(found, Recorder)
    return found


async def events(harnesses: list[Harness], hook: str, count: int) -> list[dict[str, Any]]:
    """Wait for so many events of a hook on both servers, and return them."""
    while True:
        found = [dict(each.values) for one in harnesses for each in recorder(one).events if each.hook == hook]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.02)


@pytest.mark.gen_test
async def test_each_event_is_reported_once(harnesses: list[Harness]) -> None:
    one, two = harnesses
    bob, again = await two.waiter(7), await one.waiter(7)
    user = await one.user(1, features=["read", "seq"])
    uuid = (await bob.until("new_connection"))["payload"]["uuid"]
    thread = Thread(Kind.SUPPORT, 1)
    context = recorder(two).context
    assert await context.say(thread, "hello", "FAQ") == 1
    assert (await user.until("message_text"))["payload"] == {"message": "FAQ: hello"}
    await bob.send_frame("read", {"seq": 1}, to=uuid)
    await user.send_frame("rate", {"rate": 2})
    await user.until("rate_success")
    await events(harnesses, "messages_read", 1)
    await events(harnesses, "agent_changed", 1)
    for waiter in (bob, again):
        await waiter.close(1001)
    await events(harnesses, "agent_changed", 2)
    bad = await one.api("GET", "/api/v1/notifications", "x")
    assert bad.code == 401
    await context.end(thread, "done")
    await events(harnesses, "conversation_ended", 1)
    for harness in harnesses:
        await harness.server.settle()
    # The agent may have come while the coordinator still settled: then it found the agent ready.
    changes = await events(harnesses, "agent_changed", 0)
    assert [(each["agent"], each["state"]) for each in changes] == [
        (BOB, AgentState.READY),
        (BOB, AgentState.AWAY),
    ]
    assert await events(harnesses, "messages_read", 0) == [{"thread": thread, "person": BOB, "seq": 1}]
    rated = {"thread": thread, "person": LIN, "stars": 2, "feedback": None}
    assert await events(harnesses, "conversation_rated", 0) == [rated]
    assert await events(harnesses, "token_refused", 0) == [{"code": "token_invalid", "count": 1}]
    assert len(await events(harnesses, "conversation_ended", 0)) == 1


@pytest.mark.gen_test
async def test_a_task_runs_on_one_server_and_moves_when_that_stops(harnesses: list[Harness]) -> None:
    runs: asyncio.Queue[int] = asyncio.Queue()
    running: set[int] = set()

    def start(number: int, harness: Harness) -> None:
        async def work() -> None:
            assert not running
            running.add(number)
            runs.put_nowait(number)
            try:
                await asyncio.Event().wait()
            finally:
                running.discard(number)

        recorder(harness).context.once("forever", work)

    for number, harness in enumerate(harnesses):
        start(number, harness)
    first = await runs.get()
    stopped = harnesses.pop(first)
    await stopped.server.stop()
    assert await runs.get() == 1 - first
    assert runs.empty()


@pytest.mark.gen_test
async def test_a_session_with_a_bot_of_another_server(harnesses: list[Harness]) -> None:
    one, two = harnesses
    session = await one.session()
    visitor = await one.chat(token("user", 1, "小林"), session, features="sender")
    context = recorder(two).context
    thread = Thread(Kind.SESSION, session)
    assert (await visitor.recv_json())["msg"] == "来访者 小林已进入会话"
    await context.say(thread, "hello", "FAQ")
    frame = await visitor.recv_json()
    assert (frame["msg"], frame["sender"]) == ("hello", {"role": "bot", "id": "FAQ", "name": "FAQ"})
    await context.say(thread, "We open at 9.")
    frame = await visitor.recv_json()
    assert (frame["msg"], frame["isSystem"]) == ("We open at 9.", True)
    await context.end(thread)
    assert (await visitor.wait_closed()).code == 1000
