"""Connections: limits, account sessions, draining, and sockets that close at once."""

import pytest

from tests.delivery.conftest import READER, Dialect, HubFixture, Socket, turns
from tornado_chat.cluster.bus import Channel, LocalBus
from tornado_chat.core.close_codes import RESTARTING, SIGNED_OUT
from tornado_chat.core.errors import Forbidden, Restarting, TooFast
from tornado_chat.core.types import Grant, Identity, Person, Role
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.observability.metrics import EndpointMeter
from tornado_chat.services.messaging.connections import ACCOUNT_SESSION_CLAIM, Connections


class RecordingBus(LocalBus):
    """A bus that keeps its subscriptions."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed: set[Channel] = set()

    async def subscribe(self, channel: Channel) -> None:
        self.subscribed.add(channel)

    def unsubscribe(self, channel: Channel) -> None:
        self.subscribed.discard(channel)


class PluginEvents:
    """Keeps the presence events for plugins."""

    def __init__(self) -> None:
        self.online: list[bool] = []

    def emit(self, event: str, *, person: Person, online: bool) -> None:
        assert (event, person) == ("presence_changed", READER)
        self.online.append(online)


def make_connections(
    office: HubFixture, plugins: PluginEvents | None = None, bus: LocalBus | None = None
) -> Connections:
    return Connections(office.hub, 2, plugins or PluginEvents(), office.clock, bus)  # type: ignore[arg-type]


def open_socket(connections: Connections, session: str | None = None) -> tuple[Socket, SocketStream]:
    socket = Socket()
    claims = {} if session is None else {ACCOUNT_SESSION_CLAIM: session}
    grant = Grant(Identity(READER, None, claims))
    return socket, connections.open(grant, socket, Dialect(), EndpointMeter(), "name in the log")


@pytest.mark.gen_test
async def test_a_socket_that_closes_during_the_subscription_leaves_no_subscription() -> None:
    office, bus = HubFixture(), RecordingBus()
    connections = make_connections(office, bus=bus)
    _, staying = open_socket(connections)
    await turns()
    assert bus.subscribed == {READER}
    connections.close(staying)
    await turns()
    connections.close(open_socket(connections)[1])
    await turns()
    assert bus.subscribed == set()


@pytest.mark.gen_test
async def test_the_number_of_sockets_per_person_is_limited() -> None:
    connections = make_connections(HubFixture())
    _, first = open_socket(connections)
    open_socket(connections)
    with pytest.raises(TooFast):
        open_socket(connections)
    connections.close(first)
    open_socket(connections)
    connections.reconfigure(3)
    open_socket(connections)
    assert len(connections) == 3


@pytest.mark.gen_test
async def test_plugins_learn_of_the_first_and_of_the_last_socket_of_a_person() -> None:
    plugins = PluginEvents()
    connections = make_connections(HubFixture(), plugins)
    streams = [open_socket(connections)[1] for _ in range(2)]
    assert plugins.online == [True]
    for stream in streams:
        connections.close(stream)
    assert plugins.online == [True, False]


@pytest.mark.gen_test
async def test_the_end_of_an_account_session_closes_its_sockets_only() -> None:
    connections = make_connections(HubFixture())
    ended, _ = open_socket(connections, "ended")
    other, _ = open_socket(connections, "other")
    assert connections.sessions() == {"ended", "other"}
    connections.close_session("ended")
    assert (ended.closed, other.closed) == (SIGNED_OUT, None)


@pytest.mark.gen_test
async def test_an_open_socket_takes_a_newer_token_of_the_same_person_only() -> None:
    connections = make_connections(HubFixture())
    socket, stream = open_socket(connections, "first")
    newer = Identity(READER, None, {ACCOUNT_SESSION_CLAIM: "second"})
    connections.renew(stream, Grant(newer, 20.0, 10.0, b"key"))
    grant = connections.grants[stream]
    assert (grant.expires, grant.issued, grant.key, grant.session) == (20.0, 10.0, b"key", "second")
    for other in (Person(READER.role, "other"), Person(Role.ADMIN, READER.id)):
        with pytest.raises(Forbidden):
            connections.renew(stream, Grant(Identity(other), 30.0))
    assert (grant.expires, socket.closed) == (20.0, None)
    connections.close(stream)
    connections.renew(stream, Grant(newer))  # the token was checked while the socket closed
    assert not connections.grants


@pytest.mark.gen_test
async def test_draining_closes_all_sockets_and_lets_none_open() -> None:
    connections = make_connections(HubFixture())
    sockets = [open_socket(connections)[0] for _ in range(2)]
    connections.stop_opening()
    with pytest.raises(Restarting):
        open_socket(connections)
    await connections.drain(0)
    assert [socket.closed for socket in sockets] == [RESTARTING, RESTARTING]
