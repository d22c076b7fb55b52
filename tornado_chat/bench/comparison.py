"""Comparison of candidates in alternating rounds, and the table of their medians."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A function to be timed: ``run()`` performs the operation ``times`` times."""

    name: str
    run: Callable[[], object]
    times: int


def compare_times(title: str, groups: Sequence[Sequence[Candidate]], rounds: int) -> Iterator[str]:
    """Time groups of candidates, and yield a table; the first candidate of a group is its baseline.

    ``speed`` is the speed relative to the baseline: 2.00 takes half of its time.
    """
    yield title
    yield f"  {'':<44} {'µs, median':>10} {'min':>8} {'max':>8} {'speed':>8}"
    for group in groups:
        for each in group:
            each.run()  # warm up
        times: dict[str, list[float]] = {each.name: [] for each in group}
        for _ in range(rounds):
            for each in group:
                started = time.perf_counter()
                each.run()
                times[each.name].append((time.perf_counter() - started) / each.times * 1e6)
        baseline = statistics.median(times[group[0].name])
        for each in group:
            median = statistics.median(times[each.name])
            low, high = min(times[each.name]), max(times[each.name])
            yield f"  {each.name:<44} {median:>10.2f} {low:>8.2f} {high:>8.2f} {baseline / median:>8.2f}"


Workloads = Mapping[str, Callable[[], dict[str, float]]]
"""Functions that run a server under load and return the result of ``load``; the first is the baseline."""


def compare_rates(title: str, candidates: Workloads, rounds: int) -> Iterator[str]:
    """Run the candidates in alternating rounds, and yield a table of rates.

    ``quiet p99`` is the median of the p99 of each quarter of a second: the delay without interference from
    other programs.
    ``load`` and ``server`` are the shares of a core that the load generator and the server used: with a load
    of 0.9 or more the generator was the limit. ``µs`` is the server's processor time per message, which other
    programs disturb least, and ``by µs`` is its ratio.
    """
    results_by_name: dict[str, list[dict[str, float]]] = {name: [] for name in candidates}
    yield title
    for _ in range(rounds):
        for name, run in candidates.items():
            results_by_name[name].append(run())
    yield (
        f"  {'':<36} {'per s, median':>13} {'min':>8} {'max':>8} {'ratio':>6} {'p50 ms':>8} {'p99 ms':>8} "
        f"{'quiet p99':>9} {'load':>5} {'server':>6} {'µs':>6} {'by µs':>6}"
    )
    first = results_by_name[next(iter(candidates))]
    baseline, baseline_cost = _median(first, _rate), _median(first, _cost)
    for name, results in results_by_name.items():
        rates = [_rate(each) for each in results]
        rate = statistics.median(rates)
        yield (
            f"  {name:<36} {rate:>13.0f} {min(rates):>8.0f} {max(rates):>8.0f} {_ratio(rate, baseline):>6} "
            f"{_median(results, lambda each: each['p50']) * 1e3:>8.1f} "
            f"{_median(results, lambda each: each['p99']) * 1e3:>8.1f} "
            f"{_median(results, lambda each: each['p99_quiet']) * 1e3:>9.1f} "
            f"{_median(results, lambda each: each['cpu']):>5.2f} "
            f"{_median(results, lambda each: each['server'] / each['seconds']):>6.2f} "
            f"{_median(results, _cost):>6.1f} {baseline_cost / _median(results, _cost):>6.2f}"
        )


def _rate(result: dict[str, float]) -> float:
    return result["count"] / result["seconds"]


def _ratio(rate: float, baseline: float) -> str:
    """Format a ratio; ``-`` if the baseline is 0, as after a short round on a busy machine."""
    return f"{rate / baseline:.2f}" if baseline else "-"


def _cost(result: dict[str, float]) -> float:
    """Return the server's processor time per message in microseconds, at least the clock's resolution."""
    return 1e6 * max(result["server"], 0.01) / max(1.0, result["count"])


def _median(results: Sequence[dict[str, float]], value: Callable[[dict[str, float]], float]) -> float:
    return statistics.median(value(each) for each in results)
