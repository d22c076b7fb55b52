"""Resync: reads from the database the changes whose events the bus lost, during its outage and after.

The bus carries hints, the database is the truth. While the bus is away, every process queries the database
each second for changes of its participants; so an outage costs time and no message. If only one process has
lost the bus, it sets its partition flag in the database, and the other processes query each second, too. When
the bus is back, one resync finds the missed events. Events that no process has received, because the
publishing process died just before, are found by the coordinator, which resyncs every
``ADOPT_INTERVAL_SECONDS``.
"""

import asyncio
import logging

from tornado_chat.aio.periodic import run_forever
from tornado_chat.cluster.leader_election import ClusterMember
from tornado_chat.core.errors import ChatError
from tornado_chat.delivery.hub import Hub
from tornado_chat.services.coordinator.coordinator import Coordinator
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.handover.notices import OfferNotices
from tornado_chat.services.leadership.partition_flag import PartitionFlag
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.services.supervision.observers import Observers
from tornado_chat.services.support.local_conversations import LocalConversations
from tornado_chat.storage import threads

log = logging.getLogger(__name__)

OUTAGE_INTERVAL_SECONDS = 1.0  # between two resyncs during an outage
CHECK_INTERVAL_SECONDS = 2.0  # between two checks for the partition flags of other processes
ADOPT_INTERVAL_SECONDS = 30.0  # between two resyncs of the coordinator without an outage


class Resynchronizer:
    """Runs the resyncs in a background task, from ``start`` to ``stop``."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        counselling: Counselling,
        local_conversations: LocalConversations,
        observers: Observers,
        offer_notices: OfferNotices,
        coordinator: Coordinator,
        coordinator_client: ClusterMember,
        partition_flag: PartitionFlag,
    ) -> None:
        self._hub = hub
        self._store = store
        self._counselling = counselling
        self._local_conversations = local_conversations
        self._observers = observers
        self._offer_notices = offer_notices
        self._coordinator = coordinator
        self._coordinator_client = coordinator_client
        self._partition_flag = partition_flag
        self._is_bus_away = self._is_other_process_away = False
        self._last_adopted = 0.0
        self._requested = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._last_adopted = loop.time()
        self._task = loop.create_task(run_forever(self._run_once, "the resync", OUTAGE_INTERVAL_SECONDS))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def on_disconnect(self) -> None:
        """Start the periodic resyncs: the connection to the bus is lost."""
        self._is_bus_away = True
        self._requested.set()

    def on_reconnect(self) -> None:
        """Resync once: the bus is connected again, and only earlier events may have been missed."""
        self._is_bus_away = False
        self._requested.set()

    def request(self) -> None:
        """Request a resync, because an event of another process may have been missed."""
        self._requested.set()

    async def _run_once(self) -> None:
        loop = asyncio.get_running_loop()
        is_outage = self._is_bus_away or self._is_other_process_away
        try:
            async with asyncio.timeout(OUTAGE_INTERVAL_SECONDS if is_outage else CHECK_INTERVAL_SECONDS):
                await self._requested.wait()
        except TimeoutError:
            self._is_other_process_away = (
                not self._is_bus_away and await self._partition_flag.is_set_by_any_process()
            )
            if self._is_bus_away or self._is_other_process_away:
                await self._resync(include_sockets=True)
            elif loop.time() >= self._last_adopted + ADOPT_INTERVAL_SECONDS:
                self._last_adopted = loop.time()
                await self._resync(include_sockets=False)
        else:
            self._requested.clear()
            if not self._is_bus_away:  # during an outage, the timeout above does the resync
                await self._resync(include_sockets=True, republish=True)

    async def _resync(self, *, include_sockets: bool, republish: bool = False) -> None:
        try:
            if self._is_bus_away:
                await self._partition_flag.set()
            if include_sockets:
                await self._resync_messages()
                await self._counselling.resync()
                await self._local_conversations.resync()
                await self._observers.resync()
                await self._offer_notices.resync()
            if self._coordinator_client.is_coordinator:
                await self._coordinator.resync()
                if republish and not self._is_bus_away:
                    self._coordinator.republish()
        except Exception as error:
            if isinstance(error, ChatError):
                log.warning("missed events could not be read, trying again: %s", error)
            else:
                log.exception("missed events could not be read, trying again")
            await asyncio.sleep(OUTAGE_INTERVAL_SECONDS)
            if include_sockets:
                self._requested.set()

    async def _resync_messages(self) -> None:
        async for thread, seq in read_in_chunks(
            self._store, threads.last_sequence_numbers, self._hub.threads
        ):
            self._hub.catch_up_to(thread, seq)
