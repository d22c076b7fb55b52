"""Rounds that alternate, and the table of their medians."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """Something to be timed: ``run()`` does it ``times`` times."""

    name: str
    run: Callable[[], object]
    times: int


@dataclass(frozen=True)
class Job:
    """Candidates that do the same; the first one is the yardstick.

    :arg prepare: makes them, when the job is asked for.
    """

    name: str
    manual: str
    prepare: Callable[[], Sequence[Sequence[Candidate]]]


def measure(job: Job, rounds: int) -> Iterator[str]:
    """The lines of the job's table."""
    yield f"{job.name}: {job.manual}"
    yield f"  {'':<44} {'µs, median':>10} {'min':>8} {'max':>8}  yardstick takes"
    for group in job.prepare():
        for each in group:
            each.run()  # warm
        times: dict[str, list[float]] = {each.name: [] for each in group}
        for _ in range(rounds):
            for each in group:
                started = time.perf_counter()
                each.run()
                times[each.name].append((time.perf_counter() - started) / each.times * 1e6)
        yardstick = statistics.median(times[group[0].name])
        for each in group:
            median = statistics.median(times[each.name])
            ratio = "" if each is group[0] else f"{yardstick / median:8.2f} times as long"
            low, high = min(times[each.name]), max(times[each.name])
            yield f"  {each.name:<44} {median:>10.2f} {low:>8.2f} {high:>8.2f}  {ratio}"
