"""Fakes for tests of delivery: a socket, an encoder, a message table and a clock that the test controls."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from tests.helpers.frames import payload_of
from tornado_chat.core.events import Event, RoomEnded, SystemNotice
from tornado_chat.core.types import Kind, Message, Page, Person, Role, Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream

THREAD, OTHER = Thread(Kind.SESSION, 1), Thread(Kind.SESSION, 2)
READER, WRITER = Person(Role.USER, "1"), Person(Role.CONSULTANT, "2")


def message(seq: int, sender: Person = WRITER, thread: Thread = THREAD) -> Message:
    return Message(thread, seq, sender, f"m{seq}", seq)


def notice(code: str, thread: Thread = THREAD) -> SystemNotice:
    return SystemNotice(thread, code, 0)


class Socket:
    """A transport that records frames and pings. While ``stuck``, the peer reads nothing.

    :ivar clogged_bytes: the number of unsent bytes above which it is clogged.
    :ivar reading: the result of ``has_read``.
    """

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.pings: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.unsent = 0
        self.stuck = False
        self.is_engaged = False
        self.clogged_bytes = 10_000
        self.reading = False

    def send_frame(self, frame: bytes) -> None:
        assert self.closed is None, "written after the close"
        text = payload_of(frame).decode()
        self.frames.append(text)
        if self.stuck:
            self.unsent += len(text)

    def limit_unsent(self, max_bytes: int) -> None:
        self.clogged_bytes = max_bytes // 8

    @property
    def is_clogged(self) -> bool:
        return self.unsent > self.clogged_bytes

    def has_read(self) -> bool:
        return self.reading

    def ping(self, payload: bytes) -> None:
        assert self.closed is None, "pinged after the close"
        self.pings.append(payload)

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None, "closed twice"
        self.closed = (code, reason)

    @property
    def code(self) -> int | None:
        return self.closed and self.closed[0]


class Dialect:
    """An encoder: a message becomes its text, a notice its code. Own messages are encoded with ``echo``."""

    def __init__(self, echo: bool = False) -> None:
        self.echo = echo
        self.encoded: list[tuple[Event, bool]] = []

    def encode(self, event: Event, own: bool) -> bytes | None:
        self.encoded.append((event, own))
        if isinstance(event, Message):
            return None if own and not self.echo else event.text.encode()
        if isinstance(event, SystemNotice):
            return event.code.encode()
        return b"ended" if isinstance(event, RoomEnded) else None


class Table:
    """The stored messages. A read returns at once, or, after ``hold_reads``, upon ``release_read``."""

    def __init__(self) -> None:
        self.rows: dict[Thread, list[Message]] = {}
        self.reads: list[tuple[Thread, int]] = []
        self.held_reads: list[asyncio.Future[None]] | None = None
        self.fault: Exception | None = None

    def store(self, count: int = 1, sender: Person = WRITER, thread: Thread = THREAD) -> Message:
        """Store ``count`` messages and return the last one."""
        rows = self.rows.setdefault(thread, [])
        for _ in range(count):
            rows.append(message(rows[-1].seq + 1 if rows else 1, sender, thread))
        return rows[-1]

    def remove(self, *seqs: int, thread: Thread = THREAD) -> None:
        """Remove messages, as the retention does with notifications."""
        self.rows[thread] = [row for row in self.rows[thread] if row.seq not in seqs]

    def hold_reads(self) -> None:
        self.held_reads = []

    def release_read(self, which: int = 0) -> None:
        assert self.held_reads
        self.held_reads.pop(which).set_result(None)

    async def fetch(self, thread: Thread, after: int, limit: int, max_bytes: int) -> Page[Message]:
        self.reads.append((thread, after))
        rows = [row for row in self.rows.get(thread, []) if row.seq > after]
        found = Page(rows[:limit], len(rows) > limit)
        if self.held_reads is not None:
            gate = asyncio.get_running_loop().create_future()
            self.held_reads.append(gate)
            await gate
        if self.fault is not None:
            raise self.fault
        return found


class _Timer:
    def __init__(self, at: float, action: Callable[[], None]) -> None:
        self.at = at
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The running loop, with a clock that only the test advances."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 1000.0
        self.timers: list[_Timer] = []

    def time(self) -> float:
        return self._now

    def call_soon(self, action: Callable[[], None]) -> asyncio.Handle:
        return self._loop.call_soon(action)

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._loop.create_task(work)

    def call_later(self, delay: float, action: Callable[..., None], *arguments: object) -> _Timer:
        return self.call_at(self._now + delay, action, *arguments)

    def call_at(self, when: float, action: Callable[..., None], *arguments: object) -> _Timer:
        timer = _Timer(when, partial(action, *arguments))
        self.timers.append(timer)
        return timer

    def block(self, seconds: float) -> None:
        """Let the loop be blocked for ``seconds``, and then run the timers that are due."""
        self._now += seconds
        due = [timer for timer in self.timers if timer.at <= self._now and not timer.cancelled]
        for timer in due:
            self.timers.remove(timer)
            timer.action()

    def advance(self, seconds: float) -> None:
        end = self._now + seconds
        while due := [t for t in self.timers if t.at <= end and not t.cancelled]:
            timer = min(due, key=lambda t: t.at)
            self.timers.remove(timer)
            self._now = timer.at
            timer.action()
        self._now = end


class HubFixture:
    """A hub with its fakes; to be created on the running loop."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = Table()
        self.dialect = Dialect()
        self.receipts: list[tuple[Thread, Person, int]] = []
        self.hub = Hub(
            self.clock,  # type: ignore[arg-type]
            self.table.fetch,
            on_receipt=lambda *receipt: self.receipts.append(receipt),
            ping_interval=20.0,
            ping_timeout=8.0,
        )

    def open(self, person: Person = READER) -> tuple[Socket, SocketStream]:
        socket = Socket()
        return socket, self.hub.open(person, socket, self.dialect)

    async def following(self, person: Person = READER, after: int = 0) -> tuple[Socket, SocketStream]:
        socket, socket_stream = self.open(person)
        await self.hub.follow(socket_stream, THREAD, after)
        return socket, socket_stream


async def turns(count: int = 10) -> None:
    """Run the loop for some turns, so that all tasks that need no input of the test proceed."""
    for _ in range(count):
        await asyncio.sleep(0)
