"""The other processes that share the work, if there are any: meeting them, and leaving.

Strategy: ``Clustered`` are met over Redis. ``Standalone`` stands in their place where there are none: what would be messages
are calls. The server treats both alike: it has their bus at once, gives them the rest in the order in which that is
built (``connect_coordinator``, then ``resync``), and may ``join`` after that.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Mapping

from tornado_chat import config
from tornado_chat.cluster.bus import LocalBus
from tornado_chat.cluster.facts import LocalCoordinatorClient, always_certain
from tornado_chat.cluster.leader_election import ClusterMember
from tornado_chat.cluster.redis_bus import RedisBus
from tornado_chat.core.errors import ChatError
from tornado_chat.delivery.hub import Hub
from tornado_chat.services.coordinator.coordinator import Coordinator
from tornado_chat.services.coordinator.resync import Resynchronizer
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.leadership.partition_flag import PartitionFlag
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.support.local_conversations import LocalConversations

SETTLING_SECONDS = 1.0  # seconds in which the other processes tell a new coordinator who is there


class Standalone:
    """This process is alone, and coordinates itself.

    :ivar is_clustered: whether there are others.
    :ivar bus: it only tells this process.
    :ivar settle_seconds: seconds until a new coordinator knows who is there.
    :ivar problems: what stands between us, by part: for ``Readiness``.
    """

    is_clustered = False
    settle_seconds = 0.0

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.problems: Mapping[str, Callable[[], str]] = {}

    def connect_coordinator(self, coordinator: Coordinator, store: Store) -> LocalCoordinatorClient:
        """The way to ``coordinator``."""
        self._coordinator = coordinator
        return LocalCoordinatorClient(coordinator)

    def resync(self, hub: Hub, counselling: Counselling, local_conversations: LocalConversations) -> None:
        """Nothing is ever missed."""

    async def join(self) -> None:
        """Coordinate. :raises Unavailable: the database is away."""
        await self._coordinator.begin()

    async def is_certain(self) -> bool:
        """Whether who seems to be gone is gone."""
        return await always_certain()

    def stop_deciding(self) -> None:
        """End no grace and make no match from now on: the server stops."""
        self._coordinator.end()

    async def leave(self) -> None:
        """There is nobody to be told."""


class Clustered:
    """Processes with the same Redis and database, of which one coordinates.

    :ivar is_clustered: whether there are others.
    :ivar bus: it tells this process and all others.
    :ivar settle_seconds: seconds until a new coordinator knows who is there.
    :ivar problems: what stands between us, by part: for ``Readiness``.
    """

    is_clustered = True
    settle_seconds = SETTLING_SECONDS

    def __init__(self, settings: config.Cluster, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.bus = RedisBus(settings, _make_process_name())
        self.problems: Mapping[str, Callable[[], str]] = {"redis": lambda: self.bus.problem}

    def connect_coordinator(self, coordinator: Coordinator, store: Store) -> ClusterMember:
        """The way to the one that coordinates, which may be our ``coordinator``."""
        self._coordinator = coordinator
        self._store = store
        self._partition_flag = PartitionFlag(store)
        self._coordinator_client = ClusterMember(self.bus.link, coordinator, self._loop)
        return self._coordinator_client

    def resync(self, hub: Hub, counselling: Counselling, local_conversations: LocalConversations) -> None:
        """Have them look for what the bus does not bring, from ``join`` on."""
        self._resynchronizer = again = Resynchronizer(
            hub,
            self._store,
            counselling,
            local_conversations,
            self._coordinator,
            self._coordinator_client,
            self._partition_flag,
        )
        self.bus.link.add_callbacks(
            on_disconnect=again.on_disconnect, on_reconnect=again.on_reconnect, on_resync=again.request
        )

    async def join(self) -> None:
        """Find who coordinates, if anybody can be reached; else they are looked for until there is somebody."""
        await self.bus.start()
        await self._coordinator_client.start()
        self._resynchronizer.start(self._loop)

    async def is_certain(self) -> bool:
        """Whether who seems to be gone is gone."""
        return (
            self._coordinator_client.is_certain
            and not await self._partition_flag.is_set_by_any_process()
            and self._coordinator_client.is_certain
        )

    def stop_deciding(self) -> None:
        """Whoever coordinates does so until it leaves, for the others."""

    async def leave(self) -> None:
        """Say goodbye, when all that was decided here is stored and told."""
        await self._resynchronizer.stop()
        await self._coordinator_client.stop()
        with contextlib.suppress(ChatError):
            # What was decided at the last moment is to be told, too: nobody else will.
            await self._store.write(lambda tx: None)
        await self.bus.stop()


def _make_process_name() -> str:
    """What this process is called among all that share the work, earlier ones included."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
