"""One child, as its parent sees it."""

import asyncio
import contextlib
import enum
import os
import signal
from collections.abc import Mapping

START = 900.0  # seconds that a start may take: a new version may change the schema first
STOP = 60.0  # seconds that stopping may take, if the child does not ask for more
LAST_WORDS = 5.0  # seconds from SIGABRT, at which a child logs where it is stuck, to SIGKILL


class State(enum.Enum):
    """``STARTING`` → ``SERVING`` → ``STOPPING`` → ``ENDED``; each but the last may be left out."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"
    ENDED = "ended"


class Child:
    """A process, and what it told of itself.

    :arg number: from 1. A child has that of the one in whose place it is.
    :arg load: its place in ``Loads``.
    :arg watchdog: seconds within which it has to say that it is not stuck, once it serves.
    :ivar code: the exit code; negative: the signal that ended it.
    :ivar asked: it was told to stop.
    :ivar stuck: it was ended because it had not been heard of for too long.
    :ivar served: for how many seconds, known when it has ended.
    :ivar reloading: it was told to reload, and is not done.
    """

    def __init__(
        self, number: int, pid: int, load: int, watchdog: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.number = number
        self.load = load
        self.pid = pid
        self.state = State.STARTING
        self.code = 0
        self.asked = self.stuck = self.reloading = False
        self.served = 0.0
        self._serving_since: float | None = None
        self.sockets = self.waiting = 0
        self.status = self.complaint = ""
        self._watchdog = watchdog
        self._loop = loop
        self._patience = loop.call_later(START, self._lose_patience)

    # --- what it says ---

    def hear(self, said: Mapping[str, str]) -> None:
        """:arg said: assignments of sd_notify(3). Names with ``X_`` are those of ``process``."""
        self.status = said.get("STATUS", self.status)
        self.complaint = said.get("X_COMPLAINT", self.complaint)
        self.sockets = int(said.get("X_SOCKETS", self.sockets))
        self.waiting = int(said.get("X_WAITING", self.waiting))
        if "STOPPING" in said and self.state is not State.ENDED:
            self.state = State.STOPPING
            self._expect(_seconds(said.get("EXTEND_TIMEOUT_USEC")) or STOP)
        elif "READY" in said and self.state is State.STARTING:
            self.state = State.SERVING
            self._serving_since = self._loop.time()
        if "READY" in said:
            self.reloading = False
        if self.state is State.SERVING:  # whatever it says, its loop turns
            self._expect(self._watchdog)

    # --- what it is told ---

    def reload(self) -> None:
        self.reloading = True
        self._signal(signal.SIGHUP)

    def stop(self) -> None:
        if self.state in (State.STARTING, State.SERVING):
            self.asked = True
            self.state = State.STOPPING
            self._expect(STOP)
            self._signal(signal.SIGTERM)

    def has_ended(self, code: int) -> None:
        """It has been waited for. One that was told to stop while it began has done so."""
        self._patience.cancel()
        self.code = 0 if self.asked and code == -signal.SIGTERM else code
        self.state = State.ENDED
        if self._serving_since is not None:
            self.served = self._loop.time() - self._serving_since
        self.sockets = self.waiting = 0
        self.reloading = False

    def _expect(self, seconds: float) -> None:
        self._patience.cancel()
        self._patience = self._loop.call_later(seconds, self._lose_patience)

    def _lose_patience(self) -> None:
        self.stuck = True
        self._signal(signal.SIGABRT)
        self._patience = self._loop.call_later(LAST_WORDS, self._signal, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def _seconds(microseconds: str | None) -> float:
    return int(microseconds) / 1_000_000 if microseconds and microseconds.isdigit() else 0.0
