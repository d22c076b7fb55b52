"""The other processes that share the work, if there are any: meeting them, and leaving.

Strategy: ``Others`` are met over Redis. ``Nobody`` stands in their place where there are none: what would be messages
are calls. The server treats both alike: it has their bus at once, gives them the rest in the order in which that is
built (``coordinate``, then ``look_again``), and may ``join`` after that.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Mapping

from tornado_chat import config
from tornado_chat.cluster.bus import LocalBus
from tornado_chat.cluster.facts import Alone, always_sure
from tornado_chat.cluster.leader_election import RedisCoordination
from tornado_chat.cluster.redis_bus import RedisBus
from tornado_chat.core.errors import ChatError
from tornado_chat.delivery.hub import Hub
from tornado_chat.services.coordinator.coordinator import Coordinator
from tornado_chat.services.coordinator.resync import LookingAgain
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.leadership.partition_flag import CutOff
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.support.local_conversations import Floor

SETTLING = 1.0  # seconds in which the other processes tell a new coordinator who is there


class Nobody:
    """This process is alone, and coordinates itself.

    :ivar there: whether there are others.
    :ivar bus: it only tells this process.
    :ivar settling: seconds until a new coordinator knows who is there.
    :ivar problems: what stands between us, by part: for ``Readiness``.
    """

    there = False
    settling = 0.0

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.problems: Mapping[str, Callable[[], str]] = {}

    def coordinate(self, coordinator: Coordinator, store: Store) -> Alone:
        """The way to ``coordinator``."""
        self._coordinator = coordinator
        return Alone(coordinator)

    def look_again(self, hub: Hub, counselling: Counselling, floor: Floor) -> None:
        """Nothing is ever missed."""

    async def join(self) -> None:
        """Coordinate. :raises Unavailable: the database is away."""
        await self._coordinator.begin()

    async def sure(self) -> bool:
        """Whether who seems to be gone is gone."""
        return await always_sure()

    def stop_deciding(self) -> None:
        """End no grace and make no match from now on: the server stops."""
        self._coordinator.end()

    async def leave(self) -> None:
        """There is nobody to be told."""


class Others:
    """Processes with the same Redis and database, of which one coordinates.

    :ivar there: whether there are others.
    :ivar bus: it tells this process and all others.
    :ivar settling: seconds until a new coordinator knows who is there.
    :ivar problems: what stands between us, by part: for ``Readiness``.
    """

    there = True
    settling = SETTLING

    def __init__(self, settings: config.Cluster, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.bus = RedisBus(settings, _unlike_any_other())
        self.problems: Mapping[str, Callable[[], str]] = {"redis": lambda: self.bus.problem}

    def coordinate(self, coordinator: Coordinator, store: Store) -> RedisCoordination:
        """The way to the one that coordinates, which may be our ``coordinator``."""
        self._coordinator = coordinator
        self._store = store
        self._cut_off = CutOff(store)
        self._coordination = RedisCoordination(self.bus.link, coordinator, self._loop)
        return self._coordination

    def look_again(self, hub: Hub, counselling: Counselling, floor: Floor) -> None:
        """Have them look for what the bus does not bring, from ``join`` on."""
        self._looking_again = again = LookingAgain(
            hub, self._store, counselling, floor, self._coordinator, self._coordination, self._cut_off
        )
        self.bus.link.watch(away=again.away, back=again.back, look=again.look)

    async def join(self) -> None:
        """Find who coordinates, if anybody can be reached; else they are looked for until there is somebody."""
        await self.bus.start()
        await self._coordination.start()
        self._looking_again.start(self._loop)

    async def sure(self) -> bool:
        """Whether who seems to be gone is gone."""
        return self._coordination.sure and not await self._cut_off.anybody() and self._coordination.sure

    def stop_deciding(self) -> None:
        """Whoever coordinates does so until it leaves, for the others."""

    async def leave(self) -> None:
        """Say goodbye, when all that was decided here is stored and told."""
        await self._looking_again.stop()
        await self._coordination.stop()
        with contextlib.suppress(ChatError):
            # What was decided at the last moment is to be told, too: nobody else will.
            await self._store.write(lambda tx: None)
        await self.bus.stop()


def _unlike_any_other() -> str:
    """What this process is called among all that share the work, earlier ones included."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
