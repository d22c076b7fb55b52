"""The expected wait in a group's queue, from the times that its last conversations took.

The rule: while all places of the group's agents are taken, one becomes free every ``median / places``
seconds, and a user at position n waits for n places, less those of the users before it that give up: as many
as lately. The times are those from the assignment of the agent to the end. The median is used, since a few
conversations that were left open for hours would double a mean.

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
    :arg served: the share of the last users that did not give up.
    """

    seconds: float
    based_on: int
    places: float
    served: float = 1.0

    def expected_wait(self, position: int) -> ExpectedWait:
        """Return the estimate for the user at a position; 1 is the first."""
        awaited = 1 + (position - 1) * self.served
        seconds = rounded(awaited * self.seconds / self.places)
        return ExpectedWait(seconds, self.based_on, max(1, round(self.places)))


class _Group:
    """The last conversations of a group.

    :ivar seconds: the times of those that were served.
    :ivar was_served: for each conversation, also of users that gave up, whether it was served.
    """

    def __init__(self) -> None:
        self.seconds: deque[float] = deque(maxlen=MAX_SERVICE_TIMES)
        self.was_served: deque[bool] = deque(maxlen=MAX_SERVICE_TIMES)
        self.summary: tuple[float, float] | None = None  # median and share, until a conversation is added


class ServiceTimes:
    """How long the last conversations of each group took, and how many users were served at all."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def add(self, group: str, seconds: float | None) -> None:
        """Add a conversation that has ended just now. :arg seconds: None if the user gave up waiting."""
        found = self._groups.setdefault(group, _Group())
        found.was_served.append(seconds is not None)
        if seconds is not None:
            found.seconds.append(max(0.0, seconds))
        found.summary = None

    def replace(self, times: Iterable[tuple[str, float | None]]) -> None:
        """Forget all conversations, and take these instead. :arg times: as for ``add``, the newest last."""
        self._groups.clear()
        for group, seconds in times:
            self.add(group, seconds)

    def pace(self, group: str, places: float) -> Pace | None:
        """Return the pace of a group; None if there are too few times, or no agent on duty.

        :arg places: the number of users that the agents on duty serve at the same time. It may be broken, if
            agents share their places between groups.
        """
        found = self._groups.get(group)
        if found is None or len(found.seconds) < MIN_SERVICE_TIMES or places <= 0:
            return None
        if found.summary is None:
            found.summary = median(found.seconds), sum(found.was_served) / len(found.was_served)
        seconds, served = found.summary
        return Pace(seconds, len(found.seconds), places, served)


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
