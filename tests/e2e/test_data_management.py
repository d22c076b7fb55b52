"""Backup, restore, retention and erasure while the server runs under load."""

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conftest import token
from tests.e2e.conftest import Process
from tornado_chat.client import ChatClient, Options

LOAD = (
    "limits.messages_per_second=100000",
    "limits.burst=100000",
    "counselling.rejoin_grace=300",
    "counselling.leave_grace=300",
    "plugins.enabled=audit",
)
NEEDLE = "only-lin-would-say-this"
PAIRS = 4

pytestmark = pytest.mark.slow


async def command(process: Process, *arguments: str) -> tuple[int, str]:
    """Run a command while the server runs. Returns the exit code and the output."""
    options = [word for option in process.options for word in ("--set", option)]
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tornado_chat",
        *arguments,
        *options,
        "--set",
        "plugins.enabled=audit",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await running.communicate()
    assert running.returncode is not None
    return running.returncode, said.decode()


class Sender:
    """A visitor that sends numbered messages continuously.

    :ivar acknowledged: the number of the last acknowledged message.
    """

    def __init__(self, session: int) -> None:
        self.session = session
        self.sent = self.acknowledged = 0

    async def run(self, client: ChatClient) -> None:
        while True:
            batch = range(self.sent + 1, self.sent + 9)
            self.sent = batch[-1]
            await asyncio.gather(*(client.send(f"{self.session}/{n}", id=str(n)) for n in batch))
            self.acknowledged = self.sent


@asynccontextmanager
async def load(process: Process) -> AsyncIterator[list[Sender]]:
    """Let some pairs of people chat; at the end, wait until all messages are acknowledged."""
    harness = process.harness
    async with contextlib.AsyncExitStack() as stack:
        talks, tasks = [], []
        for n in range(PAIRS):
            session = await harness.session(user=100 + n, consultant=200 + n)
            await stack.enter_async_context(
                ChatClient(harness.ws, token("consultant", 200 + n), session, options=Options())
            )
            client = await stack.enter_async_context(
                ChatClient(harness.ws, token("user", 100 + n), session, options=Options())
            )
            talks.append(Sender(session))
            tasks.append(asyncio.create_task(talks[-1].run(client)))
        while min(talk.acknowledged for talk in talks) < 50:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield talks
        for task in tasks:
            assert not task.done(), task.exception()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def stored(path: Path, session: int) -> list[tuple[int, str]]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        query = "SELECT seq, text FROM message WHERE kind = 1 AND thread_id = ? ORDER BY seq"
        return database.execute(query, (session,)).fetchall()


@pytest.mark.gen_test
async def test_a_backup_under_load_restores_to_a_server_that_serves_it(
    process: Process, tmp_path: Path
) -> None:
    await process.start(*LOAD)
    backup = tmp_path / "backup.sqlite3"
    async with load(process) as talks:
        before = {talk.session: talk.acknowledged for talk in talks}
        code, said = await command(process, "backup", str(backup))
        assert code == 0, said
        after = {talk.session: talk.sent for talk in talks}
    for session, acknowledged in before.items():
        found = stored(backup, session)
        assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
        assert {f"{session}/{n}" for n in range(1, acknowledged + 1)} <= {text for _, text in found}
        assert len(found) <= after[session]

    code, said = await command(process, "restore", str(backup), "--yes")
    assert (code, "is in use: stop the server first" in said) == (1, True)
    await process.stop()
    code, said = await command(process, "restore", str(backup), "--yes")
    assert code == 0, said
    process.expected.append("plugin audit reports a problem")  # the records since the backup are gone
    await process.start(*LOAD)
    harness = process.harness
    for n, talk in enumerate(talks):
        found = stored(backup, talk.session)
        path = f"/api/v1/sessions/{talk.session}/messages?limit=500&after={max(0, len(found) - 100)}"
        answer = await harness.api("GET", path, token("user", 100 + n))
        items = json.loads(answer.body)["items"]
        assert [(item["seq"], item["msg"]) for item in items] == found[-100:]
        async with ChatClient(harness.ws, token("user", 100 + n), talk.session) as client:
            assert (await client.send("it goes on")).seq == len(found) + 1
    code, said = await command(process, "audit", "verify")
    assert (code, "may be missing" in said) == (1, True), said
    code, said = await command(process, "audit", "acknowledge", "--yes")
    assert code == 0, said
    code, said = await command(process, "audit", "verify")
    assert code == 0, said


@pytest.mark.gen_test
async def test_a_person_is_erased_under_load_and_no_file_contains_its_messages(
    process: Process, tmp_path: Path
) -> None:
    await process.start(*LOAD)
    harness = process.harness
    session = await harness.session(user=1, consultant=2, user_name=f"Lin {NEEDLE}")
    async with (
        ChatClient(harness.ws, token("consultant", 2, "Chen"), session) as counsellor,
        ChatClient(harness.ws, token("user", 1), session) as visitor,
    ):
        for n in range(300):
            await visitor.send(f"{NEEDLE} {n} " + "long " * (n % 50), id=f"{NEEDLE}-{n}")
        await counsellor.send("I hear you")
    code, said = await command(process, "erase", "--user", "1", "--yes")
    assert (code, "session 1 (active)" in said) == (1, True), said
    assert (await harness.api("POST", f"/api/v1/sessions/{session}/end", token("user", 1))).code == 200
    assert files_with(process, NEEDLE), "or this test looks at the wrong files"
    async with load(process) as talks:
        code, said = await command(process, "erase", "--user", "1", "--yes")
        assert code == 0, said
        assert files_with(process, NEEDLE) == [], said
        before = [talk.acknowledged for talk in talks]
        while any(talk.acknowledged <= count for talk, count in zip(talks, before, strict=True)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    answer = await harness.api(
        "GET", f"/api/v1/sessions/{session}/messages?limit=500", token("consultant", 2)
    )
    items = json.loads(answer.body)["items"]
    assert [item["seq"] for item in items] == list(range(1, 302))
    assert {item["msg"] for item in items[:-1]} == {"[内容已删除]"}
    assert items[-1]["msg"] == "I hear you"
    answer = await harness.api("GET", f"/api/v1/sessions/{session}/messages", token("user", 1))
    assert answer.code == 403
    code, said = await command(process, "export", "--user", "1", "--output", str(tmp_path / "x"))
    # Only the audit log still names user 1.
    assert code == 0, said
    assert NEEDLE not in (tmp_path / "x" / "person.json").read_text()
    code, said = await command(process, "audit", "verify")
    assert code == 0, said


KILLED_ERASURE = """
import os, sys
from tornado_chat.cli import main
sys.modules["tornado_chat.cli.erase"]._remove_fragments = lambda *arguments: os.kill(os.getpid(), 9)
main(sys.argv[1:])
"""


@pytest.mark.gen_test
async def test_a_killed_erasure_is_completed_beside_the_server(process: Process) -> None:
    await process.start(*LOAD)
    session = await process.harness.session(user=1, consultant=2)
    async with ChatClient(process.harness.ws, token("user", 1), session) as visitor:
        await visitor.send(NEEDLE)
    ended = await process.harness.api("POST", f"/api/v1/sessions/{session}/end", token("user", 1))
    assert ended.code == 200
    arguments = [word for option in (*process.options, *LOAD) for word in ("--set", option)]
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED_ERASURE, "erase", "--user", "1", "--yes", *arguments),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await killed.wait() == -9
    assert files_with(process, NEEDLE)
    code, said = await command(process, "audit", "verify")
    assert code == 0, said
    code, said = await command(process, "erase", "--user", "1", "--yes")
    assert (code, "this one completes it" in said) == (0, True), said
    assert files_with(process, NEEDLE) == []
    code, said = await command(process, "audit", "verify")
    assert code == 0, said


def files_with(process: Process, text: str) -> list[str]:
    folder = process.directory / "state"
    return [path.name for path in folder.iterdir() if text.encode() in path.read_bytes()]


@pytest.mark.gen_test
async def test_old_conversations_are_removed_under_load(process: Process) -> None:
    await process.start(*LOAD)
    harness = process.harness
    for n in range(30):
        session = await harness.session(user=1, consultant=2)
        async with ChatClient(harness.ws, token("user", 1), session) as visitor:
            await asyncio.gather(*(visitor.send(f"{NEEDLE} {n}/{m}", id=f"{n}/{m}") for m in range(40)))
        assert (await harness.api("POST", f"/api/v1/sessions/{session}/end", token("user", 1))).code == 200
    async with load(process) as talks:
        code, said = await command(process, "db", "prune", "--older-than", "0", "--yes")
        assert code == 0, said
        assert "1,200  message" in said
        before = {talk.session: talk.acknowledged for talk in talks}
    path = process.directory / "state" / "tornado-chat.sqlite3"
    for session_id, acknowledged in before.items():
        assert len(stored(path, session_id)) >= acknowledged
    assert stored(path, session) == []
