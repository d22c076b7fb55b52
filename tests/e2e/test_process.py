"""The process as operators and clients see it when it stops, is killed and restarts."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import token
from tests.e2e.conftest import Process
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import ChatClient, ConnectionClosed, RawClient
from tornado_chat.storage import schema

VISITOR = token("user", 1, "小林")
COUNSELLOR = token("consultant", 2, "陈老师")


async def all_frames(client: RawClient) -> list[dict[str, Any]]:
    """Return all frames that a closed socket had received."""
    frames = []
    with contextlib.suppress(ConnectionClosed):
        async for frame in _frames(client):
            frames.append(frame)
    return frames


async def _frames(client: RawClient) -> AsyncIterator[dict[str, Any]]:
    while True:
        yield await client.recv_json()


@pytest.mark.gen_test
async def test_sigterm_closes_sockets_with_1012_cuts_plain_ones_and_exits_with_0(process: Process) -> None:
    """Deployed front ends, which ask for no feature, connect again only after an unclean close."""
    harness = (await process.start()).harness
    session = await harness.session()
    plain, with_features = [
        [
            await harness.chat(VISITOR, session, features=features),
            await harness.connect(f"/notify?token={COUNSELLOR}&features={features}"),
            (await harness.user(5, connect=False, features=[features])).client,
        ]
        for features in ("", "seq")
    ]
    await plain[0].send_json({"msg": "the last words"})
    assert await process.stop() == 0
    assert [(await client.wait_closed()).code for client in plain] == [1006] * 3
    assert [(await client.wait_closed()).code for client in with_features] == [1012] * 3


@pytest.mark.slow
@pytest.mark.gen_test
async def test_acknowledged_messages_survive_kill_9_and_the_session_goes_on(process: Process) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    async with (
        ChatClient(harness.ws, VISITOR, session) as visitor,
        ChatClient(harness.ws, COUNSELLOR, session) as counsellor,
    ):
        acknowledged = []
        for round in range(3):
            sending = [asyncio.create_task(visitor.send(f"{round}-{n}")) for n in range(50)]
            acknowledged.append(await sending[10])
            await process.stop(signal.SIGKILL)
            await process.start()
            await asyncio.gather(*sending)
        heard = []
        while len(heard) < 150:
            frame = await counsellor.receive(WAIT_TIMEOUT_SECONDS)
            if not frame.system:
                heard.append(frame)
    assert [frame.msg for frame in heard] == [f"{round}-{n}" for round in range(3) for n in range(50)]
    assert [frame.seq for frame in heard] == list(range(1, 151))


@pytest.mark.slow
@pytest.mark.gen_test
async def test_a_client_reconnects_after_a_restart_without_loss_or_repetition(process: Process) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    async with (
        ChatClient(harness.ws, VISITOR, session) as visitor,
        ChatClient(harness.ws, COUNSELLOR, session) as counsellor,
    ):
        for round in range(3):
            sending = [asyncio.create_task(visitor.send(f"{round}-{n}")) for n in range(50)]
            await sending[0]
            assert await process.stop() == 0
            await process.start()
            await asyncio.gather(*sending)
        heard = []
        while len(heard) < 150:
            frame = await counsellor.receive(WAIT_TIMEOUT_SECONDS)
            if not frame.system:
                heard.append(frame.msg)
    assert heard == [f"{round}-{n}" for round in range(3) for n in range(50)]


@pytest.mark.gen_test
async def test_a_session_without_returning_participants_ends_after_a_restart(process: Process) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    counsellor = await harness.chat(COUNSELLOR, session)
    await visitor.recv_json()
    assert (await counsellor.recv_json())["msg"] == "咨询师 陈老师已进入会话"
    await process.stop()
    await process.start("counselling.rejoin_grace=0.2")
    refused = await harness.chat(VISITOR, session)
    # If the visitor reconnects in time, it sees the counsellor's grace end; on a slow machine it may be too
    # late.
    assert (await refused.wait_closed()).code in (1000, 4409)
    texts = [frame["msg"] for frame in await all_frames(refused)]
    assert texts[-1] == "会话已结束"


@pytest.mark.gen_test
async def test_no_token_and_no_message_text_is_logged_at_any_level(process: Process) -> None:
    harness = (await process.start("logging.level=debug")).harness
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session)
    await visitor.recv_json()
    await visitor.send_json({"msg": "a private matter", "id": "x"})
    await visitor.send_json({"private": "matter"})
    assert "错误" in (await visitor.recv_json())["msg"]
    user = await harness.user(4)
    await user.get("connect_queue")
    await harness.api("GET", f"/api/v1/sessions/{session}?token={VISITOR}", VISITOR)
    # The values of queries, which libraries may log.
    service = token("service", "host")
    body: dict[str, Any] = {"role": "user", "id": 1, "type": 0, "msg": "a private notification"}
    assert (await harness.api("POST", "/api/v1/notifications", service, body)).code == 202
    body = {"rate": 5, "feedback": "a private opinion"}
    assert (await harness.api("POST", f"/api/v1/sessions/{session}/rating", VISITOR, body)).code == 200
    await process.stop()
    log_text = "\n".join(process.log)
    assert "eyJ" not in log_text
    assert "private" not in log_text
    assert re.search(r"path=/chat", log_text)


@pytest.mark.gen_test
async def test_a_database_of_a_newer_version_is_refused(process: Process) -> None:
    path = process.directory / "own.sqlite3"
    await process.start(f"storage.url=sqlite:///{path}")
    await process.stop()
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')")
    database.close()
    with pytest.raises(AssertionError, match="newer version"):
        await process.start(f"storage.url=sqlite:///{path}")
    assert await process.stop() == 1


@pytest.mark.gen_test
async def test_a_database_that_lacks_a_migration_waits_for_the_operator(process: Process) -> None:
    path = process.directory / "own.sqlite3"
    await process.start(f"storage.url=sqlite:///{path}")  # an empty database is created
    await process.stop()
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM schema_migration")
    database.close()
    names = sorted(file.stem for file in schema.MIGRATIONS.glob("[0-9]*.py"))
    with pytest.raises(
        AssertionError,
        match=rf"lacks {', '.join(names)}: make a backup, .*`tornado-chat db upgrade`",
    ):
        await process.start(f"storage.url=sqlite:///{path}")
    assert await process.stop() == 1


@pytest.mark.gen_test
async def test_a_port_in_use_is_reported_in_one_sentence(process: Process) -> None:
    await process.start()
    other = Process(process.directory)
    other.options[1] = f"server.state_dir={process.directory / 'other'}"
    with pytest.raises(AssertionError, match=r"cannot listen on 127\.0\.0\.1:.*--set server\.port"):
        await other.start(process.options[0])
    assert await other.stop() == 1
    assert not any("Traceback" in line for line in other.log)


@pytest.mark.gen_test
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_a_resend_after_a_restart_gets_the_first_acknowledgement(
    process: Process, end: signal.Signals
) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    visitor = await harness.chat(VISITOR, session, features="ack")
    await visitor.recv_json()
    await visitor.send_json({"msg": "once", "id": "a"})
    first = await visitor.recv_json()
    await process.stop(end)
    await process.start()
    visitor = await harness.chat(VISITOR, session, features="ack")
    for text in ("once", "another text with the same id"):
        await visitor.send_json({"msg": text, "id": "a"})
        while "ack" not in (frame := await visitor.recv_json()):
            pass
        assert frame == first
    counsellor = await harness.chat(COUNSELLOR, session)
    assert (await counsellor.recv_json())["msg"] == "once"
    assert "another" not in (await counsellor.recv_json())["msg"]


@pytest.mark.gen_test
async def test_the_queue_and_the_waiters_conversations_are_restored_after_kill_9(process: Process) -> None:
    process.options.append("support.capacity=1")
    harness = (await process.start()).harness
    waiter = await harness.waiter(7)
    served = await harness.user(1, features=["ack"])
    address = (await served.until("connect_success"))["payload"]["uuid"]
    waiting_peers = [await harness.user(id) for id in (4, 3, 2)]
    for peer in waiting_peers:
        await peer.get("connect_queue")
    uuid = (await waiter.until("new_connection"))["payload"]["uuid"]
    await process.stop(signal.SIGKILL)
    await process.start()
    # The users reconnect in another order, and keep their queue positions.
    waiting_peers = [await harness.user(id) for id in (2, 3, 4)]
    for peer, place in zip(waiting_peers, (3, 2, 1), strict=True):
        while (await peer.until("connect_queue"))["payload"]["location"] != place:
            pass
    back = await harness.user(1)
    assert (await back.until("connect_success"))["payload"]["uuid"] == address
    again = await harness.waiter(7)
    assert (await again.until("new_connection"))["payload"]["uuid"] == uuid
    await back.send_frame("message_text", {"message": "heard?"})
    assert (await again.until("message_text"))["payload"]["message"] == "heard?"
    await again.send_frame("message_text", {"message": "yes"}, to=uuid)
    assert (await back.until("message_text"))["payload"]["message"] == "yes"


@pytest.mark.gen_test
async def test_a_reload_applies_options_and_names_those_that_need_a_restart(
    process: Process, tmp_path: Path
) -> None:
    ini = tmp_path / "own.ini"
    process.files = [ini]
    ini.write_text("")
    harness = (await process.start()).harness

    async def reload(text: str, until: str) -> str:
        ini.write_text(text)
        before = len(process.log)
        os.kill(process.pid, signal.SIGHUP)
        await process.wait_for_log(until, after=before)
        return "\n".join(process.log[before:])

    said = await reload(
        "[logging]\nformat = json\nlevel = debug\n[server]\nlanguage = en\n[limits]\nburst = 7\n", "restart"
    )
    changed, waiting = (json.loads(line) for line in said.splitlines()[:2])
    assert (changed["message"], changed["options"]) == (
        "reloaded",
        "limits.burst,logging.format,logging.level",
    )
    assert waiting["message"] == "these options have changed and need a restart: server.language"
    assert (await harness.api("GET", "/healthz")).code == 200
    await process.wait_for_log('"path": "/healthz"')  # level debug

    said = await reload("[logging]\nformat = json\nlevle = info\n[limits]\nburst = x\n", "not reloaded")
    message = json.loads(said.splitlines()[-1])["message"]
    assert 'in [logging] levle: this option is unknown; did you mean "level"?' in message
    assert 'in [limits] burst: "x" is not a whole number' in message
    assert (await harness.api("GET", "/healthz")).code == 200
    await reload("", "options=")
    process.expected += ["need a restart", "not reloaded"]


@pytest.mark.slow
@pytest.mark.gen_test
async def test_the_command_revoke_shuts_a_person_out_of_a_running_process(process: Process) -> None:
    harness = (await process.start()).harness
    session = await harness.session()
    counsellor = await harness.chat(COUNSELLOR, session)
    await counsellor.recv_json()
    visitor = await harness.chat(VISITOR, session)
    await visitor.recv_json()
    options = [word for option in process.options for word in ("--set", option)]

    async def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "tornado_chat", *arguments, *options]
        running = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await running.communicate()
        assert running.returncode == 0
        return output.decode()

    assert "are refused until" in await run("revoke", "--id", "2", "--role", "consultant")
    assert (await counsellor.wait_closed()).code == 4401
    again = await harness.chat(COUNSELLOR, session)
    assert (await again.wait_closed()).code == 4401
    assert "consultant  2" in await run("revocations")
    await run("unrevoke", "--id", "2", "--role", "consultant")
    await process.wait_for_log("revoked .*role=consultant id=2")
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while (  # noqa: ASYNC110 - another process
            await harness.api("GET", "/api/v1/notifications", COUNSELLOR)
        ).code != 200:
            await asyncio.sleep(0.1)  # the process reads the table every 3 s
    assert visitor.close_code is None


@pytest.mark.gen_test
async def test_a_reload_with_another_secret_closes_the_sockets_of_the_first(process: Process) -> None:
    harness = (await process.start()).harness
    client = await harness.connect(f"/notify?token={VISITOR}")
    (process.directory / "secret").write_bytes(b"another secret of the tests, as long as it has to be")
    os.kill(process.pid, signal.SIGHUP)
    closed = await client.wait_closed()
    assert (closed.code, closed.reason) == (
        4401,
        "the key of the token is not accepted any more, sign in again",
    )
    await process.wait_for_log("reloaded .*keys=changed")
