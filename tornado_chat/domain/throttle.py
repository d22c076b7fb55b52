"""How often somebody may try a password.

Every failure counts, and is forgotten after a while. Some are free; each further one brings a wait
twice as long as the last, up to a limit. What comes during a wait is refused unseen and does not count, so that
nobody makes it longer by trying.
"""

import math
from collections import OrderedDict
from typing import NamedTuple


class Limit(NamedTuple):
    """All but ``free``, a number of failures, in seconds.

    :ivar first: the wait after the first failure that is not free.
    :ivar forget: after how long one failure is forgotten.
    """

    free: int
    first: float
    longest: float
    forget: float


class _Failures(NamedTuple):
    number: float
    at: float
    until: float


class Throttle:
    """The failures of many keys (an address, a name); times are of one monotonic clock, in seconds.

    :arg most: keys that are remembered; above, the one is forgotten that was least recently heard of.
    """

    def __init__(self, limit: Limit, most: int) -> None:
        self._limit = limit
        self._most = most
        self._known: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def wait(self, key: str, now: float) -> float:
        """How long ``key`` has to wait until it may try again; 0: it may now."""
        known = self._known.get(key)
        return 0.0 if known is None else max(0.0, known.until - now)

    def failed(self, key: str, now: float) -> float:
        """Count a failure. Returns the wait that it brings."""
        count = self._count(key, now) + 1
        limit = self._limit
        excess = math.ceil(round(count, 6)) - limit.free  # one that is half forgotten counts still
        # The exponent is bounded so that nothing overflows after a long attack.
        wait = min(limit.longest, limit.first * 2.0 ** min(excess - 1, 62)) if excess > 0 else 0.0
        self._known[key] = _Failures(count, now, now + wait)
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return wait

    def forgive(self, key: str, now: float) -> None:
        """One failure was none, and so is the wait that it brought."""
        count = self._count(key, now) - 1
        if count > 0:
            self._known[key] = _Failures(count, now, now)
        else:
            self.forget(key)

    def forget(self, key: str) -> None:
        """All failures of ``key``."""
        self._known.pop(key, None)

    def _count(self, key: str, now: float) -> float:
        """Failures that are not forgotten yet."""
        known = self._known.get(key)
        return 0.0 if known is None else max(0.0, known.number - (now - known.at) / self._limit.forget)
