"""Guessing passwords made slow, without locking anybody out.

Failures are counted in three ways. By name and address together, strictly: that is where somebody
guesses. By address, loosely: one password tried with many names. By name, loosely: many addresses that work
together. So whoever guesses from one address locks the name for that address only, and a crowd that does it from
many locks it for no longer than it goes on.

Not even then is its owner locked out: a browser in which somebody has signed in before has a mark of that, and
its failures are counted by themselves and by nothing else (OWASP: "Slow Down Online Guessing Attacks with
Device Cookies").
"""

import logging
import math
import time
from collections.abc import Callable, Sequence

from tornado_chat.core.errors import TooFast
from tornado_chat.domain.throttle import Limit, Throttle, client_network
from tornado_chat.observability.logs import fields

log = logging.getLogger(__name__)

STRICT = Limit(free=5, first=2, longest=900, forget=900)
LOOSE = Limit(free=50, first=2, longest=60, forget=60)
MOST = 20_000


class Attempt:
    """One that was let through. It counts as a failure until it succeeds."""

    def __init__(self, counted: Sequence[tuple[Throttle, str]], clock: Callable[[], float]) -> None:
        self._counted = counted
        self._clock = clock

    def succeeded(self) -> None:
        strict, key = self._counted[0]
        strict.forget(key)
        for loose, key in self._counted[1:]:
            loose.forgive(key, self._clock())


class Attempts:
    """All that are made in this process. :arg clock: monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._devices = Throttle(STRICT, MOST)
        self._pairs = Throttle(STRICT, MOST)
        self._addresses = Throttle(LOOSE, MOST)
        self._names = Throttle(LOOSE, MOST)

    def begin(self, name: str, address: str, device: str | None, exists: bool) -> Attempt:
        """Somebody is about to try a password.

        :arg device: what tells a browser in which ``name`` has signed in before.
        :arg exists: whether there is such a name, which may then be logged.
        :raises TooFast: ``too_many_attempts``, with ``retry_after``.
        """
        now = self._clock()
        address = client_network(address)
        if device is not None:
            counted = [(self._devices, device)]
        else:
            counted = [
                (self._pairs, f"{address} {name}"),
                (self._addresses, address),
                (self._names, name),
            ]
        wait = max(throttle.wait(key, now) for throttle, key in counted)
        if wait > 0:
            raise TooFast("too_many_attempts", retry_after=math.ceil(wait))
        wait = max(throttle.failed(key, now) for throttle, key in counted)
        if wait > 0:
            named = {"name": name} if exists else {}
            log.warning(
                "many attempts to sign in, slowed down",
                extra=fields(seconds=math.ceil(wait), address=address, **named),
            )
        return Attempt(counted, self._clock)
