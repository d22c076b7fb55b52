"""Who of all processes coordinates: a key in Redis that its holder renews, and that goes away without it.

It makes two coordinators at once unlikely and short, not impossible: a holder that cannot reach Redis goes on.
What two of them might do at the same time is for the database to refuse.
"""

import asyncio
import contextlib
import logging

from tornado_chat.cluster.connection import LOST
from tornado_chat.cluster.redis_link import Link

log = logging.getLogger(__name__)

TAKE = """
local holder = redis.call('get', KEYS[1])
if not holder or holder == ARGV[1] then
    redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
    return ARGV[1]
end
return holder
"""
RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then
    return redis.call('del', KEYS[1])
end
return 0
"""


class Lease:
    """:arg ttl: seconds that it lives without being renewed."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, ttl: float) -> None:
        self._link = link
        self._loop = loop
        self._key = link.key("lease")
        self._ttl = round(ttl * 1000)
        self._not_before = 0.0
        self._complaint = ""
        self._ours_until = float("-inf")

    async def take(self, *, renew: bool) -> str | None:
        """Take it if it is free, or renew it if it is ours.

        :arg renew: whether it should be ours.
        Returns the process that holds it then, or None if that cannot be told now, or it is left to others.
        """
        if not renew and self._loop.time() < self._not_before:
            return None
        asked = self._loop.time()
        try:
            answer = await self._link.ask("EVAL", TAKE, 1, self._key, self._link.process, self._ttl)
        except LOST as error:
            if self._link.connected and self._complaint != str(error):
                self._complaint = str(error)
                log.warning("Redis does not let this process coordinate: %s", error)
            return None
        self._complaint = ""
        holder = str(answer.decode())
        self._ours_until = asked + self._ttl / 1000 if holder == self._link.process else float("-inf")
        return holder

    @property
    def certain(self) -> bool:
        """Whether it is ours at this moment, unless Redis has lost it. Not after we were held up ourselves, say,
        however little we have noticed of that yet."""
        return self._loop.time() < self._ours_until

    def leave_it(self, seconds: float) -> None:
        """Do not take it for so long."""
        self._not_before = self._loop.time() + seconds

    async def release(self) -> None:
        """Give it back, if it is ours and Redis is there."""
        with contextlib.suppress(*LOST):
            await self._link.ask("EVAL", RELEASE, 1, self._key, self._link.process)
