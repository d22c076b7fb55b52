"""The server at one moment: what ``/metrics`` and ``GET /api/v1/status`` show of it.

Strategy: nobody reports here. Who has a state anyway is asked for it when somebody looks, so that what is
shown is true and costs nothing while nobody looks.
"""

import os
import time
from importlib.metadata import version
from platform import python_version

import msgspec

from tornado_chat.cluster.facts import Coordination, WhatGoesOn
from tornado_chat.core import status as shown
from tornado_chat.core.errors import Unavailable
from tornado_chat.delivery.hub import Hub
from tornado_chat.observability.metrics import Gauges, Metrics
from tornado_chat.observability.metrics.history import STEP
from tornado_chat.observability.metrics.history import History as Recorded
from tornado_chat.plugins.manager import Plugins
from tornado_chat.services.coordinator.snapshot import Standing
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.wire.times import LocalTimes

PATIENCE = 1.0  # seconds that the database gets to answer before it counts as a problem
STATM = "/proc/self/statm"


class Overview:
    """Looks at everything, changes nothing.

    :arg database: its kind, ``sqlite`` or ``mysql``.
    :arg process: which one of several this is; 0: it is the only one.
    """

    def __init__(
        self,
        *,
        hub: Hub,
        standing: Standing,
        coordination: Coordination,
        store: Store,
        readiness: Readiness,
        plugins: Plugins,
        metrics: Metrics,
        recorded: Recorded,
        times: LocalTimes,
        database: str,
        process: int,
    ) -> None:
        self._hub = hub
        self._standing = standing
        self._coordination = coordination
        self._store = store
        self._readiness = readiness
        self._plugins = plugins
        self._metrics = metrics
        self._recorded = recorded
        self._times = times
        self._kind = database
        self._number = process
        self._started = time.time()

    # --- for the metrics ---

    def gauges(self) -> Gauges:
        """How things are now, in numbers."""
        for each in self._plugins.loaded:
            self._plugins.suspended_for(each.name)  # a suspension that is over ends by this
        return Gauges(
            line=self._standing.line,
            longest_wait=self._standing.longest_wait(),
            waiters=self._standing.waiter_states(),
            conversations=self._standing.conversation_states(),
            rooms=self._standing.room_states(),
            receipts=sum(outbox.unproven for outbox in self._hub),
            backlog=self._store.backlog,
            database_bytes=self._store.size(),
            ready=self._readiness.ready,
        )

    async def refresh(self) -> None:
        """Ask whether the database takes writes, for ``gauges`` to know."""
        await self._readiness.problems(PATIENCE)

    # --- for people ---

    async def status(self) -> shown.Status:
        """How things are now, in detail."""
        problems = await self._readiness.problems(PATIENCE)
        try:
            desk = msgspec.convert(await self._coordination.ask(WhatGoesOn()), shown.Desk)
        except Unavailable as error:
            problems = {**problems, "coordinator": str(error)}
            desk = self._standing.desk()
        tallies, process = self._metrics.tallies, self._process()
        return shown.Status(
            time=self._text(time.time()),
            problems=problems,
            sockets={endpoint: tally.open for endpoint, tally in tallies.items()},
            line=desk.line,
            waiters=desk.waiters,
            conversations=desk.conversations,
            rooms=desk.rooms,
            messages=shown.Messages(*self._recorded.last_minute()),
            history=self._history(),
            plugins=[self._plugin(each.name, each.version) for each in self._plugins.loaded],
            database=self._database(),
            process=process,
            processes=[process],
        )

    # --- the server itself ---

    def _history(self) -> shown.History:
        points = self._recorded.points
        columns = {
            name: [getattr(point, name) for point in points]
            for name in shown.History.__struct_fields__
            if name != "step"
        }
        return msgspec.convert({"step": STEP, **columns}, shown.History)

    def _plugin(self, name: str, version: str) -> shown.Plugin:
        meter, suspended_for = self._metrics.plugin(name), self._plugins.suspended_for(name)
        return shown.Plugin(
            name,
            version,
            "suspended" if suspended_for else "running",
            meter.calls,
            meter.failures,
            round(meter.seconds, 3),
            round(suspended_for, 1),
        )

    def _database(self) -> shown.Database:
        storage = self._metrics.storage
        last = self._text(storage.last_commit) if storage.last_commit else None
        errors = storage.refused + self._metrics.read_errors
        return shown.Database(self._kind, self._store.size(), last, self._store.backlog, errors)

    def _process(self) -> shown.Process:
        return shown.Process(
            os.getpid(),
            version("tornado_chat"),
            python_version(),
            self._text(self._started),
            round(time.time() - self._started, 1),
            _memory(),
            round(self._recorded.lag, 4),
            self._number,
            sum(each.open for each in self._metrics.tallies.values()),
        )

    # --- times ---

    def _text(self, seconds: float) -> str:
        return self._times.text(int(seconds * 1e6))


def _memory() -> int | None:
    """Resident bytes, proc(5)."""
    try:
        with open(STATM) as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
