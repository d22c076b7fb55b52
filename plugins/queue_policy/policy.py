"""The queue policy: pure functions of the ticket, the waiters and the time.

No user starves because of priorities, as a priority is only a head start. All users gain rank at the same
speed, so a user who has waited longer than the largest head start is before every new user of any priority.

A score is more: it is set by staff, the host or a plugin for one user, for example one at risk, and no wait
weighs more. Users with a higher score come first, those with the same score in the order above.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tornado_chat.plugin_api import Choice, Ticket, Waiter, WaiterPool

MICROSECONDS_PER_SECOND = 1_000_000


@dataclass(frozen=True)
class PolicyRules:
    """The parameters of a policy; a feature whose claim is None is off.

    :ivar groups: the groups that the rules are for; empty: all groups.
    """

    priority_claim: str | None = None
    head_start_microseconds: int = 300 * MICROSECONDS_PER_SECOND
    highest_priority: int = 3
    sticky: bool = False
    skills_claim: str | None = None
    skills_timeout_microseconds: int = 120 * MICROSECONDS_PER_SECOND
    groups: frozenset[str] = frozenset()

    def of(self, group: str) -> "PolicyRules":
        """Return the rules for the users of a group; those without any feature for other groups."""
        return self if not self.groups or group in self.groups else WITHOUT_FEATURES

    def priority(self, claims: Mapping[str, Any]) -> int:
        """Return the priority in the claims, 0 for none.

        A value that is no number counts as none: a token of the host must not break the queue.
        """
        value = claims.get(self.priority_claim) if self.priority_claim else None
        return max(0, min(int(value), self.highest_priority)) if isinstance(value, int) else 0

    def skills(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Return the skills that a user needs, or that a waiter has."""
        value = claims.get(self.skills_claim) if self.skills_claim else None
        names: Iterable[Any] = value.split(",") if isinstance(value, str) else value or ()
        if not isinstance(names, list | tuple):
            return frozenset()
        return frozenset(name.strip().casefold() for name in names if isinstance(name, str) and name.strip())


WITHOUT_FEATURES = PolicyRules()


class Policy:
    """The ``QueuePolicy`` of this plugin.

    :arg clock: returns microseconds since 1970 UTC.
    """

    def __init__(self, rules: PolicyRules, clock: Callable[[], int]) -> None:
        self._rules = rules
        self._clock = clock

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        rules = self._rules.of(ticket.group)
        head_start = rules.head_start_microseconds * rules.priority(ticket.claims)
        return (not ticket.returned, -ticket.score, ticket.since - head_start, ticket.number)

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        rules = self._rules.of(ticket.group)
        reason = _reason(rules, ticket)
        needed = rules.skills(ticket.claims)
        last = pool.get(ticket.last_waiter) if rules.sticky and ticket.last_waiter else None
        if last is not None and last.free and needed <= rules.skills(last.claims):
            return Choice(last.person, f"{reason}; {_skills_text(needed)}its last waiter, {_load_text(last)}")
        skilled = next((each for each in pool.in_order() if needed <= rules.skills(each.claims)), None)
        if skilled is not None:
            return Choice(
                skilled.person, f"{reason}; {_skills_text(needed)}least loaded waiter, {_load_text(skilled)}"
            )
        waited = self._clock() - ticket.since
        least_loaded = pool.least_loaded()
        timeout = rules.skills_timeout_microseconds
        if least_loaded is None or not timeout or waited < timeout:
            return None
        lacking = ", ".join(sorted(needed - rules.skills(least_loaded.claims)))
        return Choice(
            least_loaded.person,
            f"{reason}; no waiter who can {lacking} for {waited // MICROSECONDS_PER_SECOND} s, "
            f"so the least loaded waiter, {_load_text(least_loaded)}",
        )


def _reason(rules: PolicyRules, ticket: Ticket) -> str:
    reason = "returned user" if ticket.returned else _place_text(rules, ticket)
    return f"{reason}, score {ticket.score}" if ticket.score else reason


def _place_text(rules: PolicyRules, ticket: Ticket) -> str:
    priority = rules.priority(ticket.claims)
    if priority:
        ahead = priority * rules.head_start_microseconds // MICROSECONDS_PER_SECOND
        return f"priority {priority}, {ahead} s ahead"
    return "next in line"


def _skills_text(needed: frozenset[str]) -> str:
    return f"can {', '.join(sorted(needed))}; " if needed else ""


def _load_text(waiter: Waiter) -> str:
    return f"{waiter.load} of {waiter.capacity}"
