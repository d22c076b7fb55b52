"""The bus of several processes: publish/subscribe of Redis, with a channel for each thread and person.

Each event is encoded once and published on the one or two channels of ``events.event_channels``, so that the
cost of an event does not depend on the number of processes.
"""

from tornado_chat import config
from tornado_chat.cluster.bus import Channel, EventHandler, LocalBus
from tornado_chat.cluster.codec import EVENTS
from tornado_chat.cluster.redis_link import Link, LinkTimings
from tornado_chat.core.events import COORDINATOR_EVENTS, Event, event_channels
from tornado_chat.core.types import Thread

COORDINATOR_CHANNEL = "coordinator"
"""The channel that the coordinating process subscribes to."""


def channel_name(channel: Channel) -> str:
    if isinstance(channel, Thread):
        return f"thread:{channel.kind:d}:{channel.id}"
    return f"person:{channel.key}"


class RedisBus:
    """The bus between the processes of a cluster.

    :arg process: the name of this process, which no other process has or had.
    """

    def __init__(
        self, settings: config.Cluster, process: str, *, link_timings: LinkTimings | None = None
    ) -> None:
        self.link = Link(settings, process, link_timings)
        self._local = LocalBus()
        for event_type in EVENTS:
            self.link.add_handler(event_type, self._receive)

    async def start(self) -> None:
        """Connect; returns when connected, or when the first attempt has failed.

        Attempts are repeated for ever.
        """
        await self.link.start()

    async def stop(self) -> None:
        await self.link.stop()

    @property
    def problem(self) -> str:
        """A description of the problem with Redis; empty while connected."""
        return self.link.problem

    def add_handler(self, handler: EventHandler, *event_types: type[Event]) -> None:
        self._local.add_handler(handler, *event_types)

    def publish(self, event: Event) -> None:
        self._local.publish(event)
        names = [channel_name(channel) for channel in event_channels(event)]
        if isinstance(event, COORDINATOR_EVENTS):
            names.append(COORDINATOR_CHANNEL)
        if names:
            self.link.publish(event, *names)

    def _receive(self, process: str, event: Event) -> None:
        self._local.publish(event)

    async def subscribe(self, channel: Channel) -> None:
        await self.link.subscribe(channel_name(channel))

    def unsubscribe(self, channel: Channel) -> None:
        self.link.unsubscribe(channel_name(channel))

    async def has_remote_subscriber(self, channel: Channel) -> bool:
        return await self.link.has_remote_subscriber(channel_name(channel))
