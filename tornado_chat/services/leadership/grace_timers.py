"""Grace timers: waiting for absent participants to return."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from tornado_chat.aio.background import BackgroundTasks

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0  # seconds by which an expired timer is extended while the presence is uncertain

MAX_LATE_SECONDS = 1.0
"""A timer that ends later shows that the process stood still: it was suspended, or its loop was blocked."""

Participant = TypeVar("Participant", bound=Hashable)


class GraceTimers(Generic[Participant]):
    """The timers of participants who are absent and may return in time.

    A timer calls ``on_expired`` once, and only if ``is_away`` still holds and the timer has not been started
    again. While the presence of participants is not certain, no timer ends: each is extended by
    ``RETRY_SECONDS``. The same happens if a function fails. After a standstill of the process, a timer is
    extended once by its length, ``RETRY_SECONDS`` at most: participants may have returned meanwhile, and
    their connections wait to be accepted.

    :arg is_certain: returns True if the knowledge of other processes is up to date; may take some time.
    :arg is_away: returns True if the participant is still known here and has not returned.
    :arg on_expired: called for a participant who has not returned in time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        is_certain: Callable[[], Awaitable[bool]],
        is_away: Callable[[Participant], bool],
        on_expired: Callable[[Participant], Awaitable[None]],
    ) -> None:
        self._loop = loop
        self._is_certain = is_certain
        self._is_away = is_away
        self._on_expired = on_expired
        self._timers: dict[Participant, asyncio.TimerHandle] = {}
        self._tasks = BackgroundTasks(loop)

    def start(self, key: Participant, seconds: float) -> None:
        """Start the timer of a participant; one that is running starts again."""
        self.stop(key)
        due = self._loop.time() + seconds
        self._timers[key] = self._loop.call_at(due, self._expire, key, due)

    def stop(self, key: Participant) -> None:
        """Stop the timer of a participant, if there is one."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def stop_all(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def __contains__(self, key: Participant) -> bool:
        """Return True if the participant has a running timer."""
        return key in self._timers

    def _expire(self, key: Participant, due: float) -> None:
        del self._timers[key]
        late_seconds = self._loop.time() - due
        if late_seconds > MAX_LATE_SECONDS:
            # Once, or a process that is always late would end no grace.
            seconds = min(late_seconds, RETRY_SECONDS)
            self._timers[key] = self._loop.call_later(seconds, self._expire, key, math.inf)
        else:
            self._tasks.spawn(self._check(key))

    async def _check(self, key: Participant) -> None:
        """End the grace, or start the timer again: no error may leave a participant without a timer."""
        try:
            is_certain = await self._is_certain()
            if key in self or not self._is_away(key):
                return
            if is_certain:
                await self._on_expired(key)
                return
        except Exception:
            log.exception("the end of a grace failed, trying again")
            if key in self or not self._is_away(key):
                return
        self.start(key, RETRY_SECONDS)
