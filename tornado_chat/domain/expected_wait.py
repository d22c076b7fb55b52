"""The expected wait in a group's queue, from the times that its last conversations took.

The rule: while all places of the group's agents are taken, one becomes free every ``median / places``
seconds, and a user at position n waits for n places. The times are those from the assignment of the agent to
the end. The median is used, since a few conversations that were left open for hours would double a mean.

An estimate needs ``MIN_SERVICE_TIMES`` conversations and an agent on duty: below that, two long conversations
would decide alone what all visitors read. It is a guess all the same: it knows neither how long the present
conversations have lasted nor who will come on duty, so it is given in steps that promise no more than it
holds (``rounded``).
"""

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

import msgspec

from tornado_chat.core.types import ExpectedWait

MIN_SERVICE_TIMES = 5
"""The conversations of a group below which there is no estimate."""

MAX_SERVICE_TIMES = 50
"""The last conversations of a group that the median is taken of: some hours of a busy group."""

MIN_CHANGE_SECONDS = 30.0
MIN_CHANGE_SHARE = 0.2
"""A change is noticeable from ``MIN_CHANGE_SECONDS`` and this share of the value before on."""

_STEPS = ((600, 60), (3600, 300), (float("inf"), 900))  # (up to these seconds, in steps of these seconds)


class Pace(msgspec.Struct, frozen=True):
    """How fast the queue of a group moves at present.

    :arg seconds: the median of the last service times.
    :arg based_on: the number of these times.
    :arg places: the number of users that the agents on duty serve at the same time; more than 0.
    """

    seconds: float
    based_on: int
    places: float

    def expected_wait(self, position: int) -> ExpectedWait:
        """Return the estimate for the user at a position; 1 is the first."""
        seconds = rounded(position * self.seconds / self.places)
        return ExpectedWait(seconds, self.based_on, max(1, round(self.places)))


class ServiceTimes:
    """The last service times of each group."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}
        self._medians: dict[str, float] = {}  # of the times at present

    def add(self, group: str, seconds: float) -> None:
        """Add the time of a conversation that has ended just now."""
        self._seconds.setdefault(group, deque(maxlen=MAX_SERVICE_TIMES)).append(max(0.0, seconds))
        self._medians.pop(group, None)

    def replace(self, times: Iterable[tuple[str, float]]) -> None:
        """Forget all times, and take these instead. :arg times: group and seconds, the newest last."""
        self._seconds.clear()
        self._medians.clear()
        for group, seconds in times:
            self.add(group, seconds)

    def pace(self, group: str, places: float) -> Pace | None:
        """Return the pace of a group; None if there are too few times, or no agent on duty.

        :arg places: the number of users that the agents on duty serve at the same time. It may be broken, if
            agents share their places between groups.
        """
        times = self._seconds.get(group, ())
        if len(times) < MIN_SERVICE_TIMES or places <= 0:
            return None
        if group not in self._medians:
            self._medians[group] = median(times)
        return Pace(self._medians[group], len(times), places)


def rounded(seconds: float) -> float:
    """Round a time up: to minutes below ten minutes, to five minutes below an hour, else to quarters."""
    step = next(step for limit, step in _STEPS if seconds <= limit)
    return max(1, math.ceil(seconds / step)) * float(step)


def is_noticeable(before: ExpectedWait | None, after: ExpectedWait | None) -> bool:
    """Return True if a user has to be told of a change."""
    if before is None or after is None:
        return before is not after
    change = abs(after.seconds - before.seconds)
    return change >= max(MIN_CHANGE_SECONDS, MIN_CHANGE_SHARE * before.seconds)
