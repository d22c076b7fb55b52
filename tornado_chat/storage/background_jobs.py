"""Jobs of the writer whose callers do not wait for them, such as the records of an audit.

Strategy: a message waits for the batch before its own, so a batch must stay short. Background jobs run after
the other jobs of a batch, and only so many of them that they take as long as the rest of the batch, or
``MIN_SECONDS``. So a flood of messages makes the audit late, and not the messages of other people.
"""

from collections import deque
from typing import Generic, TypeVar

MIN_SECONDS = 0.005  # for background jobs in each batch, however short the rest of the batch is
FIRST_JOB_SECONDS = 0.001  # the assumed duration of a job before the first is measured
WEIGHT = 0.25  # of the last batch in the mean duration of a job

J = TypeVar("J")


class BackgroundJobs(Generic[J]):
    """The background jobs that wait. ``add`` is called on the loop, the rest on the writer thread."""

    def __init__(self) -> None:
        self._jobs: deque[J] = deque()
        self._job_seconds = FIRST_JOB_SECONDS
        self._others_seconds = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: J) -> None:
        self._jobs.append(job)

    def take(self) -> list[J]:
        """Remove and return the jobs for the next batch, at least one if there is one."""
        seconds = max(MIN_SECONDS, self._others_seconds)
        count = min(len(self._jobs), max(1, int(seconds / self._job_seconds)))
        return [self._jobs.popleft() for _ in range(count)]

    def take_all(self) -> list[J]:
        """Remove and return all jobs."""
        return [self._jobs.popleft() for _ in range(len(self._jobs))]

    def record_batch(self, count: int, seconds: float, others_seconds: float) -> None:
        """Record the durations of a batch.

        :arg count: the number of background jobs in it, which took ``seconds``.
        :arg others_seconds: the duration of the rest, with the commit.
        """
        self._others_seconds = others_seconds
        if count:
            self._job_seconds += WEIGHT * (max(seconds / count, 1e-6) - self._job_seconds)
