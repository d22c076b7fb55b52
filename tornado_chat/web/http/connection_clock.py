"""The time limits of one HTTP connection, as a state machine without sockets and without a clock.

A connection waits for the head of its first request, then for the body, then for the handler's answer, then
for the next request. Each phase but the handler's has a time limit; an answer has a limit on the time in
which the client takes no byte of it.
"""

from enum import Enum
from typing import NamedTuple, Protocol


class Phase(Enum):
    """What the connection waits for; the value is the name of the phase in the metrics."""

    HEAD = "header"
    BODY = "body"
    ANSWER = "answer"
    IDLE = "idle"


class TimeLimits(Protocol):
    """The options of ``[limits]`` that this module uses, in seconds."""

    @property
    def header_timeout(self) -> float: ...

    @property
    def body_timeout(self) -> float: ...

    @property
    def idle_timeout(self) -> float: ...

    @property
    def answer_timeout(self) -> float: ...


class StreamState(NamedTuple):
    """What a connection's stream holds at one moment.

    :ivar unread: received bytes that belong to no whole request yet.
    :ivar unsent: bytes of answers that the client has not taken.
    :ivar sent: all bytes that the client has taken since the connection was accepted.
    """

    unread: int
    unsent: int
    sent: int


class ConnectionClock:
    """Tells when a connection exceeds a time limit. All times are in seconds, of one monotonic clock."""

    __slots__ = ("_progress_at", "_sent", "_since", "phase")

    def __init__(self, now: float) -> None:
        self._sent: int | None = None  # the value of ``StreamState.sent`` at _progress_at
        self._progress_at = now
        self.enter(Phase.HEAD, now)

    def enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._since = now

    def exceeded(self, state: StreamState, now: float, limits: TimeLimits) -> Phase | None:
        """Return the phase whose time limit is exceeded, else None. To be called from time to time."""
        if state.unsent:
            if state.sent != self._sent:
                self._sent, self._progress_at = state.sent, now
            return Phase.ANSWER if now - self._progress_at >= limits.answer_timeout else None
        self._sent = None
        if self.phase is Phase.IDLE and state.unread:
            self.enter(Phase.HEAD, now)
        elapsed = now - self._since
        if self.phase is Phase.HEAD and elapsed >= limits.header_timeout:
            return Phase.HEAD
        if self.phase is Phase.BODY and elapsed >= limits.body_timeout:
            return Phase.BODY
        if self.phase is Phase.IDLE and elapsed >= limits.idle_timeout:
            return Phase.IDLE
        return None


def check_interval_seconds(limits: TimeLimits) -> float:
    """Return how often the connections have to be checked, so that no limit is exceeded by much."""
    shortest = min(limits.header_timeout, limits.body_timeout, limits.idle_timeout, limits.answer_timeout)
    return min(1.0, shortest / 4)
