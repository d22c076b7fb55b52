"""The login throttle: it slows down password guessing without locking out the owner of an account.

Failures are counted in three ways. By name and address together, with a strict limit, against guessing one
password. By address alone, with a loose limit, against one password tried with many names. By name alone,
with a loose limit, against many addresses that work together. So an attacker with one address locks the name
for that address only, and attackers with many addresses lock it only as long as they go on.

Even then the owner is not locked out: a browser in which the account has signed in before has a device
cookie, and its failures are counted separately (OWASP: "Slow Down Online Guessing Attacks with Device
Cookies").
"""

import logging
import math
import time
from collections.abc import Callable, Sequence

from tornado_chat.core.errors import TooFast
from tornado_chat.domain.throttle import Throttle, ThrottleLimit, client_network
from tornado_chat.observability.logs import fields

log = logging.getLogger(__name__)

STRICT_LIMIT = ThrottleLimit(free_failures=5, first_wait_seconds=2, max_wait_seconds=900, forget_seconds=900)
LOOSE_LIMIT = ThrottleLimit(free_failures=50, first_wait_seconds=2, max_wait_seconds=60, forget_seconds=60)
LOOSE_FACTOR = 10  # free failures of the loose limit for each of the strict limit

# Per counter; the oldest keys are forgotten. To make a counter forget a key that waits, other keys must fail
# this often within 15 minutes, which needs 400 client networks, by the limit of each network. 400 networks
# have 2000 free attempts at one name anyway, so an attacker gains nothing by filling the table.
MAX_KEYS = 20_000


class LoginAttempt:
    """An attempt that was allowed. It counts as a failure until it succeeds."""

    def __init__(self, throttled_keys: Sequence[tuple[Throttle, str]], clock: Callable[[], float]) -> None:
        self._throttled_keys = throttled_keys
        self._clock = clock

    def succeeded(self) -> None:
        strict, key = self._throttled_keys[0]
        strict.forget(key)
        for loose, key in self._throttled_keys[1:]:
            loose.undo_failure(key, self._clock())


class LoginThrottle:
    """Counts the failed attempts to sign in at this process.

    :arg clock: monotonic, in seconds.
    :arg free_failures: ``[limits] sign_in_failures``: the free failures of the strict limit.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        free_failures: int = STRICT_LIMIT.free_failures,
    ) -> None:
        self._clock = clock
        self._by_device = Throttle(STRICT_LIMIT, MAX_KEYS)
        self._by_address_and_name = Throttle(STRICT_LIMIT, MAX_KEYS)
        self._by_address = Throttle(LOOSE_LIMIT, MAX_KEYS)
        self._by_name = Throttle(LOOSE_LIMIT, MAX_KEYS)
        self.reconfigure(free_failures)

    def reconfigure(self, free_failures: int) -> None:
        """Use another number of free failures from now on. All counts stay."""
        strict = STRICT_LIMIT._replace(free_failures=free_failures)
        loose = LOOSE_LIMIT._replace(free_failures=free_failures * LOOSE_FACTOR)
        self._by_device.reconfigure(strict)
        self._by_address_and_name.reconfigure(strict)
        self._by_address.reconfigure(loose)
        self._by_name.reconfigure(loose)

    def begin(self, name: str, address: str, device: str | None, exists: bool) -> LoginAttempt:
        """Register an attempt to sign in, before the password is checked.

        :arg device: the device cookie of a browser in which ``name`` has signed in before.
        :arg exists: whether ``name`` is an account; only then may the name be logged.
        :raises TooFast: ``too_many_attempts``, with ``retry_after``.
        """
        now = self._clock()
        address = client_network(address)
        if device is not None:
            throttled_keys = [(self._by_device, device)]
        else:
            throttled_keys = [
                (self._by_address_and_name, f"{address} {name}"),
                (self._by_address, address),
                (self._by_name, name),
            ]
        wait = max(throttle.wait_seconds(key, now) for throttle, key in throttled_keys)
        if wait > 0:
            raise TooFast("too_many_attempts", retry_after=math.ceil(wait))
        wait = max(throttle.record_failure(key, now) for throttle, key in throttled_keys)
        if wait > 0:
            named = {"name": name} if exists else {}
            log.warning(
                "many attempts to sign in, slowed down",
                extra=fields(seconds=math.ceil(wait), address=address, **named),
            )
        return LoginAttempt(throttled_keys, self._clock)
