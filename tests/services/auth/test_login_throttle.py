"""The login throttle: attempts that are slowed down, and attempts that are not."""

import itertools

import pytest

from tests.helpers.clock import Clock
from tornado_chat.core.errors import TooFast
from tornado_chat.services.auth.login_throttle import LOOSE_LIMIT, STRICT_LIMIT, LoginThrottle


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock, expected_logs: list[str]) -> LoginThrottle:
    expected_logs.append("many attempts to sign in")
    return LoginThrottle(clock)


def is_allowed(attempts: LoginThrottle, name: str, address: str, device: str | None = None) -> bool:
    try:
        attempts.begin(name, address, device, True)
    except TooFast:
        return False
    return True


def count_until_refused(attempts: LoginThrottle, name: str, address: str, device: str | None = None) -> int:
    return next(n for n in itertools.count() if not is_allowed(attempts, name, address, device))


def test_a_name_is_locked_for_the_address_that_guesses_and_for_no_other(attempts: LoginThrottle) -> None:
    assert count_until_refused(attempts, "chen", "192.0.2.1") == STRICT_LIMIT.free_failures + 1
    assert not is_allowed(attempts, "chen", "192.0.2.1")
    assert is_allowed(attempts, "chen", "192.0.2.2")
    assert is_allowed(attempts, "bob", "192.0.2.1")


def test_guessing_without_end_from_one_address_never_locks_the_name(
    attempts: LoginThrottle, clock: Clock
) -> None:
    tried = 0
    for _ in range(3 * 24 * 60):  # every minute of three days
        clock.now += 60
        tried += is_allowed(attempts, "chen", "192.0.2.1")
    assert tried < 3 * 24 * 4 + 30
    assert is_allowed(attempts, "chen", "192.0.2.2")


def test_many_names_from_one_address_are_slowed_down(attempts: LoginThrottle) -> None:
    tried = sum(is_allowed(attempts, f"name{n}", "192.0.2.1") for n in range(500))
    assert tried == LOOSE_LIMIT.free_failures + 1
    assert is_allowed(attempts, "name0", "192.0.2.2")


def test_many_addresses_are_slowed_down_but_a_known_browser_is_not(
    attempts: LoginThrottle, clock: Clock
) -> None:
    tried = sum(is_allowed(attempts, "chen", f"192.0.{n // 250}.{n % 250}") for n in range(500))
    assert tried == LOOSE_LIMIT.free_failures + 1
    assert not is_allowed(attempts, "chen", "203.0.113.1")
    assert is_allowed(attempts, "chen", "203.0.113.1", device="hers")
    # A stolen device cookie is slowed down, too.
    assert count_until_refused(attempts, "chen", "203.0.113.1", device="hers") == STRICT_LIMIT.free_failures
    clock.now += LOOSE_LIMIT.max_wait_seconds
    assert is_allowed(attempts, "chen", "203.0.113.1")


def test_a_success_resets_the_counts(attempts: LoginThrottle) -> None:
    for _ in range(1000):
        attempts.begin("chen", "192.0.2.1", None, True).succeeded()


def test_addresses_of_an_ipv6_network_are_counted_together(attempts: LoginThrottle) -> None:
    tried = sum(is_allowed(attempts, "chen", f"2001:db8:1:2::{n:x}") for n in range(1, 500))
    assert tried == STRICT_LIMIT.free_failures + 1
    assert is_allowed(attempts, "chen", "2001:db8:1:3::1")
    assert count_until_refused(attempts, "bob", "::ffff:192.0.2.9") == STRICT_LIMIT.free_failures + 1
    assert not is_allowed(attempts, "bob", "192.0.2.9")
    assert is_allowed(attempts, "bob", "")  # the address of a unix socket


def test_the_error_tells_the_seconds_to_wait(attempts: LoginThrottle) -> None:
    count_until_refused(attempts, "chen", "192.0.2.1")
    with pytest.raises(TooFast) as refused:
        attempts.begin("chen", "192.0.2.1", None, True)
    assert refused.value.detail == {"retry_after": 2}


def test_the_number_of_free_failures_is_an_option(clock: Clock, expected_logs: list[str]) -> None:
    expected_logs.append("many attempts to sign in")
    attempts = LoginThrottle(clock, free_failures=2)
    assert count_until_refused(attempts, "chen", "192.0.2.1") == 3
    attempts.reconfigure(20)
    assert count_until_refused(attempts, "li", "2001:db8::1") == 21
