"""The bus of many processes: Redis's publish/subscribe, a channel for each thread and person.

Each event is encoded once and published on the channels of ``events.channels``, one or two, so that what
it costs does not depend on the number of processes.
"""

from tornado_chat import config
from tornado_chat.cluster.bus import Channel, LocalBus, Subscriber
from tornado_chat.cluster.codec import EVENTS
from tornado_chat.cluster.redis_link import Link, Times
from tornado_chat.core.events import COORDINATED, Event, channels
from tornado_chat.core.types import Thread

COORDINATOR = "coordinator"
"""The channel that the process which coordinates listens to."""


def channel_name(channel: Channel) -> str:
    if isinstance(channel, Thread):
        return f"thread:{channel.kind:d}:{channel.id}"
    return f"person:{channel.key}"


class RedisBus:
    """:arg process: what this process is called, unlike any other, earlier ones included."""

    def __init__(self, settings: config.Cluster, process: str, *, times: Times | None = None) -> None:
        self.link = Link(settings, process, times)
        self._local = LocalBus()
        for kind in EVENTS:
            self.link.handle(kind, self._receive)

    async def start(self) -> None:
        """Returns when Redis is there, or the first attempt to reach it has failed. It goes on trying for ever."""
        await self.link.start()

    async def stop(self) -> None:
        await self.link.stop()

    @property
    def problem(self) -> str:
        """A sentence, or nothing while Redis is there."""
        return self.link.problem

    def subscribe(self, subscriber: Subscriber, *kinds: type[Event]) -> None:
        self._local.subscribe(subscriber, *kinds)

    def publish(self, event: Event) -> None:
        self._local.publish(event)
        names = [channel_name(channel) for channel in channels(event)]
        if isinstance(event, COORDINATED):
            names.append(COORDINATOR)
        if names:
            self.link.say(event, *names)

    def _receive(self, process: str, event: Event) -> None:
        self._local.publish(event)

    async def tune_in(self, channel: Channel) -> None:
        await self.link.tune_in(channel_name(channel))

    def tune_out(self, channel: Channel) -> None:
        self.link.tune_out(channel_name(channel))

    async def elsewhere(self, channel: Channel) -> bool:
        return await self.link.elsewhere(channel_name(channel))
