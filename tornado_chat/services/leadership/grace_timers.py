"""Waiting a while for somebody to come back."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from tornado_chat.aio.background import Tasks

RETRY = 5.0  # seconds until it is asked again whether somebody is gone who cannot be known to be

Who = TypeVar("Who", bound=Hashable)


class Graces(Generic[Who]):
    """Those who are gone and may come back in time.

    A grace ends once, by ``over``, and only for somebody who is ``away`` at that moment and is not awaited anew;
    nobody's ends while it is not ``sure`` who is there: then everybody gets a little longer.

    :arg sure: whether what is known of other processes is up to date. It may take its time to find out.
    :arg away: whether somebody is still known here, and is not back.
    :arg over: what is to be done about somebody who has not come back.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sure: Callable[[], Awaitable[bool]],
        away: Callable[[Who], bool],
        over: Callable[[Who], Awaitable[None]],
    ) -> None:
        self._loop = loop
        self._sure = sure
        self._away = away
        self._over = over
        self._timers: dict[Who, asyncio.TimerHandle] = {}
        self._tasks = Tasks(loop)

    def start(self, who: Who, seconds: float) -> None:
        """Await somebody from now on, whatever was left of its grace."""
        self.stop(who)
        self._timers[who] = self._loop.call_later(seconds, self._run_out, who)

    def stop(self, who: Who) -> None:
        """Somebody is awaited no longer, if it was."""
        timer = self._timers.pop(who, None)
        if timer is not None:
            timer.cancel()

    def stop_all(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def __contains__(self, who: Who) -> bool:
        """Whether somebody is awaited."""
        return who in self._timers

    def _run_out(self, who: Who) -> None:
        del self._timers[who]
        self._tasks.spawn(self._end(who))

    async def _end(self, who: Who) -> None:
        sure = await self._sure()
        if who in self or not self._away(who):
            return
        if sure:
            await self._over(who)
        else:
            self.start(who, RETRY)
