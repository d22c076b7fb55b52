"""Spreading events after the commit: the interface, and the bus of a single process.

The bus carries hints, the database is the truth: a subscriber that finds a gap in the sequence
numbers reads the missing rows. Delivery is in order per publisher.
"""

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from tornado_chat.events import Event

log = logging.getLogger(__name__)

Subscriber = Callable[[Event], None]


class Bus(Protocol):
    def subscribe(self, subscriber: Subscriber, *kinds: type[Event]) -> None:
        """Call ``subscriber`` for events of these kinds."""
        ...

    def publish(self, event: Event) -> None:
        """Give ``event`` to every subscriber of its kind, in every process, the own one included. On the loop."""
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
