"""The rate limits of people and of client networks."""

from collections.abc import Callable

import pytest

from tests.helpers.clock import Clock
from tornado_chat import config
from tornado_chat.core.errors import TooFast
from tornado_chat.core.types import Identity, Person, Role
from tornado_chat.services.auth.client_limits import MAX_KEYS, MAX_PAUSE_SECONDS, Activity, ClientLimits

LIMITS = config.Limits(
    frame_bytes=5120,
    sockets_per_minute=4,
    requests_per_minute=4,
    sessions_per_hour=3,
    supervisions_per_hour=3,
    notifications_per_hour=2,
    bytes_per_second=1024,
    bytes_burst=65536,
    network_factor=2,
)
VISITOR = Identity(Person(Role.USER, "1"))
CHEN, LI = Person(Role.CONSULTANT, "2"), Person(Role.CONSULTANT, "3")
ADDRESS = "2001:db8:1:2::1"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> ClientLimits:
    return ClientLimits(LIMITS, clock)


def guest(number: int) -> Identity:
    return Identity(Person(Role.USER, f"guest-{number}"), claims={"guest": True})


def allowed(action: Callable[[], None]) -> bool:
    try:
        action()
    except TooFast:
        return False
    return True


def count(limits: ClientLimits, identity: Identity, address: str = ADDRESS, tries: int = 30) -> int:
    """Return how many sockets the client may open at once."""
    return sum(allowed(lambda: limits.require(Activity.SOCKET, identity, address)) for _ in range(tries))


def test_a_person_is_limited_at_every_address(limits: ClientLimits, clock: Clock) -> None:
    assert count(limits, VISITOR, "192.0.2.1") == 4
    assert count(limits, VISITOR, "192.0.2.2") == 0
    clock.now += 15  # 4 a minute
    assert count(limits, VISITOR, "192.0.2.3") == 1


def test_people_of_one_address_do_not_limit_each_other(limits: ClientLimits) -> None:
    for number in range(100):
        assert count(limits, Identity(Person(Role.USER, str(number)))) == 4


def test_guests_of_one_network_have_a_limit_together(limits: ClientLimits) -> None:
    counts = [count(limits, guest(number), f"2001:db8:1:2::{number:x}") for number in range(1, 6)]
    assert counts == [4, 4, 0, 0, 0]
    assert count(limits, guest(6), "2001:db8:1:3::1") == 4  # the next network of 64 bits
    assert count(limits, VISITOR) == 4  # not a guest


def test_the_wait_is_true(limits: ClientLimits, clock: Clock) -> None:
    count(limits, VISITOR)
    with pytest.raises(TooFast) as refused:
        limits.require(Activity.SOCKET, VISITOR, ADDRESS)
    clock.now += refused.value.retry_after
    assert count(limits, VISITOR) == 1


@pytest.mark.parametrize("role", [Role.SERVICE, Role.ADMIN])
def test_hosts_have_no_limits(limits: ClientLimits, role: Role) -> None:
    host = Identity(Person(role, "host"))
    assert count(limits, host) == 30
    for _ in range(30):
        limits.require_opening(Activity.SESSION, host, ADDRESS, CHEN)
        limits.require_request(host, ADDRESS, 1_000_000)
    assert limits.sent_messages(host, ADDRESS).add(1_000_000, 0.0) == 0


def test_sessions_are_limited_by_visitor_and_by_counsellor(limits: ClientLimits) -> None:
    opened = [
        allowed(lambda who=who: limits.require_opening(Activity.SESSION, VISITOR, ADDRESS, who))  # type: ignore[misc]
        for who in (CHEN, CHEN, CHEN, LI, LI)
    ]
    # The refused notification to CHEN took no token of the sessions.
    assert opened == [True, True, False, True, False]


def test_requests_count_with_their_bytes(limits: ClientLimits, clock: Clock) -> None:
    limits.require_request(VISITOR, ADDRESS, 65536 + 1024)
    assert not allowed(lambda: limits.require_request(VISITOR, ADDRESS, 1))
    clock.now += 1
    assert allowed(lambda: limits.require_request(VISITOR, ADDRESS, 1))


def test_bytes_of_all_sockets_and_requests_of_a_person_count_together(
    limits: ClientLimits, clock: Clock
) -> None:
    first, second = (limits.sent_messages(VISITOR, address) for address in ("192.0.2.1", "192.0.2.2"))
    assert first.add(40_000, clock.now) == 0
    assert second.add(65_536 - 40_000 + 2048, clock.now) == 2.0
    assert not allowed(lambda: limits.require_request(VISITOR, ADDRESS, 1))


def test_short_messages_are_counted_together(limits: ClientLimits, clock: Clock) -> None:
    written = limits.sent_messages(VISITOR, ADDRESS)
    waits = [written.add(1024, clock.now) for _ in range(68)]
    assert waits == [0.0] * 67 + [4.0]  # 64 KiB at once, then in steps of 4 KiB


def test_frames_of_all_sockets_of_a_person_count_together() -> None:
    limits = ClientLimits(config.Limits(), lambda: 0.0)
    sockets = [limits.sent_messages(VISITOR, f"192.0.2.{n}") for n in range(50)]
    waits = [socket.add(1, 0.0) for _ in range(1000) for socket in sockets[:2]]
    assert set(waits) == {0.0}  # two sockets that send as much as one may
    assert [sockets[2].add(1, 0.0) for _ in range(8)] == [0.0] * 7 + [8 / 200]
    other = limits.sent_messages(Identity(Person(Role.USER, "other")), ADDRESS)
    assert {other.add(1, 0.0) for _ in range(2000)} == {0.0}
    host = limits.sent_messages(Identity(Person(Role.SERVICE, "host")), ADDRESS)
    assert {host.add(1, 0.0) for _ in range(10_000)} == {0.0}


def test_callers_without_a_token_count_by_network(limits: ClientLimits) -> None:
    made = [
        allowed(lambda n=n: limits.require_request(None, f"2001:db8::{n:x}", 1))  # type: ignore[misc]
        for n in range(10)
    ]
    assert made == [True] * 8 + [False] * 2
    assert limits.sent_messages(None, "2001:db8:2::1").add(200_000, 1000.0) > 0


def test_the_memory_is_bounded_and_new_networks_are_served(limits: ClientLimits) -> None:
    for n in range(MAX_KEYS + 500):
        limits.require_guest(f"2001:db8:{n >> 8:x}:{n & 255:x}::1")
    assert len(limits._guests) == MAX_KEYS
    limits.require_guest("192.0.2.1")


def test_a_reload_changes_the_limits(limits: ClientLimits) -> None:
    assert count(limits, VISITOR) == 4
    limits.reconfigure(config.Limits(sockets_per_minute=2))
    assert count(limits, Identity(Person(Role.USER, "other"))) == 2


def test_the_largest_frame_fits(clock: Clock) -> None:
    limits = ClientLimits(
        config.Limits(frame_bytes=2_000_000, bytes_per_second=1024, bytes_burst=1024), clock
    )
    written = limits.sent_messages(VISITOR, ADDRESS)
    assert written.add(2_000_000, clock.now) == 0
    assert written.add(2_000_000, clock.now) <= MAX_PAUSE_SECONDS


def test_defaults_leave_room_for_a_crisis() -> None:
    limits = ClientLimits(config.Limits(), lambda: 0.0)
    assert count(limits, VISITOR, tries=100) == 100  # 50 tabs that reconnect twice
    for _ in range(20):  # a visitor that asks for the same counsellor again and again
        limits.require_opening(Activity.SESSION, VISITOR, ADDRESS, CHEN)
    written = limits.sent_messages(VISITOR, ADDRESS)
    assert {written.add(65536, 0.0) for _ in range(60)} == {0.0}  # 60 of the largest messages


def test_refused_requests_without_a_token_are_limited_by_network(limits: ClientLimits, clock: Clock) -> None:
    for _ in range(4 * LIMITS.requests_per_minute * LIMITS.network_factor):
        limits.require_attempt(ADDRESS)
        limits.count_refused_attempt(ADDRESS)
    limits.count_refused_attempt(ADDRESS)
    with pytest.raises(TooFast):
        limits.require_attempt("2001:db8:1:2::ffff")
    limits.require_attempt("2001:db8:1:3::1")
    clock.now += 60
    limits.require_attempt(ADDRESS)
