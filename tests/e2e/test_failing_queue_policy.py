"""A queue policy of a plugin that fails, in the real process: the line goes on, and the plugin is named."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.conftest import Harness, Peer, token
from tests.e2e.conftest import Process
from tests.e2e.test_plugins import folder, run, start, write_plugin
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS

__all__ = ["folder"]

POLICY = """
class Policy:
    def rank(self, ticket):
        {rank}
    def choose(self, ticket, pool):
        {choose}
@hookimpl
def register_queue_policy(self):
    return self.Policy()
"""
RANK = "return (ticket.number,)"
CHOOSE = "return Choice(pool.least_loaded().person, 'by language')"
LANGUAGE = "return (not ticket.claims['language'].startswith('en'), ticket.number)"


def write_policy(folder: Path, *, rank: str = RANK, choose: str = CHOOSE) -> None:
    write_plugin(folder, "languages", POLICY.format(rank=rank, choose=choose))


async def start_with_explain(process: Process, folder: Path) -> Harness:
    process.expected.append("plugin languages ")
    process.options += [
        f"plugins.paths={folder}",
        "plugins.enabled=*, queue_policy",
        "support.queue_claims=language",
    ]
    return await start(process, folder)


async def join(harness: Harness, id: int, language: str | None) -> Peer:
    """Let a user join the queue, and wait for its position."""
    user = Peer(await harness.connect("/v1/ws/user/connect"))
    await user.sign_in_with(token("user", id, language=language))
    await user.send_frame("connect")
    await user.until("connect_queue")
    return user


async def served_by(waiter: Peer, users: list[Peer]) -> list[int]:
    """Return the order in which a waiter gets the users, by their positions in ``users``."""
    addresses = [user.uuid for user in users]
    return [addresses.index((await waiter.until("new_connection"))["payload"]["uuid"]) for _ in users]


async def problem(harness: Harness) -> str:
    status = json.loads((await harness.api("GET", "/api/v1/status")).body)
    assert status["problems"].keys() == set(status["degraded"])
    return str(status["problems"].get("plugin languages", ""))


@pytest.mark.gen_test
async def test_a_user_without_language_does_not_stop_the_line(process: Process, folder: Path) -> None:
    write_policy(folder, rank=LANGUAGE)
    harness = await start_with_explain(process, folder)
    users = [await join(harness, id, language) for id, language in enumerate(("zh", None, "en", "zh"), 1)]
    assert await served_by(await harness.waiter(7), users) == [2, 0, 1, 3]
    text = await problem(harness)
    assert text.startswith("queue policy rank failed once (last: AttributeError): the default policy decides")
    ready = await harness.api("GET", "/readyz")
    assert (ready.code, text in json.dumps(json.loads(ready.body), ensure_ascii=False)) == (200, True)
    said = await asyncio.to_thread(run, process, "status")
    assert "serving, degraded" in said.stdout
    assert f"  plugin languages: {text}" in said.stdout
    explained = (await asyncio.to_thread(run, process, "queue", "explain")).stdout
    assert "by language; the queue policy of plugin languages failed to rank this user" in explained
    assert explained.count("failed to rank") == 1
    metrics = (await harness.api("GET", "/metrics")).body.decode()
    assert 'plugin_failures_total{hook="queue policy rank",kind="error",plugin="languages"} 1.0' in metrics


NO_CHOICES = {
    "nonsense": "return 'the best one'",
    "absent": "return Choice(Person(Role.WAITER, '99'), 'the best one')",
    "not ready": "return Choice(Person(Role.WAITER, '8'), 'the best one')",
    "raises": "raise KeyError",
}


@pytest.mark.parametrize("choose", NO_CHOICES.values(), ids=NO_CHOICES)
@pytest.mark.gen_test
async def test_a_policy_that_keeps_choosing_nobody_is_suspended(
    process: Process, folder: Path, choose: str
) -> None:
    write_policy(folder, rank="return (-ticket.number,)", choose=choose)
    harness = await start_with_explain(process, folder)
    await harness.waiter(8, ready=False)
    users = [await join(harness, id, "zh") for id in range(1, 8)]
    waiter = await harness.waiter(7)
    served = await served_by(waiter, users[-5:])
    assert sorted(served) == list(range(5)), "the waiter has five users, the last ones by the policy's order"
    await process.wait_for_log("plugin languages is suspended for 60 s")
    text = await problem(harness)
    assert text.startswith("queue policy choose failed 5 times (last: ")
    assert "it is suspended: it gets no events, and the default policy orders the queue" in text
    metrics = (await harness.api("GET", "/metrics")).body.decode()
    assert 'tornado_chat_plugin_suspended{plugin="languages"} 1.0' in metrics
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while (await users[1].until("connect_queue"))["payload"] != {"location": 2}:
            pass  # the default policy has sorted the line again: the first one is before the second one
    explained = (await asyncio.to_thread(run, process, "queue", "explain")).stdout
    assert explained.count("; the queue policy of plugin languages failed") == 5


@pytest.mark.gen_test
async def test_a_policy_that_blocks_is_warned_about(process: Process, folder: Path) -> None:
    write_policy(folder, choose=f"time.sleep(1.5)\n        {CHOOSE}")
    harness = await start_with_explain(process, folder)
    user = await join(harness, 1, "zh")
    assert await served_by(await harness.waiter(7), [user]) == [0]
    await process.wait_for_log(
        r"WARNING .*plugin languages blocked the server for 1\.\d+ s in queue policy choose: .*must not wait"
    )
    assert (await problem(harness)).startswith("queue policy choose blocked the server once (last: for 1.")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return object()", r"register_queue_policy: object has no method rank\(ticket\)"),
        ("return type('Half', (), {'rank': lambda self, ticket: ()})()", r"Half has no method choose\("),
    ],
)
@pytest.mark.gen_test
async def test_a_policy_without_its_methods_stops_the_start(
    process: Process, folder: Path, body: str, says: str
) -> None:
    write_plugin(folder, "languages", f"@hookimpl\ndef register_queue_policy(self):\n    {body}\n")
    with pytest.raises(AssertionError, match=says):
        await start(process, folder)
    assert await process.stop() in (1, 2)
