"""Who of all processes coordinates: a key in Redis that its holder renews, and that goes away without it.

It makes two coordinators at once unlikely and short, not impossible: a holder that cannot reach Redis goes on.
What two of them might do at the same time is for the database to refuse.
"""

import asyncio

from tornado_chat.cluster.link import Link

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

    def __init__(self, link: Link, ttl: float) -> None:
        self._link = link
        self._key = link.key("lease")
        self._ttl = round(ttl * 1000)
        self._ours_until = float("-inf")

    async def take(self) -> str:
        """Take it if it is free, or renew it if it is ours. Returns the process that holds it then.

        :raises: one of ``connection.LOST``.
        """
        asked = asyncio.get_running_loop().time()
        answer = await self._link.ask("EVAL", TAKE, 1, self._key, self._link.process, self._ttl)
        holder = str(answer.decode())
        self._ours_until = asked + self._ttl / 1000 if holder == self._link.process else float("-inf")
        return holder

    @property
    def certain(self) -> bool:
        """Whether it is ours at this moment, unless Redis has lost it. Not after we were held up ourselves, say,
        however little we have noticed of that yet."""
        return asyncio.get_running_loop().time() < self._ours_until

    async def release(self) -> None:
        """Give it back, if it is ours. :raises: one of ``connection.LOST``."""
        await self._link.ask("EVAL", RELEASE, 1, self._key, self._link.process)
