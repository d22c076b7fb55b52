"""The hub: the sockets of this process, and the delivery of messages and events to them.

Strategy: each event is passed to every socket that follows its thread. It is encoded once per encoder, and no
socket is waited for. If a socket has missed messages, a task of its own reads them from the database
(``socket_stream.py`` describes when). Pings are collected and sent once per turn of the loop; a busy server
sends them twenty times a second, so that a client does not answer each message with a pong. One periodic
sweep over all sockets finds the silent ones, so that an idle socket needs neither a timer nor a task.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypeVar

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.aio.periodic import PeriodicTimer
from tornado_chat.core.close_codes import NOT_READ_BACK, SILENT
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import Event, SequencedItem
from tornado_chat.core.types import Page, Person, Thread
from tornado_chat.delivery.socket_stream import Encoder, FrameCache, SocketStream, Transport
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import EndpointMeter

log = logging.getLogger(__name__)

K = TypeVar("K")

Fetch = Callable[[Thread, int, int, int], Awaitable[Page[SequencedItem]]]
"""Reads stored items of a thread, oldest first.

Arguments: thread, ``seq`` to start after, maximum number of items, size of the texts at which the page ends.
"""

FetchAsAgent = Callable[[Thread, Person, int, int, int], Awaitable[Page[SequencedItem]]]
"""Reads the items that an agent, present or former, may read; the reader is named after the thread."""

PAGE_ITEMS = 200
"""The maximum number of items that are read from the database at a time."""

PAGE_BYTES = 256 * 1024
"""The size of the texts of these items; a page stays in memory while its socket is clogged."""

CLOGGED_PAUSE_SECONDS = 0.05
"""The interval in which a task checks whether a clogged socket takes data again."""

PING_BATCH_SECONDS = 0.05
"""The interval of the rounds of pings on a busy server."""

MAX_IMMEDIATE_PINGS = 20
"""The server is busy if it sends more pings than this within ``PING_BATCH_SECONDS``."""


class Hub:
    """The sockets of this process, by thread and by person.

    :arg fetch: reads stored items from the database.
    :arg on_receipt: called for every receipt with thread, person and ``seq``.
    :arg ping_interval: seconds of silence before a socket is pinged.
    :arg ping_timeout: seconds that a ping may stay unanswered.
    :arg on_resent: called with the number of items that were read for a socket, after they were written.
    :arg subscribe: subscribes to a thread on the bus; returns when the subscription is effective. None for a
        single process.
    :arg fetch_as_agent: reads stored items for sockets that follow a thread as its agent; None: as ``fetch``.
    :arg unsubscribe: called when no socket of this process follows the thread any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fetch: Fetch,
        *,
        on_receipt: Callable[[Thread, Person, int], None],
        ping_interval: float,
        ping_timeout: float,
        on_resent: Callable[[int], None] = lambda count: None,
        fetch_as_agent: FetchAsAgent | None = None,
        subscribe: Callable[[Thread], Awaitable[None]] | None = None,
        unsubscribe: Callable[[Thread], None] = lambda thread: None,
    ) -> None:
        self._loop = loop
        self._fetch = fetch
        self._fetch_as_agent = fetch_as_agent
        self._on_receipt = on_receipt
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._on_resent = on_resent
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._streams: set[SocketStream] = set()
        self._by_thread: dict[Thread, dict[SocketStream, None]] = {}
        self._by_person: dict[Person, dict[SocketStream, None]] = {}
        self._ping_due: dict[SocketStream, None] = {}
        self._ping_window_start = 0.0  # by the loop's clock
        self._pings_in_window = 0  # since _ping_window_start
        self._tasks = BackgroundTasks(loop)
        self._sweeper = PeriodicTimer(
            loop, self._sweep_interval, self._sweep, "the search for silent sockets"
        )

    def reconfigure(self, limits: config.Limits) -> None:
        """Apply other limits, to the open sockets too."""
        self._ping_interval = limits.ping_interval
        self._ping_timeout = limits.ping_timeout
        for socket_stream in self:
            socket_stream.limit_unsent(limits.outgoing_bytes)
        if self._sweeper.is_running:
            self._sweeper.start()

    # --- sockets and their threads ---

    def open(
        self,
        person: Person,
        transport: Transport,
        encoder: Encoder,
        meter: EndpointMeter | None = None,
        conn: str = "",
    ) -> SocketStream:
        """Register a new socket and return its stream.

        :arg meter: counts the deliveries to the socket.
        :arg conn: the name of the socket in the log.
        """
        socket_stream = SocketStream(
            person,
            transport,
            encoder,
            on_receipt=self._on_receipt,
            on_ping_due=self._schedule_ping,
            now=self._loop.time(),
            meter=meter,
            conn=conn,
        )
        self._streams.add(socket_stream)
        self._by_person.setdefault(person, {})[socket_stream] = None
        return socket_stream

    def discard(self, socket_stream: SocketStream) -> None:
        """Remove a closed socket from all indexes."""
        socket_stream.closed = True
        self._streams.discard(socket_stream)
        self._ping_due.pop(socket_stream, None)
        _remove(self._by_person, socket_stream.person, socket_stream)
        for thread in socket_stream.threads:
            self.unfollow(socket_stream, thread)

    def prepare_follow(self, socket_stream: SocketStream, thread: Thread, *, as_agent: bool = False) -> None:
        """Hold back the items and events of ``thread`` for this socket until ``follow`` is called.

        :arg as_agent: as in ``SocketStream.prepare_follow``.
        """
        if not socket_stream.closed:
            socket_stream.prepare_follow(thread, as_agent=as_agent)
            self._by_thread.setdefault(thread, {})[socket_stream] = None

    def follow_new(self, socket_stream: SocketStream, thread: Thread, *, as_agent: bool = False) -> bool:
        """Follow a thread in which nothing has been stored yet, without reading it.

        Returns False, and changes nothing, if that is not safe: other processes may store something before
        their events are received, or the socket is closed or follows the thread already.
        """
        if self._subscribe is not None or not socket_stream.follow_new(thread, as_agent=as_agent):
            return False
        self._by_thread.setdefault(thread, {})[socket_stream] = None
        return True

    async def subscribe_and_prepare(
        self, socket_stream: SocketStream, thread: Thread, *, as_agent: bool = False
    ) -> None:
        """Call ``prepare_follow``, and return when the bus is subscribed to ``thread``."""
        self.prepare_follow(socket_stream, thread, as_agent=as_agent)
        if self._subscribe is not None and not socket_stream.closed:
            await self._subscribe(thread)

    @property
    def is_clustered(self) -> bool:
        """True if other processes publish too.

        Rows that were read before ``subscribe_and_prepare`` may be out of date then.
        """
        return self._subscribe is not None

    async def follow(
        self,
        socket_stream: SocketStream,
        thread: Thread,
        after: int,
        first: Page[SequencedItem] | None = None,
    ) -> int:
        """Write all items of ``thread`` after ``after`` to ``socket_stream``, and then all new items.

        Returns when the items that are stored so far have been written, with their number. A second call for
        the same thread has no effect.

        :arg first: the first page of the items after ``after``, if the caller has read it already. It must
            have been read after ``prepare_follow``, or no item may have been published since.
        """
        if socket_stream.closed or socket_stream.position(thread) is not None:
            return 0
        self.prepare_follow(socket_stream, thread)
        socket_stream.follow(thread, after)
        if self._subscribe is not None:
            await self._subscribe(thread)
        return await self._catch_up(socket_stream, thread, first)

    def unfollow(self, socket_stream: SocketStream, thread: Thread) -> None:
        socket_stream.unfollow(thread)
        if _remove(self._by_thread, thread, socket_stream):
            self._unsubscribe(thread)

    # --- events ---

    def deliver(self, item: SequencedItem) -> None:
        """Write a stored item to all sockets that follow its thread."""
        frame_cache: FrameCache = {}
        for socket_stream in tuple(self._by_thread.get(item.thread, ())):
            if not socket_stream.deliver(item, frame_cache):
                self._start_catching_up(socket_stream, item.thread)

    def deliver_event(self, event: Event, thread: Thread, upto: int = 0) -> None:
        """Write an event without a sequence number to all sockets that follow ``thread``.

        :arg upto: a socket gets the event after it has got all items up to this ``seq``, even if they have
            not arrived in this process yet.
        """
        self.catch_up_to(thread, upto)
        frame_cache: FrameCache = {}
        for socket_stream in tuple(self._by_thread.get(thread, ())):
            socket_stream.send_event(event, thread, frame_cache)

    def catch_up_to(self, thread: Thread, seq: int) -> None:
        """Start to read missing items for all sockets of ``thread`` that have not got the item ``seq``."""
        for socket_stream in tuple(self._by_thread.get(thread, ())):
            if socket_stream.detect_gap(thread, seq):
                self._start_catching_up(socket_stream, thread)

    def rewind(self, thread: Thread, seq: int) -> None:
        """Deliver the stored items after ``seq`` again: another one was delivered with a number of theirs."""
        for socket_stream in tuple(self._by_thread.get(thread, ())):
            if socket_stream.rewind(thread, seq):
                self._start_catching_up(socket_stream, thread)

    def run_after(
        self, socket_stream: SocketStream, thread: Thread, seq: int, action: Callable[[], None]
    ) -> None:
        """Run ``action`` when the socket has got all items of the thread up to ``seq``."""
        if socket_stream.detect_gap(thread, seq):
            self._start_catching_up(socket_stream, thread)
        socket_stream.run_in_order(thread, action)

    def close_former_agent(
        self, thread: Thread, person: Person, last_seq: int, code: int, reason: str
    ) -> None:
        """Close the sockets by which ``person`` follows ``thread`` as its agent, after item ``last_seq``."""
        for socket_stream in self.of_person(person):
            if socket_stream.follows_as_agent(thread):
                close = partial(socket_stream.close, code, reason)
                self.run_after(socket_stream, thread, last_seq, close)

    def close_thread(self, thread: Thread, code: int, reason: str) -> None:
        """Close every socket that follows ``thread``, each after it has got all items and events."""
        for socket_stream in tuple(self._by_thread.get(thread, ())):
            socket_stream.run_in_order(thread, partial(socket_stream.close, code, reason))

    # --- queries ---

    def is_followed(self, thread: Thread) -> bool:
        """Return True if any socket follows ``thread``."""
        return bool(self._by_thread.get(thread))

    def followers(self, thread: Thread) -> set[Person]:
        """Return the people with sockets that follow ``thread``."""
        return {socket_stream.person for socket_stream in self._by_thread.get(thread, ())}

    @property
    def threads(self) -> tuple[Thread, ...]:
        """All threads that a socket of this process follows."""
        return tuple(self._by_thread)

    def of_person(self, person: Person) -> tuple[SocketStream, ...]:
        """Return the streams of all sockets of ``person``."""
        return tuple(self._by_person.get(person, ()))

    def __iter__(self) -> Iterator[SocketStream]:
        return iter(tuple(self._streams))

    def __len__(self) -> int:
        return len(self._streams)

    # --- catching up ---

    def _start_catching_up(self, socket_stream: SocketStream, thread: Thread) -> None:
        self._tasks.spawn(self._catch_up_quietly(socket_stream, thread))

    async def _catch_up_quietly(self, socket_stream: SocketStream, thread: Thread) -> None:
        try:
            resent = await self._catch_up(socket_stream, thread)
            log.debug("caught up", extra=fields(conn=socket_stream.conn, **thread.named, resent=resent))
        except ChatError as error:
            # The messages are stored, so the client gets them when it reconnects.
            log.warning(
                "could not read back missed messages: %s",
                error,
                extra=fields(conn=socket_stream.conn, **thread.named),
            )
            socket_stream.close(*NOT_READ_BACK)

    async def _catch_up(
        self, socket_stream: SocketStream, thread: Thread, page: Page[SequencedItem] | None = None
    ) -> int:
        """Read and write missing items until the socket is up to date; return the number of written items."""
        resent = 0
        while (position := socket_stream.position(thread)) is not None:
            highest_seen = 0
            is_fetched = page is None
            if page is None:
                highest_seen = socket_stream.highest_seen(thread)
                page = await self._read(socket_stream, thread, position)
            for item in page.items:
                # A long backlog is written as fast as the peer reads. A peer that reads nothing does not
                # answer pings either, so its socket is closed by the sweep.
                while socket_stream.is_clogged:  # noqa: ASYNC110 - sockets have no event for it
                    await asyncio.sleep(CLOGGED_PAUSE_SECONDS)
                # Only a page that was read from the position on shows that items in between were removed.
                resent += socket_stream.replay(item, may_skip=is_fetched)
            is_used = is_fetched or not page.items or socket_stream.has_passed(page.items[-1])
            if (
                is_used
                and not page.has_more
                and socket_stream.finish_catch_up(thread, read_up_to=0 if page.items else highest_seen)
            ):
                break
            page = None
        self._on_resent(resent)
        return resent

    def _read(
        self, socket_stream: SocketStream, thread: Thread, position: int
    ) -> Awaitable[Page[SequencedItem]]:
        if self._fetch_as_agent is not None and socket_stream.follows_as_agent(thread):
            return self._fetch_as_agent(thread, socket_stream.person, position, PAGE_ITEMS, PAGE_BYTES)
        return self._fetch(thread, position, PAGE_ITEMS, PAGE_BYTES)

    # --- pings ---

    def _schedule_ping(self, socket_stream: SocketStream) -> None:
        if not self._ping_due:
            remaining = self._ping_window_start + PING_BATCH_SECONDS - self._loop.time()
            if remaining > 0 and self._pings_in_window >= MAX_IMMEDIATE_PINGS:
                self._loop.call_later(remaining, self._send_due_pings)
            else:
                self._loop.call_soon(self._send_due_pings)
        self._ping_due[socket_stream] = None

    def _send_due_pings(self) -> None:
        due, self._ping_due = self._ping_due, {}
        now = self._loop.time()
        if now - self._ping_window_start >= PING_BATCH_SECONDS:
            self._ping_window_start, self._pings_in_window = now, 0
        self._pings_in_window += len(due)
        for socket_stream in due:
            socket_stream.ping(now)

    def start_sweeping(self) -> None:
        """Start the periodic search for silent sockets."""
        self._sweeper.start()

    def stop_sweeping(self) -> None:
        self._sweeper.stop()

    def _sweep_interval(self) -> float:
        return max(0.05, min(self._ping_interval, self._ping_timeout) / 4)

    def _sweep(self, late: float) -> None:
        """Ping sockets that are silent, and close sockets that have not answered a ping.

        :arg late: the seconds by which the sweep is late. If they are many, the loop was blocked, and pongs
            of the peers may still be unread, so no socket is closed.
        """
        was_blocked = late > self._sweep_interval()
        now = self._loop.time()
        for socket_stream in self:
            socket_stream.note_reading(now)
            silent_since = socket_stream.silent_since()
            if silent_since is not None and now - silent_since > self._ping_timeout:
                if not was_blocked:
                    socket_stream.close(*SILENT)
            elif now - socket_stream.last_received_at > self._ping_interval:
                socket_stream.ping(now)


def _remove(index: dict[K, dict[SocketStream, None]], key: K, socket_stream: SocketStream) -> bool:
    """Remove ``socket_stream`` from the entry ``key`` of an index.

    Returns True if the entry became empty and so was removed.
    """
    streams = index.get(key)
    if streams is None:
        return False
    streams.pop(socket_stream, None)
    if streams:
        return False
    del index[key]
    return True
