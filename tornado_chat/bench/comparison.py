"""Rounds that alternate, and the table of their medians."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """Something to be timed: ``run()`` does it ``times`` times."""

    name: str
    run: Callable[[], object]
    times: int


def compare_times(title: str, groups: Sequence[Sequence[Candidate]], rounds: int) -> Iterator[str]:
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
        baseline = statistics.median(times[group[0].name])
        for each in group:
            median = statistics.median(times[each.name])
            ratio = "" if each is group[0] else f"{baseline / median:8.2f} times as long"
            low, high = min(times[each.name]), max(times[each.name])
            yield f"  {each.name:<44} {median:>10.2f} {low:>8.2f} {high:>8.2f}  {ratio}"


Workloads = Mapping[str, Callable[[], dict[str, float]]]
"""What runs under load, by its name; each gives what ``load`` saw. The first is the yardstick."""


def compare_rates(title: str, candidates: Workloads, rounds: int) -> Iterator[str]:
    """The lines of a table of rates.

    ``calm`` is the p99 of the median quarter of a second: as it is while nothing else holds up the machine.
    ``load`` and ``server`` are the shares of a core that they used: a load at 0.9 or more was the limit. ``µs`` is what
    the server used for each piece, which other work on the machine disturbs least, and ``by µs`` the ratio of that.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in candidates}
    yield title
    for _ in range(rounds):
        for name, run in candidates.items():
            found[name].append(run())
    yield (
        f"  {'':<36} {'per s, median':>13} {'min':>8} {'max':>8} {'ratio':>6} {'p50 ms':>8} {'p99 ms':>8} {'calm':>6} "
        f"{'load':>5} {'server':>6} {'µs':>6} {'by µs':>6}"
    )
    first = found[next(iter(found))]
    baseline, costs = _median(first, _rate), _median(first, _cost)
    for name, results in found.items():
        rates = [_rate(each) for each in results]
        rate = statistics.median(rates)
        yield (
            f"  {name:<36} {rate:>13.0f} {min(rates):>8.0f} {max(rates):>8.0f} {_ratio(rate, baseline):>6} "
            f"{_median(results, lambda each: each['p50']) * 1e3:>8.1f} "
            f"{_median(results, lambda each: each['p99']) * 1e3:>8.1f} "
            f"{_median(results, lambda each: each['calm']) * 1e3:>6.1f} "
            f"{_median(results, lambda each: each['cpu']):>5.2f} "
            f"{_median(results, lambda each: each['server'] / each['seconds']):>6.2f} "
            f"{_median(results, _cost):>6.1f} {costs / _median(results, _cost):>6.2f}"
        )


def _rate(result: dict[str, float]) -> float:
    return result["count"] / result["seconds"]


def _ratio(rate: float, baseline: float) -> str:
    """Nothing to compare with, if the yardstick brought nothing: a short round on a busy machine."""
    return f"{rate / baseline:.2f}" if baseline else "-"


def _cost(result: dict[str, float]) -> float:
    """Microseconds of the server's processor for each; not less than it can be measured by."""
    return 1e6 * max(result["server"], 0.01) / max(1.0, result["count"])


def _median(results: Sequence[dict[str, float]], of: Callable[[dict[str, float]], float]) -> float:
    return statistics.median(of(each) for each in results)
