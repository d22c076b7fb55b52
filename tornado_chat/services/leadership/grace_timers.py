"""Waiting a while for somebody to come back."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from tornado_chat.aio.background import BackgroundTasks

RETRY_SECONDS = 5.0  # seconds until it is asked again whether somebody is gone who cannot be known to be

Who = TypeVar("Who", bound=Hashable)


class GraceTimers(Generic[Who]):
    """Those who are gone and may come back in time.

    A grace ends once, by ``on_expired``, and only for somebody who is ``is_away`` at that moment and is not awaited anew;
    nobody's ends while it is not ``is_certain`` who is there: then everybody gets a little longer.

    :arg is_certain: whether what is known of other processes is up to date. It may take its time to find out.
    :arg is_away: whether somebody is still known here, and is not back.
    :arg on_expired: what is to be done about somebody who has not come back.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        is_certain: Callable[[], Awaitable[bool]],
        is_away: Callable[[Who], bool],
        on_expired: Callable[[Who], Awaitable[None]],
    ) -> None:
        self._loop = loop
        self._is_certain = is_certain
        self._is_away = is_away
        self._on_expired = on_expired
        self._timers: dict[Who, asyncio.TimerHandle] = {}
        self._tasks = BackgroundTasks(loop)

    def start(self, key: Who, seconds: float) -> None:
        """Await somebody from now on, whatever was left of its grace."""
        self.stop(key)
        self._timers[key] = self._loop.call_later(seconds, self._expire, key)

    def stop(self, key: Who) -> None:
        """Somebody is awaited no longer, if it was."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def stop_all(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def __contains__(self, key: Who) -> bool:
        """Whether somebody is awaited."""
        return key in self._timers

    def _expire(self, key: Who) -> None:
        del self._timers[key]
        self._tasks.spawn(self._check(key))

    async def _check(self, key: Who) -> None:
        is_certain = await self._is_certain()
        if key in self or not self._is_away(key):
            return
        if is_certain:
            await self._on_expired(key)
        else:
            self.start(key, RETRY_SECONDS)
