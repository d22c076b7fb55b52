"""The event bus, which publishes events after the commit: its interface, and the bus of a single process.

The database is the source of truth, and events on the bus may be lost: a subscriber that finds a gap in the
sequence numbers reads the missing rows. The events of one publisher are delivered in their order.
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
"""The unit of subscription to events of other processes: a thread, or a person with sockets here."""


class Bus(Protocol):
    def add_handler(self, handler: EventHandler, *event_types: type[Event]) -> None:
        """Call ``handler`` for events of these types, of this process and of subscribed channels."""
        ...

    def publish(self, event: Event) -> None:
        """Deliver ``event`` to the handlers of its type. To be called on the loop.

        The handlers of this process are called immediately. Other processes that have subscribed to one of
        the channels of the event (``events.event_channels``) receive the event soon after.
        """
        ...

    async def subscribe(self, channel: Channel) -> None:
        """Receive the events that other processes publish on ``channel``.

        Returns when the subscription is effective. While the bus is disconnected, returns immediately: missed
        events are then read from the database as soon as the bus is connected again. A second subscription to
        the same channel has no effect.
        """
        ...

    def unsubscribe(self, channel: Channel) -> None:
        """Stop receiving the events of ``channel``."""
        ...

    async def has_remote_subscriber(self, channel: Channel) -> bool:
        """Return True if another process has subscribed to ``channel``; False while disconnected."""
        ...


class LocalBus:
    """The bus of a single process, which calls the handlers directly."""

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
                # The event is stored, so clients get it when they reconnect. Other handlers still get it now.
                log.exception("a subscriber failed on %s", type(event).__name__)

    async def subscribe(self, channel: Channel) -> None:
        """Do nothing: there are no other processes."""

    def unsubscribe(self, channel: Channel) -> None:
        """Do nothing: there are no other processes."""

    async def has_remote_subscriber(self, channel: Channel) -> bool:
        return False
