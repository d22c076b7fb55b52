"""The time limits of open offers; on the coordinator only, and built again from the database by the next one.

A late or repeated expiry does no harm: it takes effect only on an offer at the same candidate.
"""

import asyncio
import logging
from collections.abc import Callable

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import Event, OfferChanged
from tornado_chat.core.types import Offer, OfferState
from tornado_chat.observability.logs import fields
from tornado_chat.services.handover.steps import OfferSteps
from tornado_chat.services.leadership.retries import retry_seconds
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import handovers

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0  # seconds until a failed write is tried again


class OfferTimers:
    """A timer for each open offer with a candidate.

    :arg clock: microseconds since 1970.
    """

    def __init__(
        self, store: Store, steps: OfferSteps, loop: asyncio.AbstractEventLoop, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._steps = steps
        self._loop = loop
        self._clock = clock
        self._tasks = BackgroundTasks(loop)
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._is_running = False

    async def begin(self) -> None:
        """Start a term with the open offers. :raises Unavailable: the database is away."""
        self.end()
        self._is_running = True  # offers that are made during the query are taken over as events
        await self.resync()

    def end(self) -> None:
        """End the term: let no offer expire."""
        self._is_running = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def resync(self) -> None:
        """Read the open offers, as events may have been missed. :raises Unavailable: the database is away."""
        for offer in await self._store.read(handovers.open_offers):
            self._watch(offer)

    events = (OfferChanged,)

    def on_event(self, event: Event) -> None:
        """Take over the change of an offer; called for the types in ``events``."""
        if isinstance(event, OfferChanged):
            self._watch(event.offer)

    # --- inside ---

    def _watch(self, offer: Offer, seconds: float | None = None) -> None:
        timer = self._timers.pop(offer.id, None)
        if timer is not None:
            timer.cancel()
        if self._is_running and offer.is_open and offer.deadline is not None:
            if seconds is None:  # the clock may have been set back
                remaining = min(offer.deadline - self._clock(), offer.timeout)
                seconds = max(0.0, remaining / 1_000_000)
            self._timers[offer.id] = self._loop.call_later(seconds, self._on_due, offer)

    def _on_due(self, offer: Offer) -> None:
        self._timers.pop(offer.id, None)
        self._tasks.spawn(self._expire(offer))

    async def _expire(self, offer: Offer) -> None:
        try:
            await self._steps.advance(offer, OfferState.EXPIRED)
        except Exception as error:
            log.warning(
                "the end of an offer could not be stored, trying again: %s",
                error,
                exc_info=None if isinstance(error, ChatError) else error,
                extra=fields(**offer.thread.named),
            )
            if offer.id not in self._timers:
                self._watch(offer, retry_seconds(error, RETRY_SECONDS))
