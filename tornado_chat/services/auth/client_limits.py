"""Rate limits of people and of client networks, ``[limits] sockets_per_minute`` and the options after it.

Strategy: a person is limited at every address. Guests cost nothing to create, so all guests of a client
network (``client_network``) have a limit together, too, which is ``network_factor`` times as large; callers
without a token have the network's limit only. People with an account of the host have no limit by network,
as a school or a company may have one address. Hosts (``HOST_ROLES``) have no limits.

Each process counts for itself: N processes allow up to N times the limits.
"""

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum, auto

from tornado_chat import config
from tornado_chat.core.errors import TooFast
from tornado_chat.core.types import Identity, Person
from tornado_chat.domain.throttle import RateLimit, RateLimiter, client_network
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.services.auth.claims import is_guest

MAX_KEYS = 10_000  # per limit
MINUTE_SECONDS = 60.0
HOUR_SECONDS = 3600.0
COUNTED_BYTES = 4096  # of a socket: counting takes a microsecond, which a short message should not pay
MAX_PAUSE_SECONDS = 5.0
"""The longest pause of reading for a client that sends too many bytes; a longer one closes the socket."""


class Activity(Enum):
    """An action of a client with a rate limit."""

    SOCKET = auto()
    REQUEST = auto()
    SESSION = auto()
    SUPERVISION = auto()
    NOTIFICATION = auto()
    BYTES = auto()


Counters = Sequence[tuple[RateLimiter, Hashable]]
"""The limits of one client for one activity, each with the client's key."""


class WrittenBytes:
    """Counts the bytes that one client sends on a socket, ``COUNTED_BYTES`` or more at once."""

    __slots__ = ("_counters", "_uncounted")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._uncounted = 0

    def spend(self, size: int, now: float) -> float:
        """Count ``size`` bytes. Return the seconds until the client may send again; 0 if it may now."""
        self._uncounted += size
        if self._uncounted < COUNTED_BYTES:
            return 0.0
        wait = 0.0
        for limiter, key in self._counters:
            wait = max(wait, limiter.spend(key, now, self._uncounted))
        self._uncounted = 0
        return wait


class ClientLimits:
    """Counts the actions of people and of client networks in this process.

    :arg clock: monotonic, in seconds.
    """

    def __init__(self, limits: config.Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        rates = _rates(limits)
        networks = _network_rates(limits)
        self._guests = RateLimiter(_guest_rate(limits), MAX_KEYS)
        self._people = {each: RateLimiter(rates[each], MAX_KEYS) for each in Activity}
        self._networks = {each: RateLimiter(networks[each], MAX_KEYS) for each in Activity}

    def reconfigure(self, limits: config.Limits) -> None:
        """Use other limits from now on. All counts stay."""
        rates = _rates(limits)
        networks = _network_rates(limits)
        self._guests.reconfigure(_guest_rate(limits))
        for each in Activity:
            self._people[each].reconfigure(rates[each])
            self._networks[each].reconfigure(networks[each])

    def require_guest(self, address: str) -> None:
        """Count a new guest.

        :raises TooFast: the client network has reached its limit of guests.
        """
        self._take([(self._guests, client_network(address))])

    def require(self, activity: Activity, identity: Identity, address: str) -> None:
        """Count an action of a client.

        :raises TooFast: the client has reached the limit; nothing is counted.
        """
        self._take(self._counters(activity, identity, address))

    def require_opening(
        self, activity: Activity, identity: Identity, address: str, recipient: Person
    ) -> None:
        """Count a new session or supervision record, and the notification that it causes.

        :raises TooFast: the client has reached the limit of ``activity``, or of notifications to
            ``recipient``; nothing is counted.
        """
        self._take(
            [
                *self._counters(activity, identity, address),
                *self._counters(Activity.NOTIFICATION, identity, address, recipient),
            ]
        )

    def require_request(self, identity: Identity | None, address: str, size: int) -> None:
        """Count a request of the HTTP API that writes.

        :arg size: the bytes of its body.
        :raises TooFast: the client has reached the limit of requests or of bytes.
        """
        written = self._counters(Activity.BYTES, identity, address)
        self._take(self._counters(Activity.REQUEST, identity, address), written)
        now = self._clock()
        for limiter, key in written:
            limiter.spend(key, now, size)

    def written_bytes(self, identity: Identity | None, address: str) -> WrittenBytes:
        """Return the counter of the bytes that a client sends on a socket."""
        return WrittenBytes(self._counters(Activity.BYTES, identity, address))

    def _counters(
        self, activity: Activity, identity: Identity | None, address: str, recipient: Person | None = None
    ) -> Counters:
        if identity is None:
            return ((self._networks[activity], (client_network(address), recipient)),)
        if identity.person.role in HOST_ROLES:
            return ()
        person = (self._people[activity], (identity.person, recipient))
        if not is_guest(identity):
            return (person,)
        return (person, (self._networks[activity], (client_network(address), recipient)))

    def _take(self, counters: Counters, free_of_debt: Counters = ()) -> None:
        """Take a token of each of ``counters``, if all have one, and if no ``free_of_debt`` is in debt.

        :raises TooFast: nothing was taken.
        """
        now = self._clock()
        waits = [limiter.wait_seconds(key, now) for limiter, key in counters]
        waits += [limiter.wait_seconds(key, now, 0.0) for limiter, key in free_of_debt]
        wait = max(waits, default=0.0)
        if wait > 0:
            raise TooFast("too_fast", retry_after=math.ceil(wait))
        for limiter, key in counters:
            limiter.spend(key, now)


def _rates(limits: config.Limits) -> Mapping[Activity, RateLimit]:
    """Return the limits of one person."""
    return {
        Activity.SOCKET: _per(MINUTE_SECONDS, limits.sockets_per_minute),
        Activity.REQUEST: _per(MINUTE_SECONDS, limits.requests_per_minute),
        Activity.SESSION: _per(HOUR_SECONDS, limits.sessions_per_hour),
        Activity.SUPERVISION: _per(HOUR_SECONDS, limits.supervisions_per_hour),
        Activity.NOTIFICATION: _per(HOUR_SECONDS, limits.notifications_per_hour),
        # The largest frame must neither exceed the burst, nor cause a pause that closes the socket.
        Activity.BYTES: RateLimit(
            max(limits.bytes_per_second, limits.frame_bytes / MAX_PAUSE_SECONDS),
            max(limits.bytes_burst, limits.frame_bytes),
        ),
    }


def _network_rates(limits: config.Limits) -> Mapping[Activity, RateLimit]:
    """Return the limits of all guests, and of all callers without a token, of one client network."""
    factor = limits.network_factor
    return {each: RateLimit(rate * factor, burst * factor) for each, (rate, burst) in _rates(limits).items()}


def _guest_rate(limits: config.Limits) -> RateLimit:
    return _per(MINUTE_SECONDS, limits.guests_per_minute)


def _per(seconds: float, count: int) -> RateLimit:
    return RateLimit(count / seconds, count)
