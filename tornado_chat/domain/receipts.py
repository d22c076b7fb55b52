"""What one socket has been sent, and what its pongs prove.

After a batch of frames the server sends a WebSocket ping with the last sequence number; frames
arrive in order, so the pong with the same payload proves that everything before it has arrived
(RFC 6455, sections 5.5.2 and 5.5.3: every client answers by itself, with the ping's payload). At
most one ping is outstanding; what is written meanwhile is covered by the next one.
"""

from collections.abc import Mapping

from tornado_chat.core.types import Thread


class ReceiptTracker:
    """The books of one socket, which may carry several threads."""

    __slots__ = ("_covered", "_last_seq", "_outstanding", "_payload", "_unpinged")

    def __init__(self) -> None:
        self._unpinged: dict[Thread, int] = {}  # written since the last ping
        self._covered: dict[Thread, int] = {}  # covered by the outstanding ping
        self._last_seq = 0
        self._payload = b""
        self._outstanding = False

    def record_sent(self, thread: Thread, seq: int) -> bool:
        """``seq`` was written, and everything of ``thread`` before it. Whether a ping is due."""
        self._unpinged[thread] = self._last_seq = seq
        return not self._outstanding

    @property
    def is_ping_due(self) -> bool:
        """Whether a ping is due: something is unproven and no ping is outstanding."""
        return bool(self._unpinged) and not self._outstanding

    @property
    def has_unacknowledged(self) -> bool:
        """Whether something was sent that no pong has proved to have arrived."""
        return bool(self._unpinged or self._covered)

    @property
    def is_ping_outstanding(self) -> bool:
        return self._outstanding

    def ping(self) -> bytes:
        """Begin a ping that covers everything written so far; its payload."""
        assert not self._outstanding, "one ping at a time"
        self._covered, self._unpinged = self._unpinged, {}
        self._payload = b"%d" % self._last_seq
        self._outstanding = True
        return self._payload

    def pong(self, payload: bytes) -> Mapping[Thread, int]:
        """What a pong proves: up to which ``seq`` each thread has arrived. Often nothing."""
        if not self._outstanding or payload != self._payload:
            return {}  # an unsolicited pong is allowed, and proves nothing
        self._outstanding = False
        proven, self._covered = self._covered, {}
        return proven
