"""What a day was like, as lines for people."""

import resource
import sys
from array import array
from collections.abc import Iterator, Sequence

from scripts.simulation.checks import CallCosts
from scripts.simulation.day import Day
from scripts.simulation.footprint import MemoryFootprint

GOOD = 20  # bars of the longest hour


def lines(day: Day, footprint: MemoryFootprint, seconds: float) -> Iterator[str]:
    """The report of a day that has been lived.

    :arg seconds: that it took.
    """
    plan = day.plan
    yield (
        f"{plan.users:,} users and {plan.waiters:,} waiters in {plan.hours:g} hours, at most {day.staff.max_on_duty:,} "
        f"on duty, {plan.capacity} users each; policy {plan.policy}, seed {plan.seed}"
    )
    yield ""
    yield from _waiting(day)
    yield ""
    yield f"  {'longest line':<56} {day.watch.max_length:>12,}"
    yield f"  {'places told':<56} {day.position_updates:>12,}"
    for what, count in sorted(day.outcomes.items()):
        yield f"  {what:<56} {count:>12,}"
    yield ""
    yield "cost in µs by the length of the line at that moment"
    yield f"  {'':<20} {'waiting':>16} {'times':>10} {'p50':>8} {'p99':>8}"
    for name, costs in (
        ("match, each", day.watch.match_costs),
        ("join", day.watch.join_costs),
        ("place", day.watch.position_costs),
    ):
        yield from _costs(name, costs)
    for told, took in day.takeover_costs:
        yield f"  takeover: {told:,} people told to a new coordinator in {took * 1e3:,.0f} ms"
    yield ""
    yield (
        f"memory: {footprint.user:,.0f} bytes for each who waits, {footprint.waiter:,.0f} for each waiter, "
        f"{_peak() / 2**20:,.0f} MiB at most for the whole simulation"
    )
    yield (
        f"checked: {day.store.writes:,} changes, {day.store.conflicts:,} of them refused as out of date; everybody was "
        f"released; {seconds:,.0f} s of processor time"
    )


def _waiting(day: Day) -> Iterator[str]:
    yield "waiting time in seconds, by the hour of coming (squeezed to 24), of those who were served"
    yield f"  {'hour':<6} {'served':>9} {'p50':>8} {'p90':>8} {'p99':>8} {'max':>8}"
    most = max((len(each) for each in day.wait_seconds.values()), default=1)
    for hour in sorted(day.wait_seconds):
        bar = "#" * round(GOOD * len(day.wait_seconds[hour]) / most)
        yield f"  {hour:>02}:00  {_row(day.wait_seconds[hour])}  {bar}".rstrip()
    together = array("f")
    for each in day.wait_seconds.values():
        together.extend(each)
    yield f"  {'all':<6} {_row(together)}"


def _row(waited: Sequence[float]) -> str:
    found = sorted(waited)
    shown = (f"{_of(found, share):>8.1f}" for share in (0.5, 0.9, 0.99, 1.0))
    return f"{len(found):>9,} {' '.join(shown)}"


def _costs(name: str, costs: CallCosts) -> Iterator[str]:
    for digits, found in sorted(costs.by_length.items()):
        ordered = sorted(found)
        low, high = 10 ** (digits - 1) if digits > 1 else 0, 10**digits - 1
        yield (
            f"  {name:<20} {f'{low:,} to {high:,}':>16} {len(ordered):>10,} {_of(ordered, 0.5):>8.1f} "
            f"{_of(ordered, 0.99):>8.1f}"
        )
        name = ""


def _of(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _peak() -> int:
    """Bytes: what Linux counts in KiB, macOS counts in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
