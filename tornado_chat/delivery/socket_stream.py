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
from tornado_chat.core.events import Event, SequencedItem, TypingChanged
from tornado_chat.core.types import Message, Person, Thread
from tornado_chat.domain.receipts import ReceiptTracker
from tornado_chat.observability.metrics import EndpointMeter
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


FrameCache = dict[tuple[Encoder, bool], bytes | None]
"""The WebSocket frames of one event, made once per encoder."""


_EVENTS_WITH_SENDER = (Message, TypingChanged)
"""Events that have a sender."""


class _Cursor:
    """Where a socket is in a thread."""

    __slots__ = (
        "deferred_actions",
        "first_buffered_seq",
        "has_position",
        "highest_seq",
        "is_behind",
        "last_seq",
    )

    def __init__(self) -> None:
        self.has_position = False  # whether it is known where the socket stands
        self.last_seq = 0
        self.highest_seq = 0  # the highest seq that was heard of
        self.first_buffered_seq: int | None = None  # the first that was heard of before it had begun
        self.is_behind = True
        self.deferred_actions: deque[Callable[[], None]] | None = None  # made when something has to wait


class SocketStream:
    """Writes to one socket of ``person`` by way of ``transport``.

    :arg on_receipt: called with a thread and the ``seq`` up to which everything has arrived.
    :arg on_ping_due: called when a ping is due; the hub collects these once per loop turn.
    :arg limit_bytes: unsent bytes above which the socket is dropped. Nothing is lost by that: what
        was not receipted is sent again when the person comes back.
    :arg tally: counts what is delivered.
    :arg conn: what the socket is called in the log.
    """

    __slots__ = (
        "_cursors",
        "_encoder",
        "_on_ping_due",
        "_on_receipt",
        "_receipt_tracker",
        "_tally",
        "_transport",
        "closed",
        "conn",
        "last_ping_at",
        "last_received_at",
        "limit_bytes",
        "person",
    )

    def __init__(
        self,
        person: Person,
        transport: Transport,
        encoder: Encoder,
        *,
        on_receipt: Callable[[Thread, Person, int], None],
        on_ping_due: Callable[["SocketStream"], None],
        limit_bytes: int,
        now: float,
        tally: EndpointMeter | None = None,
        conn: str = "",
    ) -> None:
        self.conn = conn
        self._tally = tally or EndpointMeter()
        self.person = person
        self._transport = transport
        self._encoder = encoder
        self._on_receipt = on_receipt
        self._on_ping_due = on_ping_due
        self.limit_bytes = limit_bytes
        self._receipt_tracker = ReceiptTracker()
        self._cursors: dict[Thread, _Cursor] = {}
        self.last_received_at = now
        self.last_ping_at = now
        self.closed = False

    # --- threads ---

    @property
    def threads(self) -> tuple[Thread, ...]:
        return tuple(self._cursors)

    def prepare_follow(self, thread: Thread) -> None:
        """The thread will be followed as soon as it is known from where; what is said of it waits."""
        self._cursors.setdefault(thread, _Cursor())

    def follow(self, thread: Thread, after: int) -> None:
        """Begin with what follows ``after``, and with all that came since ``expect``.

        The latter may be receipted already, by another socket of the same person, but not by this one.
        The thread is behind until ``finish_catch_up``.
        """
        self.prepare_follow(thread)
        cursor = self._cursors[thread]
        if not cursor.has_position and cursor.first_buffered_seq is not None:
            after = min(after, cursor.first_buffered_seq - 1)
        cursor.has_position = True
        cursor.last_seq = after
        cursor.highest_seq = max(cursor.highest_seq, after)

    def follow_new(self, thread: Thread) -> bool:
        """Follow a thread that has no items yet. Returns False if the socket is closed or follows it already."""
        if self.closed or thread in self._cursors:
            return False
        cursor = self._cursors[thread] = _Cursor()
        cursor.has_position = True
        cursor.is_behind = False
        return True

    def unfollow(self, thread: Thread) -> None:
        self._cursors.pop(thread, None)

    def position(self, thread: Thread) -> int | None:
        """The last ``seq`` dealt with, or None if the thread is not followed (yet, or any more)."""
        cursor = self._cursors.get(thread)
        return cursor.last_seq if cursor and cursor.has_position and not self.closed else None

    def deliver(self, item: SequencedItem, frame_cache: FrameCache) -> bool:
        """A new item of a followed thread. False if it showed that something is missing."""
        cursor = self._cursors.get(item.thread)
        if cursor is None or self.closed:
            return True
        seq = item.seq
        if cursor.is_behind:
            cursor.highest_seq = max(cursor.highest_seq, seq)
            if not cursor.has_position and cursor.first_buffered_seq is None:
                cursor.first_buffered_seq = seq
            return True
        if seq == cursor.last_seq + 1:
            cursor.last_seq = seq
            self._write(item, frame_cache)
            return True
        if seq <= cursor.last_seq:
            return True
        cursor.is_behind = True
        cursor.highest_seq = seq
        return False

    def detect_gap(self, thread: Thread, seq: int) -> bool:
        """The thread goes up to ``seq``. True if that shows that something is missing."""
        cursor = self._cursors.get(thread)
        if cursor is None or self.closed:
            return False
        cursor.highest_seq = max(cursor.highest_seq, seq)
        if cursor.is_behind or seq <= cursor.last_seq:
            return False
        cursor.is_behind = True
        return True

    def highest_seen(self, thread: Thread) -> int:
        """The highest ``seq`` of a thread that was heard of."""
        cursor = self._cursors.get(thread)
        return cursor.highest_seq if cursor else 0

    def replay(self, item: SequencedItem) -> bool:
        """An item that was read back, the next one of a thread that is behind. Whether it was written."""
        cursor = self._cursors.get(item.thread)
        if cursor is None or self.closed or item.seq != cursor.last_seq + 1:
            return False
        cursor.last_seq = item.seq
        return self._write(item, {})

    def finish_catch_up(self, thread: Thread, read_up_to: int = 0) -> bool:
        """The rows have all been read: go live. False if newer ones were heard of meanwhile.

        :arg read_up_to: up to this ``seq`` there is nothing more to be read: it was removed.
        """
        cursor = self._cursors.get(thread)
        if cursor is None:
            return True
        if cursor.highest_seq > max(cursor.last_seq, read_up_to):
            return False
        cursor.is_behind = False
        while cursor.deferred_actions and not cursor.is_behind:
            cursor.deferred_actions.popleft()()
        if not cursor.deferred_actions:
            cursor.deferred_actions = None
        return True

    def run_in_order(self, thread: Thread, action: Callable[[], None]) -> None:
        """Run ``action`` now, or, if the thread is behind, as soon as it has caught up."""
        cursor = self._cursors.get(thread)
        if cursor is not None and cursor.is_behind:
            if cursor.deferred_actions is None:
                cursor.deferred_actions = deque()
            cursor.deferred_actions.append(action)
        else:
            action()

    def send_event(self, event: Event, thread: Thread, frame_cache: FrameCache) -> None:
        """Write the frame of an event without number, in its place among the thread's messages."""
        frame = self._frame(event, frame_cache)
        if frame is not None:
            self.run_in_order(thread, lambda: self._send(frame))

    # --- the socket ---

    def send(self, text: bytes) -> None:
        """Write a message of the dialect now; drop the socket if its peer takes nothing any more."""
        if not self.closed:
            frame = websocket.frame(websocket.TEXT, text)
            if self._transport.send_frame(frame) > self.limit_bytes:
                self.close(*SLOW)

    def _send(self, frame: bytes) -> None:
        if not self.closed and self._transport.send_frame(frame) > self.limit_bytes:
            self.close(*SLOW)

    @property
    def is_clogged(self) -> bool:
        """Whether the peer is behind so far that what is not urgent should wait."""
        return not self.closed and self._transport.unsent > self.limit_bytes // 2

    def close(self, code: int, reason: str) -> None:
        """Close the socket; nothing is written after it."""
        if not self.closed:
            self.closed = True
            self._transport.close(code, reason)

    def ping(self, now: float) -> None:
        """Ping, unless one is outstanding, and ask receipt for what was written."""
        if not self.closed and not self._receipt_tracker.is_ping_outstanding:
            self.last_ping_at = now
            self._transport.ping(self._receipt_tracker.ping())

    def pong(self, payload: bytes, now: float) -> None:
        """The peer answered a ping."""
        self.last_received_at = now
        for thread, seq in self._receipt_tracker.pong(payload).items():
            self._on_receipt(thread, self.person, seq)
        if self._receipt_tracker.is_ping_due:
            self._on_ping_due(self)

    @property
    def has_unacknowledged(self) -> bool:
        """Whether something was written that is not receipted yet."""
        return self._receipt_tracker.has_unacknowledged

    def silent_since(self) -> float | None:
        """Since when a ping is unanswered and nothing else was heard; None if no ping is outstanding."""
        return (
            max(self.last_ping_at, self.last_received_at)
            if self._receipt_tracker.is_ping_outstanding
            else None
        )

    def _write(self, item: SequencedItem, frame_cache: FrameCache) -> bool:
        frame = self._frame(item, frame_cache)
        if frame is None:
            return False
        self._send(frame)
        self._tally.delivered += 1
        if self._receipt_tracker.record_sent(item.thread, item.seq):
            self._on_ping_due(self)
        return True

    def _frame(self, event: Event, frame_cache: FrameCache) -> bytes | None:
        own = isinstance(event, _EVENTS_WITH_SENDER) and event.sender == self.person
        key = (self._encoder, own)
        if key in frame_cache:
            return frame_cache[key]
        text = self._encoder.encode(event, own)
        frame = frame_cache[key] = None if text is None else websocket.frame(websocket.TEXT, text)
        return frame
