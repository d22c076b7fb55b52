"""The time limits of an HTTP connection, without a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat import config
from tornado_chat.web.http.connection_clock import (
    ConnectionClock,
    Phase,
    StreamState,
    check_interval_seconds,
)

LIMITS = config.Limits(header_timeout=10, body_timeout=20, idle_timeout=60, answer_timeout=30)
NOTHING = StreamState(unread=0, unsent=0, sent=0)


@pytest.mark.parametrize(
    ("phase", "seconds"), [(Phase.HEAD, 10), (Phase.BODY, 20), (Phase.IDLE, 60), (Phase.ANSWER, None)]
)
def test_each_phase_has_its_limit_and_the_handler_has_none(phase: Phase, seconds: float | None) -> None:
    clock = ConnectionClock(0.0)
    clock.enter(phase, 100.0)
    if seconds is None:
        assert clock.exceeded(NOTHING, 1e9, LIMITS) is None
    else:
        assert clock.exceeded(NOTHING, 100.0 + seconds - 0.1, LIMITS) is None
        assert clock.exceeded(NOTHING, 100.0 + seconds, LIMITS) is phase


def test_a_head_that_comes_byte_by_byte_has_no_more_time() -> None:
    clock = ConnectionClock(0.0)
    clock.enter(Phase.IDLE, 0.0)
    for second in range(50, 60):
        assert clock.exceeded(StreamState(second - 49, 0, 0), second, LIMITS) is None
    assert clock.exceeded(StreamState(20, 0, 0), 60.0, LIMITS) is Phase.HEAD


def test_an_answer_is_aborted_when_the_client_takes_nothing_for_too_long() -> None:
    clock = ConnectionClock(0.0)
    clock.enter(Phase.ANSWER, 0.0)
    for second in range(0, 200, 29):  # each time one byte
        assert clock.exceeded(StreamState(0, 1000, second), second, LIMITS) is None
    assert clock.exceeded(StreamState(0, 1000, 174), 203.9, LIMITS) is None
    assert clock.exceeded(StreamState(0, 1000, 174), 204.0, LIMITS) is Phase.ANSWER


def test_the_next_answer_begins_anew() -> None:
    clock = ConnectionClock(0.0)
    clock.enter(Phase.ANSWER, 0.0)
    assert clock.exceeded(StreamState(0, 10, 90), 0.0, LIMITS) is None
    assert clock.exceeded(StreamState(0, 0, 100), 29.0, LIMITS) is None
    assert clock.exceeded(StreamState(0, 10, 100), 40.0, LIMITS) is None
    assert clock.exceeded(StreamState(0, 10, 100), 69.9, LIMITS) is None


@given(st.lists(st.tuples(st.floats(0.01, 5), st.booleans())))
def test_a_client_that_takes_something_between_two_limits_is_never_aborted(
    steps: list[tuple[float, bool]],
) -> None:
    clock, now, sent, last = ConnectionClock(0.0), 0.0, 0, 0.0
    for seconds, takes in steps:
        now += seconds
        if takes or now - last > 25:
            sent, last = sent + 1, now
        assert clock.exceeded(StreamState(0, 1, sent), now, LIMITS) is None


def test_connections_are_checked_often_enough() -> None:
    assert check_interval_seconds(LIMITS) == 1.0
    assert check_interval_seconds(config.Limits(body_timeout=0.4)) == 0.1
