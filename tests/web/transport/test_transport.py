"""The WebSocket transport of this server, over raw sockets.

The table follows the case families of the Autobahn test suite.
"""

import asyncio
import base64
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.web import Application
from tornado.websocket import (
    WebSocketClosedError,
    WebSocketHandler,
    WebSocketProtocol,
    websocket_connect,
)

from tests.helpers.timeouts import WAIT_TIMEOUT_SECONDS
from tornado_chat.web.transport import connection as transport_connection
from tornado_chat.web.transport.handler import FastWebSocketHandler, WebSocketConnection

MIB = 1024 * 1024
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)

Frame = tuple[int, bytes]
OnMessage = Callable[[Any, str | bytes], Awaitable[None] | None]


def f(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """Return a frame as a client sends it; the arguments can make it invalid."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return head + payload
    mask = b"\xa1\xb2\xc3\xd4"
    key = (mask * (size // 4 + 1))[:size]
    xored = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")  # much faster than a loop
    return head + mask + xored.to_bytes(size, "big")


def fragmented(opcode: int, payload: bytes, size: int) -> bytes:
    """Return a message in fragments of ``size`` bytes."""
    parts = [payload[i : i + size] for i in range(0, len(payload), size)]
    return b"".join(f(0 if i else opcode, part, fin=i == len(parts) - 1) for i, part in enumerate(parts))


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return f(CLOSE, code.to_bytes(2, "big") + reason)


class Client:
    """One raw client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.patience = WAIT_TIMEOUT_SECONDS
        self.accepted = ""  # of the offered extensions

    async def read(self) -> Frame | None:
        """Return the next frame; None: the connection has ended."""
        try:
            first, size = await self.reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            payload = await self.reader.readexactly(size)
            assert first & 0xF0 == 0x80
            return first & 15, payload
        except (asyncio.IncompleteReadError, OSError):
            return None

    async def rest(self) -> list[Frame]:
        found = []
        while (frame := await asyncio.wait_for(self.read(), self.patience)) is not None:
            found.append(frame)
        return found

    def close(self) -> None:
        self.writer.transport.abort()

    def reset(self) -> None:
        own = self.writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Site:
    """A server with one kind of WebSocket handler, and the recorded calls of its handlers."""

    base: type[WebSocketHandler]
    handle_message: OnMessage | None = None
    handle_fragment: Callable[[Any, bytes], None] | None = None  # also of control frames
    max_unsent_bytes: int = MIB
    handle_open: Callable[[Any], Awaitable[None] | None] | None = None
    handlers: list[Any] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    server: HTTPServer | None = None
    sockets: list[socket.socket] = field(default_factory=list)
    port: int = 0

    def start(self, **settings: Any) -> None:
        site = self

        class Handler(self.base):  # type: ignore[misc,name-defined]
            def open(self) -> Awaitable[None] | None:
                site.handlers.append(self)
                return None if site.handle_open is None else site.handle_open(self)

            def on_message(self, message: str | bytes) -> Awaitable[None] | None:
                if site.handle_message is not None:
                    return site.handle_message(self, message)
                self.write_message(message, binary=isinstance(message, bytes))
                return None

            @property
            def max_unsent_bytes(self) -> int:
                return site.max_unsent_bytes

            def on_fragment(self, data: bytes) -> None:
                if site.handle_fragment is not None:
                    site.handle_fragment(self, data)

            def on_ping(self, data: bytes) -> None:
                self.on_fragment(data)

            def on_pong(self, data: bytes) -> None:
                site.seen.append(("pong", data))
                self.on_fragment(data)

            def on_close(self) -> None:
                site.seen.append(("closed", self.close_code, self.close_reason))

        settings.setdefault("websocket_max_message_size", 2 * MIB)
        self.server = HTTPServer(Application([("/ws", Handler)], **settings))
        self.sockets = bind_sockets(0, "127.0.0.1")
        self.port = self.sockets[0].getsockname()[1]
        self.server.add_sockets(self.sockets)

    async def connect(
        self, early: bytes = b"", path: str | None = None, offers: str = "", buffer_bytes: int = 0
    ) -> Client:
        """Connect.

        :arg early: bytes in the same segment as the request.
        :arg buffer_bytes: the size of the kernel's buffers of both ends; 0: as the machine is configured.
        """
        if path:
            where = asyncio.open_unix_connection(path)
        elif buffer_bytes:
            own = socket.socket()
            for each in (own, *self.sockets):  # an accepted connection has the sizes of the listening socket
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            own.setblocking(False)
            await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", self.port))
            where = asyncio.open_connection(sock=own)
        else:
            where = asyncio.open_connection("127.0.0.1", self.port)
        client = Client(*await where)
        self.clients.append(client)
        extensions = f"\r\nSec-WebSocket-Extensions: {offers}\r\n\r\n".encode() if offers else b"\r\n\r\n"
        client.writer.write(REQUEST.replace(b"\r\n\r\n", extensions) + early)
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), WAIT_TIMEOUT_SECONDS)
        assert head.startswith(b"HTTP/1.1 101"), head
        client.accepted = HTTPHeaders.parse(head.decode().partition("\r\n")[2]).get(
            "Sec-WebSocket-Extensions", ""
        )
        return client

    async def connection(self) -> WebSocketConnection:
        """Return the server's side of the last connection."""
        await until(lambda: bool(self.handlers))
        connection = self.handlers[-1].ws_connection
        assert isinstance(connection, WebSocketConnection)
        return connection

    async def told(self, what: Any) -> None:
        """Wait until a handler has recorded this call."""
        await until(lambda: what in self.seen)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
        while not true():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.005)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Each test runs on both event loops."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def base() -> type[WebSocketHandler]:
    return FastWebSocketHandler


@pytest.fixture
def site(io_loop: IOLoop, base: type[WebSocketHandler]) -> Iterator[Site]:
    site = Site(base)

    async def started() -> None:
        site.start()

    io_loop.run_sync(started)
    yield site

    async def stop() -> None:
        assert site.server is not None
        site.server.stop()
        for client in site.clients:
            client.close()
        await asyncio.sleep(0.01)
        await asyncio.wait_for(site.server.close_all_connections(), WAIT_TIMEOUT_SECONDS)

    io_loop.run_sync(stop)


# --- the conformance table ---

ALIVE = 0


@dataclass(frozen=True)
class Case:
    """The bytes of a client, the expected answers, and the expected close code.

    :ivar code: ALIVE: the connection stays open until the client closes it with 1000.
    :ivar chop: the size of each segment in bytes, if the bytes are sent in several.
    """

    name: str
    says: bytes
    answers: tuple[Frame, ...] = ()
    code: int = ALIVE
    chop: int = 0


def echoes(family: str, sizes: list[int], opcode: int, chops: tuple[int, ...] = (0,)) -> list[Case]:
    names = {TEXT: "text", BINARY: "binary"}
    return [
        Case(
            f"{family} {names[opcode]} of {size}, by {chop or 'one'}",
            f(opcode, b"*" * size),
            ((opcode, b"*" * size),),
            chop=chop,
        )
        for size in sizes
        for chop in chops
    ]


def texts(family: str, raws: list[bytes], code: int) -> list[Case]:
    return [
        Case(f"{family} {raw!r} {how}", data, () if code else ((TEXT, raw),), code)
        for raw in raws
        for how, data in (("whole", f(TEXT, raw)), ("in bytes", fragmented(TEXT, raw, 1) or f(TEXT)))
    ]


FIRST = f(TEXT, b"fragment1", fin=False)
SECOND = f(0, b"fragment2")
JOINED = (TEXT, b"fragment1fragment2")
HELLO = (TEXT, b"Hello")
VALID = ["Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\0", "\ufffd", "\ud7ff", "\ue000", "\U0010ffff", "\uffff", "𠀋"]
INVALID = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
    *(b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\x80", b"\xbf", b"\xff"),
    *(b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xc0\x80", b"\xe0\x9f\xbf"),
    *(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80", b"\xce\xba\xe1\xbd", b"a\xc3"),
]
BIG = b"x" * MIB
VALID_TEXT = "κόσμε".encode()
WELL_FORMED = {
    n: [text.encode() for text in texts]
    for n, texts in {
        5: ["hello$world", "hello¢world", "hello€world", "hello𤭢world", "κόσμε"],
        6: ["κόσμε"[:length] for length in range(1, 6)],
        7: ["\0", "\x80", "\u0800", "\U00010000"],
        9: ["\x7f", "\u07ff", "\uffff", "\U0010ffff"],
        11: ["\ud7ff", "\ue000", "\ufffd", "\U0010ffff"],
        22: [chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)],
        23: [chr(code) for code in range(0xFFF9, 0x10000)],
    }.items()
}
LACKING = [
    *(b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80"),
    *(b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"),
]
LOW, HIGH = (
    [b"\xed\xb0\x80", b"\xed\xbf\xbf"],
    [b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf"],
)
ILL_FORMED = {
    6: [VALID_TEXT[:size] for size in range(1, len(VALID_TEXT)) if VALID_TEXT[size] & 0xC0 == 0x80],
    8: [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
    10: [b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"],
    11: [b"\xf4\x90\x80\x80"],
    12: [b"\x80", b"\xbf", *((b"\x80\xbf" * 3)[:size] for size in range(2, 7)), bytes(range(0x80, 0xBF))],
    13: [
        b"".join(bytes((first, 0x20)) for first in range(low, high))
        for low, high in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))
    ],
    14: LACKING,
    15: [b"".join(LACKING)],
    16: [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"],
    17: [
        b"\xc0\xaf",
        *(bytes((first, *[0x80] * n, 0xAF)) for n, first in enumerate((0xE0, 0xF0, 0xF8, 0xFC), 1)),
    ],
    18: [
        *(b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf"),
        *(b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"),
    ],
    19: [bytes((first, *[0x80] * n)) for n, first in enumerate((0xC0, 0xE0, 0xF0, 0xF8, 0xFC), 1)],
    20: [*HIGH, LOW[0], b"\xed\xbe\x80", LOW[1]],
    21: [high + low for high in HIGH for low in LOW],
}
"""The case families of UTF-8 from 6.5 on; 6.1 to 6.4 are in the table."""

TABLE = [
    *echoes("1.1", [0, 125, 126, 127, 128, 65535, 65536], TEXT),
    *echoes("1.2", [0, 125, 126, 127, 128, 65535, 65536], BINARY),
    *echoes("1.1.8", [65536], TEXT, (997,)),
    *echoes("1.2.8", [65536], BINARY, (997,)),
    Case("2.1 ping", f(PING), ((PONG, b""),)),
    Case("2.2 ping with text", f(PING, b"Hello"), ((PONG, b"Hello"),)),
    Case("2.3 ping with bytes", f(PING, b"\x00\xff\xfe\xfd"), ((PONG, b"\x00\xff\xfe\xfd"),)),
    Case("2.4 ping of 125", f(PING, b"\xfe" * 125), ((PONG, b"\xfe" * 125),)),
    Case("2.5 ping of 126", f(PING, b"\xfe" * 126), code=1002),
    Case("2.6 ping of 125, chopped", f(PING, b"\xfe" * 125), ((PONG, b"\xfe" * 125),), chop=1),
    Case("2.7 unsolicited pong", f(PONG)),
    Case("2.8 unsolicited pong with payload", f(PONG, b"unsolicited")),
    Case("2.9 pong, then ping", f(PONG, b"x") + f(PING, b"y"), ((PONG, b"y"),)),
    Case(
        "2.10 ten pings",
        b"".join(f(PING, b"%d" % i) for i in range(10)),
        tuple((PONG, b"%d" % i) for i in range(10)),
    ),
    Case(
        "2.11 ten pings, chopped",
        b"".join(f(PING, b"%d" % i) for i in range(10)),
        tuple((PONG, b"%d" % i) for i in range(10)),
        chop=1,
    ),
    *(
        Case(f"3 RSV {rsv}, opcode {opcode}", f(TEXT, b"Hello") + f(opcode, b"ab", rsv=rsv), (HELLO,), 1002)
        for rsv in range(1, 8)
        for opcode in (TEXT, BINARY, CLOSE, PING)
    ),
    Case("3 RSV, chopped", f(TEXT, b"Hello") + f(TEXT, b"Hello", rsv=4), (HELLO,), 1002, chop=1),
    *(
        Case(f"4 opcode {opcode}", f(TEXT, b"Hello") + f(opcode, payload) + f(PING), (HELLO,), 1002)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        for payload in (b"", b"reserved opcode payload")
    ),
    Case("5.1 ping in fragments", f(PING, b"a", fin=False) + f(0, b"b"), code=1002),
    Case("5.2 pong in fragments", f(PONG, b"a", fin=False) + f(0, b"b"), code=1002),
    Case("5.3 text in fragments", FIRST + SECOND, (JOINED,)),
    Case("5.4 text in fragments, frame by frame", FIRST + SECOND, (JOINED,), chop=len(FIRST)),
    Case("5.5 text in fragments, chopped", FIRST + SECOND, (JOINED,), chop=1),
    Case("5.6 ping in the middle", FIRST + f(PING, b"p") + SECOND, ((PONG, b"p"), JOINED)),
    Case(
        "5.7 ping in the middle, in pieces as large as a frame",
        FIRST + f(PING, b"ping12345") + SECOND,
        ((PONG, b"ping12345"), JOINED),
        chop=len(FIRST),
    ),
    Case("5.8 ping in the middle, chopped", FIRST + f(PING, b"p") + SECOND, ((PONG, b"p"), JOINED), chop=1),
    Case("5.8 pong in the middle", FIRST + f(PONG, b"p") + SECOND, (JOINED,)),
    Case("5.9 continues nothing", f(0, b"x") + f(TEXT, b"Hello"), code=1002),
    Case("5.10 continues nothing, frame by frame", f(0, b"x") + f(TEXT, b"x"), code=1002, chop=7),
    Case("5.11 continues nothing, chopped", f(0, b"x") + f(TEXT, b"Hello"), code=1002, chop=1),
    Case("5.12 continues nothing, not final", f(0, b"x", fin=False) + f(TEXT, b"Hello"), code=1002),
    Case("5.13 the same, frame by frame", f(0, b"x", fin=False) + f(TEXT, b"x"), code=1002, chop=7),
    Case("5.14 the same, chopped", f(0, b"x", fin=False) + f(TEXT, b"Hello"), code=1002, chop=1),
    Case("5.15 continues a message that is over", FIRST + SECOND + f(0, b"x", fin=False), (JOINED,), 1002),
    Case("5.16 continues nothing, twice", (f(0, b"x", fin=False) + FIRST + SECOND) * 2, code=1002),
    Case("5.17 the same, final", (f(0, b"x") + FIRST + SECOND) * 2, code=1002),
    Case("5.18 a message in the middle", FIRST + f(TEXT, b"fragment2"), code=1002),
    Case("5.18 bytes in the middle", FIRST + f(BINARY, b"fragment2", fin=False), code=1002),
    Case(
        "5.19 many fragments and pings",
        FIRST + f(0, b"+", fin=False) + f(PING, b"1") + f(0, b"+", fin=False) + f(PING, b"2") + SECOND,
        ((PONG, b"1"), (PONG, b"2"), (TEXT, b"fragment1++fragment2")),
    ),
    Case(
        "5.20 many fragments and pings, chopped",
        FIRST + f(0, b"+", fin=False) + f(PING, b"1") + f(0, b"+", fin=False) + f(PING, b"2") + SECOND,
        ((PONG, b"1"), (PONG, b"2"), (TEXT, b"fragment1++fragment2")),
        chop=1,
    ),
    Case("6.1 empty", f(TEXT), ((TEXT, b""),)),
    Case("6.1 empty fragments", f(TEXT, fin=False) + f(0, fin=False) + f(0), ((TEXT, b""),)),
    Case("6.1 empty but one", f(TEXT, fin=False) + f(0, b"m", fin=False) + f(0), ((TEXT, b"m"),)),
    *texts("6.2 valid", [text.encode(errors="surrogatepass") for text in VALID], ALIVE),
    *texts("6.3 invalid", INVALID, 1007),
    Case(
        "6.4.1 fails as soon as it is wrong",
        f(TEXT, VALID_TEXT, fin=False) + f(0, b"\xf4\x90\x80\x80", fin=False),
        code=1007,
    ),
    Case(
        "6.4.2 fails at the byte that is wrong",
        f(TEXT, VALID_TEXT + b"\xf4", fin=False) + f(0, b"\x90", fin=False),
        code=1007,
    ),
    *(
        Case(
            f"6.4 wrong in one frame, by {chop}",
            f(TEXT, VALID_TEXT + b"\xf4\x90\x80\x80" + b"edited"),
            code=1007,
            chop=chop,
        )
        for chop in (1, 17)
    ),
    *(
        Case(f"6.{n} valid", b"".join(f(TEXT, raw) for raw in raws), tuple((TEXT, raw) for raw in raws))
        for n, raws in WELL_FORMED.items()
    ),
    *(
        Case(f"6.{n} invalid {raw.hex()}", f(TEXT, raw), code=1007)
        for n, raws in ILL_FORMED.items()
        for raw in raws
    ),
    Case("7.1.1 message, then close", f(TEXT, b"Hello") + close_frame(1000), (HELLO,), 1000),
    Case("7.1.2 two closes", close_frame(1000) + close_frame(1001), code=1000),
    Case("7.1.3 ping after close", close_frame(1000) + f(PING), code=1000),
    Case("7.1.4 text after close", close_frame(1000) + f(TEXT, b"Hello"), code=1000),
    Case("7.1.5 close within fragments", FIRST + close_frame(1000) + SECOND, code=1000),
    Case(
        "7.1.6 a long message, another, close and ping",
        f(TEXT, b"*" * 262144) + f(TEXT, b"Hello") + close_frame(1000) + f(PING),
        ((TEXT, b"*" * 262144), HELLO),
        1000,
    ),
    Case("7.3.1 empty close", f(CLOSE), code=1005),
    Case("7.3.2 close of one byte", f(CLOSE, b"a"), code=1002),
    Case("7.3.3 close with a code alone", close_frame(1000), code=1000),
    Case("7.3.4 close with reason", close_frame(1000, b"Hello"), code=1000),
    Case("7.3.5 close with the longest reason", close_frame(1000, b"*" * 123), code=1000),
    Case("7.3.6 close that is too long", close_frame(1000, b"*" * 124), code=1002),
    Case("7.5.1 reason not UTF-8", close_frame(1000, INVALID[0]), code=1007),
    *(
        Case(f"7.7 close with {code}", close_frame(code), code=code)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)
    ),
    *(
        Case(f"7.7 close with {code}", close_frame(code, b"why"), code=code)
        for code in (3000, 3999, 4000, 4999)
    ),
    *(
        Case(f"7.9 close with {code}", close_frame(code), code=1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999)
    ),
    *(Case(f"7.13 close with {code}", close_frame(code), code=1002) for code in (5000, 65535)),
    Case("no mask", f(TEXT, b"Hello", masked=False), code=1002),
    Case("length with the highest bit", b"\x82\xff\x80" + bytes(7), code=1002),
    Case("length beyond the limit", b"\x82\xff" + (1 << 40).to_bytes(8, "big"), code=1009),
    Case(
        "fragments beyond the limit",
        f(BINARY, BIG, fin=False) + f(0, BIG, fin=False) + f(0, b"x"),
        code=1009,
    ),
    *echoes("9.1", [65536, 262144, MIB], TEXT),
    *echoes("9.2", [65536, 262144, MIB], BINARY),
    *(
        Case(
            f"9.{n} in fragments of {size}",
            fragmented(opcode, b"*" * length, size),
            ((opcode, b"*" * length),),
        )
        for n, opcode in ((3, TEXT), (4, BINARY))
        for length, size in (
            *((65536, size) for size in (64, 256)),
            *((MIB, size) for size in (1024, 4096, 16384, 65536, 262144, MIB)),
        )
    ),
    *echoes("9.5", [65536], TEXT, (64, 128, 256, 512, 1024, 2048)),
    *echoes("9.6", [65536], BINARY, (64, 128, 256, 512, 1024, 2048)),
    *(
        Case(f"9.{n} a thousand of {size}", f(opcode, b"*" * size) * 1000, ((opcode, b"*" * size),) * 1000)
        for n, opcode in ((7, TEXT), (8, BINARY))
        for size in (0, 16, 64, 256, 1024, 4096)
    ),
    Case("10.1 auto-fragments", fragmented(TEXT, b"*" * 65536, 1300), ((TEXT, b"*" * 65536),)),
]


async def outcome(client: Client, case: Case) -> tuple[list[Frame], int | None]:
    """Return the answers and the close code: 1005 for an empty close frame, None without a close frame."""
    step = case.chop or len(case.says)

    async def send() -> None:
        for i in range(0, len(case.says), step):
            client.writer.write(case.says[i : i + step])
            if case.chop:
                await asyncio.sleep(0)
            await client.writer.drain()

    sending = asyncio.create_task(send())
    found: list[Frame] = []
    if case.code == ALIVE:
        for _ in case.answers:
            frame = await asyncio.wait_for(client.read(), WAIT_TIMEOUT_SECONDS)
            if frame is None:
                return found, None
            found.append(frame)
        await sending
        client.writer.write(close_frame(1000))
    found += await client.rest()
    await asyncio.gather(sending, return_exceptions=True)
    closes = [payload for opcode, payload in found if opcode == CLOSE]
    assert len(closes) <= 1
    code = None if not closes else int.from_bytes(closes[0][:2], "big") or 1005
    return [frame for frame in found if frame[0] != CLOSE], code


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
@pytest.mark.gen_test
async def test_conformance(site: Site, case: Case) -> None:
    client = await site.connect()
    assert await outcome(client, case) == (list(case.answers), case.code or 1000)
    await until(lambda: any(what[0] == "closed" for what in site.seen))


@pytest.mark.parametrize("base", [WebSocketHandler])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop])
@pytest.mark.gen_test
async def test_tornados_class_passes_a_sample_of_the_table(site: Site) -> None:
    """Tornado's class passes a sample of the table, so the table does not only describe this server."""
    client = await site.connect()
    for opcode in (TEXT, BINARY):
        client.writer.write(f(opcode, b"Hello"))
        assert await client.read() == (opcode, b"Hello")
    client.writer.write(f(PING, b"p") + FIRST + SECOND)
    assert [await client.read(), await client.read()] == [(PONG, b"p"), JOINED]
    client.writer.write(close_frame(1000))
    assert await client.rest() == [(CLOSE, b"\x03\xe8")]
    await site.told(("closed", 1000, None))


# --- handlers ---


@pytest.mark.gen_test
async def test_frames_that_arrive_with_the_request(site: Site) -> None:
    client = await site.connect(early=f(TEXT, b"first") + f(TEXT, b"second")[:4])
    assert await client.read() == (TEXT, b"first")
    client.writer.write(f(TEXT, b"second")[4:])
    assert await client.read() == (TEXT, b"second")


@pytest.mark.gen_test
async def test_messages_wait_for_open(site: Site) -> None:
    gate = asyncio.Event()

    async def handle_open(handler: WebSocketHandler) -> None:
        await gate.wait()
        site.seen.append("open")

    site.handle_open = handle_open
    site.handle_message = lambda handler, message: site.seen.append(message)
    client = await site.connect(early=f(TEXT, b"1"))
    client.writer.write(f(TEXT, b"2") + close_frame(4000, b"why"))
    await asyncio.sleep(0.05)
    assert site.seen == []
    gate.set()
    await site.told(("closed", 4000, "why"))
    assert site.seen == ["open", "1", "2", ("closed", 4000, "why")]
    assert await client.rest() == [(CLOSE, struct.pack("!H", 4000))]


@pytest.mark.gen_test
async def test_an_awaitable_keeps_the_order(site: Site) -> None:
    async def handle_message(handler: WebSocketHandler, message: str | bytes) -> None:
        site.seen.append(message)
        await asyncio.sleep(0.03 if message == "1" else 0)
        handler.write_message(message)

    site.handle_message = handle_message
    client = await site.connect()
    client.writer.write(
        f(TEXT, b"1") + f(PING, b"p") + f(TEXT, b"2") + f(PONG, b"q") + f(TEXT, b"3") + close_frame(1000)
    )
    found = await client.rest()
    assert found == [(TEXT, b"1"), (PONG, b"p"), (TEXT, b"2"), (TEXT, b"3"), (CLOSE, b"\x03\xe8")]
    assert site.seen == ["1", "2", ("pong", b"q"), "3", ("closed", 1000, None)]


@pytest.mark.gen_test
async def test_reading_pauses_while_the_handler_is_busy(site: Site) -> None:
    gate = asyncio.Event()
    heard = 0

    async def handle_message(handler: WebSocketHandler, message: str | bytes) -> None:
        nonlocal heard
        heard += 1
        await gate.wait()

    site.handle_message = handle_message
    client = await site.connect()
    client.writer.write(f(BINARY, b"x" * 1000) * 16384)
    await until(lambda: heard == 1)
    for _ in range(20):
        await asyncio.sleep(0.01)
    connection = site.handlers[0].ws_connection
    assert not connection._transport.is_reading()
    assert connection._parser.buffered_bytes < 512 * 1024  # 64 KiB and the bytes of one read
    gate.set()
    await until(lambda: heard == 16384)
    assert connection._transport.is_reading()


@pytest.mark.gen_test
async def test_a_synchronous_handler_makes_no_tasks(site: Site) -> None:
    tasks: set[int] = set()
    site.handle_message = lambda handler, message: tasks.add(len(asyncio.all_tasks()))
    before = len(asyncio.all_tasks())
    client = await site.connect()
    await asyncio.sleep(0.02)
    assert len(asyncio.all_tasks()) == before  # an idle socket has no task, either
    client.writer.write(f(TEXT, b"x") * 10)
    await until(lambda: bool(tasks))
    assert tasks == {before}


@pytest.mark.gen_test
async def test_many_messages_of_one_segment_yield_to_the_loop(site: Site) -> None:
    counter = Turns(site)
    client = await site.connect()
    client.writer.write(f(TEXT, b"x" * 100) * 4096)
    await until(lambda: sum(counter.frames) == 4096)
    assert max(counter.frames) <= transport_connection.TURN_BYTES // transport_connection.FRAME_BYTES
    assert counter.frames == counter.messages


class Turns:
    """The numbers of frames, messages and payload bytes that a site handles in each turn of its loop."""

    def __init__(self, site: Site) -> None:
        self.frames: list[int] = []
        self.messages: list[int] = []
        self.sizes: list[int] = []
        self._is_counting = False
        site.handle_message = lambda handler, message: self._count(len(message), messages=1)
        site.handle_fragment = lambda handler, data: self._count(len(data))

    def _count(self, size: int, messages: int = 0) -> None:
        if not self._is_counting:
            for each in (self.frames, self.messages, self.sizes):
                each.append(0)
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._end)
        self.frames[-1] += 1
        self.messages[-1] += messages
        self.sizes[-1] += size

    def _end(self) -> None:
        self._is_counting = False


@pytest.mark.parametrize("opcode", [0, PING, PONG])
@pytest.mark.gen_test
async def test_fragments_and_control_frames_yield_to_the_loop(site: Site, opcode: int) -> None:
    counter = Turns(site)
    client = await site.connect()
    start = b"" if opcode else f(TEXT, b"a", fin=False)
    client.writer.write(start + f(opcode, fin=bool(opcode)) * 1000)
    if not opcode:
        client.writer.write(f(0, b"b"))
    await until(lambda: sum(counter.frames) >= 1000)
    assert max(counter.frames) <= transport_connection.TURN_BYTES // transport_connection.FRAME_BYTES


@pytest.mark.gen_test
async def test_large_messages_yield_to_the_loop(site: Site) -> None:
    counter = Turns(site)
    client = await site.connect()
    client.writer.write(f(BINARY, b"x" * 100_000) * 50)
    await until(lambda: sum(counter.messages) == 50)
    # uvloop reads again in the same turn if a read has filled its buffer of 256 KB.
    assert max(counter.sizes) <= 2 * transport_connection.TURN_BYTES + 100_000


@pytest.mark.gen_test
async def test_a_message_in_too_many_fragments_is_a_violation(site: Site) -> None:
    client = await site.connect()
    client.writer.write(f(TEXT, fin=False) + f(0, fin=False) * 1023)
    client.writer.write(f(0))
    assert await client.rest() == [(CLOSE, b"\x03\xf1too many fragments")]


@pytest.mark.gen_test
async def test_an_exception_of_a_handler(site: Site, expected_logs: list[str]) -> None:
    def handle_message(handler: WebSocketHandler, message: str | bytes) -> Awaitable[None] | None:
        handler.write_message("before")
        if message == "later":
            return asyncio.get_running_loop().run_in_executor(None, raising)
        return raising()

    def raising() -> None:
        raise RuntimeError("on purpose")

    expected_logs.append("Uncaught exception GET /ws")
    site.handle_message = handle_message
    for message in (b"now", b"later"):
        client = await site.connect(early=f(TEXT, message) + f(TEXT, b"not heard"))
        assert await client.rest() == [(TEXT, b"before")]
    await until(lambda: site.seen == [("closed", None, None)] * 2)


@pytest.mark.gen_test
async def test_an_exception_of_open(site: Site, expected_logs: list[str]) -> None:
    def handle_open(handler: WebSocketHandler) -> None:
        raise RuntimeError("on purpose")

    expected_logs.append("Uncaught exception GET /ws")
    site.handle_open = handle_open
    client = await site.connect(early=f(TEXT, b"not heard"))
    assert await client.rest() == []
    await site.told(("closed", None, None))


# --- sending ---


@pytest.mark.gen_test
async def test_sending_text_and_closing(site: Site) -> None:
    def handle_open(handler: FastWebSocketHandler) -> None:
        before = handler.unsent
        handler.write_message({"a": 1})
        handler.send_text("é".encode())
        handler.ping(b"?")
        assert handler.unsent == before + 10 + 4 + 3
        handler.close(4001, "enough")
        handler.send_text(b"too late")
        with pytest.raises(WebSocketClosedError):
            handler.write_message("too late")

    site.handle_open = handle_open
    client = await site.connect()
    frames = [await client.read() for _ in range(4)]
    assert frames == [(TEXT, b'{"a": 1}'), (TEXT, "é".encode()), (PING, b"?"), (CLOSE, b"\x0f\xa1enough")]
    client.writer.write(close_frame(4001))
    assert await client.rest() == []
    await site.told(("closed", 4001, None))


@pytest.mark.gen_test
async def test_a_slow_reader_delays_the_writer(site: Site) -> None:
    most = 0

    async def handle_message(handler: FastWebSocketHandler, message: str | bytes) -> None:
        nonlocal most
        await handler.write_message(message, binary=True)
        most = max(most, handler.unsent)

    site.handle_message = handle_message
    site.max_unsent_bytes = 256 * 1024
    await slow_echo(site, unread_bytes=0)
    assert most <= 3 * 64 * 1024


@pytest.mark.gen_test
async def test_a_slow_reader_is_not_read_from(site: Site) -> None:
    site.max_unsent_bytes = 4 * MIB
    most = 0

    def handle_message(handler: FastWebSocketHandler, message: str | bytes) -> None:
        nonlocal most
        handler.write_message(message, binary=True)
        most = max(most, handler.unsent)

    site.handle_message = handle_message
    await slow_echo(site, unread_bytes=MIB)
    assert MIB < most <= MIB + 512 * 1024


async def slow_echo(site: Site, unread_bytes: int) -> None:
    """Send 16 MB before reading, and start to read after the server holds more than ``unread_bytes``."""
    # The kernel grows its buffers up to 32 MiB: they might hold all, and the server nothing.
    client = await site.connect(buffer_bytes=64 * 1024)
    sent = [bytes((i,)) * 65536 for i in range(250)]

    async def send() -> None:
        for payload in sent:
            client.writer.write(f(BINARY, payload))
            await client.writer.drain()

    sending = asyncio.create_task(send())
    await until(lambda: site.handlers[0].unsent > unread_bytes)
    await asyncio.sleep(0.3)  # a server that reads on would take more in this time
    assert not sending.done()
    for payload in sent:
        assert await client.read() == (BINARY, payload)
    await sending
    assert site.handlers[0].unsent == 0


@pytest.mark.gen_test
async def test_a_flood_of_pings_is_not_buffered(site: Site) -> None:
    client = await site.connect()
    blob = f(PING, b"x" * 125) * 8192

    async def send() -> None:
        for _ in range(24):
            client.writer.write(blob)
            await client.writer.drain()
        client.writer.write(f(PING, b"last"))

    sending = asyncio.create_task(send())
    connection = await site.connection()
    await until(lambda: connection._is_held and connection._paused)
    # A fourth of the limit, what was queued at that moment, and the pongs of one turn.
    assert connection.unsent <= 256 * 1024 + 2 * 64 * 1024
    assert connection._parser.buffered_bytes < 512 * 1024  # 64 KiB and the bytes of one read
    for _ in range(24 * 8192):  # each ping is answered, as the peer reads
        assert await client.read() == (PONG, b"x" * 125)
    assert await client.read() == (PONG, b"last")
    await sending


@pytest.mark.gen_test
async def test_a_peer_that_does_not_read_is_closed_above_the_limit(site: Site) -> None:
    site.max_unsent_bytes = MIB
    client = await site.connect(buffer_bytes=64 * 1024)
    connection = await site.connection()
    handler = site.handlers[0]
    while not connection.server_terminated:
        handler.send_text(b"x" * 65536)
        assert connection.unsent <= MIB + 2 * 65536 + 1000
    handler.send_text(b"too late")
    rest = await client.rest()
    assert rest[-1] == (CLOSE, b"\x03\xf0too slow")
    assert set(rest[:-1]) == {(TEXT, b"x" * 65536)}


@pytest.mark.gen_test
async def test_a_frame_larger_than_the_limit_reaches_a_peer_that_reads(site: Site) -> None:
    site.max_unsent_bytes = 256 * 1024
    client = await site.connect(early=f(TEXT, BIG), buffer_bytes=64 * 1024)
    assert await client.read() == (TEXT, BIG)
    client.writer.write(f(TEXT, b"alive"))
    assert await client.read() == (TEXT, b"alive")


@pytest.mark.gen_test
async def test_frames_of_a_peer_that_does_not_read_wait_and_keep_their_order(site: Site) -> None:
    site.max_unsent_bytes = MIB
    client = await site.connect(buffer_bytes=64 * 1024)
    connection = await site.connection()
    while not connection._is_held:
        site.handlers[0].send_text(b"x" * 65536)
        await asyncio.sleep(0)
    client.writer.write(f(PING, b"p") + f(TEXT, b"1") + f(TEXT, b"2"))
    await until(lambda: connection._parser.buffered_bytes > 0)
    frame = await client.read()
    while frame == (TEXT, b"x" * 65536):
        frame = await client.read()
    assert [frame, await client.read(), await client.read()] == [(PONG, b"p"), (TEXT, b"1"), (TEXT, b"2")]


@pytest.mark.parametrize("end", ["reset", "eof", "close"])
@pytest.mark.gen_test
async def test_the_last_frames_of_a_peer_that_does_not_read_are_delivered(site: Site, end: str) -> None:
    site.max_unsent_bytes = MIB
    client = await site.connect(buffer_bytes=64 * 1024)
    connection = await site.connection()
    site.handle_message = lambda handler, message: site.seen.append(message)
    while not connection._is_held:
        site.handlers[0].send_text(b"x" * 65536)
        await asyncio.sleep(0)
    client.writer.write(f(TEXT, b"last") + (close_frame(4000) if end == "close" else b""))
    await until(lambda: connection._parser.buffered_bytes > 0)
    assert site.seen == []
    if end == "reset":
        client.reset()
    else:
        if end == "eof":
            client.writer.write_eof()
        await client.rest()
    code = 4000 if end == "close" else None
    await site.told(("closed", code, None))
    assert site.seen == ["last", ("closed", code, None)]


@pytest.mark.gen_test
async def test_reading_is_noticed_only_behind_a_full_buffer(site: Site) -> None:
    site.max_unsent_bytes = 64 * MIB
    client = await site.connect(buffer_bytes=64 * 1024)
    connection = await site.connection()
    handler = site.handlers[0]
    handler.send_text(b"small")
    assert await client.read() == (TEXT, b"small")
    assert not connection.has_read()
    assert not connection.has_read()
    for _ in range(200):
        handler.send_text(b"x" * 65536)
    await until(lambda: connection.unsent < 200 * 65536)
    await asyncio.sleep(0.1)  # the kernel takes the rest of what it takes
    connection.has_read()
    assert not connection.has_read()
    for _ in range(50):
        assert await client.read() == (TEXT, b"x" * 65536)
    await until(connection.has_read)
    for _ in range(150):
        await client.read()
    await until(lambda: connection.unsent == 0)
    connection.has_read()
    assert not connection.has_read()


# --- closing ---


@pytest.mark.gen_test
async def test_a_half_closed_peer_gets_its_answers(site: Site) -> None:
    async def handle_message(handler: WebSocketHandler, message: str | bytes) -> None:
        await asyncio.sleep(0.01)
        handler.write_message(message)

    site.handle_message = handle_message
    client = await site.connect()
    client.writer.write(f(TEXT, b"1") + f(TEXT, b"2") + f(TEXT, b"3"))
    client.writer.write_eof()
    assert await client.rest() == [(TEXT, b"1"), (TEXT, b"2"), (TEXT, b"3")]
    await site.told(("closed", None, None))


@pytest.mark.gen_test
async def test_a_slow_half_closed_peer_gets_all_bytes(site: Site) -> None:
    client = await site.connect()
    client.writer.write(f(TEXT, BIG) * 4)
    client.writer.write_eof()
    assert await client.rest() == [(TEXT, BIG)] * 4


@pytest.mark.gen_test
async def test_peers_that_reset(site: Site) -> None:
    for _ in range(5):
        client = await site.connect()
        await asyncio.sleep(0.01)
        handler = site.handlers[-1]
        client.reset()
        try:
            for _ in range(50):
                handler.write_message("x" * 1000)
                await asyncio.sleep(0)
        except WebSocketClosedError:
            pass
    await until(lambda: site.seen == [("closed", None, None)] * 5)


@pytest.mark.gen_test
async def test_a_reset_while_the_handler_is_busy(site: Site) -> None:
    gate = asyncio.Event()

    async def handle_message(handler: FastWebSocketHandler, message: str | bytes) -> None:
        await gate.wait()
        handler.send_text(b"nobody handle_message")
        await handler.write_message("nobody handle_message")

    site.handle_message = handle_message
    client = await site.connect(early=f(TEXT, b"1") + f(TEXT, b"2"))
    await until(lambda: bool(site.handlers))
    client.reset()
    await asyncio.sleep(0.05)
    assert site.seen == []  # on_close is called after on_message
    gate.set()
    await site.told(("closed", None, None))


@pytest.mark.gen_test
async def test_an_unanswered_close_times_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_connection, "CLOSE_TIMEOUT_SECONDS", 0.1)
    client = await site.connect()
    await until(lambda: bool(site.handlers))
    site.handlers[0].close(4002)
    assert await client.rest() == [(CLOSE, b"\x0f\xa2")]
    await site.told(("closed", None, None))


@pytest.mark.gen_test
async def test_a_peer_that_sends_after_a_violation_is_aborted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_connection, "CLOSE_TIMEOUT_SECONDS", 0.1)
    client = await site.connect(early=f(3))
    assert await client.read() == (CLOSE, b"\x03\xeaprotocol error")
    await site.told(("closed", None, None))

    async def go_on() -> None:
        while True:
            client.writer.write(f(TEXT, b"going on"))
            await client.writer.drain()
            await asyncio.sleep(0.005)

    with pytest.raises(OSError):
        await go_on()


@pytest.mark.gen_test
async def test_a_peer_that_sends_after_a_violation_is_not_read_from(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_connection, "CLOSE_TIMEOUT_SECONDS", 0.5)
    client = await site.connect()
    connection = await site.connection()
    client.writer.write(f(3) + f(BINARY, b"x" * 100_000) * 300)
    assert await client.read() == (CLOSE, b"\x03\xeaprotocol error")
    await until(lambda: connection._lost)
    assert (
        connection._discarded_bytes < transport_connection.MAX_DISCARDED_BYTES + 512 * 1024
    )  # one read more


@pytest.mark.gen_test
async def test_a_closed_peer_that_does_not_read_is_aborted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_connection, "CLOSE_TIMEOUT_SECONDS", 0.1)
    site.max_unsent_bytes = 8 * MIB
    client = await site.connect()
    await until(lambda: bool(site.handlers))
    connection = site.handlers[0].ws_connection
    while connection.unsent < 256 * 1024:
        site.handlers[0].send_text(b"x" * 65536)
    client.writer.write(close_frame(1000))
    await site.told(("closed", 1000, None))
    await until(lambda: connection._lost)
    assert connection.unsent == 0


# --- integration with Tornado ---


@pytest.mark.gen_test
async def test_forbidden_close_codes_raise(site: Site) -> None:
    client = await site.connect()
    await until(lambda: bool(site.handlers))
    for code in (1005, 1006, 999, 5000):
        with pytest.raises(ValueError):
            site.handlers[0].close(code)
    with pytest.raises(ValueError):
        site.handlers[0].close(1000, "x" * 124)
    site.handlers[0].close(1000, "x" * 123)
    assert await client.read() == (CLOSE, b"\x03\xe8" + b"x" * 123)


@pytest.mark.gen_test
async def test_stopping_the_server_keeps_websockets(site: Site) -> None:
    client = await site.connect()
    assert site.server is not None
    site.server.stop()
    await asyncio.wait_for(site.server.close_all_connections(), WAIT_TIMEOUT_SECONDS)
    client.writer.write(f(TEXT, b"still there"))
    assert await client.read() == (TEXT, b"still there")


@pytest.mark.gen_test
async def test_unix_sockets(site: Site, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    assert site.server is not None
    site.server.add_socket(bind_unix_socket(path))
    site.handle_open = lambda handler: handler.set_nodelay(True)
    client = await site.connect(path=path, early=f(TEXT, b"hello"))
    assert await client.read() == (TEXT, b"hello")
    client.writer.write(close_frame(1000))
    assert await client.rest() == [(CLOSE, b"\x03\xe8")]


@pytest.mark.gen_test
async def test_the_connection_is_a_tornado_protocol(site: Site) -> None:
    client = await websocket_connect(f"ws://127.0.0.1:{site.port}/ws")
    connection = site.handlers[0].ws_connection
    assert isinstance(connection, WebSocketConnection)
    assert isinstance(connection, WebSocketProtocol)
    assert not connection.__dict__
    await client.write_message("hello")
    assert await client.read_message() == "hello"
    client.close(1000, "close_frame")
    assert await client.read_message() is None
    await site.told(("closed", 1000, "close_frame"))


@pytest.mark.gen_test
async def test_compression_is_declined(site: Site) -> None:
    assert not (await site.connect(offers="permessage-deflate")).accepted
    client = await websocket_connect(f"ws://127.0.0.1:{site.port}/ws", compression_options={})
    await client.write_message("hello")
    assert await client.read_message() == "hello"
    client.close()


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8", b"426"),
        (b"Host: here\r\n", b"", b"400"),
        (b"Sec-WebSocket-Key", b"Sec-Other-Key", b"400"),
        (b"Upgrade: websocket", b"Upgrade: other", b"400"),
    ],
)
@pytest.mark.gen_test
async def test_requests_that_are_refused(
    site: Site, old: bytes, new: bytes, status: bytes, expected_logs: list[str]
) -> None:
    expected_logs.append("4.. GET /ws")
    assert (await refusal(site, REQUEST.replace(old, new))).split()[1] == status


@pytest.mark.parametrize("key", [b"c2hvcnQ=", b"not base64", b""])
@pytest.mark.gen_test
async def test_keys_that_are_refused(site: Site, key: bytes, expected_logs: list[str]) -> None:
    expected_logs.append("400 GET /ws")
    good = base64.b64encode(bytes(16))
    assert (await refusal(site, REQUEST.replace(good, key))).split()[1] == b"400"


async def refusal(site: Site, request: bytes) -> bytes:
    client = Client(*await asyncio.open_connection("127.0.0.1", site.port))
    site.clients.append(client)
    client.writer.write(request)
    return await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), WAIT_TIMEOUT_SECONDS)
