"""The expected wait: what it rests on, how it is rounded, and when a change is worth a frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.types import ExpectedWait
from tornado_chat.domain.expected_wait import (
    MAX_SERVICE_TIMES,
    MIN_SERVICE_TIMES,
    ServiceTimes,
    is_noticeable,
    rounded,
)


def times(*seconds: float, group: str = "default") -> ServiceTimes:
    found = ServiceTimes()
    for each in seconds:
        found.add(group, each)
    return found


def test_the_median_of_the_last_conversations_decides() -> None:
    pace = times(300, 300, 420, 300, 36_000).pace("default", 2)
    assert pace is not None
    assert pace.expected_wait(1) == ExpectedWait(180.0, 5, 2)  # 150 s, rounded up
    assert pace.expected_wait(4) == ExpectedWait(600.0, 5, 2)


def test_too_little_data_or_no_agent_gives_no_estimate() -> None:
    few = times(*[60.0] * (MIN_SERVICE_TIMES - 1))
    assert few.pace("default", 3) is None
    assert few.pace("crisis", 3) is None
    few.add("default", 60.0)
    assert few.pace("default", 3) is not None
    assert few.pace("default", 0) is None


def test_users_that_give_up_shorten_the_wait() -> None:
    found = times(*[600.0] * 10)
    for _ in range(10):
        found.add("default", None)
    pace = found.pace("default", 10)
    assert pace is not None
    assert (pace.based_on, pace.served) == (10, 0.5)
    assert pace.expected_wait(1).seconds == 60
    assert pace.expected_wait(11).seconds == 360  # itself, and half of those before it


def test_old_conversations_are_forgotten() -> None:
    found = times(*[3600.0] * MAX_SERVICE_TIMES, *[60.0] * MAX_SERVICE_TIMES)
    pace = found.pace("default", 1)
    assert pace is not None
    assert (pace.seconds, pace.based_on) == (60.0, MAX_SERVICE_TIMES)
    found.replace([("crisis", 10.0)] * MIN_SERVICE_TIMES)
    assert found.pace("default", 1) is None
    assert found.pace("crisis", 1) is not None


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, 60), (59, 60), (61, 120), (600, 600), (601, 900), (3600, 3600), (3601, 4500)],
)
def test_estimates_are_rounded_up(seconds: float, shown: float) -> None:
    assert rounded(seconds) == shown


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_rounding_keeps_the_order_and_promises_no_less(one: float, other: float) -> None:
    assert rounded(one) >= one
    assert one > other or rounded(one) <= rounded(other)


def test_small_changes_are_not_noticeable() -> None:
    def wait(seconds: float) -> ExpectedWait:
        return ExpectedWait(seconds, 5, 1)

    assert not is_noticeable(None, None)
    assert is_noticeable(None, wait(60))
    assert is_noticeable(wait(60), None)
    assert is_noticeable(wait(60), wait(120))
    assert not is_noticeable(wait(540), wait(600))
    assert is_noticeable(wait(540), wait(900))
