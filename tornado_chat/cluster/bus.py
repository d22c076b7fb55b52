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

EventHandler = Callable[[Event], None]

Channel = Thread | Person
"""Where an event of another process is heard: by those who follow a thread, or hold a person's sockets."""


class Bus(Protocol):
    def add_handler(self, handler: EventHandler, *event_types: type[Event]) -> None:
        """Call ``handler`` for events of these kinds."""
        ...

    def publish(self, event: Event) -> None:
        """Give ``event`` to every subscriber of its kind: at once in this process, soon in every other that has
        tuned in to one of its channels (``events.channels``). On the loop."""
        ...

    async def subscribe(self, channel: Channel) -> None:
        """Hear what other processes publish on ``channel``.

        Returns when nothing that is published from now on is missed, or at once while the bus is away: then
        what was missed is looked for in the database as soon as it is back. Tuning in twice is tuning in once.
        """
        ...

    def unsubscribe(self, channel: Channel) -> None:
        """Hear no more of ``channel``."""
        ...

    async def has_remote_subscriber(self, channel: Channel) -> bool:
        """Whether another process has tuned in to ``channel``. No, while the bus is away."""
        ...


class LocalBus:
    """The bus of one process: a call."""

    def __init__(self) -> None:
        self._handlers: defaultdict[type[Event], list[EventHandler]] = defaultdict(list)

    def add_handler(self, handler: EventHandler, *event_types: type[Event]) -> None:
        for event_type in event_types:
            self._handlers[event_type].append(handler)

    def publish(self, event: Event) -> None:
        for handler in self._handlers[type(event)]:
            try:
                handler(event)
            except Exception:
                # The event is stored; the next reconnect shows it. The others must still hear it.
                log.exception("a subscriber failed on %s", type(event).__name__)

    async def subscribe(self, channel: Channel) -> None:
        """There is no other process."""

    def unsubscribe(self, channel: Channel) -> None:
        """There is no other process."""

    async def has_remote_subscriber(self, channel: Channel) -> bool:
        return False
