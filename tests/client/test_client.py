"""The clients, against a scripted server. Their delays are injected, so that the tests wait for none."""

import asyncio
import base64
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler, WebSocketProtocol13

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.client import (
    Ack,
    ChatClient,
    ConnectionClosed,
    MessageRefused,
    NotifyClient,
    ObserveClient,
    Options,
    Person,
    RawClient,
    UserClient,
    WaiterClient,
)
from tornado_chat.client.token_expiry import renewal_delay, token_expiry

USER = r"/v1/ws/user/connect"
WAITER = r"/v1/ws/waiter/connect"


class Peer(WebSocketHandler):
    """The server's end of one socket, controlled by the test."""

    def initialize(self, arrivals: "asyncio.Queue[Peer]") -> None:
        self._arrivals = arrivals
        self._frames: asyncio.Queue[Any] = asyncio.Queue()
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        self._closed = asyncio.Event()

    def open(self) -> None:
        self._arrivals.put_nowait(self)

    def on_message(self, message: str | bytes) -> None:
        self._frames.put_nowait(json.loads(message))

    def on_pong(self, data: bytes) -> None:
        self.pongs.put_nowait(data)

    def on_close(self) -> None:
        self._closed.set()

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.request.query, keep_blank_values=True)

    async def next_frame(self) -> Any:
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            return await self._frames.get()

    @property
    def has_received_all(self) -> bool:
        return self._frames.empty()

    def send_frame(self, **frame: Any) -> None:
        self.write_message(json.dumps(frame))

    def drop(self) -> None:
        """End the connection without a close frame, as a killed process does."""
        assert isinstance(self.ws_connection, WebSocketProtocol13)
        self.ws_connection.stream.close()

    async def closed(self) -> tuple[int | None, str | None]:
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            await self._closed.wait()
        return self.close_code, self.close_reason

    # the handshake of the support dialect

    async def admit(self, *features: str, then: str, uuid: str = "me") -> Any:
        """Complete the handshake; return the client's next frame, which must have the type ``then``."""
        self.send_frame(id="0", to=uuid, type="initialize", payload=None)
        auth = await self.next_frame()
        assert auth["type"] == "auth"
        assert auth["payload"] == {"token": "t"} | ({"features": list(features)} if features else {})
        if "ack" in features:
            self.send_frame(id="1", to=uuid, type="auth_success", payload={}, reply_id=auth["id"])
        following = await self.next_frame()
        assert following["type"] == then
        return following


class ScriptedServer:
    """A running scripted server."""

    def __init__(self, port: int, arrivals: "asyncio.Queue[Peer]") -> None:
        self.port = port
        self.url = f"ws://127.0.0.1:{port}"
        self.arrivals = arrivals

    async def accept(self) -> Peer:
        """Return the socket of the next client."""
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            return await self.arrivals.get()


class RefusingHandler(RequestHandler):
    def get(self) -> None:
        self.set_status(int(self.get_query_argument("token")))


@asynccontextmanager
async def fake_server(port: int = 0) -> AsyncIterator[ScriptedServer]:
    arrivals: asyncio.Queue[Peer] = asyncio.Queue()
    paths = ["/chat", "/notify", "/observe", USER, WAITER]
    routes: list[Any] = [(path, Peer, {"arrivals": arrivals}) for path in paths]
    server = HTTPServer(
        Application([*routes, ("/no/chat", RefusingHandler)], log_function=lambda handler: None)
    )
    sockets = bind_sockets(port, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield ScriptedServer(sockets[0].getsockname()[1], arrivals)
    finally:
        server.stop()
        await server.close_all_connections()


class RecordedSleeps:
    """Replaces sleeping: records the delays, and returns at once until ``limit`` delays are recorded."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.enough = asyncio.Event()
        self.limit = 1000

    async def sleep(self, delay: float) -> None:
        self.delays.append(round(delay, 6))
        if len(self.delays) >= self.limit:
            self.enough.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    def options(self, **more: Any) -> Options:
        return Options(random=lambda: 1.0, sleep=self.sleep, **more)


def run(test: Callable[[ScriptedServer], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test with a scripted server; fail if a task or socket of a client is left at its end."""

    async def main() -> None:
        async with fake_server() as server, asyncio.timeout(4 * WAIT_TIMEOUT_SECONDS):
            await test(server)
            while not server.arrivals.empty():
                await server.arrivals.get_nowait().closed()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:  # tasks of the server may need one more step
            _, left = await asyncio.wait(left, timeout=1)
        assert not left

    def wrapper() -> None:
        asyncio.run(main())

    wrapper.__name__ = test.__name__
    wrapper.__doc__ = test.__doc__
    return wrapper


def start_task(coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(coroutine)


def frame(text: str, **more: Any) -> dict[str, Any]:
    return {"isSystem": False, "system": False, "msg": text, "time": "2025-03-20T08:26:45.391706", **more}


def ack(id: str, seq: int) -> dict[str, Any]:
    return {"ack": id, "seq": seq, "time": "2025-03-20T08:26:46.000000"}


# --- counselling ---


@run
async def test_chat_parameters_are_encoded(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "a+b&c=ü", 7, type=1):
        peer = await server.accept()
        assert peer.query == {
            "token": ["a+b&c=ü"],
            "sessionId": ["7"],
            "type": ["1"],
            "features": ["ack,seq"],
        }


@run
async def test_a_token_function_is_called_for_each_connect(server: ScriptedServer) -> None:
    tokens = iter(["one", "two"])
    async with ChatClient(server.url, lambda: next(tokens), 1, options=RecordedSleeps().options()):
        peer = await server.accept()
        assert peer.query["token"] == ["one"]
        peer.close(1012)
        assert (await server.accept()).query["token"] == ["two"]


@run
async def test_an_error_of_the_token_function_is_raised(server: ScriptedServer) -> None:
    def token() -> str:
        raise LookupError("no token today")

    with pytest.raises(LookupError):
        await ChatClient(server.url, token, 1).connect()


@run
async def test_send_returns_after_the_acknowledgement(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        peer = await server.accept()
        sending = start_task(chat.send("hello"))
        sent = await peer.next_frame()
        assert sent == {"msg": "hello", "id": sent["id"]}
        assert not sending.done()
        peer.send_frame(**ack(sent["id"], 3))
        assert await sending == Ack(3, "2025-03-20T08:26:46.000000")


@run
async def test_an_own_id_is_used(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        peer = await server.accept()
        sending = start_task(chat.send("hello", id="mine"))
        assert await peer.next_frame() == {"msg": "hello", "id": "mine"}
        with pytest.raises(ValueError, match="mine"):
            await chat.send("other", id="mine")
        peer.send_frame(**ack("mine", 1))
        await sending


@run
async def test_unacknowledged_messages_are_sent_again_in_order(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1, options=RecordedSleeps().options()) as chat:
        peer = await server.accept()
        sendings = [start_task(chat.send(text)) for text in "abcd"]
        first = [await peer.next_frame() for _ in range(4)]
        peer.send_frame(**ack(first[1]["id"], 1))  # the others stay unanswered
        await sendings[1]
        peer.drop()
        peer = await server.accept()
        again = [await peer.next_frame() for _ in range(3)]
        assert again == [first[0], first[2], first[3]]
        for seq, sent in enumerate(again, 2):
            peer.send_frame(**ack(sent["id"], seq))
        acks = await asyncio.gather(*sendings)
        assert [got.seq for got in acks if got] == [2, 1, 3, 4]
        assert peer.has_received_all


@run
async def test_a_send_while_disconnected_waits(server: ScriptedServer) -> None:
    sleeps = RecordedSleeps()
    chat = ChatClient(server.url, "t", 1, options=sleeps.options())
    async with chat:
        peer = await server.accept()
        sleeps.limit = 1
        peer.drop()
        await sleeps.enough.wait()
        assert not chat.connected
        sending = start_task(chat.send("still there?"))
        await asyncio.sleep(0)
        await chat.close()
        with pytest.raises(ConnectionClosed):
            await sending


@run
async def test_a_cancelled_send_is_not_sent_again(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1, options=RecordedSleeps().options()) as chat:
        peer = await server.accept()
        given_up, kept = start_task(chat.send("a")), start_task(chat.send("b"))
        await peer.next_frame()
        await peer.next_frame()
        given_up.cancel()
        peer.drop()
        peer = await server.accept()
        sent = await peer.next_frame()
        assert sent["msg"] == "b"
        peer.send_frame(**ack(sent["id"], 1))
        await kept


@run
async def test_a_refused_send_raises_and_others_succeed(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        peer = await server.accept()
        bad, good = start_task(chat.send("")), start_task(chat.send("hello"))
        first, second = await peer.next_frame(), await peer.next_frame()
        peer.send_frame(isSystem=True, system=True, msg="错误: 消息不能为空", id=first["id"])
        peer.send_frame(**ack(second["id"], 1))
        with pytest.raises(MessageRefused, match="消息不能为空"):
            await bad
        assert await good
        peer.send_frame(isSystem=True, msg="错误: 其他")  # not about a message of this client
        assert (await chat.receive(WAIT_TIMEOUT_SECONDS)).msg == "错误: 其他"


@run
async def test_half_a_character_is_replaced_before_sending(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        peer = await server.accept()
        sending = start_task(chat.send("half \ud83d", id="\ud83d"))
        frame = await peer.next_frame()
        assert frame == {"msg": "half \ufffd", "id": "\ufffd"}
        peer.send_frame(**ack(frame["id"], 1))
        assert await sending
        sending = start_task(chat.send("\ud83d\ude00"))  # two halves that belong together
        frame = await peer.next_frame()
        assert frame["msg"] == "😀"
        peer.send_frame(**ack(frame["id"], 2))
        assert await sending


@run
async def test_a_message_of_support_has_no_half_character(server: ScriptedServer) -> None:
    user = UserClient(server.url, "t")
    connecting = start_task(user.connect())
    peer = await matched(server)
    async with await connecting:
        sending = start_task(user.request("rate", {"rate": 5, "feedback": ["\ude00", None]}))
        frame = await peer.next_frame()
        assert frame["payload"] == {"rate": 5, "feedback": ["\ufffd", None]}
        peer.send_frame(id="3", to="me", type="rate_success", payload={"rate": 5}, reply_id=frame["id"])
        assert (await sending).type == "rate_success"


@run
async def test_received_frames_are_structs(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        peer = await server.accept()
        peer.send_frame(**frame("hi", id="s1-4", seq=4))
        peer.send_frame(isSystem=True, system=True, msg="会话已开始", time="2025-03-20T08:26:45.391706")
        said, system = await chat.receive(WAIT_TIMEOUT_SECONDS), await chat.receive(WAIT_TIMEOUT_SECONDS)
        assert (said.system, said.msg, said.seq, said.id) == (False, "hi", 4, "s1-4")
        assert said.time == "2025-03-20T08:26:45.391706"
        assert said.raw == frame("hi", id="s1-4", seq=4)
        assert (system.system, system.msg, system.seq) == (True, "会话已开始", None)
        with pytest.raises(TimeoutError):
            await chat.receive(0)


@run
async def test_a_reader_waits_for_some_frames_and_for_the_end(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        peer = await server.accept()
        closed = start_task(chat.wait_closed())
        for text in ("one", "two", "three"):
            peer.send_frame(**frame(text))
        two = await chat.receive(WAIT_TIMEOUT_SECONDS, lambda frame: frame.msg == "two")
        rest = [await chat.receive(WAIT_TIMEOUT_SECONDS) for _ in range(2)]
        assert [each.msg for each in (two, *rest)] == ["two", "one", "three"]
        peer.send_frame(**frame("unread"))
        assert not closed.done()
        peer.close(4403, "no")
        assert str(await closed) == str(await chat.wait_closed()) == "4403 no"
        assert (await chat.receive()).msg == "unread"


@run
async def test_a_message_is_sent_then_delivered_then_seen(server: ScriptedServer) -> None:
    features = ("ack", "seq", "receipt", "read", "sender")
    async with ChatClient(server.url, "t", 1, features=features) as chat:
        reports: list[tuple[int, int]] = []
        chat.on_delivery = lambda user, delivery: reports.append((delivery.received, delivery.read))
        peer = await server.accept()
        sending = start_task(chat.send("hello"))
        peer.send_frame(**ack((await peer.next_frame())["id"], 5))
        stored_ack = await sending
        assert stored_ack is not None
        states = [chat.delivery.state(stored_ack.seq)]
        author = {"role": "consultant", "id": "2", "name": "Chen"}
        for text, report in (
            ("one", {"read": 5, "role": "user"}),  # the own person, in another window
            ("two", {"receipt": 4, "role": "consultant"}),
            ("three", {"receipt": 5, "role": "consultant"}),
            ("four", {"read": 5, "role": "consultant"}),
            ("five", {"receipt": 3, "role": "consultant"}),  # an older report
        ):
            peer.send_frame(**report)
            peer.send_frame(**frame(text, sender=author))
            received = await chat.receive(WAIT_TIMEOUT_SECONDS)
            assert (received.msg, received.author) == (text, Person("consultant", "2", "Chen"))
            states.append(chat.delivery.state(5))
        assert states == ["sent", "sent", "sent", "delivered", "seen", "seen"]
        assert reports == [(4, 0), (5, 0), (5, 5)]


@run
async def test_repeats_are_dropped(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1, options=RecordedSleeps().options()) as chat:
        peer = await server.accept()
        for seq in (1, 2, 3):
            peer.send_frame(**frame(str(seq), seq=seq))
        assert [(await chat.receive(WAIT_TIMEOUT_SECONDS)).msg for _ in range(3)] == ["1", "2", "3"]
        peer.close(1012)
        peer = await server.accept()
        for seq in (2, 3, 4):
            peer.send_frame(**frame(str(seq), seq=seq))
        assert (await chat.receive(WAIT_TIMEOUT_SECONDS)).msg == "4"


@run
async def test_pings_are_answered_after_the_frames_before_them(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        peer = await server.accept()
        peer.send_frame(**frame("hi", seq=1))
        peer.ping(b"1")
        async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
            assert await peer.pongs.get() == b"1"
        await chat.close()
        assert [frame.msg async for frame in chat] == ["hi"]  # confirmed by the pong, so not lost


@run
async def test_a_seed_client_sends_seed_frames_only(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1, features=(), options=RecordedSleeps().options()) as chat:
        peer = await server.accept()
        assert peer.query == {"token": ["t"], "sessionId": ["1"], "type": ["0"]}
        assert await chat.send("hello") is None
        assert await peer.next_frame() == {"msg": "hello"}
        peer.drop()
        peer = await server.accept()
        assert await chat.send("again") is None
        assert await peer.next_frame() == {"msg": "again"}  # "hello" was written, so it is not sent again
        peer.send_frame(**frame("same"))
        peer.send_frame(**frame("same"))
        assert [(await chat.receive(WAIT_TIMEOUT_SECONDS)).msg for _ in range(2)] == ["same", "same"]


@pytest.mark.parametrize("code", [1000, 1002, 1009, 4400, 4401, 4403, 4404, 4409, 4429])
def test_final_close_codes_end_the_client(code: int) -> None:
    @run
    async def test(server: ScriptedServer) -> None:
        sleeps = RecordedSleeps()
        async with ChatClient(server.url, "t", 1, options=sleeps.options()) as chat:
            peer = await server.accept()
            sending = start_task(chat.send("hello"))
            await peer.next_frame()
            peer.send_frame(**frame("last words"))
            peer.close(code, "because")
            with pytest.raises(ConnectionClosed) as closed:
                await sending
            assert (closed.value.code, closed.value.reason) == (code, "because")
            assert (await chat.receive(WAIT_TIMEOUT_SECONDS)).msg == "last words"
            with pytest.raises(ConnectionClosed):
                await chat.receive(WAIT_TIMEOUT_SECONDS)
            with pytest.raises(ConnectionClosed):
                await chat.send("too late")
            assert chat.closed is closed.value
            if code == 1000:
                assert [frame async for frame in chat] == []
            else:
                with pytest.raises(ConnectionClosed):
                    await anext(aiter(chat))
        assert sleeps.delays == []

    test()


@pytest.mark.parametrize("code", [None, 1001, 1011, 1012, 1013, 4408])
def test_temporary_close_codes_cause_a_reconnect(code: int | None) -> None:
    @run
    async def test(server: ScriptedServer) -> None:
        async with ChatClient(server.url, "t", 1, options=RecordedSleeps().options()) as chat:
            peer = await server.accept()
            peer.close(code)
            peer = await server.accept()
            peer.send_frame(**frame("welcome back"))
            assert (await chat.receive(WAIT_TIMEOUT_SECONDS)).msg == "welcome back"

    test()


@pytest.mark.parametrize(("status", "final"), [(400, True), (403, True), (404, True), (502, False)])
def test_http_statuses_of_the_upgrade(status: int, final: bool) -> None:
    @run
    async def test(server: ScriptedServer) -> None:
        sleeps = RecordedSleeps()
        sleeps.limit = 3
        client = ChatClient(f"{server.url}/no", str(status), 1, options=sleeps.options())
        connecting = start_task(client.connect())
        if final:
            with pytest.raises(ConnectionClosed) as closed:
                await connecting
            assert closed.value.code == status
        else:
            await sleeps.enough.wait()
            connecting.cancel()
            with suppress(asyncio.CancelledError):
                await connecting

    test()


@run
async def test_backoff(server: ScriptedServer) -> None:
    """The first retry after 1006 is at once, the others wait twice as long each time, up to five seconds."""
    sleeps = RecordedSleeps()
    sleeps.limit = 10
    lost: list[ConnectionClosed | None] = []
    async with fake_server() as other:
        chat = ChatClient(other.url, "t", 1, options=sleeps.options(on_change=lost.append))
        await chat.connect()
        peer = await other.accept()
    peer.drop()  # after the server has stopped listening
    await sleeps.enough.wait()
    assert sleeps.delays == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5]
    assert lost[0] is None
    assert [closed.code for closed in lost[1:] if closed is not None] == [1006] * 10
    await chat.close()


def test_delays_are_a_random_part_and_never_overflow() -> None:
    options = Options(random=lambda: 0.5)
    assert options.delay(1012, 0) == 0
    assert options.delay(1013, 0) == 0.05
    assert options.delay(1012, 1) == 0.05
    assert options.delay(1012, 2) == 0.1
    assert options.delay(1012, 100_000) == 2.5


@run
async def test_a_connection_that_lasted_clears_the_count(server: ScriptedServer) -> None:
    sleeps = RecordedSleeps()
    async with ChatClient(server.url, "t", 1, options=sleeps.options(max_delay_seconds=0.001)):
        for _ in range(3):
            peer = await server.accept()
            await asyncio.sleep(0.01)
            peer.close(1012)
        await server.accept()
    assert sleeps.delays == [0, 0, 0]


@run
async def test_a_session_is_ended_by_a_close_code(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        peer = await server.accept()
        await chat.close(4000, "enough")
        assert await peer.closed() == (4000, "enough")
        await chat.close()  # once is enough
        assert [frame async for frame in chat] == []
        with pytest.raises(ConnectionClosed):
            await chat.connect()


@run
async def test_close_reasons_have_a_limit(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        with pytest.raises(ValueError, match="123"):
            await chat.close(1000, "ü" * 62)


@run
async def test_not_a_frame_of_the_dialect(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1, options=RecordedSleeps().options()) as chat:
        peer = await server.accept()
        peer.send_frame(msg=5)
        with pytest.raises(ConnectionClosed) as closed:
            await chat.receive(WAIT_TIMEOUT_SECONDS)
        assert closed.value.code == 1002
        assert (await peer.closed())[0] == 1002


@run
async def test_a_waiting_reader_gets_the_end(server: ScriptedServer) -> None:
    async with ChatClient(server.url, "t", 1) as chat:
        readers = [start_task(chat.receive()) for _ in range(2)]
        peer = await server.accept()
        peer.send_frame(**frame("for one of you"))
        await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
        peer.close(4409)
        results = await asyncio.gather(*readers, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["ChatFrame", "ConnectionClosed"]


@run
async def test_close_while_connecting(server: ScriptedServer) -> None:
    for pauses in range(8):
        chat = ChatClient(server.url, "t", 1)
        connecting = start_task(chat.connect())
        for _ in range(pauses):
            await asyncio.sleep(0)
        await chat.close()
        with suppress(ConnectionClosed):
            await connecting


@run
async def test_cancelling_connect_closes_the_client(server: ScriptedServer) -> None:
    chat = ChatClient("ws://127.0.0.1:1", "t", 1, options=Options(initial_delay_seconds=0.01))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await chat.connect()
    assert chat.closed is not None


@run
async def test_send_before_connect_raises(server: ScriptedServer) -> None:
    with pytest.raises(RuntimeError, match="connect"):
        await ChatClient(server.url, "t", 1).send("hello")
    with pytest.raises(ValueError, match="ws://"):
        ChatClient("ftp://example.org", "t", 1)


@asynccontextmanager
async def unresponsive_server() -> AsyncIterator[tuple[str, "asyncio.Queue[int]"]]:
    """Run a server that does the opening and the closing handshake, but answers no frames and pings.

    Yield its URL, and a queue of the close codes that clients send.
    """
    codes: asyncio.Queue[int] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in request.split("\r\n") if ": " in line)
        accept = WebSocketProtocol13.compute_accept_value(headers["Sec-Websocket-Key"])
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        opcode = 0
        while opcode != 8:
            first, length, *mask = await reader.readexactly(6)
            opcode = first & 15
            masked = await reader.readexactly(length & 127)
        code = bytes(byte ^ mask[place] for place, byte in enumerate(masked[:2]))
        codes.put_nowait(int.from_bytes(code))
        writer.write(b"\x88\x02" + code)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", codes
    finally:
        server.close()
        await server.wait_closed()


@run
async def test_unanswered_pings_cause_a_reconnect(server: ScriptedServer) -> None:
    lost: list[ConnectionClosed | None] = []
    async with unresponsive_server() as (url, codes):
        options = RecordedSleeps().options(ping_interval_seconds=0.01, on_change=lost.append)
        async with ChatClient(url, "t", 1, options=options):
            assert [await codes.get(), await codes.get()] == [4408, 4408]
    assert lost[0] is None
    assert lost[1] is not None
    assert lost[1].code == 4408
    assert lost[2] is None


@run
async def test_a_missing_handshake_causes_a_reconnect(server: ScriptedServer) -> None:
    async with unresponsive_server() as (url, codes):
        user = UserClient(url, "t", options=RecordedSleeps().options(timeout_seconds=0.05))
        connecting = start_task(user.connect())
        assert [await codes.get(), await codes.get()] == [4408, 4408]
        await user.close()
        with pytest.raises(ConnectionClosed):
            await connecting


@run
async def test_answered_pings_keep_the_connection(server: ScriptedServer) -> None:
    sleeps = RecordedSleeps()
    async with ChatClient(server.url, "t", 1, options=sleeps.options(ping_interval_seconds=0.01)) as chat:
        await server.accept()
        await asyncio.sleep(0.1)
        assert chat.connected
        assert sleeps.delays == []


@run
async def test_notifications(server: ScriptedServer) -> None:
    async with NotifyClient(server.url, "t", options=RecordedSleeps().options()) as notify:
        peer = await server.accept()
        assert peer.query == {"token": ["t"], "features": ["seq"]}
        peer.send_frame(
            type=0, msg="您有新的请假申请待处理", time="2025-03-20T08:26:45.391706", data=None, id=8, seq=1
        )
        peer.drop()
        peer = await server.accept()
        peer.send_frame(
            type=0, msg="您有新的请假申请待处理", time="2025-03-20T08:26:45.391706", data=None, id=8, seq=1
        )
        peer.send_frame(
            type=2, msg="您有新的对话", time="2025-03-20T08:26:45.391706", data={"sessionId": 4}, id=9, seq=2
        )
        first, second = await notify.receive(WAIT_TIMEOUT_SECONDS), await notify.receive(WAIT_TIMEOUT_SECONDS)
        assert (first.type, first.data) == (0, None)
        assert (second.type, second.msg, second.data) == (2, "您有新的对话", {"sessionId": 4})


@run
async def test_observing(server: ScriptedServer) -> None:
    async with ObserveClient(server.url, "t", 4, features=()) as observe:
        peer = await server.accept()
        assert peer.query == {"token": ["t"], "sessionId": ["4"]}
        for sender_type in (False, True, None):
            peer.send_frame(msg="hi", senderType=sender_type, time="2025-03-20T08:26:45.391706")
        peer.close(1000)
        assert [observed.sender_type async for observed in observe] == [False, True, None]


# --- support ---


@run
async def test_a_user_of_the_seed(server: ScriptedServer) -> None:
    user = UserClient(server.url, "t", features=(), options=RecordedSleeps().options())
    connecting = start_task(user.connect())
    peer = await server.accept()
    connect = await peer.admit(then="connect")
    async with await connecting:
        assert connect == {"id": connect["id"], "type": "connect"}
        peer.send_frame(id="2", to="me", type="connect_queue", payload={"location": 1})
        peer.send_frame(id="3", to="me", type="connect_success", payload={"uuid": "w"})
        assert (await user.expect("connect_success")).payload == {"uuid": "w"}
        assert user.uuid == "me"
        assert (
            await user.receive(WAIT_TIMEOUT_SECONDS)
        ).type == "connect_queue"  # kept for start_task readers
        assert await user.send("你好") is None
        sent = await peer.next_frame()
        assert sent == {"id": sent["id"], "type": "message_text", "payload": {"message": "你好"}}
        peer.send_frame(
            **{"id": "4", "from": "w", "to": "me", "type": "message_text", "payload": {"message": "hi"}}
        )
        said = await user.receive(WAIT_TIMEOUT_SECONDS)
        assert (said.sender, said.message, said.seq) == ("w", "hi", None)
        peer.send_frame(id="5", to="me", type="error", payload={"message": "no"}, reply_id=sent["id"])
        assert (await user.receive(WAIT_TIMEOUT_SECONDS)).message == "no"


async def matched(server: ScriptedServer, conversation: int = 1, uuid: str = "w") -> Peer:
    """Accept the next user and assign a waiter."""
    peer = await server.accept()
    connect = await peer.admit("ack", "seq", then="connect")
    payload = {"uuid": uuid, "conversation": conversation}
    peer.send_frame(id="2", to="me", type="connect_success", payload=payload, reply_id=connect["id"])
    return peer


def said(text: str, seq: int, sender: str = "w") -> dict[str, Any]:
    payload = {"message": text}
    return {
        "id": f"c1-{seq}",
        "seq": seq,
        "from": sender,
        "to": "me",
        "type": "message_text",
        "payload": payload,
    }


def stored(sent: dict[str, Any], seq: int) -> dict[str, Any]:
    payload = {"id": f"c1-{seq}", "seq": seq, "time": "2025-03-20T08:26:46.000000"}
    return {"id": "x", "to": "me", "type": "message_text_success", "payload": payload, "reply_id": sent["id"]}


@run
async def test_a_user_sends_again_after_resuming(server: ScriptedServer) -> None:
    user = UserClient(server.url, "t", options=RecordedSleeps().options())
    connecting = start_task(user.connect())
    peer = await matched(server)
    await connecting
    sendings = [start_task(user.send(text)) for text in "ab"]
    first = [await peer.next_frame(), await peer.next_frame()]
    peer.drop()

    peer = await server.accept()
    connect = await peer.admit("ack", "seq", then="connect")
    await asyncio.sleep(0.02)
    assert (
        peer.has_received_all
    )  # no messages yet: before the answer to connect, the server would refuse them
    peer.send_frame(id="2", to="me", type="connect_success", payload={"uuid": "w"}, reply_id=connect["id"])
    assert [await peer.next_frame(), await peer.next_frame()] == first
    peer.send_frame(**stored(first[0], 1))
    peer.send_frame(id="9", to="me", type="error", payload={"message": "no"}, reply_id=first[1]["id"])
    assert await sendings[0] == Ack(1, "2025-03-20T08:26:46.000000")
    with pytest.raises(MessageRefused, match="no"):
        await sendings[1]
    await user.close()


@run
async def test_a_user_gets_each_message_once_per_conversation(server: ScriptedServer) -> None:
    user = UserClient(server.url, "t", options=RecordedSleeps().options())
    connecting = start_task(user.connect())
    peer = await matched(server)
    await connecting
    peer.send_frame(**said("one", 1))
    peer.send_frame(**said("two", 2))
    await user.expect("message_text")
    await user.expect("message_text")
    peer.drop()
    peer = await matched(server)
    peer.send_frame(**said("two", 2))
    peer.send_frame(**said("three", 3))
    assert (await user.expect("message_text")).message == "three"
    peer.drop()
    peer = await matched(server, conversation=2, uuid="other")
    peer.send_frame(**said("one of another conversation", 1, sender="other"))
    assert (await user.expect("message_text")).message == "one of another conversation"
    await user.close()


@run
async def test_a_user_does_not_reconnect_to_a_waiter_after_the_end(server: ScriptedServer) -> None:
    user = UserClient(server.url, "t", options=RecordedSleeps().options())
    connecting = start_task(user.connect())
    peer = await matched(server)
    await connecting
    await user.expect("connect_success")
    peer.send_frame(**{"id": "4", "from": "w", "to": "me", "type": "disconnected", "payload": None})
    await user.expect("disconnected")
    peer.drop()
    peer = await server.accept()
    peer.send_frame(id="0", to="me", type="initialize", payload=None)
    auth = await peer.next_frame()
    peer.send_frame(id="1", to="me", type="auth_success", payload={}, reply_id=auth["id"])
    await user.send_frame("connect")
    assert (await peer.next_frame())["type"] == "connect"
    await user.send_frame("disconnect")
    assert (await peer.next_frame())["type"] == "disconnect"
    assert peer.has_received_all
    await user.close()


@run
async def test_requests_are_answered_by_id(server: ScriptedServer) -> None:
    user = UserClient(server.url, "t")
    connecting = start_task(user.connect())
    peer = await matched(server)
    await connecting
    asking = start_task(user.request("get_history", {"limit": 2}))
    asked = await peer.next_frame()
    assert asked == {"id": asked["id"], "type": "get_history", "payload": {"limit": 2}}
    peer.send_frame(id="7", to="me", type="message_history", payload={"items": []}, reply_id=asked["id"])
    assert (await asking).payload == {"items": []}
    await user.close()


@run
async def test_a_refused_token(server: ScriptedServer) -> None:
    user = UserClient(server.url, "t", options=RecordedSleeps().options())
    connecting = start_task(user.connect())
    peer = await server.accept()
    peer.send_frame(id="0", to="me", type="initialize", payload=None)
    auth = await peer.next_frame()
    peer.send_frame(id="1", to="me", type="error", payload={"message": "expired"}, reply_id=auth["id"])
    peer.close(4401, "expired")
    with pytest.raises(ConnectionClosed, match="expired") as closed:
        await connecting
    assert closed.value.code == 4401
    assert (await user.receive(WAIT_TIMEOUT_SECONDS)).message == "expired"


@run
async def test_a_waiter_and_its_users(server: ScriptedServer) -> None:
    waiter = WaiterClient(server.url, "t", options=RecordedSleeps().options())
    connecting = start_task(waiter.connect())
    peer = await server.accept()
    await peer.admit("ack", "seq", then="ready")
    await connecting

    def arrive(uuid: str, conversation: int) -> None:
        peer.send_frame(
            id="3", to="me", type="new_connection", payload={"uuid": uuid, "conversation": conversation}
        )

    arrive("u1", 1)
    arrive("u2", 2)
    peer.send_frame(**said("one", 1, "u1"))
    peer.send_frame(**said("one", 1, "u2"))
    assert [(await waiter.expect("message_text")).sender for _ in range(2)] == ["u1", "u2"]
    sending = start_task(waiter.send("u2", "hello"))
    sent = await peer.next_frame()
    assert sent == {"id": sent["id"], "to": "u2", "type": "message_text", "payload": {"message": "hello"}}
    peer.drop()

    peer = await server.accept()
    await peer.admit("ack", "seq", then="ready")
    arrive("u1", 1)
    arrive("u2", 2)
    assert await peer.next_frame() == sent
    peer.send_frame(**stored(sent, 2))
    await sending
    peer.send_frame(**said("one", 1, "u1"))
    peer.send_frame(**said("one", 1, "u2"))
    peer.send_frame(**said("three", 3, "u2"))
    assert (await waiter.expect("message_text")).message == "three"

    await waiter.send_frame("unready")
    assert (await peer.next_frame())["type"] == "unready"
    peer.drop()
    peer = await server.accept()
    await peer.admit("ack", "seq", then="unready")
    await waiter.close()


@run
async def test_the_own_messages_to_several_users_are_no_repeats(server: ScriptedServer) -> None:
    waiter = WaiterClient(server.url, "t", ("ack", "seq", "echo"))
    connecting = start_task(waiter.connect())
    peer = await server.accept()
    await peer.admit("ack", "seq", "echo", then="ready")
    await connecting
    for conversation in (1, 2):
        payload = {"uuid": f"u{conversation}", "conversation": conversation}
        peer.send_frame(id="3", to="me", type="new_connection", payload=payload)
    for text, seq, conversation in (("to u1", 1, 1), ("to u2", 1, 2), ("to u2", 1, 2), ("more", 2, 2)):
        peer.send_frame(**said(text, seq, "me"), conversation=conversation)
    received = [(await waiter.expect("message_text")).message for _ in range(3)]
    assert received == ["to u1", "to u2", "more"]
    await waiter.close()


@run
async def test_what_the_other_side_of_support_has(server: ScriptedServer) -> None:
    user = UserClient(server.url, "t")
    connecting = start_task(user.connect())
    peer = await server.accept()
    await peer.admit("ack", "seq", then="connect")
    await connecting

    async def heard(type: str, sender: str, **payload: Any) -> str:
        """Let the client hear a frame, and return the state of its message 2."""
        peer.send_frame(**{"id": "9", "from": sender, "to": "me", "type": type, "payload": payload})
        await user.expect(type)
        return user.delivery.state(2)

    peer.send_frame(id="3", to="me", type="connect_success", payload={"uuid": "w", "conversation": 1})
    await user.expect("connect_success")
    assert await heard("receipt", "w", seq=1, conversation=1) == "sent"
    assert await heard("read", "me", seq=2) == "sent"
    assert await heard("receipt", "w", seq=2, conversation=1) == "delivered"
    assert await heard("read", "w", seq=2) == "seen"
    peer.send_frame(id="4", to="me", type="connect_success", payload={"uuid": "w", "conversation": 2})
    await user.expect("connect_success")
    assert user.delivery.state(1) == "sent", "another conversation counts its messages from 1"
    await user.close()

    waiter = WaiterClient(server.url, "t")
    connecting = start_task(waiter.connect())
    peer = await server.accept()
    await peer.admit("ack", "seq", then="ready")
    await connecting
    for uuid, conversation in (("u1", 1), ("u2", 2)):
        payload = {"uuid": uuid, "conversation": conversation}
        peer.send_frame(id="3", to="me", type="new_connection", payload=payload)
    arrived = {"id": "4", "from": "u2", "to": "me", "type": "receipt", "payload": {"seq": 3}}
    peer.send_frame(**arrived)
    await waiter.expect("receipt")
    states = [waiter.delivery_of(uuid).state(3) for uuid in ("u1", "u2", "unknown")]
    assert states == ["sent", "delivered", "sent"]
    await waiter.close()


# --- RawClient ---


@run
async def test_raw_client(server: ScriptedServer) -> None:
    async with await RawClient.connect(f"{server.url}/chat?token=t", headers={"X-Test": "yes"}) as raw:
        peer = await server.accept()
        assert peer.request.headers["X-Test"] == "yes"
        await raw.send_json({"msg": "hello"})
        assert await peer.next_frame() == {"msg": "hello"}
        peer.send_frame(msg="hi")
        assert await raw.recv_json() == {"msg": "hi"}
        with pytest.raises(TimeoutError):
            await raw.recv_json(timeout=0)
        assert raw.close_code is None
        peer.send_frame(msg="last")
        peer.close(4409, "over")
        assert (await raw.wait_closed()).reason == "over"
        assert raw.close_code == 4409
        assert await raw.recv_json() == {"msg": "last"}
        with pytest.raises(ConnectionClosed):
            await raw.recv_json()
        with pytest.raises(ConnectionClosed):
            await raw.send("more")


@run
async def test_raw_client_closes(server: ScriptedServer) -> None:
    raw = await RawClient.connect(f"{server.url}/chat")
    peer = await server.accept()
    await raw.close(4000, "enough")
    assert await peer.closed() == (4000, "enough")
    with pytest.raises(ConnectionClosed) as closed:
        await RawClient.connect(f"{server.url}/no/chat?token=403")
    assert closed.value.code == 403


# --- newer tokens ---


def jwt_of(payload: str) -> str:
    return f"head.{base64.urlsafe_b64encode(payload.encode()).rstrip(b'=').decode()}.signature"


def expiring_in(seconds: float) -> str:
    return jwt_of(json.dumps({"exp": time.time() + seconds}))


@pytest.mark.parametrize(
    ("token", "expiry"),
    [
        (jwt_of('{"exp": 17}'), 17),
        (jwt_of('{"exp": "17"}'), math.inf),
        (jwt_of("{}"), math.inf),
        ("a.{}.b", math.inf),
        ("", math.inf),
        ("a token of a plugin", math.inf),
    ],
)
def test_the_expiry_of_a_token(token: str, expiry: float) -> None:
    assert token_expiry(token) == expiry


def test_a_newer_token_is_sent_in_time() -> None:
    now = time.time()
    assert renewal_delay(expiring_in(900), now) == pytest.approx(855, abs=1)
    assert renewal_delay(expiring_in(10), now) == 1.0
    assert renewal_delay("no JWT") == math.inf


@run
async def test_a_token_function_renews_the_token_of_the_open_connection(server: ScriptedServer) -> None:
    tokens = [expiring_in(45), expiring_in(900)]
    async with ChatClient(server.url, lambda: tokens.pop(0), 1) as chat:
        peer = await server.accept()
        assert peer.query["features"] == ["ack,seq,token"]
        newer = tokens[0]
        assert await peer.next_frame() == {"token": newer}
        peer.send_frame(token=True)
        peer.send_frame(isSystem=False, msg="next", time="", seq=1)
        assert (await chat.receive(WAIT_TIMEOUT_SECONDS)).msg == "next"


@run
async def test_listeners_renew_their_token_on_request(server: ScriptedServer) -> None:
    features = ("seq", "token")
    for kind in (
        NotifyClient(server.url, "t", features=features),
        ObserveClient(server.url, "t", 1, features=features),
    ):
        async with kind as client:
            peer = await server.accept()
            client.renew_token("newer")
            assert await peer.next_frame() == {"token": "newer"}
            peer.send_frame(token=True)
            peer.send_frame(isSystem=True, msg="refused", time="", token=False)
            peer.close(1000)
            assert [frame async for frame in client] == []


@run
async def test_a_client_of_the_seed_sends_no_newer_token(server: ScriptedServer) -> None:
    async with ChatClient(server.url, lambda: expiring_in(45), 1, features=()) as chat:
        peer = await server.accept()
        chat.renew_token("newer")
        await chat.send("hello")
        assert await peer.next_frame() == {"msg": "hello"}


@run
async def test_a_user_renews_its_token_by_auth(server: ScriptedServer) -> None:
    async with asyncio.TaskGroup() as group:
        user = UserClient(server.url, "t")
        connecting = group.create_task(user.connect())
        peer = await server.accept()
        connect = await peer.admit("ack", "seq", then="connect")
        await connecting
        user.renew_token("newer")
        renewal = await peer.next_frame()
        assert (renewal["type"], renewal["payload"]) == ("auth", {"token": "newer"})
        peer.send_frame(id="2", to="me", type="auth_success", payload={}, reply_id=renewal["id"])
        peer.send_frame(
            id="3", to="me", type="connect_queue", payload={"location": 1}, reply_id=connect["id"]
        )
        assert (await user.receive(WAIT_TIMEOUT_SECONDS)).type == "connect_queue"
        assert peer.has_received_all
        await user.close()
