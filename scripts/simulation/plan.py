"""The random behaviour of people: arrival, duration, patience. All values are drawn from one seed."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import accumulate
from random import Random
from typing import Any

from tornado_chat.core.types import DEFAULT_GROUP
from tornado_chat.domain.groups import Group, Groups
from tornado_chat.domain.queue import FifoLeastLoaded, QueuePolicy

MINUTE = 60.0
HOUR = 3600.0

# The relative number of arrivals in each hour of a day: few at night, most before and after lunch.
ARRIVALS_BY_HOUR = (8, 5, 3, 3, 3, 5, 12, 28, 52, 75, 86, 80, 62, 70, 82, 76, 66, 60, 58, 62, 64, 50, 30, 15)
SKILLS = ("billing", "french", "legal", "technical")

PROCESSES = ("a", "b", "c", "d")
"""The processes that people connect to, chosen at random."""

FALLBACK_MINUTES = 5.0
"""The time after which the waiters of the default group serve the users of another group, too."""

DROP_SHARE = 0.15
"""The share of people that lose their connection once."""

POLICIES = ("fifo", "queue_policy")


def policy(name: str, clock: Callable[[], int]) -> QueuePolicy:
    """Return one of ``POLICIES``; the plugin's policy has all its features on.

    :arg clock: microseconds since 1970.
    """
    if name == "fifo":
        return FifoLeastLoaded()
    # Imported by name: bundled plugins depend on the server's code, and not the other way round.
    plugin = import_module("tornado_chat_plugins.queue_policy")
    made: QueuePolicy = plugin.Policy(
        plugin.make_rules(plugin.QueueSettings(priority=True, sticky=True, skills=True)), clock
    )
    return made


@dataclass(frozen=True)
class Plan:
    """The parameters of a day.

    :ivar hours: the time in which users arrive; the curve of 24 hours is compressed into it.
    :ivar groups: the number of groups; 1: the default group alone, which all waiters serve.
    :ivar capacity: users that a waiter serves at a time.
    :ivar talk: the mean duration of a conversation, in minutes.
    :ivar patience: the mean time until a waiting user gives up, in minutes.
    :ivar takeovers: how often another process becomes the coordinator.
    :ivar refused: the share of commits that the database refuses.
    """

    users: int = 1_000_000
    waiters: int = 20_000
    seed: int = 1
    hours: float = 24.0
    policy: str = "fifo"
    capacity: int = 5
    talk: float = 45.0
    patience: float = 60.0
    takeovers: int = 2
    refused: float = 0.0
    groups: int = 1

    @property
    def group_names(self) -> Sequence[str]:
        return (DEFAULT_GROUP, *(f"group-{number}" for number in range(1, self.groups)))

    @property
    def group_rules(self) -> Groups:
        """The groups: every second has priority, and all of them fall back to the default group."""
        if self.groups == 1:
            return Groups.single(self.capacity)
        return Groups(
            Group(
                name,
                self.capacity,
                priority=number % 2,
                fallback=DEFAULT_GROUP if number else None,
                fallback_seconds=FALLBACK_MINUTES * MINUTE,
            )
            for number, name in enumerate(self.group_names)
        )


class Chances:
    """Draws random values. Durations are seconds; times are seconds since the start of the day."""

    def __init__(self, plan: Plan) -> None:
        self.random = Random(plan.seed)  # noqa: S311 - a simulation needs no secrecy
        self._plan = plan
        self._day = plan.hours * HOUR
        self._sums = [0.0, *accumulate(share / sum(ARRIVALS_BY_HOUR) for share in ARRIVALS_BY_HOUR)]

    def __call__(self, share: float) -> bool:
        return self.random.random() < share

    def arrivals(self) -> Iterator[float]:
        """Yield the arrival times in order, distributed as if each user had drawn its own from the curve."""
        passed = 0.0
        for left in range(self._plan.users, 0, -1):
            passed = 1.0 - (1.0 - passed) * (1.0 - self.random.random()) ** (1.0 / left)
            yield self._moment(passed)

    def shift(self) -> tuple[float, float]:
        """Return begin and end of a waiter's shift: a third of the day around a random arrival time."""
        length = self._day / 3
        end = self._moment(self.random.random()) + self.random.random() * length
        start = min(max(0.0, end - length), self._day - length)
        return start, start + length

    def talk(self) -> float:
        return self._around(self._plan.talk * MINUTE, 0.8)

    def patience(self) -> float:
        return self._around(self._plan.patience * MINUTE, 1.0)

    def away(self) -> float:
        """Return the duration of a lost connection: most people return within the grace of a minute."""
        return self.random.expovariate(1 / 30.0)

    def until_drop(self) -> float:
        return self.random.uniform(0.0, 40 * MINUTE)

    def work(self) -> float:
        """Return the time until a waiter's next pause."""
        return self.random.uniform(90, 150) * MINUTE

    def pause(self) -> float:
        return self.random.uniform(10, 30) * MINUTE

    def claims(self) -> Mapping[str, Any]:
        """Return a user's claims: some users need a skill, some have priority."""
        claims: dict[str, Any] = {}
        if self(0.2):
            claims["skills"] = self.random.choice(SKILLS)
        if self(0.05):
            claims["priority"] = self.random.randint(1, 3)
        return claims

    def skills(self) -> Mapping[str, Any]:
        """Return a waiter's claims: two of the four skills, and up to two of several groups."""
        claims: dict[str, Any] = {"skills": self.random.sample(SKILLS, 2)}
        if self._plan.groups > 1:
            claims["groups"] = self.random.sample(self._plan.group_names, self.random.randint(1, 2))
        return claims

    def group(self) -> str:
        """Return the group that a user chooses."""
        return self.random.choice(self._plan.group_names) if self._plan.groups > 1 else DEFAULT_GROUP

    def _around(self, mean: float, spread: float) -> float:
        return self.random.lognormvariate(math.log(mean) - spread**2 / 2, spread)

    def _moment(self, share: float) -> float:
        """Return the time at which ``share`` of all users have arrived."""
        hour = min(bisect_right(self._sums, share), len(ARRIVALS_BY_HOUR)) - 1
        within = (share - self._sums[hour]) / (self._sums[hour + 1] - self._sums[hour])
        return (hour + min(within, 1.0)) / len(ARRIVALS_BY_HOUR) * self._day
