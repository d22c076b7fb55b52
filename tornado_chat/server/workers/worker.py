"""A worker process as its parent sees it."""

import asyncio
import contextlib
import enum
import os
import signal
from collections.abc import Mapping

START_TIMEOUT_SECONDS = 840.0
"""The time that a start may take, as a new version may change the schema. ``TimeoutStartSec=`` is longer."""

STOP_TIMEOUT_SECONDS = 25.0
"""The time that stopping may take, beyond the time for closing the sockets."""

ABORT_TIMEOUT_SECONDS = 5.0
"""The time from SIGABRT, at which a worker logs where it is stuck, to SIGKILL."""


class WorkerState(enum.Enum):
    """``STARTING`` → ``SERVING`` → ``STOPPING`` → ``ENDED``; a worker may skip each but the last.

    A worker that restarts in place goes from ``SERVING`` to ``STARTING``.
    """

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"
    ENDED = "ended"


class WorkerProcess:
    """A worker process, and the state that it reports.

    :arg number: the number of its slot, from 1. A successor has the number of the worker that it replaces.
    :arg load_slot: its index in ``SharedLoads``.
    :arg watchdog_seconds: seconds within which it has to notify its parent, as soon as it serves.
    :ivar exit_code: the exit code; negative: the number of the signal that ended it.
    :ivar stop_requested: the parent has asked it to stop.
    :ivar is_stuck: the parent has ended it, as it had not sent a notification in time.
    :ivar served_seconds: how long it has served; known after its end.
    :ivar reloading: the parent has asked it to reload, and it has not finished.
    """

    def __init__(
        self, number: int, pid: int, load_slot: int, watchdog_seconds: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.number = number
        self.load_slot = load_slot
        self.pid = pid
        self.state = WorkerState.STARTING
        self.exit_code = 0
        self.stop_requested = self.is_stuck = self.reloading = False
        self.served_seconds = 0.0
        self._serving_since: float | None = None
        self.sockets = self.waiting = self.is_full = 0
        self.status = self.problem = ""
        self._watchdog_seconds = watchdog_seconds
        self._loop = loop
        self._deadline_timer = loop.call_later(START_TIMEOUT_SECONDS, self._on_deadline)

    # --- notifications of the worker ---

    def on_notify(self, assignments: Mapping[str, str]) -> None:
        """Take over the reported state.

        :arg assignments: those of sd_notify(3). Names with ``X_`` are those of ``server.main``.
        """
        self.status = assignments.get("STATUS", self.status)
        self.problem = assignments.get("X_COMPLAINT", self.problem)
        self.sockets = int(assignments.get("X_SOCKETS", self.sockets))
        self.waiting = int(assignments.get("X_WAITING", self.waiting))
        self.is_full = int(assignments.get("X_FULL", self.is_full))
        if "STOPPING" in assignments and self.state in (WorkerState.STARTING, WorkerState.SERVING):
            # It stops by itself. A worker that was asked to stop has its deadline, which it cannot extend:
            # the service manager does not wait longer for the parent.
            self.state = WorkerState.STOPPING
            self._set_deadline(_parse_seconds(assignments.get("EXTEND_TIMEOUT_USEC")) or STOP_TIMEOUT_SECONDS)
        elif "READY" in assignments and self.state is WorkerState.STARTING:
            self.state = WorkerState.SERVING
            self._serving_since = self._loop.time()
        if "READY" in assignments:
            self.reloading = False
        if self.state is WorkerState.SERVING:  # any notification shows that its loop runs
            self._set_deadline(self._watchdog_seconds)

    # --- signals to the worker ---

    def reload(self) -> None:
        self.reloading = True
        self._signal(signal.SIGHUP)

    def restart_in_place(self) -> None:
        """Ask the worker to replace its program by the installed one, which takes over its sockets."""
        self.state = WorkerState.STARTING
        self._set_deadline(START_TIMEOUT_SECONDS)
        self._signal(signal.SIGUSR2)

    def stop(self, drain_seconds: float) -> None:
        """Ask the worker to stop, and end it if it does not.

        :arg drain_seconds: the time that it takes for closing its sockets.
        """
        if self.state in (WorkerState.STARTING, WorkerState.SERVING):
            self.stop_requested = True
            self.state = WorkerState.STOPPING
            self._set_deadline(drain_seconds + STOP_TIMEOUT_SECONDS)
            self._signal(signal.SIGTERM)

    def on_exit(self, code: int) -> None:
        """Record the end of the process.

        A worker that was asked to stop while it started dies by SIGTERM: that is exit code 0.
        """
        self._deadline_timer.cancel()
        self.exit_code = 0 if self.stop_requested and code == -signal.SIGTERM else code
        self.state = WorkerState.ENDED
        if self._serving_since is not None:
            self.served_seconds = self._loop.time() - self._serving_since
        self.sockets = self.waiting = self.is_full = 0
        self.reloading = False

    def _set_deadline(self, seconds: float) -> None:
        self._deadline_timer.cancel()
        self._deadline_timer = self._loop.call_later(seconds, self._on_deadline)

    def _on_deadline(self) -> None:
        self.is_stuck = True
        self._signal(signal.SIGABRT)
        self._deadline_timer = self._loop.call_later(ABORT_TIMEOUT_SECONDS, self._signal, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def _parse_seconds(microseconds: str | None) -> float:
    return int(microseconds) / 1_000_000 if microseconds and microseconds.isdigit() else 0.0
