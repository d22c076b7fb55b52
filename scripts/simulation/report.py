"""The report of a simulated day, as lines of text."""

import resource
import sys
from array import array
from collections.abc import Iterator, Sequence

from scripts.simulation.checks import CallCosts
from scripts.simulation.day import Day
from scripts.simulation.footprint import MemoryFootprint

MAX_BAR_CHARACTERS = 20  # of the hour with the most users


def lines(day: Day, footprint: MemoryFootprint, seconds: float) -> Iterator[str]:
    """Yield the report of a day.

    :arg seconds: the processor time of the simulation.
    """
    plan = day.plan
    yield (
        f"{plan.users:,} users and {plan.waiters:,} waiters in {plan.hours:g} hours, "
        f"at most {day.staff.max_on_duty:,} on duty, {plan.capacity} users each; "
        f"{f'{plan.groups} groups; ' if plan.groups > 1 else ''}policy {plan.policy}, seed {plan.seed}"
    )
    yield ""
    yield from _waiting_times(day)
    yield ""
    yield f"  {'longest queue':<56} {day.monitor.max_length:>12,}"
    yield f"  {'position updates':<56} {day.position_updates:>12,}"
    for outcome, count in sorted(day.outcomes.items()):
        yield f"  {outcome:<56} {count:>12,}"
    yield from _estimates(day)
    yield ""
    yield "cost in µs, by the length of the queue at the time of the call"
    yield f"  {'':<20} {'queue length':>16} {'calls':>10} {'p50':>8} {'p99':>8}"
    for name, costs in (
        ("one match", day.monitor.match_costs),
        ("join", day.monitor.join_costs),
        ("position", day.monitor.position_costs),
    ):
        yield from _costs(name, costs)
    for people, taken in day.takeover_costs:
        yield f"  takeover: {people:,} people reported to the new coordinator in {taken * 1e3:,.0f} ms"
    yield ""
    yield (
        f"memory: {footprint.user:,.0f} bytes for each waiting user, "
        f"{footprint.waiter:,.0f} bytes for each waiter; "
        f"peak of the whole simulation {_peak_bytes() / 2**20:,.0f} MiB"
    )
    yield (
        f"checks passed: {day.store.writes:,} changes, "
        f"{day.store.conflicts:,} of them refused as out of date; "
        f"no conversation and no waiter is left; {seconds:,.0f} s of processor time"
    )


def _waiting_times(day: Day) -> Iterator[str]:
    yield "waiting time in seconds of the users that were served, by the hour of arrival (scaled to 24 hours)"
    yield f"  {'hour':<6} {'served':>9} {'p50':>8} {'p90':>8} {'p99':>8} {'max':>8}"
    most = max((len(each) for each in day.wait_seconds.values()), default=1)
    for hour in sorted(day.wait_seconds):
        bar = "#" * round(MAX_BAR_CHARACTERS * len(day.wait_seconds[hour]) / most)
        yield f"  {hour:>02}:00  {_row(day.wait_seconds[hour])}  {bar}".rstrip()
    together = array("f")
    for each in day.wait_seconds.values():
        together.extend(each)
    yield f"  {'all':<6} {_row(together)}"


def _estimates(day: Day) -> Iterator[str]:
    """Yield how good the expected wait was that users were told on joining."""
    if not day.estimates:
        return
    errors = sorted(abs(expected - waited) for expected, waited in day.estimates)
    shares = sorted(abs(expected - waited) / max(waited, 60.0) for expected, waited in day.estimates)
    yield ""
    yield (
        f"expected wait: {len(errors):,} estimates, median error {_quantile(errors, 0.5):,.0f} s "
        f"({_quantile(shares, 0.5):.0%} of the wait), 90 % within {_quantile(errors, 0.9):,.0f} s"
    )


def _row(waited: Sequence[float]) -> str:
    ordered = sorted(waited)
    columns = (f"{_quantile(ordered, share):>8.1f}" for share in (0.5, 0.9, 0.99, 1.0))
    return f"{len(ordered):>9,} {' '.join(columns)}"


def _costs(name: str, costs: CallCosts) -> Iterator[str]:
    for digits, found in sorted(costs.by_length.items()):
        ordered = sorted(found)
        low, high = 10 ** (digits - 1) if digits > 1 else 0, 10**digits - 1
        yield (
            f"  {name:<20} {f'{low:,} to {high:,}':>16} {len(ordered):>10,} {_quantile(ordered, 0.5):>8.1f} "
            f"{_quantile(ordered, 0.99):>8.1f}"
        )
        name = ""


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _peak_bytes() -> int:
    """Return the peak resident memory in bytes; Linux counts it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
