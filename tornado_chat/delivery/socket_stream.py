"""One socket's outgoing side: order, resume, receipts, limit.

Strategy: what is said in a thread has sequence numbers without gaps. For each thread that the
socket follows, the outbox remembers the last one it has dealt with. A live message that is the
next one is written at once; one that comes too early means that something is missing (it was
said while the socket connected, or in another process), so the thread is *behind* until the
missing rows have been read. So joining, resuming after a cut and a lost hint are one case.

Frames that belong to a thread but have no number (system texts, the end) wait behind what is
being caught up, so that everything is seen in the order in which it happened.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from tornado_chat.core.close_codes import SLOW
from tornado_chat.core.events import Event, Sequenced, Typing
from tornado_chat.core.types import Message, Person, Thread
from tornado_chat.domain.receipts import Ledger
from tornado_chat.observability.metrics import Tally
from tornado_chat.wire import websocket


class Transport(Protocol):
    """What a socket can do. No method waits or raises, whatever state the socket is in."""

    def send_frame(self, frame: bytes) -> int:
        """Write a WebSocket frame of ``wire.websocket``. Returns ``unsent`` as it is afterwards."""
        ...

    def ping(self, payload: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    @property
    def unsent(self) -> int:
        """Bytes that the peer has not taken yet."""
        ...


class Encoder(Protocol):
    """A dialect's view of events. Sockets with an equal view share the encoder object."""

    def encode(self, event: Event, own: bool) -> bytes | None: ...


Memo = dict[tuple[Encoder, bool], bytes | None]
"""The WebSocket frames of one event, made once per encoder."""


_SENT = (Message, Typing)
"""Events that have a sender."""


class _Cursor:
    """Where a socket is in a thread."""

    __slots__ = ("begun", "behind", "last", "newest", "oldest", "waiting")

    def __init__(self) -> None:
        self.begun = False  # whether it is known where the socket stands
        self.last = 0
        self.newest = 0  # the highest seq that was heard of
        self.oldest: int | None = None  # the first that was heard of before it had begun
        self.behind = True
        self.waiting: deque[Callable[[], None]] | None = None  # made when something has to wait


class Outbox:
    """Writes to one socket of ``person`` by way of ``transport``.

    :arg on_receipt: called with a thread and the ``seq`` up to which everything has arrived.
    :arg on_owing: called when a ping is due; the hub collects these once per loop turn.
    :arg limit: unsent bytes above which the socket is dropped. Nothing is lost by that: what
        was not receipted is sent again when the person comes back.
    :arg tally: counts what is delivered.
    :arg conn: what the socket is called in the log.
    """

    __slots__ = (
        "_cursors",
        "_encoder",
        "_ledger",
        "_on_owing",
        "_on_receipt",
        "_tally",
        "_transport",
        "closed",
        "conn",
        "heard_at",
        "limit",
        "person",
        "pinged_at",
    )

    def __init__(
        self,
        person: Person,
        transport: Transport,
        encoder: Encoder,
        *,
        on_receipt: Callable[[Thread, Person, int], None],
        on_owing: Callable[["Outbox"], None],
        limit: int,
        now: float,
        tally: Tally | None = None,
        conn: str = "",
    ) -> None:
        self.conn = conn
        self._tally = tally or Tally()
        self.person = person
        self._transport = transport
        self._encoder = encoder
        self._on_receipt = on_receipt
        self._on_owing = on_owing
        self.limit = limit
        self._ledger = Ledger()
        self._cursors: dict[Thread, _Cursor] = {}
        self.heard_at = now
        self.pinged_at = now
        self.closed = False

    # --- threads ---

    @property
    def threads(self) -> tuple[Thread, ...]:
        return tuple(self._cursors)

    def expect(self, thread: Thread) -> None:
        """The thread will be followed as soon as it is known from where; what is said of it waits."""
        self._cursors.setdefault(thread, _Cursor())

    def follow(self, thread: Thread, after: int) -> None:
        """Begin with what follows ``after``, and with all that came since ``expect``.

        The latter may be receipted already, by another socket of the same person, but not by this one.
        The thread is behind until ``caught_up``.
        """
        self.expect(thread)
        cursor = self._cursors[thread]
        if not cursor.begun and cursor.oldest is not None:
            after = min(after, cursor.oldest - 1)
        cursor.begun = True
        cursor.last = after
        cursor.newest = max(cursor.newest, after)

    def unfollow(self, thread: Thread) -> None:
        self._cursors.pop(thread, None)

    def position(self, thread: Thread) -> int | None:
        """The last ``seq`` dealt with, or None if the thread is not followed (yet, or any more)."""
        cursor = self._cursors.get(thread)
        return cursor.last if cursor and cursor.begun and not self.closed else None

    def offer(self, item: Sequenced, memo: Memo) -> bool:
        """A new item of a followed thread. False if it showed that something is missing."""
        cursor = self._cursors.get(item.thread)
        if cursor is None or self.closed:
            return True
        seq = item.seq
        if cursor.behind:
            cursor.newest = max(cursor.newest, seq)
            if not cursor.begun and cursor.oldest is None:
                cursor.oldest = seq
            return True
        if seq == cursor.last + 1:
            cursor.last = seq
            self._write(item, memo)
            return True
        if seq <= cursor.last:
            return True
        cursor.behind = True
        cursor.newest = seq
        return False

    def lacks(self, thread: Thread, seq: int) -> bool:
        """The thread goes up to ``seq``. True if that shows that something is missing."""
        cursor = self._cursors.get(thread)
        if cursor is None or self.closed:
            return False
        cursor.newest = max(cursor.newest, seq)
        if cursor.behind or seq <= cursor.last:
            return False
        cursor.behind = True
        return True

    def wanted(self, thread: Thread) -> int:
        """The highest ``seq`` of a thread that was heard of."""
        cursor = self._cursors.get(thread)
        return cursor.newest if cursor else 0

    def replay(self, item: Sequenced) -> bool:
        """An item that was read back, the next one of a thread that is behind. Whether it was written."""
        cursor = self._cursors.get(item.thread)
        if cursor is None or self.closed or item.seq != cursor.last + 1:
            return False
        cursor.last = item.seq
        return self._write(item, {})

    def caught_up(self, thread: Thread, looked_for: int = 0) -> bool:
        """The rows have all been read: go live. False if newer ones were heard of meanwhile.

        :arg looked_for: up to this ``seq`` there is nothing more to be read: it was removed.
        """
        cursor = self._cursors.get(thread)
        if cursor is None:
            return True
        if cursor.newest > max(cursor.last, looked_for):
            return False
        cursor.behind = False
        while cursor.waiting and not cursor.behind:
            cursor.waiting.popleft()()
        if not cursor.waiting:
            cursor.waiting = None
        return True

    def in_order(self, thread: Thread, action: Callable[[], None]) -> None:
        """Run ``action`` now, or, if the thread is behind, as soon as it has caught up."""
        cursor = self._cursors.get(thread)
        if cursor is not None and cursor.behind:
            if cursor.waiting is None:
                cursor.waiting = deque()
            cursor.waiting.append(action)
        else:
            action()

    def tell(self, event: Event, thread: Thread, memo: Memo) -> None:
        """Write the frame of an event without number, in its place among the thread's messages."""
        frame = self._frame(event, memo)
        if frame is not None:
            self.in_order(thread, lambda: self._send(frame))

    # --- the socket ---

    def send(self, text: bytes) -> None:
        """Write a message of the dialect now; drop the socket if its peer takes nothing any more."""
        self._send(websocket.frame(websocket.TEXT, text))

    def _send(self, frame: bytes) -> None:
        if not self.closed and self._transport.send_frame(frame) > self.limit:
            self.close(*SLOW)

    @property
    def clogged(self) -> bool:
        """Whether the peer is behind so far that what is not urgent should wait."""
        return not self.closed and self._transport.unsent > self.limit // 2

    def close(self, code: int, reason: str) -> None:
        """Close the socket; nothing is written after it."""
        if not self.closed:
            self.closed = True
            self._transport.close(code, reason)

    def ping(self, now: float) -> None:
        """Ping, unless one is outstanding, and ask receipt for what was written."""
        if not self.closed and not self._ledger.outstanding:
            self.pinged_at = now
            self._transport.ping(self._ledger.ping())

    def pong(self, payload: bytes, now: float) -> None:
        """The peer answered a ping."""
        self.heard_at = now
        for thread, seq in self._ledger.pong(payload).items():
            self._on_receipt(thread, self.person, seq)
        if self._ledger.owing:
            self._on_owing(self)

    @property
    def unproven(self) -> bool:
        """Whether something was written that is not receipted yet."""
        return self._ledger.unproven

    def silent_since(self) -> float | None:
        """Since when a ping is unanswered and nothing else was heard; None if no ping is outstanding."""
        return max(self.pinged_at, self.heard_at) if self._ledger.outstanding else None

    def _write(self, item: Sequenced, memo: Memo) -> bool:
        frame = self._frame(item, memo)
        if frame is None:
            return False
        self._send(frame)
        self._tally.delivered += 1
        if self._ledger.sent(item.thread, item.seq):
            self._on_owing(self)
        return True

    def _frame(self, event: Event, memo: Memo) -> bytes | None:
        own = isinstance(event, _SENT) and event.sender == self.person
        key = (self._encoder, own)
        if key in memo:
            return memo[key]
        text = self._encoder.encode(event, own)
        frame = memo[key] = None if text is None else websocket.frame(websocket.TEXT, text)
        return frame
