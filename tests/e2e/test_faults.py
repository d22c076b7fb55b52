"""Clients with the seeds' protocols behind a network that cuts, stalls, goes silent and truncates frames."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.conftest import Harness, token
from tests.e2e.conftest import Process
from tests.helpers.faults import FaultyProxy
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import ConnectionClosed, RawClient

VISITOR, COUNSELLOR, SUPERVISOR = token("user", 1), token("consultant", 2), token("supervisor", 3)
HOST = token("service", "host")
MESSAGES = 60
CLOSING = "closing"

Fault = Callable[[FaultyProxy, int], Awaitable[None]]


async def cut(proxy: FaultyProxy, n: int) -> None:
    if n % 10 == 3:
        proxy.cut()


async def leave_half_open_links(proxy: FaultyProxy, n: int) -> None:
    if n % 20 == 3:
        proxy.leave_half_open()


async def stall(proxy: FaultyProxy, n: int) -> None:
    if n % 20 == 3:
        proxy.stall()
    if n % 20 == 10:
        proxy.resume()


async def stall_until_closed(proxy: FaultyProxy, n: int) -> None:
    """Stall until the server closes the socket (4408), of which the client is not told."""
    if n % 30 == 3:
        proxy.stall()
    if n % 30 == 20:
        await asyncio.sleep(2)  # longer than the ping's timeout
        proxy.cut()


async def drop(proxy: FaultyProxy, n: int) -> None:
    """Cut within a frame, after some hundred forwarded bytes."""
    proxy.drop_after_down = 400 + 37 * n if n < MESSAGES - 10 else None


SLOW = pytest.param(stall_until_closed, marks=pytest.mark.slow)
HURTS = [cut, leave_half_open_links, stall, SLOW, drop]


class Listener:
    """A front end that can only reconnect, and keeps the received texts in order."""

    def __init__(self, url: str, path: str) -> None:
        self._url = url + path
        self.received: list[str] = []
        self._news = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                client = await RawClient.connect(self._url)
                try:
                    while True:
                        # A page that receives nothing for long closes its socket. Without the close
                        # the server would count unread frames as received.
                        frame = await client.recv_json(1.5)
                        if not frame.get("isSystem"):
                            self.received.append(frame["msg"])
                            self._news.set()
                finally:
                    closing = asyncio.create_task(client.close(), name=CLOSING)
                    self._closing.add(closing)
                    closing.add_done_callback(self._closing.discard)
            await asyncio.sleep(0.02)  # like a page

    async def until(self, text: str) -> list[str]:
        """Wait for ``text``, and return all received texts without repetitions."""
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while text not in self.received:
                self._news.clear()
                await self._news.wait()
        return list(dict.fromkeys(self.received))

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
def options(process: Process) -> Process:
    process.options += [
        "counselling.rejoin_grace=60",
        "counselling.leave_grace=60",
        "support.leave_grace=60",
        "support.rejoin_grace=60",
        "limits.ping_interval=0.2",
        "limits.ping_timeout=1.5",  # long enough for a busy machine
    ]
    return process


@contextlib.asynccontextmanager
async def proxied(process: Process) -> AsyncIterator[tuple[Harness, FaultyProxy]]:
    await process.start()
    async with FaultyProxy(int(process.url.rsplit(":", 1)[1])) as proxy:
        yield process.harness, proxy
    # All links are cut; clients that are closing notice it now.
    for task in asyncio.all_tasks():
        if task.get_name() == CLOSING:
            await asyncio.wait({task}, timeout=6)


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", HURTS)
async def test_a_participant_misses_no_message(options: Process, fault: Fault) -> None:
    async with proxied(options) as (harness, proxy):
        session = await harness.session()
        visitor = await harness.chat(VISITOR, session, features="ack")
        listener = Listener(proxy.url, f"/chat?token={COUNSELLOR}&sessionId={session}&type=0")
        while (await visitor.recv_json())["msg"] != "会话已开始":
            pass
        expected = [f"m{n}" for n in range(MESSAGES)]
        for n, text in enumerate(expected):
            await visitor.send_json({"msg": text, "id": text})
            assert (await visitor.recv_json())["ack"] == text
            await fault(proxy, n)
        proxy.resume()
        assert await listener.until(expected[-1]) == expected
        await listener.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", [cut, drop])
async def test_an_observer_continues_where_it_stopped(options: Process, fault: Fault) -> None:
    async with proxied(options) as (harness, proxy):
        session = await harness.session()
        await harness.record(session)
        visitor = await harness.chat(VISITOR, session, features="ack")
        await harness.chat(COUNSELLOR, session)
        while (await visitor.recv_json())["msg"] != "会话已开始":
            pass
        listener = Listener(proxy.url, f"/observe?token={SUPERVISOR}&sessionId={session}")
        # An observer receives messages from its first connection on.
        while not listener.received:
            await visitor.send_json({"msg": "is it there?"})
            await asyncio.sleep(0.05)
        expected = [f"m{n}" for n in range(MESSAGES)]
        for n, text in enumerate(expected):
            await visitor.send_json({"msg": text, "id": text})
            assert (await visitor.recv_json())["ack"] == text
            await fault(proxy, n)
        received = await listener.until(expected[-1])
        assert [text for text in received if text.startswith("m")] == expected
        await listener.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", [cut, SLOW])
async def test_no_notification_is_lost(options: Process, fault: Fault) -> None:
    async with proxied(options) as (harness, proxy):
        listener = Listener(proxy.url, f"/notify?token={COUNSELLOR}")
        expected = [f"n{n}" for n in range(MESSAGES)]
        for n, text in enumerate(expected):
            body = {"role": "consultant", "id": 2, "type": 0, "msg": text}
            assert (await harness.api("POST", "/api/v1/notifications", HOST, body)).code == 202
            await fault(proxy, n)
        assert await listener.until(expected[-1]) == expected
        await listener.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("fault", [cut, drop])
async def test_a_support_user_keeps_its_conversation_and_misses_no_message(
    options: Process, fault: Fault
) -> None:
    async with proxied(options) as (harness, proxy):
        received: list[str] = []
        clients: list[RawClient] = []
        addresses: set[str] = set()
        news = asyncio.Event()

        async def user() -> None:
            while True:
                with contextlib.suppress(ConnectionClosed, TimeoutError):
                    client = await RawClient.connect(proxy.url + "/v1/ws/user/connect")
                    clients.append(client)
                    await client.send_json(
                        {"id": "1", "type": "auth", "payload": {"token": token("user", 5)}}
                    )
                    await client.send_json({"id": "2", "type": "connect"})
                    while True:
                        frame = await client.recv_json(1.5)
                        if frame["type"] == "connect_success":
                            addresses.add(frame["payload"]["uuid"])
                        elif frame["type"] == "message_text":
                            received.append(frame["payload"]["message"])
                            news.set()
                await asyncio.sleep(0.02)

        waiter = await harness.waiter(7, features=["ack"])
        coming = asyncio.create_task(user())
        address = (await waiter.until("new_connection"))["payload"]["uuid"]
        expected = [f"m{n}" for n in range(MESSAGES)]
        for n, text in enumerate(expected):
            await waiter.send_frame("message_text", {"message": text}, to=address)
            await waiter.until("message_text_success")
            await fault(proxy, n)
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while expected[-1] not in received:
                news.clear()
                await news.wait()
        assert list(dict.fromkeys(received)) == expected
        assert addresses == {waiter.uuid}
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        proxy.cut()
        for client in clients:
            await client.close()


@pytest.mark.gen_test
async def test_several_connections_of_one_person_receive_all_messages_together(options: Process) -> None:
    async with proxied(options) as (harness, proxy):
        session = await harness.session()
        visitor = await harness.chat(VISITOR, session, features="ack")
        path = f"/chat?token={COUNSELLOR}&sessionId={session}&type=0"
        listeners = [Listener(proxy.url, path) for _ in range(3)]
        while (await visitor.recv_json())["msg"] != "会话已开始":
            pass
        expected = [f"m{n}" for n in range(MESSAGES)]
        for n, text in enumerate(expected):
            await visitor.send_json({"msg": text, "id": text})
            assert (await visitor.recv_json())["ack"] == text
            if n == 30:
                proxy.cut()
        # Receipts belong to the person, not to a socket: a message that was sent while one socket was
        # disconnected may have been received by another.
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            while not set(expected) <= {text for listener in listeners for text in listener.received}:  # noqa: ASYNC110 - any of them may be the last
                await asyncio.sleep(0.02)  # the last text may come to any of the three
        for listener in listeners:
            assert list(dict.fromkeys(listener.received)) == sorted(
                set(listener.received), key=expected.index
            )
            await listener.close()


@pytest.mark.gen_test
async def test_a_slow_peer_is_disconnected_without_delaying_others(options: Process) -> None:
    options.options += [
        "limits.outgoing_bytes=200000",
        "limits.ping_timeout=30",
        "limits.bytes_burst=100000000",
    ]
    async with proxied(options) as (harness, proxy):
        session = await harness.session()
        visitor = await harness.chat(VISITOR, session, features="ack")
        slow = await RawClient.connect(f"{proxy.url}/chat?token={COUNSELLOR}&sessionId={session}&type=0")
        quick = await harness.chat(COUNSELLOR, session)
        while (await visitor.recv_json())["msg"] != "会话已开始":
            pass
        proxy.stall()
        text = "x" * 50000
        for n in range(200):  # more than the kernel buffers of both ends
            await visitor.send_json({"msg": f"{n} {text}", "id": f"{n}"})
            assert (await visitor.recv_json())["ack"] == f"{n}"
        while not (await quick.recv_json())["msg"].startswith("199 "):
            pass
        proxy.resume()
        assert (await slow.wait_closed()).code in (4408, 1006)
