"""Receipts of the items that were sent on one socket, proved by its pongs.

After a batch of frames the server sends a WebSocket ping with the last sequence number. Frames arrive in
order, so the pong with the same payload proves that all frames before the ping have arrived. (RFC 6455,
sections 5.5.2 and 5.5.3: every client answers a ping automatically, with the payload of the ping.) At most
one ping is outstanding; items that are written meanwhile are covered by the next ping.
"""

from collections.abc import Mapping

from tornado_chat.core.handed_over import ReceiptState
from tornado_chat.core.types import Thread


class ReceiptTracker:
    """The unacknowledged items of one socket, which may carry several threads."""

    __slots__ = ("_covered", "_last_seq", "_outstanding", "_payload", "_unpinged")

    def __init__(self) -> None:
        self._unpinged: dict[Thread, int] = {}  # written since the last ping
        self._covered: dict[Thread, int] = {}  # covered by the outstanding ping
        self._last_seq = 0
        self._payload = b""
        self._outstanding = False

    def hand_over(self) -> ReceiptState:
        """Return the state, for ``take_over`` of another tracker."""
        return ReceiptState(
            list(self._unpinged.items()),
            list(self._covered.items()),
            self._last_seq,
            self._payload,
            self._outstanding,
        )

    def take_over(self, state: ReceiptState) -> None:
        """Continue as the tracker with this state would."""
        self._unpinged, self._covered = dict(state.unpinged), dict(state.covered)
        self._last_seq, self._payload = state.last_seq, state.payload
        self._outstanding = state.is_outstanding

    def record_sent(self, thread: Thread, seq: int) -> bool:
        """Note that the items of ``thread`` up to ``seq`` were written. Return True if a ping is due."""
        self._unpinged[thread] = self._last_seq = seq
        return not self._outstanding

    @property
    def is_ping_due(self) -> bool:
        """True if items were written after the last ping and no ping is outstanding."""
        return bool(self._unpinged) and not self._outstanding

    @property
    def has_unacknowledged(self) -> bool:
        """True if the arrival of an item is not proved yet."""
        return bool(self._unpinged or self._covered)

    @property
    def is_ping_outstanding(self) -> bool:
        return self._outstanding

    def ping(self) -> bytes:
        """Start a ping that covers all items written so far, and return its payload."""
        assert not self._outstanding, "one ping at a time"
        self._covered, self._unpinged = self._unpinged, {}
        self._payload = b"%d" % self._last_seq
        self._outstanding = True
        return self._payload

    def last_ping(self) -> bytes | None:
        """Start a ping before the socket closes, also beside an outstanding one, and return its payload.

        Its pong acknowledges all items written so far, as that of the outstanding ping does no more. None: no
        item would be covered in addition, or the pongs of the two pings could not be told apart.
        """
        payload = b"%d" % self._last_seq
        if not self._unpinged or (self._outstanding and payload == self._payload):
            return None
        self._covered.update(self._unpinged)
        self._unpinged = {}
        self._payload = payload
        self._outstanding = True
        return payload

    def pong(self, payload: bytes) -> Mapping[Thread, int]:
        """Return the ``seq`` up to which each thread has arrived, as proved by a pong; often empty."""
        if not self._outstanding or payload != self._payload:
            return {}  # an unsolicited pong is allowed (RFC 6455, section 5.5.3), but proves nothing
        self._outstanding = False
        acknowledged, self._covered = self._covered, {}
        return acknowledged
