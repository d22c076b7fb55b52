"""Jobs of the writer for threads whose row another session of the database keeps locked.

Strategy: a job that waits for the lock holds up the whole batch. So the jobs of a locked thread are set
aside, in order, and tried again apart, after a test for the lock that does not wait. All other jobs go on.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from tornado_chat.core.types import Thread
from tornado_chat.observability.logs import fields

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.1  # seconds between two tests of the locks


class ThreadJob(Protocol):
    """A job, with the thread whose row it needs; None if that is unknown."""

    @property
    def thread(self) -> Thread | None: ...


J = TypeVar("J", bound=ThreadJob)


class _LockedThread(Generic[J]):
    def __init__(self, now: float) -> None:
        self.since = now
        self.jobs: deque[tuple[float, J]] = deque()  # each with the time at which it is refused


class LockedThreads(Generic[J]):
    """The locked threads, with the jobs that wait for them; used on the writer thread.

    :arg timeout_seconds: how long a job waits before it is refused.
    :ivar count: the number of waiting jobs; may be read on the loop.
    """

    def __init__(self, timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._threads: dict[Thread, _LockedThread[J]] = {}
        self._next_try = 0.0
        self.count = 0

    @property
    def seconds_to_next_try(self) -> float | None:
        """The seconds until ``take_due`` returns threads; None if no thread is locked."""
        return max(0.0, self._next_try - self._clock()) if self._threads else None

    def set_aside(self, thread: Thread, jobs: Iterable[J]) -> None:
        """Let these jobs wait for their thread, after the jobs that wait for it already."""
        now = self._clock()
        locked = self._threads.get(thread)
        if locked is None:
            if not self._threads:
                self._next_try = now + RETRY_SECONDS
            locked = self._threads[thread] = _LockedThread(now)
            log.warning(
                "another session of the database has locked a conversation: its changes wait, others go on",
                extra=fields(**thread.named),
            )
        for job in jobs:
            locked.jobs.append((now + self._timeout_seconds, job))
            self.count += 1

    def take_out(self, batch: list[J]) -> list[J]:
        """Set the jobs of locked threads aside, and return the others."""
        if not self._threads:
            return batch
        others = []
        for job in batch:
            if job.thread is not None and job.thread in self._threads:
                self.set_aside(job.thread, [job])
            else:
                others.append(job)
        return others

    def take_due(self) -> list[Thread]:
        """Return the locked threads, if it is time to try them again."""
        now = self._clock()
        if not self._threads or now < self._next_try:
            return []
        self._next_try = now + RETRY_SECONDS
        return list(self._threads)

    def jobs_of(self, thread: Thread) -> Sequence[J]:
        """Return the jobs of a thread, in order."""
        return [job for _, job in self._threads[thread].jobs]

    def release(self, thread: Thread) -> None:
        """Forget a thread whose jobs were stored, or have failed for another reason."""
        locked = self._threads.pop(thread)
        self.count -= len(locked.jobs)
        log.info(
            "a conversation is not locked any more",
            extra=fields(**thread.named, seconds=round(self._clock() - locked.since, 1)),
        )

    def take_expired(self, *, at_once: bool = False) -> list[J]:
        """Remove and return the jobs that have waited too long.

        :arg at_once: all jobs, as the writer ends.
        """
        now = self._clock()
        expired: list[J] = []
        for thread, locked in list(self._threads.items()):
            before = len(expired)
            while locked.jobs and (at_once or locked.jobs[0][0] <= now):
                expired.append(locked.jobs.popleft()[1])
            if len(expired) > before:
                log.error(
                    "changes of a conversation are refused: another session of the database keeps it locked",
                    extra=fields(**thread.named, changes=len(expired) - before),
                )
            if not locked.jobs:
                del self._threads[thread]
        self.count -= len(expired)
        return expired
