"""The status of this process at one moment, for ``/metrics`` and ``GET /api/v1/status``.

Strategy: the state is read from the parts that own it when the status is requested. So it is never stale,
and costs nothing without a request.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from platform import python_version

import msgspec

from tornado_chat.aio import descriptors
from tornado_chat.cluster.facts import CoordinatorClient, DeskStatusRequest
from tornado_chat.core import status as status_types
from tornado_chat.core.errors import Unavailable
from tornado_chat.delivery.hub import Hub
from tornado_chat.observability.metrics import Gauges, Metrics
from tornado_chat.observability.metrics.history import STEP_SECONDS
from tornado_chat.observability.metrics.history import MetricsHistory as MetricsHistory
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.connection_limits import AnonymousConnections
from tornado_chat.services.coordinator.snapshot import CoordinatorSnapshot
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.storage import deliveries
from tornado_chat.wire.times import LocalTimes

DATABASE_TIMEOUT_SECONDS = 1.0  # seconds that the database gets to answer before it counts as a problem
STATM = "/proc/self/statm"


class StatusReporter:
    """Reads the state of all parts, and changes nothing.

    :arg database: the kind of database, ``sqlite`` or ``mysql``.
    :arg process: the number of this worker, from 1; 0: the only process.
    """

    def __init__(
        self,
        *,
        hub: Hub,
        snapshot: CoordinatorSnapshot,
        coordinator_client: CoordinatorClient,
        store: Store,
        readiness: Readiness,
        anonymous_connections: AnonymousConnections,
        plugins: PluginManager,
        metrics: Metrics,
        metrics_history: MetricsHistory,
        times: LocalTimes,
        database: str,
        process: int,
    ) -> None:
        self._hub = hub
        self._snapshot = snapshot
        self._coordinator_client = coordinator_client
        self._store = store
        self._readiness = readiness
        self._anonymous_connections = anonymous_connections
        self._plugins = plugins
        self._metrics = metrics
        self._metrics_history = metrics_history
        self._times = times
        self._database_kind = database
        self._process_number = process
        self._started_at = time.time()
        self._delivery_counts: Mapping[str, deliveries.Counts] = {}

    # --- for the metrics ---

    def gauges(self) -> Gauges:
        """Return the present values of the gauges."""
        self._plugins.refresh_health()
        return Gauges(
            queue_length=self._snapshot.queue_length,
            longest_wait=self._snapshot.longest_wait(),
            groups=self._snapshot.group_states(),
            waiters=self._snapshot.waiter_states(),
            conversations=self._snapshot.conversation_states(),
            rooms=self._snapshot.room_states(),
            receipts=sum(socket_stream.has_unacknowledged for socket_stream in self._hub),
            backlog=self._store.backlog,
            database_bytes=self._store.size(),
            ready=self._readiness.ready,
            degraded=self._readiness.is_degraded,
            anonymous_connections=len(self._anonymous_connections),
            connection_room=descriptors.room(),
            deliveries={
                (name, state): count
                for name, counts in self._delivery_counts.items()
                for state, count in counts._asdict().items()
            },
        )

    async def probe_database(self) -> None:
        """Check whether the database takes writes, and count deliveries, for the next ``gauges``."""
        if "database" not in await self._readiness.problems(DATABASE_TIMEOUT_SECONDS):
            await self._count_deliveries()

    async def _count_deliveries(self) -> None:
        """Read the counts again. If the database does not answer, the last ones stay."""
        names = [*self._plugins.plugins_with_hooks("deliver_notification"), *self._delivery_counts]
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS):
                found = await self._store.read(deliveries.counts)
        except (TimeoutError, Unavailable):
            return
        self._delivery_counts = {name: deliveries.Counts() for name in names} | found

    # --- for people ---

    async def status(self) -> status_types.Status:
        """Return the present status in detail."""
        problems = await self._readiness.problems(DATABASE_TIMEOUT_SECONDS)
        if "database" not in problems:
            await self._count_deliveries()
        degraded = self._readiness.degraded
        try:
            desk = msgspec.convert(
                await self._coordinator_client.call(DeskStatusRequest()), status_types.DeskStatus
            )
        except Unavailable as error:
            degraded = {**degraded, "coordinator": str(error)}
            desk = self._snapshot.desk_status()
        endpoint_meters, process = self._metrics.endpoint_meters, self._process()
        return status_types.Status(
            time=self._format_time(time.time()),
            problems={**problems, **degraded},
            sockets={endpoint: meter.open for endpoint, meter in endpoint_meters.items()},
            line=desk.line,
            waiters=desk.waiters,
            conversations=desk.conversations,
            rooms=desk.rooms,
            messages=status_types.MessageRates(*self._metrics_history.last_minute()),
            history=self._history(),
            plugins=[self._plugin(each.name, each.version) for each in self._plugins.loaded],
            database=self._database(),
            process=process,
            processes=[process],
            degraded=list(degraded),
            groups=desk.groups,
        )

    # --- the server itself ---

    def _history(self) -> status_types.HistoryStatus:
        points = self._metrics_history.points
        columns = {
            name: [getattr(point, name) for point in points]
            for name in status_types.HistoryStatus.__struct_fields__
            if name != "step"
        }
        return msgspec.convert({"step": STEP_SECONDS, **columns}, status_types.HistoryStatus)

    def _plugin(self, name: str, version: str) -> status_types.PluginStatus:
        meter, suspended_for = self._metrics.plugin(name), self._plugins.suspended_for(name)
        counts = self._delivery_counts.get(name, deliveries.Counts())
        return status_types.PluginStatus(
            name,
            version,
            "suspended" if suspended_for else "running",
            meter.calls,
            meter.failures,
            round(meter.seconds, 3),
            round(suspended_for, 1),
            counts.waiting,
            counts.dead,
        )

    def _database(self) -> status_types.DatabaseStatus:
        storage = self._metrics.storage
        last = self._format_time(storage.last_commit) if storage.last_commit else None
        errors = storage.refused + self._metrics.read_errors
        return status_types.DatabaseStatus(
            self._database_kind, self._store.size(), last, self._store.backlog, errors
        )

    def _process(self) -> status_types.ProcessStatus:
        return status_types.ProcessStatus(
            os.getpid(),
            version("tornado_chat"),
            python_version(),
            self._format_time(self._started_at),
            round(time.time() - self._started_at, 1),
            _memory(),
            round(self._metrics_history.lag, 4),
            self._process_number,
            sum(each.open for each in self._metrics.endpoint_meters.values()),
            descriptors.open_count(),
            descriptors.limit(),
        )

    # --- times ---

    def _format_time(self, seconds: float) -> str:
        return self._times.format(int(seconds * 1e6))


def _memory() -> int | None:
    """Return the resident memory in bytes (proc(5)), None if unknown."""
    try:
        with open(STATM) as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
