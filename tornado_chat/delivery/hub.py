"""Who is connected to this process, and giving them what happens.

Strategy: each event is offered to every socket that follows its thread, encoded once per kind of
socket, without waiting for any of them. A socket that misses something reads it from the
database by a task of its own (``socket_stream.py`` says when). Pings are collected and sent once per
loop turn; of a busy server twenty times a second, so that not each message is answered by itself.
One sweep for all sockets finds the silent ones, so that an idle socket costs neither a timer nor a
task.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.core.close_codes import NOT_READ_BACK, SILENT
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import Event, SequencedItem
from tornado_chat.core.types import Person, Thread
from tornado_chat.delivery.socket_stream import Encoder, FrameCache, SocketStream, Transport
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import EndpointMeter

log = logging.getLogger(__name__)

K = TypeVar("K")

Fetch = Callable[[Thread, int, int], Awaitable[Sequence[SequencedItem]]]
"""Reads up to so many stored items of a thread after a ``seq``, oldest first."""

PAGE_ITEMS = 200
CLOGGED_PAUSE_SECONDS = 0.05  # seconds
PING_BATCH_SECONDS = 0.05  # seconds between two rounds of pings of a busy server
MAX_IMMEDIATE_PINGS = 20  # within that time: it is not busy


class Hub:
    """The sockets of this process, by thread and by person.

    :arg fetch: reads stored items back.
    :arg on_receipt: told of every receipt.
    :arg outgoing_limit: as ``[limits] outgoing_bytes``.
    :arg ping_interval: seconds of silence before a socket is pinged.
    :arg ping_timeout: seconds that a ping may stay unanswered.
    :arg on_resent: told how many items were read back for a socket, when it has got them.
    :arg subscribe: begins to hear what other processes publish on a thread; when it returns, nothing is missed.
    :arg unsubscribe: nobody here follows the thread any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fetch: Fetch,
        *,
        on_receipt: Callable[[Thread, Person, int], None],
        outgoing_limit: int,
        ping_interval: float,
        ping_timeout: float,
        on_resent: Callable[[int], None] = lambda count: None,
        subscribe: Callable[[Thread], Awaitable[None]] | None = None,
        unsubscribe: Callable[[Thread], None] = lambda thread: None,
    ) -> None:
        self._loop = loop
        self._fetch = fetch
        self._on_receipt = on_receipt
        self._outgoing_limit = outgoing_limit
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
        self._pings_in_window = 0  # since then
        self._tasks = BackgroundTasks(loop)
        self._sweeper: asyncio.TimerHandle | None = None

    def reconfigure(self, limits: config.Limits) -> None:
        """Go by other limits from now on, for the open sockets too."""
        self._outgoing_limit = limits.outgoing_bytes
        self._ping_interval = limits.ping_interval
        self._ping_timeout = limits.ping_timeout
        for socket_stream in self:
            socket_stream.limit_bytes = limits.outgoing_bytes
        if self._sweeper is not None:
            self.stop_sweeping()
            self.start_sweeping()

    # --- sockets come and go ---

    def open(
        self,
        person: Person,
        transport: Transport,
        encoder: Encoder,
        tally: EndpointMeter | None = None,
        conn: str = "",
    ) -> SocketStream:
        """The outgoing side of a new socket.

        :arg tally: counts what is delivered to it.
        :arg conn: what the socket is called in the log.
        """
        socket_stream = SocketStream(
            person,
            transport,
            encoder,
            on_receipt=self._on_receipt,
            on_ping_due=self._schedule_ping,
            limit_bytes=self._outgoing_limit,
            now=self._loop.time(),
            tally=tally,
            conn=conn,
        )
        self._streams.add(socket_stream)
        self._by_person.setdefault(person, {})[socket_stream] = None
        return socket_stream

    def discard(self, socket_stream: SocketStream) -> None:
        """The socket is gone."""
        socket_stream.closed = True
        self._streams.discard(socket_stream)
        self._ping_due.pop(socket_stream, None)
        _remove(self._by_person, socket_stream.person, socket_stream)
        for thread in socket_stream.threads:
            self.unfollow(socket_stream, thread)

    def prepare_follow(self, socket_stream: SocketStream, thread: Thread) -> None:
        """``follow`` will come: what happens in ``thread`` until then waits for it."""
        if not socket_stream.closed:
            socket_stream.prepare_follow(thread)
            self._by_thread.setdefault(thread, {})[socket_stream] = None

    def follow_new(self, socket_stream: SocketStream, thread: Thread) -> bool:
        """Follow a thread in which nothing has been stored yet, without reading it.

        Returns False, and changes nothing, if that is not safe: other processes may store something before their
        events are received, or the socket is closed or follows the thread already.
        """
        if self._subscribe is not None or not socket_stream.follow_new(thread):
            return False
        self._by_thread.setdefault(thread, {})[socket_stream] = None
        return True

    async def subscribe_and_prepare(self, socket_stream: SocketStream, thread: Thread) -> None:
        """``expect``, and miss nothing from now on that other processes publish on the thread."""
        self.prepare_follow(socket_stream, thread)
        if self._subscribe is not None and not socket_stream.closed:
            await self._subscribe(thread)

    @property
    def is_clustered(self) -> bool:
        """Whether other processes publish too: what is read before ``listen`` may be out of date."""
        return self._subscribe is not None

    async def follow(
        self,
        socket_stream: SocketStream,
        thread: Thread,
        after: int,
        first: Sequence[SequencedItem] | None = None,
    ) -> int:
        """Give ``socket_stream`` everything of ``thread`` that follows ``after``, then all that is new.

        Returns when what was stored so far has been written: how many that were. Following twice
        changes nothing.

        :arg first: the first ``PAGE_ITEMS`` of what follows ``after``, where it is known already: it was read
            after ``expect``, or nothing was offered since.
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
        """Something stored is to be seen by everybody who follows its thread."""
        frame_cache: FrameCache = {}
        for socket_stream in tuple(self._by_thread.get(item.thread, ())):
            if not socket_stream.deliver(item, frame_cache):
                self._start_catching_up(socket_stream, item.thread)

    def deliver_event(self, event: Event, thread: Thread, upto: int = 0) -> None:
        """Something without a number is to be seen by everybody who follows ``thread``.

        :arg upto: by everybody who has seen the thread up to this ``seq`` before, however that comes here.
        """
        self.catch_up_to(thread, upto)
        frame_cache: FrameCache = {}
        for socket_stream in tuple(self._by_thread.get(thread, ())):
            socket_stream.send_event(event, thread, frame_cache)

    def catch_up_to(self, thread: Thread, seq: int) -> None:
        """The thread goes up to ``seq``: who has not got that far reads what is missing."""
        for socket_stream in tuple(self._by_thread.get(thread, ())):
            if socket_stream.detect_gap(thread, seq):
                self._start_catching_up(socket_stream, thread)

    def run_after(
        self, socket_stream: SocketStream, thread: Thread, seq: int, action: Callable[[], None]
    ) -> None:
        """Run ``action`` when a socket has got the thread up to ``seq``."""
        if socket_stream.detect_gap(thread, seq):
            self._start_catching_up(socket_stream, thread)
        socket_stream.run_in_order(thread, action)

    def close_thread(self, thread: Thread, code: int, reason: str) -> None:
        """Close every socket that follows ``thread``, each when it has got everything."""
        for socket_stream in tuple(self._by_thread.get(thread, ())):
            socket_stream.run_in_order(thread, partial(socket_stream.close, code, reason))

    # --- looking ---

    def is_followed(self, thread: Thread) -> bool:
        """Whether any socket follows ``thread``."""
        return bool(self._by_thread.get(thread))

    @property
    def threads(self) -> tuple[Thread, ...]:
        """All that are followed here."""
        return tuple(self._by_thread)

    def of_person(self, person: Person) -> tuple[SocketStream, ...]:
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
            # The messages are safe; the client fetches them by coming back.
            log.warning(
                "could not read back missed messages: %s",
                error,
                extra=fields(conn=socket_stream.conn, **thread.named),
            )
            socket_stream.close(*NOT_READ_BACK)

    async def _catch_up(
        self, socket_stream: SocketStream, thread: Thread, items: Sequence[SequencedItem] | None = None
    ) -> int:
        """Returns how many items were written."""
        resent = 0
        while (position := socket_stream.position(thread)) is not None:
            highest_seen = 0
            if items is None:
                highest_seen = socket_stream.highest_seen(thread)
                items = await self._fetch(thread, position, PAGE_ITEMS)
            for item in items:
                # A long backlog goes at the peer's pace; one that takes nothing is found by its pings.
                while socket_stream.is_clogged:  # noqa: ASYNC110 - sockets have no event for it
                    await asyncio.sleep(CLOGGED_PAUSE_SECONDS)
                resent += socket_stream.replay(item)
            if len(items) < PAGE_ITEMS and socket_stream.finish_catch_up(
                thread, read_up_to=0 if items else highest_seen
            ):
                break
            items = None
        self._on_resent(resent)
        return resent

    # --- pings ---

    def _schedule_ping(self, socket_stream: SocketStream) -> None:
        if not self._ping_due:
            rest = self._ping_window_start + PING_BATCH_SECONDS - self._loop.time()
            if rest > 0 and self._pings_in_window >= MAX_IMMEDIATE_PINGS:
                self._loop.call_later(rest, self._send_due_pings)
            else:
                self._loop.call_soon(self._send_due_pings)
        self._ping_due[socket_stream] = None

    def _send_due_pings(self) -> None:
        owing, self._ping_due = self._ping_due, {}
        now = self._loop.time()
        if now - self._ping_window_start >= PING_BATCH_SECONDS:
            self._ping_window_start, self._pings_in_window = now, 0
        self._pings_in_window += len(owing)
        for socket_stream in owing:
            socket_stream.ping(now)

    def start_sweeping(self) -> None:
        """Begin to look for silent sockets, as long as the hub lives."""
        pause = max(0.05, min(self._ping_interval, self._ping_timeout) / 4)
        stalled_after = self._loop.time() + 2 * pause
        self._sweeper = self._loop.call_later(pause, self._sweep, stalled_after)

    def stop_sweeping(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _sweep(self, stalled_after: float) -> None:
        """:arg stalled_after: from then on it is we who were silent: what peers said meanwhile is still to be read."""
        now = self._loop.time()
        for socket_stream in self:
            silent_since = socket_stream.silent_since()
            if silent_since is not None and now - silent_since > self._ping_timeout:
                if now <= stalled_after:
                    socket_stream.close(*SILENT)
            elif now - socket_stream.last_received_at > self._ping_interval:
                socket_stream.ping(now)
        self.start_sweeping()


def _remove(index: dict[K, dict[SocketStream, None]], key: K, socket_stream: SocketStream) -> bool:
    """Take ``socket_stream`` out of one index; an entry that becomes empty goes too. Whether it did."""
    streams = index.get(key)
    if streams is None:
        return False
    streams.pop(socket_stream, None)
    if streams:
        return False
    del index[key]
    return True
