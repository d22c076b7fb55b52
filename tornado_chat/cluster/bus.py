"""Spreading events after the commit: the interface, and the bus of a single process.

The bus carries hints, the database is the truth: a subscriber that finds a gap in the sequence
numbers reads the missing rows. Delivery is in order per publisher.
"""

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from tornado_chat.core.events import Event
from tornado_chat.core.types import Person, Thread

log = logging.getLogger(__name__)

Subscriber = Callable[[Event], None]

Channel = Thread | Person
"""Where an event of another process is heard: by those who follow a thread, or hold a person's sockets."""


class Bus(Protocol):
    def subscribe(self, subscriber: Subscriber, *kinds: type[Event]) -> None:
        """Call ``subscriber`` for events of these kinds."""
        ...

    def publish(self, event: Event) -> None:
        """Give ``event`` to every subscriber of its kind: at once in this process, soon in every other that has
        tuned in to one of its channels (``events.channels``). On the loop."""
        ...

    async def tune_in(self, channel: Channel) -> None:
        """Hear what other processes publish on ``channel``.

        Returns when nothing that is published from now on is missed, or at once while the bus is away: then
        what was missed is looked for in the database as soon as it is back. Tuning in twice is tuning in once.
        """
        ...

    def tune_out(self, channel: Channel) -> None:
        """Hear no more of ``channel``."""
        ...

    async def elsewhere(self, channel: Channel) -> bool:
        """Whether another process has tuned in to ``channel``. No, while the bus is away."""
        ...


class LocalBus:
    """The bus of one process: a call."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[type[Event], list[Subscriber]] = defaultdict(list)

    def subscribe(self, subscriber: Subscriber, *kinds: type[Event]) -> None:
        for kind in kinds:
            self._subscribers[kind].append(subscriber)

    def publish(self, event: Event) -> None:
        for subscriber in self._subscribers[type(event)]:
            try:
                subscriber(event)
            except Exception:
                # The event is stored; the next reconnect shows it. The others must still hear it.
                log.exception("a subscriber failed on %s", type(event).__name__)

    async def tune_in(self, channel: Channel) -> None:
        """There is no other process."""

    def tune_out(self, channel: Channel) -> None:
        """There is no other process."""

    async def elsewhere(self, channel: Channel) -> bool:
        return False
