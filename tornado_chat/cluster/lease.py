"""The lease of the coordinator: a key in Redis that the holder renews, and that expires otherwise.

Without the lease, by its own clock, a coordinator makes no decision. A holder that cannot reach Redis keeps
everything else going for the participants that it knows. The database refuses conflicting writes.
"""

import asyncio
import contextlib
import logging

from tornado_chat.aio.clock import boot_seconds
from tornado_chat.cluster.redis_connector import CONNECTION_ERRORS
from tornado_chat.cluster.redis_link import Link

log = logging.getLogger(__name__)

ACQUIRE_SCRIPT = """
local holder = redis.call('get', KEYS[1])
if not holder or holder == ARGV[1] then
    redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
end
return {holder or '', redis.call('get', KEYS[1])}
"""
"""Returns the holder before, an empty text if the lease was free, and the holder after."""
RELEASE_SCRIPT = """
if redis.call('get', KEYS[1]) == ARGV[1] then
    return redis.call('del', KEYS[1])
end
return 0
"""


class RedisLease:
    """The lease of the coordinator, as this process sees it.

    :arg ttl_seconds: the time after which the lease expires unless it is renewed.
    :ivar is_unbroken: True if the last successful attempt renewed a lease that had not expired, so that no
        other process can have held it in between.
    """

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, ttl_seconds: float) -> None:
        self._link = link
        self._loop = loop
        self._key = link.key("lease")
        self._ttl_ms = round(ttl_seconds * 1000)
        self._no_attempt_before = 0.0
        self._last_error = ""
        self._held_until = float("-inf")
        self.is_unbroken = False

    async def acquire(self, *, renew: bool) -> str | None:
        """Take the lease if it is free, or renew it if this process holds it.

        Returns the name of the process that holds the lease afterwards; None if Redis does not answer in
        time, or if ``back_off`` leaves the lease to other processes.

        :arg renew: True if this process coordinates and so has to renew the lease in spite of ``back_off``.
        """
        if not renew and self._loop.time() < self._no_attempt_before:
            return None
        requested_at = boot_seconds()  # before the request is sent: Redis counts from a later time
        try:
            before, after = await self._link.execute(
                "EVAL", ACQUIRE_SCRIPT, 1, self._key, self._link.process, self._ttl_ms
            )
        except CONNECTION_ERRORS as error:
            if self._link.is_connected and self._last_error != str(error):
                self._last_error = str(error)
                log.warning("Redis refuses the lease of the coordinator: %s", error)
            return None
        self._last_error = ""
        holder = str(after.decode())
        is_own = holder == self._link.process
        self.is_unbroken = is_own and before == after
        self._held_until = requested_at + self._ttl_ms / 1000 if is_own else float("-inf")
        if is_own and not renew and not self.is_held:
            # The answer took longer than the lease lasts, as Redis or this process was suspended.
            return None
        return holder

    @property
    def is_held(self) -> bool:
        """True while this process holds the lease, by its own clock, unless Redis has lost the key.

        The value becomes False when the lease has expired because this process was suspended, even before the
        process has noticed the suspension.
        """
        return boot_seconds() < self._held_until

    def back_off(self, seconds: float) -> None:
        """Do not take the lease for ``seconds``, so that another process takes it."""
        self._no_attempt_before = self._loop.time() + seconds

    async def release(self) -> None:
        """Release the lease, if this process holds it and Redis can be reached."""
        with contextlib.suppress(*CONNECTION_ERRORS):
            await self._link.execute("EVAL", RELEASE_SCRIPT, 1, self._key, self._link.process)
