"""A full disk, and a locked, read-only or damaged database: the errors for senders, and the recovery."""

import asyncio
import ctypes
import json
import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SECRET, Harness, token
from tests.e2e.conftest import Process
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import RawClient

VISITOR, COUNSELLOR = token("user", 1), token("consultant", 2)
# prctl(2) and capabilities(7)
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2

REFUSED = "错误: 消息未能保存, 请重新发送"


async def ready(harness: Harness) -> tuple[int, dict[str, str]]:
    answer = await harness.api("GET", "/readyz")
    return answer.code, json.loads(answer.body)["problems"]


async def chatting_pair(harness: Harness) -> tuple[RawClient, RawClient]:
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    counsellor = await harness.chat(COUNSELLOR, session)
    for who in (visitor, counsellor):
        while (await who.recv_json())["msg"] != "会话已开始":
            pass
    return visitor, counsellor


async def say(visitor: RawClient, text: str, timeout: float = WAIT_TIMEOUT_SECONDS) -> dict[str, Any]:
    await visitor.send_json({"msg": text, "id": text[:20]})
    return dict(await visitor.recv_json(timeout))


def size_of_log(process: Process) -> int:
    return (process.directory / "state" / "tornado-chat.sqlite3-wal").stat().st_size


def limit_files(process: Process, size: int) -> None:
    """Limit the size of all files that the process writes to ``size`` bytes."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.gen_test
async def test_a_full_disk_refuses_messages_until_there_is_space(process: Process) -> None:
    harness = (await process.start()).harness
    visitor, counsellor = await chatting_pair(harness)
    assert (await say(visitor, "before"))["ack"] == "before"
    limit_files(process, size_of_log(process))
    text = "x" * 9000
    assert (await say(visitor, text))["msg"] == REFUSED
    code, problems = await ready(harness)
    assert code == 503
    # A limit of the process causes an I/O error; on a full disk it is "database or disk is full".
    assert problems["database"] in ("disk I/O error", "database or disk is full")
    assert (await harness.api("GET", "/healthz")).code == 200
    user = await harness.user(5)
    assert (await user.until("error"))["payload"]["message"]
    limit_files(process, resource.RLIM_INFINITY)
    assert (await say(visitor, text))["ack"] == text[:20]  # the same id, sent again
    assert (await ready(harness))[0] == 200
    assert [(await counsellor.recv_json())["msg"] for _ in range(2)] == ["before", text]
    await user.send_frame("connect")
    assert (await user.until("connect_queue"))["payload"] == {"location": 1}
    await process.stop()
    process.expected += ["the database refused a batch", "receipts could not be stored yet", "Traceback"]


@pytest.mark.slow
@pytest.mark.gen_test
async def test_a_locked_database_refuses_after_the_timeout_and_recovers(process: Process) -> None:
    harness = (await process.start()).harness
    visitor, counsellor = await chatting_pair(harness)
    database = sqlite3.connect(process.directory / "state" / "tornado-chat.sqlite3", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    assert (await say(visitor, "locked out"))["msg"] == REFUSED
    assert (await ready(harness))[0] == 503
    database.execute("ROLLBACK")
    database.close()
    assert (await say(visitor, "let in"))["ack"] == "let in"
    assert (await counsellor.recv_json())["msg"] == "let in"
    assert (await ready(harness))[0] == 200
    await process.stop()
    process.expected += ["the database refused a batch", "receipts could not be stored yet", "Traceback"]


@pytest.mark.gen_test
async def test_a_message_during_a_short_lock_only_waits(process: Process) -> None:
    harness = (await process.start()).harness
    visitor, counsellor = await chatting_pair(harness)
    database = sqlite3.connect(process.directory / "state" / "tornado-chat.sqlite3", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    await visitor.send_json({"msg": "patient", "id": "a"})
    with pytest.raises(TimeoutError):
        await visitor.recv_json(0.5)
    database.execute("ROLLBACK")
    database.close()
    assert (await visitor.recv_json())["ack"] == "a"
    assert (await counsellor.recv_json())["msg"] == "patient"


@pytest.mark.gen_test
async def test_a_damaged_database_refuses_messages_until_it_is_repaired(process: Process) -> None:
    harness = (await process.start()).harness
    visitor, counsellor = await chatting_pair(harness)
    assert (await say(visitor, "before"))["ack"] == "before"
    path = process.directory / "state" / "tornado-chat.sqlite3"
    with sqlite3.connect(path) as database:  # move all data into the main file
        assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    database.close()
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.write(b"\xff" * len(whole))
    broken = await say(visitor, "broken")
    assert broken["msg"] == REFUSED
    assert (await ready(harness))[0] == 503
    with path.open("r+b") as file:
        file.write(whole)
    assert (await say(visitor, "mended"))["ack"] == "mended"
    assert [(await counsellor.recv_json())["msg"] for _ in range(2)] == ["before", "mended"]
    assert (await ready(harness))[0] == 200
    await process.stop()
    process.expected += [
        "the database refused a batch",
        "receipts could not be stored yet",
        "could not be",
        "Traceback",
    ]


def serve_without_privileges(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the server without root's capabilities, so that file permissions apply to it."""
    options = [
        "server.port=0",
        f"server.state_dir={directory / 'state'}",
        f"auth.secret_file={directory / 'secret'}",
    ]

    libc = ctypes.CDLL(None)

    def give_up_capabilities() -> None:
        if os.getuid() == 0:
            for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
                libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)

    return subprocess.run(
        [sys.executable, "-m", "tornado_chat", "serve", *(w for o in options for w in ("--set", o))],
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_SECONDS,
        cwd="/",
        preexec_fn=give_up_capabilities,
    )


def test_a_read_only_database_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "secret").write_bytes(SECRET)
    file = state / "tornado-chat.sqlite3"
    sqlite3.connect(file).close()
    file.touch()
    file.chmod(0o444)
    state.chmod(0o555)
    try:
        done = serve_without_privileges(tmp_path)
    finally:
        state.chmod(0o755)
    assert done.returncode == 1, done.stderr
    assert f"cannot open the database sqlite:///{file}: " in done.stderr
    assert "readonly" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.gen_test
async def test_ten_restarts_under_load_lose_and_repeat_no_message(process: Process) -> None:
    from tornado_chat.client import ChatClient

    process.options += ["server.drain_seconds=0.3", "limits.messages_per_second=10000"]
    harness = (await process.start()).harness
    pairs = []
    for n in range(5):
        session = await harness.session(user=10 + n, consultant=20 + n)
        visitor = ChatClient(harness.ws, token("user", 10 + n), session)
        counsellor = ChatClient(harness.ws, token("consultant", 20 + n), session)
        pairs.append((await visitor.connect(), await counsellor.connect()))
    over = asyncio.Event()

    async def send_numbers(client: ChatClient) -> int:
        sent = 0
        while not over.is_set():
            await asyncio.gather(*(client.send(f"{sent + n}") for n in range(5)))
            sent += 5
        return sent

    speaking = [asyncio.create_task(send_numbers(visitor)) for visitor, _ in pairs]
    for _ in range(10):
        await pairs[0][1].receive(WAIT_TIMEOUT_SECONDS)  # wait until messages pass again
        assert await process.stop() == 0
        await process.start()
    over.set()
    for (_, counsellor), sent in zip(pairs, await asyncio.gather(*speaking), strict=True):
        heard: list[str] = []
        while f"{sent - 1}" not in heard:
            frame = await counsellor.receive(WAIT_TIMEOUT_SECONDS)
            if not frame.system:
                heard.append(frame.msg)
        first = 0 if counsellor is not pairs[0][1] else int(heard[0])
        assert heard == [f"{n}" for n in range(first, sent)]
    for pair in pairs:
        for client in pair:
            await client.close()
