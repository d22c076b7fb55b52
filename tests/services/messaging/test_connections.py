"""Sockets that go as soon as they have come."""

from typing import Any

import pytest

from tests.delivery.conftest import READER, Dialect, HubFixture, Socket, turns
from tornado_chat.cluster.bus import Channel, LocalBus
from tornado_chat.core.types import Identity
from tornado_chat.observability.metrics import EndpointMeter
from tornado_chat.services.messaging.connections import Connections


class Ear(LocalBus):
    def __init__(self) -> None:
        super().__init__()
        self.tuned_in: set[Channel] = set()

    async def subscribe(self, channel: Channel) -> None:
        self.tuned_in.add(channel)

    def unsubscribe(self, channel: Channel) -> None:
        self.tuned_in.discard(channel)


class Nobody:
    def emit(self, event: str, **what: Any) -> None:
        """No plugin hears it."""


@pytest.mark.gen_test
async def test_nobody_stays_online_who_has_gone_before_others_could_be_told() -> None:
    fixture, ear = HubFixture(), Ear()
    connections = Connections(fixture.hub, 5, Nobody(), fixture.clock, ear)  # type: ignore[arg-type]
    identity = Identity(READER, None)
    staying = connections.open(identity, Socket(), Dialect(), EndpointMeter(), "1")
    await turns()
    assert ear.tuned_in == {READER}
    connections.close(staying)
    await turns()
    connections.close(connections.open(identity, Socket(), Dialect(), EndpointMeter(), "2"))
    await turns()
    assert ear.tuned_in == set()
