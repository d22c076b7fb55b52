"""Clients that take more than their share: unread pages, floods of frames, unanswered pings."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.conftest import Harness, changed, token
from tests.helpers.frames import client_frame, read_frame
from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tests.web.test_slow_and_silent import mute
from tornado_chat import config
from tornado_chat.client import RawClient
from tornado_chat.core.types import Kind, Page, Person, Role, Thread
from tornado_chat.delivery import answer_watch
from tornado_chat.delivery.hub import Hub
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.support.service import Support
from tornado_chat.web.sockets.base import SocketHandler
from tornado_chat.web.sockets.support import WaiterHandler
from tornado_chat.web.transport import connection as transport_connection

TEXT, PING, PONG, CLOSE = 1, 9, 10, 8
VISITOR = token("user", 1, "V")
COUNSELLOR = token("consultant", 2, "C")
USER_SOCKET, WAITER_SOCKET = "/v1/ws/user/connect", "/v1/ws/waiter/connect"


Connect = Callable[[str], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@pytest.fixture
def connect(harness: Harness, io_loop: IOLoop) -> Iterator[Connect]:
    """Open sockets that answer no pings and read only when the test reads."""
    writers: list[asyncio.StreamWriter] = []

    async def connect(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await mute(harness, path)
        writers.append(writer)
        return reader, writer

    yield connect

    async def abort() -> None:
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    io_loop.run_sync(abort)


def text_frame(**frame: Any) -> bytes:
    return client_frame(TEXT, json.dumps(frame).encode())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not true():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)


async def read_json(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Return the next text frame of the server; pings are not answered."""
    while (frame := await asyncio.wait_for(read_frame(reader), WAIT_TIMEOUT_SECONDS)) is not None:
        if frame[0] == TEXT:
            return dict(json.loads(frame[1]))
    raise AssertionError("the connection has ended")


async def close_code(reader: asyncio.StreamReader) -> int | None:
    """Read to the end and return the code of the close frame; None: there was none."""
    code = None
    while (frame := await asyncio.wait_for(read_frame(reader), WAIT_TIMEOUT_SECONDS)) is not None:
        if frame[0] == CLOSE:
            code = int.from_bytes(frame[1][:2], "big")
    return code


class Memory:
    """What the server keeps for the answers to its clients.

    :ivar most_unsent: the most unsent bytes of one socket after an answer.
    :ivar pages: the sizes of all pages that were read, in bytes.
    :ivar most_in_flight: the most pages of one socket that were being read at the same time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.handlers: set[SocketHandler] = set()
        self.most_unsent = 0
        self.pages: list[int] = []
        self.most_in_flight = 0
        self._in_flight = 0
        send = SocketHandler.send

        def counting_send(handler: SocketHandler, text: bytes) -> None:
            send(handler, text)
            self.handlers.add(handler)
            self.most_unsent = max(self.most_unsent, handler.unsent)

        monkeypatch.setattr(SocketHandler, "send", counting_send)
        for service in (Counselling, Support):
            monkeypatch.setattr(service, "history", self._counted(service.history))

    def _counted(self, history: Any) -> Any:
        async def counting_history(*arguments: Any) -> Any:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            found = await history(*arguments)
            self._in_flight -= 1
            page = found if isinstance(found, Page) else found[1]
            self.pages.append(sum(len(item.text) for item in page.items))
            return found

        return counting_history

    def is_held(self, role: Role) -> bool:
        """Return True if the frames of a socket of this role wait until its client reads."""
        return any(
            handler.ws_connection is not None and handler.ws_connection._is_held
            for handler in self.handlers
            if handler.socket_stream is not None and handler.socket_stream.person.role is role
        )


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    return Memory(monkeypatch)


async def talk(harness: Harness, session: int, count: int, size: int) -> RawClient:
    counsellor = await harness.chat(COUNSELLOR, session, features="ack")
    for n in range(count):
        await counsellor.send_json({"msg": f"{n}:" + size * "x", "id": str(n)})
        while "ack" not in await counsellor.recv_json():
            pass
    return counsellor


async def receive(harness: Harness, session: int, seq: int) -> None:
    """Let the visitor receive the messages up to ``seq``, so that they are not sent again when it joins."""
    visitor = await harness.chat(VISITOR, session)
    await harness.receipt(Person(Role.USER, "1"), Thread(Kind.SESSION, session), seq)
    await visitor.close()


# --- answers from the database ---


@pytest.mark.slow
@pytest.mark.gen_test
async def test_pages_that_are_not_read_stay_within_the_limit(
    harness: Harness, connect: Connect, memory: Memory
) -> None:
    session = await harness.session()
    counsellor = await talk(harness, session, 60, 57_000)
    await receive(harness, session, 60)
    _, writer = await connect(f"/chat?token={VISITOR}&sessionId={session}&features=history,ack")
    writer.write(text_frame(history=None, limit=60) * 250)
    await until(lambda: memory.is_held(Role.USER))
    pages = len(memory.pages)
    for n in range(20):  # the server is alive, and reads no other page
        await counsellor.send_json({"msg": "x", "id": f"later {n}"})
        while "ack" not in await counsellor.recv_json():
            pass
    assert len(memory.pages) == pages < 250
    limit = config.Limits().outgoing_bytes
    assert max(memory.pages) <= limit // 8 + 57_000
    assert memory.most_in_flight == 1
    assert memory.most_unsent <= limit // 4 + limit // 8 + 2 * 65536


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["counselling", "support"])
@pytest.mark.gen_test
async def test_a_client_that_reads_slowly_gets_all_answers_in_order(
    harness: Harness, connect: Connect, memory: Memory, dialect: str
) -> None:
    if dialect == "counselling":
        session = await harness.session()
        await talk(harness, session, 30, 57_000)
        await receive(harness, session, 30)
        path = f"/chat?token={VISITOR}&sessionId={session}&features=history,ack"
        reader, writer = await connect(path)
        ask, say = text_frame(history=None, limit=30), partial_message("msg")
    else:
        waiter = await harness.waiter(5, features=["ack"])
        reader, writer = await connect(USER_SOCKET)
        await read_json(reader)
        writer.write(text_frame(id="1", type="auth", payload={"token": VISITOR, "features": ["ack"]}))
        writer.write(text_frame(id="2", type="connect"))
        new = await waiter.until("new_connection")
        for _ in range(30):
            await waiter.send_frame("message_text", {"message": 57_000 * "x"}, to=new["payload"]["uuid"])
            await waiter.until("message_text_success")
        ask, say = text_frame(id="h", type="get_history", payload={"limit": 30}), partial_message("message")
    for n in range(25):
        writer.write(ask + say(n))
    await until(lambda: memory.is_held(Role.USER))
    answers = []
    while answers[-1:] != [24]:
        frame = await read_json(reader)
        if "ack" in frame or frame.get("type") == "message_text_success":
            answers.append(int(frame.get("ack", frame.get("reply_id"))))
        elif "history" in frame or frame.get("type") == "message_history":
            answers.append(-1)
        await asyncio.sleep(0)
    assert answers.count(-1) == 25 + (dialect == "counselling")  # a page comes with joining, too
    assert [number for number in answers if number >= 0] == list(range(25))


def partial_message(key: str) -> Callable[[int], bytes]:
    if key == "msg":
        return lambda n: text_frame(msg=f"my {n}", id=str(n))
    return lambda n: text_frame(id=str(n), type="message_text", payload={"message": f"my {n}"})


class TestSmallAnswers:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", burst=10**6, messages_per_second=10.0**6, outgoing_bytes=400_000)

    @pytest.mark.parametrize(
        "frame", [text_frame(msg="x", id="same"), text_frame(nothing=1), client_frame(PING, 100 * b"p")]
    )
    @pytest.mark.gen_test
    async def test_answers_that_are_not_read_stay_within_the_limit(
        self,
        harness: Harness,
        connect: Connect,
        memory: Memory,
        frame: bytes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("tornado_chat.web.sockets.counselling.ChatHandler.max_malformed_frames", None)
        session = await harness.session()
        await harness.chat(COUNSELLOR, session)
        _, writer = await connect(f"/chat?token={VISITOR}&sessionId={session}&features=ack,presence")
        writer.write(frame * (20_000_000 // len(frame)))
        await until(lambda: memory.is_held(Role.USER))
        handler = next(each for each in memory.handlers if each.socket_stream.person.role is Role.USER)
        assert handler.unsent <= 100_000 + 2 * 65536


# --- floods of frames ---


class TestFloods:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "limits", messages_per_second=0.001, burst=50)

    @pytest.mark.parametrize("is_signed_in", [False, True])
    @pytest.mark.parametrize(
        "flood",
        [
            client_frame(TEXT, fin=False) + 60 * client_frame(0, fin=False),
            60 * client_frame(PING),
            60 * client_frame(PONG, b"7"),
            60 * client_frame(TEXT, b"?"),
        ],
        ids=["fragments", "pings", "pongs", "messages"],
    )
    @pytest.mark.gen_test
    async def test_every_kind_of_frame_counts(
        self, harness: Harness, connect: Connect, flood: bytes, is_signed_in: bool
    ) -> None:
        reader, writer = await connect(USER_SOCKET)
        if is_signed_in:
            await read_json(reader)
            writer.write(text_frame(id="1", type="auth", payload={"token": VISITOR, "features": ["ack"]}))
            assert (await read_json(reader))["type"] == "auth_success"
        writer.write(flood)
        assert await close_code(reader) == 4429
        counts = harness.server.metrics.dropped if is_signed_in else harness.server.metrics.refused
        await until(lambda: counts.counts["user", "too_fast"] == 1)

    @pytest.mark.gen_test
    async def test_a_refused_client_that_goes_on_is_aborted(
        self, harness: Harness, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transport_connection, "CLOSE_TIMEOUT_SECONDS", 0.5)
        reader, writer = await connect("/chat?token=wrong&sessionId=1")
        frame = await asyncio.wait_for(read_frame(reader), WAIT_TIMEOUT_SECONDS)
        assert frame is not None
        assert frame[1][:2] == (4401).to_bytes(2, "big")

        async def go_on() -> None:
            while True:
                writer.write(10_000 * client_frame(0, fin=False))
                await writer.drain()

        with pytest.raises(ConnectionError):
            await go_on()

    @pytest.mark.gen_test
    async def test_an_unfinished_message_takes_little_memory_before_authentication(
        self, harness: Harness, connect: Connect
    ) -> None:
        frame_bytes = config.Limits().frame_bytes
        reader, writer = await connect(USER_SOCKET)
        for opcode in (TEXT, 0, 0):
            writer.write(client_frame(opcode, frame_bytes * b"x", fin=False))
        assert await close_code(reader) == 1009

    @pytest.mark.gen_test
    async def test_the_pongs_of_a_busy_room_are_free(self, harness: Harness) -> None:
        session = await harness.session()
        visitor = await harness.chat(VISITOR, session)  # the client answers pings by itself
        counsellors = []
        for _ in range(2):
            counsellors.append(await harness.chat(COUNSELLOR, session, features="ack"))
        for n in range(80):
            counsellor = counsellors[n // 40]
            await counsellor.send_json({"msg": str(n), "id": str(n)})
            while "ack" not in await counsellor.recv_json():
                pass
        texts: list[str] = []
        while len(texts) < 80:
            frame = await visitor.recv_json()
            if not frame["isSystem"]:
                texts.append(frame["msg"])
        assert texts == [str(n) for n in range(80)]


# --- sockets that are gone before they are in ---


class TestAuthTimeout:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        return changed(settings, "support", auth_timeout=0.2)

    @pytest.mark.parametrize("end", ["timeout", "lost"])
    @pytest.mark.gen_test
    async def test_a_token_that_is_checked_too_late_signs_nothing_in(
        self, harness: Harness, connect: Connect, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        good = await harness.waiter(5, features=["kickout", "ready", "ack"])
        await good.until("ready_success")
        access_control = harness.server._services.access_control
        authenticate, checking, checked = access_control.authenticate, asyncio.Event(), asyncio.Event()

        async def slow_check(*proof: Any) -> Any:
            checking.set()
            await checked.wait()
            return await authenticate(*proof)

        monkeypatch.setattr(access_control, "authenticate", slow_check)
        closed = asyncio.Event()
        on_disconnected = WaiterHandler.on_disconnected

        def note_close(handler: WaiterHandler, code: int | None) -> None:
            on_disconnected(handler, code)
            closed.set()

        monkeypatch.setattr(WaiterHandler, "on_disconnected", note_close)
        reader, writer = await connect(WAITER_SOCKET)
        await read_json(reader)
        payload = {"token": token("waiter", 5), "features": ["kickout"]}
        writer.write(text_frame(id="1", type="auth", payload=payload))
        await checking.wait()
        if end == "timeout":
            assert await close_code(reader) == 4401
        else:
            writer.transport.abort()
            await asyncio.sleep(0.1)
        checked.set()
        await closed.wait()
        monkeypatch.setattr(access_control, "authenticate", authenticate)
        await good.send_frame("ready")
        await good.get("ready_success")  # nothing else came: it was not kicked out


@pytest.mark.gen_test
async def test_a_socket_that_is_dropped_while_it_enters_leaves_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    emit, follow = PluginManager.emit, Hub.follow

    def noting_emit(manager: PluginManager, hook: str, **arguments: Any) -> None:
        if hook.startswith("participant"):
            events.append(hook)
        emit(manager, hook, **arguments)

    async def dropping_follow(hub: Hub, socket_stream: Any, *arguments: Any) -> int:
        count = await follow(hub, socket_stream, *arguments)
        socket_stream.close(4408, "too slow")
        return count

    monkeypatch.setattr(PluginManager, "emit", noting_emit)
    monkeypatch.setattr(Hub, "follow", dropping_follow)
    client = await harness.chat(VISITOR, await harness.session(), features="seq")
    assert (await client.wait_closed()).code == 4408
    await until(lambda: "participant_left" in events)
    for _ in range(20):
        await harness.api("GET", "/healthz")
    assert events == ["participant_joined", "participant_left"]


# --- waiters that are gone without a close ---


@pytest.mark.gen_test
async def test_a_waiter_that_answers_no_ping_gets_no_more_users(
    harness: Harness, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_watch, "UNANSWERED_SECONDS", 0.2)
    reader, writer = await connect(WAITER_SOCKET)
    await read_json(reader)
    writer.write(text_frame(id="1", type="auth", payload={"token": token("waiter", 5)}))
    writer.write(text_frame(id="2", type="ready"))
    first = await harness.user(1)
    await first.until("connect_success")
    assert (await read_json(reader))["type"] == "new_connection"
    frame = await asyncio.wait_for(read_frame(reader), WAIT_TIMEOUT_SECONDS)
    assert frame is not None
    assert frame[0] == PING  # at once, not after ``ping_interval``
    waiter = harness.server._services.local_conversations._local_waiters[Person(Role.WAITER, "5")]
    await until(lambda: not waiter.is_answering)
    second = await harness.user(2)
    assert (await second.get("connect_queue"))["payload"]["location"] == 1
    writer.write(client_frame(PONG, frame[1]))
    await second.get("connect_success")


# --- a user with several sockets ---


class TestSlowSocketOfAReturnedUser:
    @pytest.fixture
    def settings(self, settings: config.Config) -> config.Config:
        settings = changed(settings, "limits", outgoing_bytes=200_000, bytes_burst=2**30)
        # A socket that reads a little all the time stays open.
        settings = changed(settings, "limits", ping_interval=3600.0, ping_timeout=3600.0)
        return changed(settings, "support", rejoin_grace=0.3)

    @pytest.mark.gen_test
    async def test_it_does_not_hold_up_the_other_sockets(self, harness: Harness, connect: Connect) -> None:
        waiter = await harness.waiter(5, features=["ack"])
        reader, writer = await connect(USER_SOCKET)  # it answers no ping, so nothing has a receipt
        drain = asyncio.create_task(reader.read(2**30))
        frames = text_frame(id="1", type="auth", payload={"token": token("user", 1)})
        frames += text_frame(id="2", type="connect")
        writer.write(frames)
        address = (await waiter.until("new_connection"))["payload"]["uuid"]
        for n in range(150):  # more than the sockets' buffers can hold
            await waiter.send_frame("message_text", {"message": f"{n}:" + 60_000 * "x"}, to=address)
            await waiter.until("message_text_success")
        await waiter.client.close()
        conversations = harness.server._dispatcher.cases
        await until(lambda: any(case.row.returned for case in conversations.values()))
        _, slow = await connect(USER_SOCKET)
        slow.write(frames)
        person = Person(Role.USER, "1")
        local = harness.server._local_conversations._user_conversations[person]
        await until(lambda: any(each.socket_stream.is_clogged for each in local.connections))
        other = await harness.user(1)
        assert (await other.until("connect_queue"))["payload"]["location"] == 1
        drain.cancel()
