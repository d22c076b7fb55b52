"""Limits on the rate of a client's actions.

Strategy: there are two kinds of limits, both in a table of bounded size.

- Actions with a maximum rate are limited by a token bucket: ``TokenBucket`` for one socket, ``RateLimiter``
  for many keys. An action may cost more than one token, as the bytes of a message do.
- Wrong passwords are limited by ``Throttle``. Every failure counts and is forgotten after a while. Some
  failures are free; each further failure causes a wait twice as long as the last one, up to a limit. An
  attempt during a wait is refused unseen and does not count, so that no attempt makes the wait longer.
  (A token bucket would let an attacker guess passwords at its rate.)

All times are in seconds, of one monotonic clock.
"""

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")

ROUNDING = 1e-9
"""The part of a token that a bucket may lack because of rounded times."""

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
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> V | None:
        return self._values.get(key)

    def store(self, key: Hashable, value: V) -> V | None:
        """Store a value. Return the value of the key that was dropped for it, if any."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) <= self._max_keys:
            return None
        return self._values.popitem(last=False)[1]

    def drop(self, key: Hashable) -> None:
        self._values.pop(key, None)


class RateLimit(NamedTuple):
    """The parameters of a token bucket: the tokens that it gains per second, and the most that it holds."""

    rate: float
    burst: float


class TokenBucket:
    """A token bucket that holds up to ``burst`` tokens, gains ``rate`` tokens per second, and starts full.

    The rate and the burst are arguments of the methods, because a reload may change them.
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

    def refill(self, now: float, rate: float, burst: float) -> float:
        """Add the tokens gained until ``now``. Return the number of tokens, which is negative in debt."""
        tokens = self._tokens + (now - self._at) * rate
        if tokens > burst:
            tokens = burst
        self._at = now
        self._tokens = tokens
        return tokens

    def spend(self, now: float, rate: float, burst: float, amount: float) -> float:
        """Take ``amount`` tokens, into debt if there are fewer. Return the number of tokens left."""
        tokens = self._tokens = self.refill(now, rate, burst) - amount
        return tokens


class RateLimiter:
    """A token bucket for each of many keys.

    Strategy: at most ``max_keys`` buckets are kept. A key that is not in the table may be one that was
    dropped, so it starts with the tokens of the emptiest bucket among the dropped ones, which gains tokens
    like every other. So a client does not get a full bucket by filling the table with other keys. A new
    client is refused only if ``max_keys`` other keys were used in less time than an empty bucket needs for
    one token.
    """

    def __init__(self, limit: RateLimit, max_keys: int) -> None:
        self._limit = limit
        self._buckets: BoundedTable[TokenBucket] = BoundedTable(max_keys)
        self._emptiest_dropped: TokenBucket | None = None

    def __len__(self) -> int:
        return len(self._buckets)

    def reconfigure(self, limit: RateLimit) -> None:
        """Use another rate and burst from now on. The buckets keep their tokens, up to the new burst."""
        self._limit = limit

    def wait_seconds(self, key: Hashable, now: float, amount: float = 1.0) -> float:
        """Return the seconds until ``key`` has ``amount`` tokens; 0 if it has them now."""
        missing = amount - self._bucket(key, now).refill(now, *self._limit)
        return missing / self._limit.rate if missing > ROUNDING else 0.0

    def spend(self, key: Hashable, now: float, amount: float = 1.0) -> float:
        """Take ``amount`` tokens of ``key``, into debt if there are fewer.

        Returns the seconds until the debt is repaid; 0 if there is none.
        """
        tokens = self._bucket(key, now).spend(now, *self._limit, amount)
        return -tokens / self._limit.rate if tokens < -ROUNDING else 0.0

    def take(self, key: Hashable, now: float) -> bool:
        """Take a token of ``key``. Return False if there is none."""
        if self.wait_seconds(key, now):
            return False
        self.spend(key, now)
        return True

    def _bucket(self, key: Hashable, now: float) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = TokenBucket(self._tokens_of_dropped(now), now)
        dropped = self._buckets.store(key, bucket)
        if dropped is not None and dropped.refill(now, *self._limit) < self._tokens_of_dropped(now):
            self._emptiest_dropped = dropped
        return bucket

    def _tokens_of_dropped(self, now: float) -> float:
        if self._emptiest_dropped is None:
            return self._limit.burst
        return self._emptiest_dropped.refill(now, *self._limit)


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

    def reconfigure(self, limit: ThrottleLimit) -> None:
        """Use another limit for failures from now on. All counts and waits stay."""
        self._limit = limit

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
