"""Rate limits of people and of client networks, ``[limits] sockets_per_minute`` and the options after it.

Strategy: a person is limited at every address. Guests cost nothing to create, so all guests of a client
network (``client_network``) have a limit together, too, which is ``network_factor`` times as large; callers
without a token have the network's limit only. People with an account of the host have no limit by network,
as a school or a company may have one address. Hosts (``HOST_ROLES``) have no limits.

Each process counts for itself: N processes allow up to N times the limits.
"""

import logging
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum, auto

from tornado_chat import config
from tornado_chat.core.errors import TooFast
from tornado_chat.core.types import Identity, Person
from tornado_chat.domain.throttle import RateLimit, RateLimiter, client_network
from tornado_chat.observability.logs import fields
from tornado_chat.services.auth.access import HOST_ROLES
from tornado_chat.services.auth.claims import is_guest

log = logging.getLogger(__name__)

MAX_KEYS = 10_000  # per limit
LOG_INTERVAL_SECONDS = 60.0  # between two lines about sockets that do not sign in
MINUTE_SECONDS = 60.0
HOUR_SECONDS = 3600.0
COUNTED_BYTES = 4096  # of a socket: counting takes a microsecond, which a short message should not pay
COUNTED_MESSAGES = 8  # of a socket, for the same reason
READ_FACTOR = 4  # requests that read for each request that writes, see ``[limits] requests_per_minute``
PERSON_FACTOR = 2
"""All sockets of one person together may send this many times the frames of one socket."""
MAX_PAUSE_SECONDS = 5.0
"""The longest pause of reading for a client that sends too many bytes; a longer one closes the socket."""


class Activity(Enum):
    """An action of a client with a rate limit."""

    SOCKET = auto()
    REQUEST = auto()
    READ = auto()
    SESSION = auto()
    SUPERVISION = auto()
    NOTIFICATION = auto()
    BYTES = auto()
    FRAME = auto()


Counters = Sequence[tuple[RateLimiter, Hashable]]
"""The limits of one client for one activity, each with the client's key."""


class SentMessages:
    """Counts the messages and commands that one client sends on a socket, and their bytes, several at once.

    :arg count_counters: the client's limits of the number of messages.
    :arg byte_counters: those of the bytes.
    """

    __slots__ = ("_byte_counters", "_bytes", "_count", "_count_counters")

    def __init__(self, count_counters: Counters, byte_counters: Counters) -> None:
        self._count_counters = count_counters
        self._byte_counters = byte_counters
        self._count = self._bytes = 0

    def add(self, size: int, now: float) -> float:
        """Count a message of ``size`` bytes. Return the seconds until the client may send again."""
        self._count += 1
        self._bytes += size
        if self._bytes < COUNTED_BYTES and self._count < COUNTED_MESSAGES:
            return 0.0
        waits = [limiter.spend(key, now, self._count) for limiter, key in self._count_counters]
        waits += [limiter.spend(key, now, self._bytes) for limiter, key in self._byte_counters]
        self._count = self._bytes = 0
        return max(waits, default=0.0)


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
        self._logged_at: float | None = None

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

    def require(self, activity: Activity, identity: Identity | None, address: str) -> None:
        """Count an action of a client.

        :raises TooFast: the client has reached the limit; nothing is counted.
        """
        self._take(self._counters(activity, identity, address))

    def may_open_unknown(self, address: str) -> bool:
        """Return True if the network of ``address`` may open a socket that brings no token.

        Its sockets count when they end without an identity (``count_unknown``): a socket that signs in counts
        for its person instead.
        """
        key = (client_network(address), None)
        return not self._networks[Activity.SOCKET].wait_seconds(key, self._clock(), 0.0)

    def count_unknown(self, address: str) -> None:
        """Count a socket that has ended without an identity."""
        now, network = self._clock(), client_network(address)
        in_debt = self._networks[Activity.SOCKET].spend((network, None), now) > 0
        if in_debt and (self._logged_at is None or now - self._logged_at >= LOG_INTERVAL_SECONDS):
            self._logged_at = now
            log.warning(
                "too many sockets do not sign in: those of this network that bring no token are refused, and "
                "none is logged until it signs in",
                extra=fields(network=network),
            )

    def require_attempt(self, address: str) -> None:
        """Check that the network of ``address`` may call without a token, for a plugin that knows requests.

        :raises TooFast: too many such requests of the network were refused (``count_refused_attempt``).
        """
        key = (client_network(address), None)
        wait = self._networks[Activity.READ].wait_seconds(key, self._clock(), 0.0)
        if wait > 0:
            raise TooFast("too_fast", retry_after=math.ceil(wait))

    def count_refused_attempt(self, address: str) -> None:
        """Count a request without a token that no plugin knew: each one may cost the host a query."""
        self._networks[Activity.READ].spend((client_network(address), None), self._clock())

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

    def sent_messages(self, identity: Identity | None, address: str) -> SentMessages:
        """Return the counter of the messages and commands that a client sends on a socket."""
        return SentMessages(
            self._counters(Activity.FRAME, identity, address),
            self._counters(Activity.BYTES, identity, address),
        )

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
        Activity.READ: _per(MINUTE_SECONDS, READ_FACTOR * limits.requests_per_minute),
        Activity.SESSION: _per(HOUR_SECONDS, limits.sessions_per_hour),
        Activity.SUPERVISION: _per(HOUR_SECONDS, limits.supervisions_per_hour),
        Activity.NOTIFICATION: _per(HOUR_SECONDS, limits.notifications_per_hour),
        # The largest frame must neither exceed the burst, nor cause a pause that closes the socket.
        Activity.BYTES: RateLimit(
            max(limits.bytes_per_second, limits.frame_bytes / MAX_PAUSE_SECONDS),
            max(limits.bytes_burst, limits.frame_bytes),
        ),
        Activity.FRAME: RateLimit(PERSON_FACTOR * limits.messages_per_second, PERSON_FACTOR * limits.burst),
    }


def _network_rates(limits: config.Limits) -> Mapping[Activity, RateLimit]:
    """Return the limits of all guests, and of all callers without a token, of one client network."""
    factor = limits.network_factor
    return {each: RateLimit(rate * factor, burst * factor) for each, (rate, burst) in _rates(limits).items()}


def _guest_rate(limits: config.Limits) -> RateLimit:
    return _per(MINUTE_SECONDS, limits.guests_per_minute)


def _per(seconds: float, count: int) -> RateLimit:
    return RateLimit(count / seconds, count)
