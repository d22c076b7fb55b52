"""Who is connected to this process, and giving them what happens.

Strategy: each event is offered to every socket that follows its thread, encoded once per kind of
socket, without waiting for any of them. A socket that misses something reads it from the
database by a task of its own (``outbox.py`` says when). Pings are collected and sent once per
loop turn; of a busy server twenty times a second, so that not each message is answered by itself.
One sweep for all sockets finds the silent ones, so that an idle socket costs neither a timer nor a
task.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

from tornado_chat import config
from tornado_chat.aio.background import Tasks
from tornado_chat.core.close_codes import NOT_READ_BACK, SILENT
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import Event, Sequenced
from tornado_chat.core.types import Person, Thread
from tornado_chat.delivery.socket_stream import Encoder, Memo, Outbox, Transport
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import Tally

log = logging.getLogger(__name__)

Fetch = Callable[[Thread, int, int], Awaitable[Sequence[Sequenced]]]
"""Reads up to so many stored items of a thread after a ``seq``, oldest first."""

PAGE = 200
CLOGGED_PAUSE = 0.05  # seconds
PING_PAUSE = 0.05  # seconds between two rounds of pings of a busy server
FEW_PINGS = 20  # within that time: it is not busy


class Hub:
    """The sockets of this process, by thread and by person.

    :arg fetch: reads stored items back.
    :arg on_receipt: told of every receipt.
    :arg outgoing_limit: as ``[limits] outgoing_bytes``.
    :arg ping_interval: seconds of silence before a socket is pinged.
    :arg ping_timeout: seconds that a ping may stay unanswered.
    :arg on_resent: told how many items were read back for a socket, when it has got them.
    :arg tune_in: begins to hear what other processes publish on a thread; when it returns, nothing is missed.
    :arg tune_out: nobody here follows the thread any more.
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
        tune_in: Callable[[Thread], Awaitable[None]] | None = None,
        tune_out: Callable[[Thread], None] = lambda thread: None,
    ) -> None:
        self._loop = loop
        self._fetch = fetch
        self._on_receipt = on_receipt
        self._outgoing_limit = outgoing_limit
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._on_resent = on_resent
        self._tune_in = tune_in
        self._tune_out = tune_out
        self._outboxes: set[Outbox] = set()
        self._by_thread: dict[Thread, dict[Outbox, None]] = {}
        self._by_person: dict[Person, dict[Outbox, None]] = {}
        self._owing: dict[Outbox, None] = {}
        self._counted_from = 0.0  # by the loop's clock
        self._pinged = 0  # since then
        self._tasks = Tasks(loop)
        self._sweeper: asyncio.TimerHandle | None = None

    def reconfigure(self, limits: config.Limits) -> None:
        """Go by other limits from now on, for the open sockets too."""
        self._outgoing_limit = limits.outgoing_bytes
        self._ping_interval = limits.ping_interval
        self._ping_timeout = limits.ping_timeout
        for outbox in self:
            outbox.limit = limits.outgoing_bytes
        if self._sweeper is not None:
            self.stop_sweeping()
            self.start_sweeping()

    # --- sockets come and go ---

    def open(
        self,
        person: Person,
        transport: Transport,
        encoder: Encoder,
        tally: Tally | None = None,
        conn: str = "",
    ) -> Outbox:
        """The outgoing side of a new socket.

        :arg tally: counts what is delivered to it.
        :arg conn: what the socket is called in the log.
        """
        outbox = Outbox(
            person,
            transport,
            encoder,
            on_receipt=self._on_receipt,
            on_owing=self._owe,
            limit=self._outgoing_limit,
            now=self._loop.time(),
            tally=tally,
            conn=conn,
        )
        self._outboxes.add(outbox)
        self._by_person.setdefault(person, {})[outbox] = None
        return outbox

    def discard(self, outbox: Outbox) -> None:
        """The socket is gone."""
        outbox.closed = True
        self._outboxes.discard(outbox)
        self._owing.pop(outbox, None)
        _remove(self._by_person, outbox.person, outbox)
        for thread in outbox.threads:
            self.unfollow(outbox, thread)

    def expect(self, outbox: Outbox, thread: Thread) -> None:
        """``follow`` will come: what happens in ``thread`` until then waits for it."""
        if not outbox.closed:
            outbox.expect(thread)
            self._by_thread.setdefault(thread, {})[outbox] = None

    async def listen(self, outbox: Outbox, thread: Thread) -> None:
        """``expect``, and miss nothing from now on that other processes publish on the thread."""
        self.expect(outbox, thread)
        if self._tune_in is not None and not outbox.closed:
            await self._tune_in(thread)

    @property
    def shared(self) -> bool:
        """Whether other processes publish too: what is read before ``listen`` may be out of date."""
        return self._tune_in is not None

    async def follow(
        self, outbox: Outbox, thread: Thread, after: int, first: Sequence[Sequenced] | None = None
    ) -> int:
        """Give ``outbox`` everything of ``thread`` that follows ``after``, then all that is new.

        Returns when what was stored so far has been written: how many that were. Following twice
        changes nothing.

        :arg first: the first ``PAGE`` of what follows ``after``, where it is known already: it was read
            after ``expect``, or nothing was offered since.
        """
        if outbox.closed or outbox.position(thread) is not None:
            return 0
        self.expect(outbox, thread)
        outbox.follow(thread, after)
        if self._tune_in is not None:
            await self._tune_in(thread)
        return await self._catch_up(outbox, thread, first)

    def unfollow(self, outbox: Outbox, thread: Thread) -> None:
        outbox.unfollow(thread)
        if _remove(self._by_thread, thread, outbox):
            self._tune_out(thread)

    # --- events ---

    def offer(self, item: Sequenced) -> None:
        """Something stored is to be seen by everybody who follows its thread."""
        memo: Memo = {}
        for outbox in tuple(self._by_thread.get(item.thread, ())):
            if not outbox.offer(item, memo):
                self._start_catching_up(outbox, item.thread)

    def tell(self, event: Event, thread: Thread, upto: int = 0) -> None:
        """Something without a number is to be seen by everybody who follows ``thread``.

        :arg upto: by everybody who has seen the thread up to this ``seq`` before, however that comes here.
        """
        self.reached(thread, upto)
        memo: Memo = {}
        for outbox in tuple(self._by_thread.get(thread, ())):
            outbox.tell(event, thread, memo)

    def reached(self, thread: Thread, seq: int) -> None:
        """The thread goes up to ``seq``: who has not got that far reads what is missing."""
        for outbox in tuple(self._by_thread.get(thread, ())):
            if outbox.lacks(thread, seq):
                self._start_catching_up(outbox, thread)

    def after(self, outbox: Outbox, thread: Thread, seq: int, action: Callable[[], None]) -> None:
        """Run ``action`` when a socket has got the thread up to ``seq``."""
        if outbox.lacks(thread, seq):
            self._start_catching_up(outbox, thread)
        outbox.in_order(thread, action)

    def close_thread(self, thread: Thread, code: int, reason: str) -> None:
        """Close every socket that follows ``thread``, each when it has got everything."""
        for outbox in tuple(self._by_thread.get(thread, ())):
            outbox.in_order(thread, lambda outbox=outbox: outbox.close(code, reason))  # type: ignore[misc]

    # --- looking ---

    def is_followed(self, thread: Thread) -> bool:
        """Whether any socket follows ``thread``."""
        return bool(self._by_thread.get(thread))

    @property
    def threads(self) -> tuple[Thread, ...]:
        """All that are followed here."""
        return tuple(self._by_thread)

    def of_person(self, person: Person) -> tuple[Outbox, ...]:
        return tuple(self._by_person.get(person, ()))

    def __iter__(self) -> Iterator[Outbox]:
        return iter(tuple(self._outboxes))

    def __len__(self) -> int:
        return len(self._outboxes)

    # --- catching up ---

    def _start_catching_up(self, outbox: Outbox, thread: Thread) -> None:
        self._tasks.spawn(self._catch_up_quietly(outbox, thread))

    async def _catch_up_quietly(self, outbox: Outbox, thread: Thread) -> None:
        try:
            resent = await self._catch_up(outbox, thread)
            log.debug("caught up", extra=fields(conn=outbox.conn, **thread.named, resent=resent))
        except ChatError as error:
            # The messages are safe; the client fetches them by coming back.
            log.warning(
                "could not read back missed messages: %s",
                error,
                extra=fields(conn=outbox.conn, **thread.named),
            )
            outbox.close(*NOT_READ_BACK)

    async def _catch_up(
        self, outbox: Outbox, thread: Thread, items: Sequence[Sequenced] | None = None
    ) -> int:
        """Returns how many items were written."""
        resent = 0
        while (position := outbox.position(thread)) is not None:
            wanted = 0
            if items is None:
                wanted = outbox.wanted(thread)
                items = await self._fetch(thread, position, PAGE)
            for item in items:
                # A long backlog goes at the peer's pace; one that takes nothing is found by its pings.
                while outbox.clogged:  # noqa: ASYNC110 - sockets have no event for it
                    await asyncio.sleep(CLOGGED_PAUSE)
                resent += outbox.replay(item)
            if len(items) < PAGE and outbox.caught_up(thread, looked_for=0 if items else wanted):
                break
            items = None
        self._on_resent(resent)
        return resent

    # --- pings ---

    def _owe(self, outbox: Outbox) -> None:
        if not self._owing:
            rest = self._counted_from + PING_PAUSE - self._loop.time()
            if rest > 0 and self._pinged >= FEW_PINGS:
                self._loop.call_later(rest, self._ping_owing)
            else:
                self._loop.call_soon(self._ping_owing)
        self._owing[outbox] = None

    def _ping_owing(self) -> None:
        owing, self._owing = self._owing, {}
        now = self._loop.time()
        if now - self._counted_from >= PING_PAUSE:
            self._counted_from, self._pinged = now, 0
        self._pinged += len(owing)
        for outbox in owing:
            outbox.ping(now)

    def start_sweeping(self) -> None:
        """Begin to look for silent sockets, as long as the hub lives."""
        pause = max(0.05, min(self._ping_interval, self._ping_timeout) / 4)
        held_up = self._loop.time() + 2 * pause
        self._sweeper = self._loop.call_later(pause, self._sweep, held_up)

    def stop_sweeping(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _sweep(self, held_up: float) -> None:
        """:arg held_up: from then on it is we who were silent: what peers said meanwhile is still to be read."""
        now = self._loop.time()
        for outbox in self:
            silent_since = outbox.silent_since()
            if silent_since is not None and now - silent_since > self._ping_timeout:
                if now <= held_up:
                    outbox.close(*SILENT)
            elif now - outbox.heard_at > self._ping_interval:
                outbox.ping(now)
        self.start_sweeping()


def _remove(index: dict[object, dict[Outbox, None]] | dict, key: object, outbox: Outbox) -> bool:  # type: ignore[type-arg]
    """Take ``outbox`` out of one index; an entry that becomes empty goes too. Whether it did."""
    outboxes = index.get(key)
    if outboxes is None:
        return False
    outboxes.pop(outbox, None)
    if outboxes:
        return False
    del index[key]
    return True
