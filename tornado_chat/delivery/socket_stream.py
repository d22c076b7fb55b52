"""The outgoing side of one socket: order of messages, resume and receipts.

Strategy: the messages of a thread have sequence numbers without gaps. For each thread that the socket
follows, the stream remembers the last number that it has handled. A new message with the next number is
written immediately. A higher number shows that messages are missing (they were sent while the socket
connected, or in another process), so the thread is *behind* until the missing rows have been read. Thus
joining, resuming after a lost connection and a lost event on the bus are handled in the same way.

Frames that belong to a thread but have no number (system texts, the end) are deferred while the thread is
behind, so that the client gets all frames in the order of their events.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from tornado_chat.core.close_codes import SLOW
from tornado_chat.core.events import Event, HeldChanged, ReceiptAdvanced, SequencedItem, TypingChanged
from tornado_chat.core.handed_over import StreamState
from tornado_chat.core.types import Message, Person, Thread
from tornado_chat.domain.receipts import ReceiptTracker
from tornado_chat.observability.metrics import EndpointMeter
from tornado_chat.wire import websocket


class Transport(Protocol):
    """The operations of a socket. No method blocks or raises, in any state of the socket."""

    def send_frame(self, frame: bytes) -> None:
        """Write a WebSocket frame of ``wire.websocket``.

        If too many bytes are unsent, the transport closes the stream by ``SocketStream.close``. No message is
        lost by that: messages without a receipt are sent again when the person reconnects.
        """
        ...

    def ping(self, payload: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def limit_unsent(self, max_bytes: int) -> None:
        """Set the number of unsent bytes above which the transport closes the stream."""
        ...

    @property
    def is_clogged(self) -> bool:
        """True if so many bytes are unsent that a backlog should wait."""
        ...

    def has_read(self) -> bool:
        """Return True if the peer is known to have read since the last call."""
        ...


class PingWatch(Protocol):
    """Is informed of the pings of a socket."""

    def on_ping(self) -> None:
        """A ping was sent to the peer."""
        ...

    def on_answer(self) -> None:
        """The peer has answered its ping."""
        ...


class Encoder(Protocol):
    """Encodes events in a dialect. Sockets with equal encoding share the encoder object."""

    def encode(self, event: Event, own: bool) -> bytes | None:
        """Return the text of the frame, or None if the socket gets none.

        :arg own: True if the person of the socket has sent the event, or the receipt is its own.
        """
        ...


FrameCache = dict[tuple[Encoder, bool], bytes | None]
"""The WebSocket frames of one event, by encoder and ``own``, so that each is encoded once."""

_EVENTS_WITH_SENDER = (Message, TypingChanged, HeldChanged)

MAX_DEFERRED_ACTIONS = 1000
"""Events of one thread that wait in memory while a socket catches up. Others cause them, without a limit."""


class _Cursor:
    """The position of a socket in a thread."""

    __slots__ = (
        "deferred_actions",
        "first_buffered_seq",
        "has_position",
        "highest_seq",
        "is_agents",
        "is_behind",
        "last_seq",
    )

    def __init__(self, *, is_agents: bool = False) -> None:
        self.is_agents = is_agents  # True if the person gets the messages as the agent only
        self.has_position = False  # True when last_seq is known
        self.last_seq = 0  # the last item that was handled
        self.highest_seq = 0  # the highest seq that is known to exist
        self.first_buffered_seq: int | None = None  # the first item that arrived before has_position
        self.is_behind = True
        self.deferred_actions: deque[Callable[[], None]] | None = None  # created when needed


class SocketStream:
    """The stream of frames to one socket of ``person``, which writes to ``transport``.

    :arg on_receipt: called with thread, person and the ``seq`` up to which all items have arrived.
    :arg on_ping_due: called when a ping is due; the hub collects due pings for each turn of the loop.
    :arg meter: counts the deliveries.
    :arg conn: the name of the socket in the log.
    :ivar ping_watch: is informed of each ping and its answer; None: nothing is.
    """

    __slots__ = (
        "_cursors",
        "_encoder",
        "_meter",
        "_on_ping_due",
        "_on_receipt",
        "_receipt_tracker",
        "_transport",
        "closed",
        "conn",
        "last_ping_at",
        "last_received_at",
        "person",
        "ping_watch",
    )

    def __init__(
        self,
        person: Person,
        transport: Transport,
        encoder: Encoder,
        *,
        on_receipt: Callable[[Thread, Person, int], None],
        on_ping_due: Callable[["SocketStream"], None],
        now: float,
        meter: EndpointMeter | None = None,
        conn: str = "",
    ) -> None:
        self.conn = conn
        self._meter = meter or EndpointMeter()
        self.person = person
        self._transport = transport
        self._encoder = encoder
        self._on_receipt = on_receipt
        self._on_ping_due = on_ping_due
        self._receipt_tracker = ReceiptTracker()
        self._cursors: dict[Thread, _Cursor] = {}
        self.last_received_at = now
        self.last_ping_at = now
        self.closed = False
        self.ping_watch: PingWatch | None = None

    # --- the hand-over to another process ---

    @property
    def is_settled(self) -> bool:
        """True if the socket is behind in no thread, so nothing is deferred."""
        return not any(cursor.is_behind for cursor in self._cursors.values())

    def hand_over(self) -> StreamState:
        """Return the state of a settled stream; nothing is written afterwards."""
        self.closed = True
        positions = [(thread, cursor.last_seq) for thread, cursor in self._cursors.items()]
        return StreamState(positions, self._receipt_tracker.hand_over())

    def take_over(self, state: StreamState) -> None:
        """Continue with the receipts of another stream. Its positions are for ``Hub.follow``."""
        self._receipt_tracker.take_over(state.receipts)
        if self._receipt_tracker.is_ping_due:
            self._on_ping_due(self)

    # --- threads ---

    @property
    def threads(self) -> tuple[Thread, ...]:
        return tuple(self._cursors)

    def prepare_follow(self, thread: Thread, *, as_agent: bool = False) -> None:
        """Hold back the items and events of ``thread`` until ``follow`` sets the position.

        :arg as_agent: the person gets messages only as long as it is the agent of the conversation. It is
            ignored if the socket follows the thread already.
        """
        if thread not in self._cursors:
            self._cursors[thread] = _Cursor(is_agents=as_agent)

    def follows_as_agent(self, thread: Thread) -> bool:
        """Return True if the person gets the messages of ``thread`` as its agent only."""
        cursor = self._cursors.get(thread)
        return cursor is not None and cursor.is_agents

    def follow(self, thread: Thread, after: int) -> None:
        """Set the position in ``thread``: the next item is ``after + 1``.

        The position is set back to the first item that arrived since ``prepare_follow``, because another
        socket of the same person may have acknowledged that item, but this socket has not got it. The thread
        is behind until ``finish_catch_up``.
        """
        self.prepare_follow(thread)
        cursor = self._cursors[thread]
        if not cursor.has_position and cursor.first_buffered_seq is not None:
            after = min(after, cursor.first_buffered_seq - 1)
        cursor.has_position = True
        cursor.last_seq = after
        cursor.highest_seq = max(cursor.highest_seq, after)

    def follow_new(self, thread: Thread, *, as_agent: bool = False) -> bool:
        """Follow a thread without items, as ``prepare_follow``.

        Returns False if the socket is closed or follows it already.
        """
        if self.closed or thread in self._cursors:
            return False
        cursor = self._cursors[thread] = _Cursor(is_agents=as_agent)
        cursor.has_position = True
        cursor.is_behind = False
        return True

    def unfollow(self, thread: Thread) -> None:
        self._cursors.pop(thread, None)

    def position(self, thread: Thread) -> int | None:
        """Return the last handled ``seq``, or None if the thread is not followed (yet, or any more)."""
        cursor = self._cursors.get(thread)
        return cursor.last_seq if cursor and cursor.has_position and not self.closed else None

    def deliver(self, item: SequencedItem, frame_cache: FrameCache) -> bool:
        """Write a new item if it is the next of its thread. Return False if items before it are missing."""
        cursor = self._cursors.get(item.thread)
        if cursor is None or self.closed:
            return True
        if cursor.is_agents and self._is_for_another_agent(item):
            return True  # the change of the agent, whose event is under way, ends this stream of messages
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

    def _is_for_another_agent(self, item: SequencedItem) -> bool:
        return isinstance(item, Message) and item.agent is not None and item.agent != self.person.key

    def detect_gap(self, thread: Thread, seq: int) -> bool:
        """Note that the thread has an item ``seq``. Return True if this shows that items are missing."""
        cursor = self._cursors.get(thread)
        if cursor is None or self.closed:
            return False
        cursor.highest_seq = max(cursor.highest_seq, seq)
        if cursor.is_behind or seq <= cursor.last_seq:
            return False
        cursor.is_behind = True
        return True

    def rewind(self, thread: Thread, seq: int) -> bool:
        """Set the position back to ``seq``. Return True if the items after it have to be read."""
        cursor = self._cursors.get(thread)
        if cursor is None or self.closed or cursor.is_behind or cursor.last_seq <= seq:
            return False
        cursor.last_seq = seq
        cursor.is_behind = True
        return True

    def highest_seen(self, thread: Thread) -> int:
        """Return the highest ``seq`` that is known to exist in ``thread``."""
        cursor = self._cursors.get(thread)
        return cursor.highest_seq if cursor else 0

    def replay(self, item: SequencedItem, *, may_skip: bool = False) -> bool:
        """Write an item that was read from the database if it is the next. Return True if it was written.

        :arg may_skip: the items between the position and this one are not there any more: the retention has
            removed them.
        """
        cursor = self._cursors.get(item.thread)
        if cursor is None or self.closed or item.seq <= cursor.last_seq:
            return False
        if item.seq != cursor.last_seq + 1 and not may_skip:
            return False
        cursor.last_seq = item.seq
        return self._write(item, {})

    def has_passed(self, item: SequencedItem) -> bool:
        """Return True if the position in the thread is not before ``item``, or there is none any more."""
        cursor = self._cursors.get(item.thread)
        return cursor is None or self.closed or cursor.last_seq >= item.seq

    def repeat(self, item: SequencedItem) -> None:
        """Write an item that the person has received before. Positions in its thread do not change."""
        if not self.closed:
            self._write(item, {})

    def finish_catch_up(self, thread: Thread, read_up_to: int = 0) -> bool:
        """End the catching up and run deferred actions. Return False if newer items have to be read first.

        :arg read_up_to: no rows are left up to this ``seq``, as they were removed from the database.
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
        """Run ``action`` now, or, if the thread is behind, when it has caught up.

        The socket is closed if ``MAX_DEFERRED_ACTIONS`` wait already.
        """
        cursor = self._cursors.get(thread)
        if cursor is not None and cursor.is_behind:
            if cursor.deferred_actions is None:
                cursor.deferred_actions = deque()
            if len(cursor.deferred_actions) >= MAX_DEFERRED_ACTIONS:  # the peer reads too slowly to catch up
                self.close(*SLOW)
                return
            cursor.deferred_actions.append(action)
        else:
            action()

    def send_event(self, event: Event, thread: Thread, frame_cache: FrameCache) -> None:
        """Write the frame of an event without a number, in order with the messages of the thread."""
        frame = self._frame(event, frame_cache)
        if frame is not None:
            self.run_in_order(thread, lambda: self._send_frame(frame))

    # --- the socket ---

    def send(self, text: bytes) -> None:
        """Write a text frame now, before all deferred frames."""
        self._send_frame(websocket.encode_frame(websocket.TEXT, text))

    def _send_frame(self, frame: bytes) -> None:
        if not self.closed:
            self._transport.send_frame(frame)

    @property
    def is_clogged(self) -> bool:
        """True if so many bytes are unsent that a backlog should wait."""
        return not self.closed and self._transport.is_clogged

    def limit_unsent(self, max_bytes: int) -> None:
        """Set the number of unsent bytes above which the socket is closed."""
        self._transport.limit_unsent(max_bytes)

    def close(self, code: int, reason: str) -> None:
        """Close the socket; no frame is written afterwards.

        A last ping precedes the close frame: a client that reads both answers the ping first, so what it got
        is not delivered again.
        """
        if not self.closed:
            self.closed = True
            payload = None if self._transport.is_clogged else self._receipt_tracker.last_ping()
            if payload is not None:
                self._transport.ping(payload)
            self._transport.close(code, reason)

    def ping(self, now: float) -> None:
        """Send a ping, unless one is outstanding. Its pong is the receipt for the items written so far."""
        if not self.closed and not self._receipt_tracker.is_ping_outstanding:
            self.last_ping_at = now
            self._transport.ping(self._receipt_tracker.ping())
            if self.ping_watch is not None:
                self.ping_watch.on_ping()

    def pong(self, payload: bytes, now: float) -> bool:
        """Handle a pong of the peer. Return True if it answers the outstanding ping."""
        self.last_received_at = now
        tracker = self._receipt_tracker
        was_outstanding = tracker.is_ping_outstanding
        for thread, seq in tracker.pong(payload).items():
            self._on_receipt(thread, self.person, seq)
        if tracker.is_ping_due:
            self._on_ping_due(self)
        is_answer = was_outstanding and not tracker.is_ping_outstanding
        if is_answer and self.ping_watch is not None:
            self.ping_watch.on_answer()
        return is_answer

    @property
    def has_unacknowledged(self) -> bool:
        """True if an item was written whose receipt is outstanding."""
        return self._receipt_tracker.has_unacknowledged

    def silent_since(self) -> float | None:
        """Return the start of the peer's silence since the last ping; None if no ping is outstanding."""
        return (
            max(self.last_ping_at, self.last_received_at)
            if self._receipt_tracker.is_ping_outstanding
            else None
        )

    def note_reading(self, now: float) -> None:
        """Count it as a sign of life that the peer reads: a ping behind a long backlog is answered late."""
        if self._receipt_tracker.is_ping_outstanding and self._transport.has_read():
            self.last_received_at = now

    def _write(self, item: SequencedItem, frame_cache: FrameCache) -> bool:
        frame = self._frame(item, frame_cache)
        if frame is None:
            return False
        self._send_frame(frame)
        self._meter.delivered += 1
        if self._receipt_tracker.record_sent(item.thread, item.seq):
            self._on_ping_due(self)
        return True

    def _frame(self, event: Event, frame_cache: FrameCache) -> bytes | None:
        own = (
            event.sender == self.person
            if isinstance(event, _EVENTS_WITH_SENDER)
            else isinstance(event, ReceiptAdvanced) and event.reader == self.person
        )
        key = (self._encoder, own)
        if key in frame_cache:
            return frame_cache[key]
        text = self._encoder.encode(event, own)
        frame = frame_cache[key] = None if text is None else websocket.encode_frame(websocket.TEXT, text)
        return frame
