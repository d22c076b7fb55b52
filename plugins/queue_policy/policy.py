"""The policy itself: pure rules over the ticket, the waiters and the time.

Nobody starves: a priority is a head start and no more. Everybody's claim grows at the same speed, so
who came before the head start began is before every newcomer, whatever the newcomer's priority, and the
order of two who wait never changes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tornado_chat.plugin_api import Choice, Ticket, Waiter, WaiterPool

MICROSECONDS_PER_SECOND = 1_000_000


@dataclass(frozen=True)
class PolicyRules:
    """What a policy goes by; a claim that is None is not looked at. Times are microseconds."""

    priority_claim: str | None = None
    head_start: int = 300 * MICROSECONDS_PER_SECOND
    highest_priority: int = 3
    sticky: bool = False
    skills_claim: str | None = None
    patience: int = 120 * MICROSECONDS_PER_SECOND

    def priority(self, claims: Mapping[str, Any]) -> int:
        """0 for none. What is no number counts as none: a token of the host's must not break the line."""
        value = claims.get(self.priority_claim) if self.priority_claim else None
        return max(0, min(int(value), self.highest_priority)) if isinstance(value, int) else 0

    def skills(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """What a user needs, or a waiter can."""
        value = claims.get(self.skills_claim) if self.skills_claim else None
        names: Iterable[Any] = value.split(",") if isinstance(value, str) else value or ()
        if not isinstance(names, list | tuple):
            return frozenset()
        return frozenset(name.strip().casefold() for name in names if isinstance(name, str) and name.strip())


class Policy:
    """A ``QueuePolicy``.

    :arg clock: microseconds since 1970 UTC.
    """

    def __init__(self, rules: PolicyRules, clock: Callable[[], int]) -> None:
        self._rules = rules
        self._clock = clock

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        head_start = self._rules.head_start * self._rules.priority(ticket.claims)
        return (not ticket.returned, ticket.since - head_start, ticket.number)

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        reason = self._reason(ticket)
        needed = self._rules.skills(ticket.claims)
        last = pool.get(ticket.last_waiter) if self._rules.sticky and ticket.last_waiter else None
        if last is not None and last.free and needed <= self._rules.skills(last.claims):
            return Choice(last.person, f"{reason}; {_skills_text(needed)}its last waiter, {_load_text(last)}")
        able = next((each for each in pool.in_order() if needed <= self._rules.skills(each.claims)), None)
        if able is not None:
            return Choice(
                able.person, f"{reason}; {_skills_text(needed)}least loaded waiter, {_load_text(able)}"
            )
        waited = self._clock() - ticket.since
        anybody = pool.least_loaded()
        if anybody is None or not self._rules.patience or waited < self._rules.patience:
            return None
        lacking = ", ".join(sorted(needed - self._rules.skills(anybody.claims)))
        return Choice(
            anybody.person,
            f"{reason}; nobody who can {lacking} in {waited // MICROSECONDS_PER_SECOND} s, so the least loaded waiter, {_load_text(anybody)}",
        )

    def _reason(self, ticket: Ticket) -> str:
        if ticket.returned:
            return "returned user"
        priority = self._rules.priority(ticket.claims)
        if priority:
            return (
                f"priority {priority}, {priority * self._rules.head_start // MICROSECONDS_PER_SECOND} s ahead"
            )
        return "next in line"


def _skills_text(needed: frozenset[str]) -> str:
    return f"can {', '.join(sorted(needed))}; " if needed else ""


def _load_text(waiter: Waiter) -> str:
    return f"{waiter.load} of {waiter.capacity}"
