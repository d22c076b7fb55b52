"""How often a client may do something.

Strategy: two rules on one bounded table.

- What a client may do so often in a time goes by a token bucket (``TokenBucket`` for one socket, ``RateLimiter`` for
  many keys).
- Wrong passwords go by ``Throttle``: every failure counts, and is forgotten after a while. Some are free; each
  further one brings a wait twice as long as the last, up to a limit. An attempt during a wait is refused unseen and
  does not count, so that no attempt makes the wait longer. A token bucket would let a guesser go on at its rate.

All times are of one monotonic clock, in seconds.
"""

import ipaddress
import math
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")

CUSTOMER_BITS = 64
"""The prefix length of the IPv6 network that a provider gives to one customer."""


def client_network(address: str) -> str:
    """Return the addresses of one customer of a provider: an IPv4 address, or an IPv6 network.

    A text that is no IP address, as of a unix socket, is returned as it is.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, CUSTOMER_BITS), strict=False))
    return str(found)


class BoundedTable(Generic[V]):
    """A mapping of at most ``max_keys`` keys: above, the key is dropped that was stored least recently."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._values: OrderedDict[str, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> V | None:
        return self._values.get(key)

    def store(self, key: str, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._max_keys:
            self._values.popitem(last=False)

    def drop(self, key: str) -> None:
        self._values.pop(key, None)

    def clear(self) -> None:
        self._values.clear()


class TokenBucket:
    """Holds up to ``burst`` tokens, gains ``rate`` of them per second, and is full at first.

    The rate and the burst are arguments of ``take``, because a reload may change them.
    """

    __slots__ = ("_at", "_tokens")

    def __init__(self, burst: float, now: float) -> None:
        self._tokens = burst
        self._at = now

    def take(self, now: float, rate: float, burst: float) -> bool:
        """Take a token. Return False if there is none."""
        tokens = self._tokens + (now - self._at) * rate
        if tokens > burst:
            tokens = burst
        self._at = now
        if tokens < 1:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1
        return True


class RateLimiter:
    """A token bucket for each of many keys.

    :arg max_keys: keys that are remembered; a key that is dropped has a full bucket again.
    """

    def __init__(self, max_keys: int) -> None:
        self._buckets: BoundedTable[TokenBucket] = BoundedTable(max_keys)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float, rate: float, burst: float) -> bool:
        """Take a token of ``key``. Return False if there is none."""
        bucket = self._buckets.get(key) or TokenBucket(burst, now)
        self._buckets.store(key, bucket)
        return bucket.take(now, rate, burst)

    def clear(self) -> None:
        """Forget all keys."""
        self._buckets.clear()


class ThrottleLimit(NamedTuple):
    """All but ``free_failures``, a number of failures, in seconds.

    :ivar first_wait_seconds: the wait after the first failure that is not free.
    :ivar forget: after how long one failure is forgotten.
    """

    free_failures: int
    first_wait_seconds: float
    max_wait_seconds: float
    forget: float


class _Failures(NamedTuple):
    number: float
    at: float
    blocked_until: float


class Throttle:
    """The failures of many keys (an address, a name).

    :arg max_keys: keys that are remembered.
    """

    def __init__(self, limit: ThrottleLimit, max_keys: int) -> None:
        self._limit = limit
        self._known: BoundedTable[_Failures] = BoundedTable(max_keys)

    def __len__(self) -> int:
        return len(self._known)

    def wait_seconds(self, key: str, now: float) -> float:
        """How long ``key`` has to wait until it may try again; 0: it may now."""
        known = self._known.get(key)
        return 0.0 if known is None else max(0.0, known.blocked_until - now)

    def record_failure(self, key: str, now: float) -> float:
        """Count a failure. Returns the wait that it brings."""
        count = self._count(key, now) + 1
        limit = self._limit
        excess = math.ceil(round(count, 6)) - limit.free_failures  # one that is half forgotten counts still
        # The exponent is bounded so that nothing overflows after a long attack.
        wait = (
            min(limit.max_wait_seconds, limit.first_wait_seconds * 2.0 ** min(excess - 1, 62))
            if excess > 0
            else 0.0
        )
        self._known.store(key, _Failures(count, now, now + wait))
        return wait

    def undo_failure(self, key: str, now: float) -> None:
        """One failure was none, and so is the wait that it brought."""
        count = self._count(key, now) - 1
        if count > 0:
            self._known.store(key, _Failures(count, now, now))
        else:
            self.forget(key)

    def forget(self, key: str) -> None:
        """All failures of ``key``."""
        self._known.drop(key)

    def _count(self, key: str, now: float) -> float:
        """Failures that are not forgotten yet."""
        known = self._known.get(key)
        return 0.0 if known is None else max(0.0, known.number - (now - known.at) / self._limit.forget)
