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


def measure(title: str, groups: Sequence[Sequence[Candidate]], rounds: int) -> Iterator[str]:
    """The lines of a table of candidates that do the same; the first of each group is its yardstick."""
    yield title
    yield f"  {'':<44} {'µs, median':>10} {'min':>8} {'max':>8}  yardstick takes"
    for group in groups:
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
