"""Who of all processes coordinates: a key in Redis that its holder renews, and that goes away without it.

It makes two coordinators at once unlikely and short, not impossible: a holder that cannot reach Redis goes on.
What two of them might do at the same time is for the database to refuse.
"""

import asyncio
import contextlib
import logging

from tornado_chat.cluster.connection import CONNECTION_ERRORS
from tornado_chat.cluster.redis_link import Link

log = logging.getLogger(__name__)

ACQUIRE_SCRIPT = """
local holder = redis.call('get', KEYS[1])
if not holder or holder == ARGV[1] then
    redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
    return ARGV[1]
end
return holder
"""
RELEASE_SCRIPT = """
if redis.call('get', KEYS[1]) == ARGV[1] then
    return redis.call('del', KEYS[1])
end
return 0
"""


class RedisLease:
    """:arg ttl_seconds: seconds that it lives without being renewed."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, ttl_seconds: float) -> None:
        self._link = link
        self._loop = loop
        self._key = link.key("lease")
        self._ttl_ms = round(ttl_seconds * 1000)
        self._no_attempt_before = 0.0
        self._last_error = ""
        self._held_until = float("-inf")

    async def acquire(self, *, renew: bool) -> str | None:
        """Take it if it is free, or renew it if it is ours.

        :arg renew: whether it should be ours.
        Returns the process that holds it then, or None if that cannot be told now, or it is left to others.
        """
        if not renew and self._loop.time() < self._no_attempt_before:
            return None
        asked = self._loop.time()
        try:
            answer = await self._link.execute(
                "EVAL", ACQUIRE_SCRIPT, 1, self._key, self._link.process, self._ttl_ms
            )
        except CONNECTION_ERRORS as error:
            if self._link.is_connected and self._last_error != str(error):
                self._last_error = str(error)
                log.warning("Redis does not let this process coordinate: %s", error)
            return None
        self._last_error = ""
        holder = str(answer.decode())
        self._held_until = asked + self._ttl_ms / 1000 if holder == self._link.process else float("-inf")
        return holder

    @property
    def is_held(self) -> bool:
        """Whether it is ours at this moment, unless Redis has lost it. Not after we were held up ourselves, say,
        however little we have noticed of that yet."""
        return self._loop.time() < self._held_until

    def back_off(self, seconds: float) -> None:
        """Do not take it for so long."""
        self._no_attempt_before = self._loop.time() + seconds

    async def release(self) -> None:
        """Give it back, if it is ours and Redis is there."""
        with contextlib.suppress(*CONNECTION_ERRORS):
            await self._link.execute("EVAL", RELEASE_SCRIPT, 1, self._key, self._link.process)
