"""The status of one process."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.delivery.conftest import READER, THREAD, HubFixture
from tests.services.plugins import StubPlugin, manage
from tornado_chat import config
from tornado_chat.core import status as status_types
from tornado_chat.core.errors import Unavailable
from tornado_chat.observability.metrics import Metrics
from tornado_chat.observability.metrics.history import MetricsHistory
from tornado_chat.services.auth.connection_limits import AnonymousConnections
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.monitoring.overview import StatusReporter
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.wire.times import LocalTimes


class Monitored(StubPlugin):
    """A plugin without hooks."""


def desk(length: int) -> status_types.DeskStatus:
    return status_types.DeskStatus(
        line=status_types.QueueOverview(length, 0.0, []),
        waiters=status_types.WaiterSummary({}, []),
        conversations=status_types.ConversationSummary({}, []),
        rooms=status_types.ConversationSummary({}, []),
    )


class Snapshot:
    """The own coordinator's view: an empty queue."""

    queue_length = 0

    def desk_status(self) -> status_types.DeskStatus:
        return desk(0)

    def longest_wait(self) -> float:
        return 0.0

    def waiter_states(self) -> dict[str, int]:
        return {"ready": 2}

    def conversation_states(self) -> dict[str, int]:
        return {}

    def room_states(self) -> dict[tuple[str, str], int]:
        return {}

    def group_states(self) -> list[status_types.GroupStatus]:
        return []


class Coordinator:
    """The client of another process's coordinator, which has 5 users in its queue."""

    def __init__(self) -> None:
        self.is_away = False

    async def call(self, request: Any) -> Any:
        if self.is_away:
            raise Unavailable("no_coordinator")
        return msgspec.to_builtins(desk(5))


def make_reporter(
    store: Store, metrics: Metrics, coordinator: Coordinator, office: HubFixture
) -> StatusReporter:
    loop = asyncio.get_running_loop()
    parts: Any = {
        "hub": office.hub,
        "snapshot": Snapshot(),
        "coordinator_client": coordinator,
        "plugins": manage(Monitored()),
    }
    return StatusReporter(
        **parts,
        store=store,
        readiness=Readiness(store, loop, {}, {"redis": lambda: "away"}),
        anonymous_connections=AnonymousConnections(config.Limits()),
        metrics=metrics,
        metrics_history=MetricsHistory(metrics, loop, lambda: 0.0),
        times=LocalTimes("UTC"),
        database="sqlite",
        process=3,
    )


@pytest.mark.gen_test
async def test_the_status_has_the_coordinators_queue_and_this_processs_numbers(
    store: Store, metrics: Metrics
) -> None:
    metrics.endpoint_meters["chat"].open = 7
    reporter = make_reporter(store, metrics, Coordinator(), HubFixture())
    status = await reporter.status()
    assert status.line.length == 5
    assert status.sockets["chat"] == 7
    assert (status.process.number, status.process.sockets) == (3, 7)
    assert (status.problems, status.degraded) == ({"redis": "away"}, ["redis"])
    assert status.process.descriptors is not None
    assert 0 < status.process.descriptors < status.process.descriptor_limit
    assert [(plugin.name, plugin.state) for plugin in status.plugins] == [("monitored", "running")]
    assert status.database.kind == "sqlite"


@pytest.mark.gen_test
async def test_without_a_coordinator_that_is_a_problem_and_the_own_view_is_shown(
    store: Store, metrics: Metrics
) -> None:
    coordinator = Coordinator()
    coordinator.is_away = True
    status = await make_reporter(store, metrics, coordinator, HubFixture()).status()
    assert set(status.problems) == set(status.degraded) == {"redis", "coordinator"}
    assert status.line.length == 0


@pytest.mark.gen_test
async def test_gauges_count_sockets_with_unacknowledged_items(store: Store, metrics: Metrics) -> None:
    office = HubFixture()
    reporter = make_reporter(store, metrics, Coordinator(), office)
    await office.following(READER)
    await reporter.probe_database()
    gauges = reporter.gauges()
    assert gauges.receipts == 0
    assert (gauges.ready, gauges.degraded) == ({"database": True}, {"redis": True})
    assert gauges.connection_room
    assert gauges.waiters == {"ready": 2}
    office.table.store(1, thread=THREAD)
    await office.following(READER)
    assert reporter.gauges().receipts == 1
