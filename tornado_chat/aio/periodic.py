"""Work that goes on after a failure: a timer for functions, and loops for coroutines."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class FailureLog:
    """Logs the first of several failures in a row, with its traceback.

    :arg description: of the work, for the log.
    """

    def __init__(self, description: str) -> None:
        self._description = description
        self._is_failing = False

    def on_failure(self) -> None:
        """Log the exception that is being handled."""
        if not self._is_failing:
            self._is_failing = True
            log.exception("%s failed, it is repeated", self._description)

    def on_success(self) -> None:
        self._is_failing = False


class PeriodicTimer:
    """Calls a function periodically, from ``start`` to ``stop``. An error of the function does not end that.

    :arg interval_seconds: returns the seconds until the next call.
    :arg function: called with the seconds by which the call is late, as the loop was blocked; 0 if it is not.
    :arg description: of the work, for the log.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval_seconds: Callable[[], float],
        function: Callable[[float], object],
        description: str,
    ) -> None:
        self._loop = loop
        self._interval_seconds = interval_seconds
        self._function = function
        self._failures = FailureLog(description)
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        return self._handle is not None

    def start(self) -> None:
        """Start the timer; one that runs starts again."""
        self.stop()
        due = self._loop.time() + self._interval_seconds()
        self._handle = self._loop.call_at(due, self._run, due)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self, due: float) -> None:
        try:
            self._function(max(0.0, self._loop.time() - due))
        except Exception:
            self._failures.on_failure()
        else:
            self._failures.on_success()
        if self.is_running:  # the function may have stopped the timer
            self.start()


async def run_forever(step: Callable[[], Awaitable[None]], description: str, retry_seconds: float) -> None:
    """Await ``step()`` again and again, until this is cancelled. ``step`` contains its own pauses.

    A step that raises is repeated after ``retry_seconds``.

    :arg description: of the work, for the log.
    """
    failures = FailureLog(description)
    while True:
        try:
            await step()
        except Exception:
            failures.on_failure()
            await asyncio.sleep(retry_seconds)
        else:
            failures.on_success()


async def run_until_done(step: Callable[[], Awaitable[bool]], description: str, retry_seconds: float) -> None:
    """Await ``step()`` until it returns True, with a pause of ``retry_seconds`` before each repetition.

    A step that raises is repeated as well.

    :arg description: of the work, for the log.
    """
    failures = FailureLog(description)
    while True:
        try:
            if await step():
                return
        except Exception:
            failures.on_failure()
        else:
            failures.on_success()
        await asyncio.sleep(retry_seconds)
