"""Limits on the rate of a client's actions.

Strategy: there are two kinds of limits, both with a bounded table.

- Actions with a maximum rate are limited by a token bucket: ``TokenBucket`` for one socket, ``RateLimiter``
for many keys. - Wrong passwords are limited by ``Throttle``. Every failure counts and is forgotten after a
while. Some failures are free; each further failure causes a wait twice as long as the last one, up to a
limit. An attempt during a wait is refused unseen and does not count, so that no attempt makes the wait
longer. (A token bucket would let an attacker guess passwords at its rate.)

All times are in seconds, of one monotonic clock.
"""

import ipaddress
import math
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")

CUSTOMER_BITS = 64
"""The prefix length of the IPv6 network that an Internet provider assigns to one customer."""


def client_network(address: str) -> str:
    """Return the addresses of one customer of an Internet provider: an IPv4 address, or an IPv6 network.

    A text that is no IP address, as for a unix socket, is returned unchanged.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, CUSTOMER_BITS), strict=False))
    return str(parsed)


class BoundedTable(Generic[V]):
    """A mapping with at most ``max_keys`` keys. At the limit, the least recently stored key is dropped."""

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
    """A token bucket that holds up to ``burst`` tokens, gains ``rate`` tokens per second, and starts full.

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

    :arg max_keys: maximum number of keys; a key that is dropped has a full bucket again.
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
    """The parameters of a ``Throttle``.

    :ivar free_failures: the number of failures without a wait.
    :ivar first_wait_seconds: the wait after the first failure that is not free.
    :ivar max_wait_seconds: the longest wait.
    :ivar forget_seconds: the time after which one failure is forgotten.
    """

    free_failures: int
    first_wait_seconds: float
    max_wait_seconds: float
    forget_seconds: float


class _Failures(NamedTuple):
    number: float
    at: float
    blocked_until: float


class Throttle:
    """The failures and waits of many keys, such as addresses or names.

    :arg max_keys: maximum number of keys.
    """

    def __init__(self, limit: ThrottleLimit, max_keys: int) -> None:
        self._limit = limit
        self._known: BoundedTable[_Failures] = BoundedTable(max_keys)

    def __len__(self) -> int:
        return len(self._known)

    def wait_seconds(self, key: str, now: float) -> float:
        """Return the seconds until ``key`` may try again; 0 if it may try now."""
        known = self._known.get(key)
        return 0.0 if known is None else max(0.0, known.blocked_until - now)

    def record_failure(self, key: str, now: float) -> float:
        """Count a failure and return the seconds that ``key`` has to wait after it."""
        count = self._count(key, now) + 1
        limit = self._limit
        excess = math.ceil(round(count, 6)) - limit.free_failures  # a partly forgotten failure counts fully
        # The exponent is bounded so that the number does not overflow after a long attack.
        wait = (
            min(limit.max_wait_seconds, limit.first_wait_seconds * 2.0 ** min(excess - 1, 62))
            if excess > 0
            else 0.0
        )
        self._known.store(key, _Failures(count, now, now + wait))
        return wait

    def undo_failure(self, key: str, now: float) -> None:
        """Take back one failure, and the wait that it caused."""
        count = self._count(key, now) - 1
        if count > 0:
            self._known.store(key, _Failures(count, now, now))
        else:
            self.forget(key)

    def forget(self, key: str) -> None:
        """Forget all failures of ``key``."""
        self._known.drop(key)

    def _count(self, key: str, now: float) -> float:
        """Return the number of failures that are not forgotten yet; a fraction of one may be forgotten."""
        known = self._known.get(key)
        return (
            0.0 if known is None else max(0.0, known.number - (now - known.at) / self._limit.forget_seconds)
        )
