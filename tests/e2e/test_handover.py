"""A restart in place (SIGUSR2): the next program takes over all sockets, and no client is disconnected."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from scripts.attacks.raw_socket import RawSocket, frame
from tests.conftest import Harness, token
from tests.e2e.conftest import Process
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import RawClient
from tornado_chat.wire.websocket import CONTINUATION, TEXT

pytestmark = pytest.mark.slow

VISITOR, COUNSELLOR, SUPERVISOR = (
    token("user", 1, "Lin"),
    token("consultant", 2, "Chen"),
    token("supervisor", 3),
)
PAIRS = 6
RESTARTS = 3


async def restart(process: Process) -> None:
    """Restart in place, and wait until the new program serves."""
    lines = len(process.log)
    os.kill(process.pid, signal.SIGUSR2)
    await process.wait_for_log("tornado_chat.server.server ready", after=lines)


async def silence(*clients: RawClient) -> None:
    """Check that the clients have got nothing more, and are connected."""
    for client in clients:
        with pytest.raises(TimeoutError):
            await client.recv_json(0.05)
        assert client.close_code is None


async def said(client: RawClient, count: int) -> list[str]:
    """Return the next ``count`` messages, without the frames of the system."""
    found: list[str] = []
    while len(found) < count:
        received = await client.recv_json(WAIT_TIMEOUT_SECONDS)
        if received.get("type") == "message_text":
            found.append(received["payload"]["message"])
        elif received.get("isSystem") is False or "senderType" in received:
            found.append(received["msg"])
    return found


async def say(client: RawClient, number: int, **more: Any) -> None:
    await client.send_json({"msg": f"{number}", **more})


@pytest.mark.gen_test
async def test_no_message_is_lost_repeated_or_reordered(process: Process) -> None:
    """Plain clients, which get messages again on a reconnect, get each once, as there is no reconnect."""
    harness = (await process.start()).harness
    pairs = []
    for number in range(PAIRS):
        session = await harness.session(10 + number, 2)
        visitor = await harness.chat(token("user", 10 + number), session)
        counsellor = await harness.chat(COUNSELLOR, session, features="ack" if number % 2 else "")
        pairs.append((visitor, counsellor))
    user = await harness.user(5)
    await user.get("connect_queue")
    waiter = await harness.waiter(7)
    await waiter.get("new_connection")
    await user.get("connect_success")
    stop = asyncio.Event()

    async def talk() -> int:
        sent = 0
        while not stop.is_set():
            sent += 1
            for visitor, counsellor in pairs:
                await say(visitor, sent)
                await say(counsellor, sent)
            await user.send_frame("message_text", {"message": f"{sent}"})
            await waiter.send_frame("message_text", {"message": f"{sent}"}, to=user.uuid)
            await asyncio.sleep(0.002)
        return sent

    talking = asyncio.create_task(talk())
    for _ in range(RESTARTS):
        await restart(process)
    stop.set()
    sent = await talking
    expected = [f"{number}" for number in range(1, sent + 1)]
    everyone = [*(client for pair in pairs for client in pair), user.client, waiter.client]
    for client in everyone:
        assert await said(client, sent) == expected
    await silence(*everyone)
    assert len(await process.wait_for_log("sockets taken over", RESTARTS)) == RESTARTS


async def settled(harness: Harness) -> list[RawClient]:
    """Connect a client of each kind, one that waits alone among them, and read all that they get at first."""
    session, lonely = await harness.session(1, 2), await harness.session(4, 2)
    await harness.record(session)
    clients = [
        await harness.chat(VISITOR, session),
        await harness.chat(COUNSELLOR, session, features="ack,seq"),
        await harness.chat(token("user", 4), lonely),
        await harness.connect(f"/notify?token={token('user', 8)}"),
        await harness.connect(f"/observe?token={SUPERVISOR}&sessionId={session}"),
    ]
    for peer in (await harness.user(6), await harness.waiter(9, ready=False)):
        clients.append(peer.client)
    for client in clients:
        while True:
            try:
                await client.recv_json(0.3)
            except TimeoutError:
                break
    return clients


@pytest.mark.gen_test
async def test_no_client_is_told_anything(process: Process) -> None:
    harness = (await process.start()).harness
    visitor, counsellor, lonely, inbox, observer, user, waiter = clients = await settled(harness)
    await restart(process)
    await silence(*clients)
    await say(visitor, 1)
    assert await said(counsellor, 1) == await said(observer, 1) == ["1"]
    body = {"role": "user", "id": 8, "type": 0, "msg": "news"}
    answer = await harness.api("POST", "/api/v1/notifications", token("service", "host"), body)
    assert answer.code == 202
    assert (await inbox.recv_json())["msg"] == "news"
    await waiter.send_json({"id": "1", "type": "ready"})
    assert (await user.recv_json())["type"] == "connect_success"
    assert (await waiter.recv_json())["type"] == "new_connection"
    await silence(lonely)


@pytest.mark.gen_test
async def test_bytes_on_their_way_arrive(process: Process) -> None:
    """Half of a frame, half of a message in fragments, and answers that the client has not read."""
    harness = (await process.start()).harness
    port = int(harness.http.rsplit(":", 1)[1])
    session = await harness.session(1, 2)
    counsellor = await harness.chat(COUNSELLOR, session, features="ack")
    text = "x" * 50_000
    for number in range(20):
        await counsellor.send_json({"msg": text, "id": f"{number}"})
    while (await counsellor.recv_json()).get("ack") != "19":
        pass
    path = f"/chat?token={VISITOR}&sessionId={session}&features=history,seq"
    visitor = await RawSocket.open(port, path, source="127.0.0.1")
    asked = 30
    for _ in range(asked):
        await visitor.send_json({"history": None})
    whole = frame(TEXT, b'{"msg": "in two parts"}')
    parts = frame(TEXT, b'{"msg": "in ', fin=False), frame(CONTINUATION, b'fragments"}')
    visitor.write(parts[0])
    await restart(process)
    visitor.write(parts[1] + whole[:9])
    await restart(process)
    visitor.write(whole[9:])
    pages = 0
    seen: list[str] = []
    while len(seen) < 2 or pages < asked:
        received = await visitor.receive_json(WAIT_TIMEOUT_SECONDS)
        pages += "history" in received
        if received.get("isSystem") is False:
            seen.append(received["msg"])
    visitor.abort()


@pytest.mark.gen_test
async def test_it_can_be_switched_off_and_mistakes_stop_it(process: Process, tmp_path: Path) -> None:
    config = tmp_path / "chat.ini"
    config.write_text("[server]\nhandover = off\n")
    process.files.append(config)
    harness = (await process.start()).harness
    client = await harness.connect(f"/notify?token={COUNSELLOR}")
    os.kill(process.pid, signal.SIGUSR2)
    (told,) = await process.wait_for_log("handover = off")
    assert "systemctl restart tornado-chat" in told
    config.write_text("[server]\nhandover = on\n")
    os.kill(process.pid, signal.SIGHUP)
    await process.wait_for_log("reloaded options=server.handover")
    config.write_text("[server]\nhandover = perhaps\n")
    os.kill(process.pid, signal.SIGUSR2)
    (mistake,) = await process.wait_for_log("not restarted, as the installed program would not start")
    assert "[server] handover" in mistake
    process.expected += [re.escape(told), re.escape(mistake)]
    await silence(client)
    config.write_text("")
    await restart(process)
    await silence(client)
    assert await process.stop() == 0
