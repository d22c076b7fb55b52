"""The two modes of a server: one process alone, or several processes that share the work.

Strategy: ``Clustered`` connects the processes over Redis. In ``Standalone`` mode there is one process, and
calls replace messages. The server treats both alike: it uses the bus at once, passes the other parts in the
order in which they are built (``connect_coordinator``, then ``set_up_resync``), and calls ``join`` when it
starts.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping

from tornado_chat import config
from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cluster.bus import LocalBus
from tornado_chat.cluster.facts import LocalCoordinatorClient, always_certain
from tornado_chat.cluster.leader_election import ClusterMember
from tornado_chat.cluster.messages import DatabaseWentBack
from tornado_chat.cluster.redis_bus import RedisBus
from tornado_chat.cluster.redis_link import ALL_PROCESSES_CHANNEL
from tornado_chat.core.errors import ChatError
from tornado_chat.delivery.hub import Hub
from tornado_chat.services.coordinator.coordinator import Coordinator
from tornado_chat.services.coordinator.resync import Resynchronizer
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.handover.notices import OfferNotices
from tornado_chat.services.leadership.partition_flag import PartitionFlag
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.supervision.observers import Observers
from tornado_chat.services.support.local_conversations import LocalConversations

log = logging.getLogger(__name__)

REPORT_INTERVAL_SECONDS, REPORT_COUNT = 2.0, 30  # of reports that the database has gone back

SETTLE_SECONDS = 1.0  # seconds in which the processes report their presence facts to a new coordinator


class Standalone:
    """The mode of a single process, which is its own coordinator.

    :ivar is_clustered: whether there may be other processes.
    :ivar bus: publishes within this process.
    :ivar settle_seconds: seconds until a new coordinator knows the presence facts of all processes.
    :ivar problems: functions by part that return a problem with the connection to the other processes, or
        an empty text; for ``Readiness``.
    """

    is_clustered = False
    settle_seconds = 0.0

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.problems: Mapping[str, Callable[[], str]] = {}

    def on_other_went_back(self, callback: Callable[[], None]) -> None:
        """Do nothing: there is no other process."""

    def announce_went_back(self, detected: int) -> None:
        """Do nothing: there is no other process."""

    def connect_coordinator(self, coordinator: Coordinator, store: Store) -> LocalCoordinatorClient:
        """Return a client that calls ``coordinator``."""
        self._coordinator = coordinator
        return LocalCoordinatorClient(coordinator)

    def set_up_resync(
        self,
        hub: Hub,
        counselling: Counselling,
        local_conversations: LocalConversations,
        observers: Observers,
        offer_notices: OfferNotices,
    ) -> None:
        """Do nothing: within one process no event is missed."""

    async def join(self) -> None:
        """Start to coordinate.

        :raises Unavailable: the database cannot be reached.
        """
        await self._coordinator.begin()

    async def is_certain(self) -> bool:
        """Return True: a single process knows the presence of all participants."""
        return await always_certain()

    def holds_lease(self) -> bool:
        """Return True: a single process is always its own coordinator."""
        return True

    def stop_deciding(self) -> None:
        """Let no grace timer expire and make no match from now on, as the server stops."""
        self._coordinator.end()

    async def step_down(self) -> None:
        """Decide nothing from now on, as the database has gone back."""
        self.stop_deciding()

    async def leave(self) -> None:
        """Do nothing: there is no other process to inform."""


class Clustered:
    """The mode of processes with the same Redis and database, of which one is the coordinator.

    :ivar is_clustered: whether there may be other processes.
    :ivar bus: publishes within this process and to all others.
    :ivar settle_seconds: seconds until a new coordinator knows the presence facts of all processes.
    :ivar problems: functions by part that return a problem with the connection to the other processes, or
        an empty text; for ``Readiness``.
    """

    is_clustered = True
    settle_seconds = SETTLE_SECONDS

    def __init__(self, settings: config.Cluster, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.bus = RedisBus(settings, _make_process_name())
        self._started = now_microseconds()
        self._report_timer: asyncio.TimerHandle | None = None
        self.problems: Mapping[str, Callable[[], str]] = {"redis": lambda: self.bus.problem}

    def on_other_went_back(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` if another process reports that the database has gone back since this start."""

        def on_report(process: str, message: DatabaseWentBack) -> None:
            if message.detected > self._started:
                log.error("%s reports that the database has gone back to an older copy", process)
                callback()

        self.bus.link.add_handler(DatabaseWentBack, on_report)

    def announce_went_back(self, detected: int) -> None:
        """Report to all other processes that the database has gone back.

        The report is repeated, as Redis may be away together with the database, for some processes longer
        than for others. A process that has started afresh ignores it.

        :arg detected: the time at which this was noticed, in microseconds since 1970.
        """
        self._report(DatabaseWentBack(detected), REPORT_COUNT)

    def _report(self, report: DatabaseWentBack, count: int) -> None:
        self.bus.link.publish(report, ALL_PROCESSES_CHANNEL)
        if count > 1:
            self._report_timer = self._loop.call_later(
                REPORT_INTERVAL_SECONDS, self._report, report, count - 1
            )

    def connect_coordinator(self, coordinator: Coordinator, store: Store) -> ClusterMember:
        """Return a client of the present coordinator, which may be ``coordinator`` of this process."""
        self._coordinator = coordinator
        self._store = store
        self._partition_flag = PartitionFlag(store)
        self._coordinator_client = ClusterMember(self.bus.link, coordinator, self._loop)
        return self._coordinator_client

    def set_up_resync(
        self,
        hub: Hub,
        counselling: Counselling,
        local_conversations: LocalConversations,
        observers: Observers,
        offer_notices: OfferNotices,
    ) -> None:
        """Make these parts read from the database what the bus does not deliver, from ``join`` on."""
        self._resynchronizer = resynchronizer = Resynchronizer(
            hub,
            self._store,
            counselling,
            local_conversations,
            observers,
            offer_notices,
            self._coordinator,
            self._coordinator_client,
            self._partition_flag,
        )
        self.bus.link.add_callbacks(
            on_disconnect=resynchronizer.on_disconnect,
            on_reconnect=resynchronizer.on_reconnect,
            on_resync=resynchronizer.request,
        )

    async def join(self) -> None:
        """Connect to Redis and take part in the election of the coordinator.

        If Redis cannot be reached, the process keeps trying while it serves.
        """
        await self.bus.start()
        await self._coordinator_client.start()
        self._resynchronizer.start(self._loop)

    async def is_certain(self) -> bool:
        """Return True if participants without a known connection are known to be absent.

        The state of the client is checked on both sides of the queries, as it may change meanwhile.
        """
        return (
            self._coordinator_client.is_certain
            and not await self._partition_flag.is_set_by_any_process()
            # A participant may have returned while this process, the database or Redis stood still.
            and await self.bus.link.synchronize()
            and self._coordinator_client.is_certain
        )

    def holds_lease(self) -> bool:
        """Return True while this process alone may decide; called on the loop and on the writer's thread."""
        return self._coordinator_client.holds_lease

    def stop_deciding(self) -> None:
        """Do nothing: a coordinator decides for the other processes until it leaves."""

    async def step_down(self) -> None:
        """Decide nothing from now on, as the database has gone back."""
        await self._coordinator_client.step_down()

    async def leave(self) -> None:
        """Leave the cluster when all decisions of this process are stored and published."""
        if self._report_timer is not None:
            self._report_timer.cancel()
        await self._resynchronizer.stop()
        await self._coordinator_client.stop()
        with contextlib.suppress(ChatError):
            # Wait for the last commits: no other process would publish their events.
            await self._store.write(lambda tx: None)
        await self.bus.stop()


def _make_process_name() -> str:
    """Return a name that is unique among all processes of the cluster, earlier ones included."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
