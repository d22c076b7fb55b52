"""Failures, the waits that they bring, and how they are forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.domain.throttle import Limit, Throttle

LIMIT = Limit(free=2, first=1, longest=8, forget=100)


def fail(throttle: Throttle, times: int, now: float = 0.0) -> list[float]:
    return [throttle.failed("a", now) for _ in range(times)]


def test_some_failures_are_free_and_each_further_wait_is_twice_as_long() -> None:
    throttle = Throttle(LIMIT, 10)
    assert fail(throttle, 7) == [0, 0, 1, 2, 4, 8, 8]
    assert (throttle.wait("a", 0), throttle.wait("a", 5), throttle.wait("a", 8)) == (8, 3, 0)
    assert throttle.wait("b", 0) == 0


def test_a_failure_is_forgotten_after_a_while() -> None:
    throttle = Throttle(LIMIT, 10)
    fail(throttle, 4)
    assert throttle.failed("a", 100.0) == 2  # the fourth again
    assert throttle.failed("a", 1000.0) == 0


def test_success_forgives_one_or_all() -> None:
    throttle = Throttle(LIMIT, 10)
    fail(throttle, 4)
    throttle.forgive("a", 0)
    assert throttle.wait("a", 0) == 0
    assert throttle.failed("a", 0) == 2
    throttle.forget("a")
    assert fail(throttle, 3) == [0, 0, 1]
    throttle.forgive("never heard of", 0)


def test_it_remembers_so_many_and_forgets_the_one_it_has_not_heard_of_for_longest() -> None:
    throttle = Throttle(LIMIT, 2)
    fail(throttle, 3)
    throttle.failed("b", 0)
    throttle.failed("a", 0)
    throttle.failed("c", 0)
    assert len(throttle) == 2
    assert throttle.wait("a", 0) == 2
    assert throttle.failed("b", 0) == 0


@given(st.lists(st.floats(0, 50), max_size=200), st.integers(1, 5))
def test_whoever_comes_as_often_as_possible_gets_no_more_than_the_limit_allows(
    pauses: list[float], keys: int
) -> None:
    throttle = Throttle(LIMIT, keys)
    now, tried = 0.0, 0
    for pause in pauses:
        now += pause
        if throttle.wait("a", now) == 0:
            throttle.failed("a", now)
            tried += 1
    # Those that are free, and after them one a wait: the shortest are over after three.
    assert tried <= LIMIT.free + 4 + now / LIMIT.longest + now / LIMIT.forget * 2
