"""The end of sockets whose token has ended."""

import asyncio
import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.conftest import READER, Dialect, HubFixture, Socket, turns
from tornado_chat import config
from tornado_chat.core.close_codes import KEY_DROPPED, SIGNED_OUT, TOKEN_EXPIRED
from tornado_chat.core.errors import Unauthenticated, Unavailable
from tornado_chat.core.requests import Request
from tornado_chat.core.types import Grant, Identity, Person, Role
from tornado_chat.observability.metrics import EndpointMeter
from tornado_chat.services.auth.socket_expiry import ASK_AGAIN_SECONDS, SocketExpiry, has_expired
from tornado_chat.services.messaging.connections import Connections, SocketGrant

EXPIRES, OPENED = 1_000.0, 400.0
SETTINGS = config.Auth(expiry_grace=60, longest_socket=3600)


def open_grant(client: Socket, expires: float = EXPIRES) -> SocketGrant:
    return SocketGrant(client, Grant(Identity(READER), expires), OPENED)


@pytest.mark.parametrize(
    ("now", "engaged", "expired"),
    [
        (EXPIRES - 1, False, False),
        (EXPIRES + 59, False, False),
        (EXPIRES + 60, False, True),
        (EXPIRES + 60, True, False),
        (OPENED + 3599, True, False),
        (OPENED + 3600, True, True),
    ],
)
def test_an_engaged_client_stays_longer(now: float, engaged: bool, expired: bool) -> None:
    client = Socket()
    client.is_engaged = engaged
    assert has_expired(open_grant(client), SETTINGS, now) is expired


def test_the_grace_begins_anew_when_the_conversation_ends() -> None:
    client = Socket()
    client.is_engaged = True
    grant = open_grant(client)
    assert not has_expired(grant, SETTINGS, EXPIRES + 500)
    client.is_engaged = False
    assert not has_expired(grant, SETTINGS, EXPIRES + 559)
    assert has_expired(grant, SETTINGS, EXPIRES + 560)


def test_no_limit_for_an_engaged_client() -> None:
    client = Socket()
    client.is_engaged = True
    assert not has_expired(open_grant(client), config.Auth(longest_socket=0), EXPIRES + 1e9)


def test_a_token_that_the_leeway_admits_is_not_closed_by_the_next_sweep() -> None:
    settings = config.Auth(expiry_grace=0, leeway=10)
    assert not has_expired(open_grant(Socket()), settings, EXPIRES + 9)
    assert has_expired(open_grant(Socket()), settings, EXPIRES + 10)


@given(
    expires=st.floats(0, 1e10) | st.just(math.inf),
    now=st.floats(0, 1e10),
    engaged=st.booleans(),
    grace=st.floats(0, 1e5),
    longest=st.floats(0, 1e5),
)
def test_no_socket_ends_before_its_token(
    expires: float, now: float, engaged: bool, grace: float, longest: float
) -> None:
    client = Socket()
    client.is_engaged = engaged
    grant = open_grant(client, expires)
    settings = config.Auth(expiry_grace=grace, longest_socket=longest, leeway=0)
    if has_expired(grant, settings, now):
        assert now >= expires + grace or math.isclose(now, expires + grace)
    elif not engaged:
        assert now < expires + grace


class Keys:
    """Stands for the access control and its authenticator."""

    key_set = None

    def __init__(self, keys: Iterable[bytes] | None) -> None:
        self.authenticator = self
        self.keys = None if keys is None else frozenset(keys)

    def accepted_keys(self) -> frozenset[bytes] | None:
        return self.keys


@pytest.mark.gen_test
async def test_a_sweep_closes_expired_sockets_and_those_of_dropped_keys() -> None:
    fixture, keys = HubFixture(), Keys([b"kept"])
    connections = Connections(fixture.hub, 9, None, fixture.clock, clock=lambda: OPENED)  # type: ignore[arg-type]
    connections._emit_presence = lambda person, *, online: None  # type: ignore[method-assign]
    now = EXPIRES
    expiry = SocketExpiry(SETTINGS, connections, keys, fixture.clock, lambda: now)  # type: ignore[arg-type]
    grants = {
        "expired": Grant(Identity(READER), EXPIRES - 60, key=b"kept"),
        "valid": Grant(Identity(READER), EXPIRES + 1, key=b"kept"),
        "without end": Grant(Identity(READER), key=b"kept"),
        "dropped": Grant(Identity(READER), key=b"dropped"),
        "of a plugin": Grant(Identity(READER)),
    }
    sockets = {name: Socket() for name in grants}
    for name, grant in grants.items():
        connections.open(grant, sockets[name], Dialect(), EndpointMeter(), name)
    expiry.sweep()
    expiry.sweep()  # a socket is closed once
    assert {name: socket.closed for name, socket in sockets.items() if socket.closed} == {
        "expired": TOKEN_EXPIRED,
        "dropped": KEY_DROPPED,
    }
    keys.keys = None  # the key set was not fetched yet
    expiry.sweep()
    assert sockets["valid"].closed is None
    now += 60
    expiry.reconfigure(config.Auth(expiry_grace=10))
    expiry.sweep()
    assert (sockets["valid"].closed, sockets["without end"].closed) == (TOKEN_EXPIRED, None)


class Host(Keys):
    """Stands for the access control with a plugin that knows people by their requests."""

    def __init__(self) -> None:
        super().__init__(None)
        self.answers: dict[str, Grant | Exception | None] = {}
        self.asked: list[str] = []

    async def ask_again(self, request: Request) -> Grant | None:
        self.asked.append(request.cookies["session"])
        answer = self.answers[request.cookies["session"]]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.gen_test
async def test_plugins_are_asked_again_about_a_socket_without_a_token() -> None:
    fixture, host, now = HubFixture(), Host(), EXPIRES
    connections = Connections(fixture.hub, 9, None, fixture.clock, clock=lambda: OPENED)  # type: ignore[arg-type]
    connections._emit_presence = lambda person, *, online: None  # type: ignore[method-assign]
    loop = asyncio.get_running_loop()
    expiry = SocketExpiry(SETTINGS, connections, host, loop, lambda: now)  # type: ignore[arg-type]
    me, other = Identity(READER), Identity(Person(Role.USER, "other"))
    host.answers = {
        "goes on": Grant(me, EXPIRES + 1000),
        "unknown": None,
        "engaged": None,
        "signed out": Unauthenticated("token_invalid", reason="signed out"),
        "of another": Grant(other, EXPIRES + 1000),
        "plugin failed": Unavailable("not_checked"),
        "no later end": Grant(me, EXPIRES),
    }
    sockets = {name: Socket() for name in host.answers}
    sockets["engaged"].is_engaged = True
    for name, socket in sockets.items():
        request = Request("/chat", cookies={"session": name})
        connections.open(Grant(me, EXPIRES), socket, Dialect(), EndpointMeter(), name, request)

    async def sweep() -> list[str]:
        host.asked.clear()
        expiry.sweep()
        await turns()
        return [name for name, socket in sockets.items() if socket.closed]

    assert await sweep() == ["signed out", "of another"]
    assert sorted(host.asked) == sorted(sockets)
    assert sockets["signed out"].closed == SIGNED_OUT
    now += ASK_AGAIN_SECONDS - 1
    assert (await sweep(), host.asked) == (["signed out", "of another"], [])
    now += 1
    assert len(await sweep()) == 2
    assert sorted(host.asked) == ["engaged", "no later end", "plugin failed", "unknown"]
    now = EXPIRES + 60 + 1  # the grace is over
    ended = ["unknown", "signed out", "of another", "plugin failed", "no later end"]
    await sweep()
    assert await sweep() == ended
    assert sockets["unknown"].closed == TOKEN_EXPIRED
    host.answers["engaged"] = Grant(me, EXPIRES + 1000)
    now += ASK_AGAIN_SECONDS
    assert (await sweep(), host.asked) == (ended, ["engaged"])
    now = EXPIRES + 900
    assert (await sweep(), host.asked) == (ended, [])


@pytest.mark.gen_test
async def test_a_newer_token_takes_the_place_of_the_request() -> None:
    fixture, host = HubFixture(), Host()
    connections = Connections(fixture.hub, 9, None, fixture.clock, clock=lambda: OPENED)  # type: ignore[arg-type]
    connections._emit_presence = lambda person, *, online: None  # type: ignore[method-assign]
    loop = asyncio.get_running_loop()
    expiry = SocketExpiry(SETTINGS, connections, host, loop, lambda: EXPIRES + 60)  # type: ignore[arg-type]
    socket = Socket()
    stream = connections.open(
        Grant(Identity(READER), EXPIRES - 1), socket, Dialect(), EndpointMeter(), "one", Request("/chat")
    )
    connections.renew(stream, Grant(Identity(READER), EXPIRES))
    expiry.sweep()
    await turns()
    assert (socket.closed, host.asked) == (TOKEN_EXPIRED, [])
