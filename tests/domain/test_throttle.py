"""Token buckets; failures, the waits that they bring, and how they are forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.domain.throttle import RateLimiter, Throttle, ThrottleLimit, TokenBucket, client_network

LIMIT = ThrottleLimit(free_failures=2, first_wait_seconds=1, max_wait_seconds=8, forget=100)


def fail(throttle: Throttle, times: int, now: float = 0.0) -> list[float]:
    return [throttle.record_failure("a", now) for _ in range(times)]


def test_some_failures_are_free_and_each_further_wait_is_twice_as_long() -> None:
    throttle = Throttle(LIMIT, 10)
    assert fail(throttle, 7) == [0, 0, 1, 2, 4, 8, 8]
    assert (throttle.wait_seconds("a", 0), throttle.wait_seconds("a", 5), throttle.wait_seconds("a", 8)) == (
        8,
        3,
        0,
    )
    assert throttle.wait_seconds("b", 0) == 0


def test_a_failure_is_forgotten_after_a_while() -> None:
    throttle = Throttle(LIMIT, 10)
    fail(throttle, 4)
    assert throttle.record_failure("a", 100.0) == 2  # the fourth again
    assert throttle.record_failure("a", 1000.0) == 0


def test_success_forgives_one_or_all() -> None:
    throttle = Throttle(LIMIT, 10)
    fail(throttle, 4)
    throttle.undo_failure("a", 0)
    assert throttle.wait_seconds("a", 0) == 0
    assert throttle.record_failure("a", 0) == 2
    throttle.forget("a")
    assert fail(throttle, 3) == [0, 0, 1]
    throttle.undo_failure("never heard of", 0)


def test_it_remembers_so_many_and_forgets_the_one_it_has_not_heard_of_for_longest() -> None:
    throttle = Throttle(LIMIT, 2)
    fail(throttle, 3)
    throttle.record_failure("b", 0)
    throttle.record_failure("a", 0)
    throttle.record_failure("c", 0)
    assert len(throttle) == 2
    assert throttle.wait_seconds("a", 0) == 2
    assert throttle.record_failure("b", 0) == 0


@given(st.lists(st.floats(0, 50), max_size=200), st.integers(1, 5))
def test_whoever_comes_as_often_as_possible_gets_no_more_than_the_limit_allows(
    pauses: list[float], keys: int
) -> None:
    throttle = Throttle(LIMIT, keys)
    now, tried = 0.0, 0
    for pause in pauses:
        now += pause
        if throttle.wait_seconds("a", now) == 0:
            throttle.record_failure("a", now)
            tried += 1
    # Those that are free, and after them one a wait: the shortest are over after three.
    assert tried <= LIMIT.free_failures + 4 + now / LIMIT.max_wait_seconds + now / LIMIT.forget * 2


# Token buckets


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(3, 0.0)
    assert [bucket.take(0.0, 0.5, 3) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(1.0, 0.5, 3)  # half a token; the refusal has cost nothing
    assert bucket.take(2.0, 0.5, 3)
    assert [bucket.take(1000.0, 0.5, 3) for _ in range(4)] == [True, True, True, False]


def test_a_bucket_goes_by_other_limits_after_a_reload() -> None:
    bucket = TokenBucket(100, 0.0)
    assert [bucket.take(0.0, 1, 2) for _ in range(3)] == [True, True, False]
    assert [bucket.take(1.0, 5, 10) for _ in range(6)] == [True] * 5 + [False]


def test_each_key_has_a_bucket_and_the_table_is_bounded() -> None:
    limiter = RateLimiter(2)
    assert [limiter.take("a", 0.0, 1, 1) for _ in range(2)] == [True, False]
    assert limiter.take("b", 0.0, 1, 1)
    assert not limiter.take("a", 0.0, 1, 1)  # used again, so b is older now
    assert limiter.take("c", 0.0, 1, 1)
    assert len(limiter) == 2
    assert not limiter.take("a", 0.0, 1, 1)
    assert limiter.take("b", 0.0, 1, 1)  # forgotten
    limiter.clear()
    assert limiter.take("a", 0.0, 1, 1)


@given(st.lists(st.floats(0, 50), max_size=200), st.integers(1, 20))
def test_no_pattern_gets_more_than_the_burst_and_the_rate(pauses: list[float], burst: int) -> None:
    bucket, now, taken = TokenBucket(burst, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now, burst / 60, burst)
    assert taken <= burst + now * burst / 60 + 1e-6


def test_the_network_of_a_client() -> None:
    assert client_network("192.0.2.9") == client_network("::ffff:192.0.2.9") == "192.0.2.9"
    assert client_network("2001:db8:1:2::3") == client_network("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert client_network("fe80::1%eth0") == "fe80::/64"
    assert client_network("") == ""
