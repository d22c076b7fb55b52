"""The times of the attempts of an outbox, and new deliveries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.deliveries import MAX_DELAY_SECONDS, MICROSECONDS_PER_SECOND, NewDelivery, OutboxTimes

SECOND = MICROSECONDS_PER_SECOND
TIMES = OutboxTimes()


def test_the_delay_doubles_up_to_an_hour() -> None:
    delays = [TIMES.next_attempt_at(0, attempts, 0) for attempts in range(1, 14)]
    assert delays[:4] == [5 * SECOND, 10 * SECOND, 20 * SECOND, 40 * SECOND]
    assert delays[10:] == [3600 * SECOND] * 3
    assert TIMES.next_attempt_at(0, 100_000, 0) == 3600 * SECOND


def test_the_delay_is_shortened_at_random_by_up_to_a_half() -> None:
    assert TIMES.next_attempt_at(0, 2, 0, random_fraction=1.0) == 5 * SECOND
    assert TIMES.next_attempt_at(0, 2, 0, random_fraction=0.5) == 7.5 * SECOND


def test_the_last_attempt_is_at_the_end() -> None:
    times = OutboxTimes(give_up_after=60)
    assert times.next_attempt_at(0, 4, 50 * SECOND) == 60 * SECOND
    assert times.next_attempt_at(0, 5, 60 * SECOND) is None


def test_the_receiver_may_ask_for_a_longer_delay() -> None:
    assert TIMES.next_attempt_at(0, 1, 0, wait_seconds=120) == 120 * SECOND
    assert TIMES.next_attempt_at(0, 6, 0, wait_seconds=1) == 160 * SECOND
    assert TIMES.next_attempt_at(0, 1, 0, wait_seconds=float("inf")) == 86400 * SECOND


@given(
    since=st.integers(0, 2**50),
    age=st.integers(0, 2**40),
    attempts=st.integers(1, 10**9),
    wait_seconds=st.floats(0, 1e12),
    random_fraction=st.floats(0, 1),
    retry_after=st.floats(0.001, 1e6),
    give_up_after=st.floats(0.001, 1e8),
)
def test_each_delay_is_positive_and_within_the_limits(
    since: int,
    age: int,
    attempts: int,
    wait_seconds: float,
    random_fraction: float,
    retry_after: float,
    give_up_after: float,
) -> None:
    times, now = OutboxTimes(retry_after, give_up_after), since + age
    at = times.next_attempt_at(
        since, attempts, now, wait_seconds=wait_seconds, random_fraction=random_fraction
    )
    deadline = since + round(give_up_after * SECOND)
    if at is None:
        assert now >= deadline
    else:
        assert now <= at <= deadline
        assert at - now <= round(max(MAX_DELAY_SECONDS, wait_seconds) * SECOND)


@pytest.mark.parametrize(("target", "item"), [("", "1"), ("t", ""), ("t" * 65, "1"), ("t", "1" * 65)])
def test_targets_and_items_fit_their_columns(target: str, item: str) -> None:
    with pytest.raises(ValueError, match="must have 1 to 64 characters"):
        NewDelivery(target, item)


def test_each_delivery_has_an_event_id_of_its_own() -> None:
    assert NewDelivery("t", "1").event_id != NewDelivery("t", "1").event_id
