"""Tests of token buckets, and of the waits after failures."""

from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.domain.throttle import (
    RateLimit,
    RateLimiter,
    Throttle,
    ThrottleLimit,
    TokenBucket,
    client_network,
)

LIMIT = ThrottleLimit(free_failures=2, first_wait_seconds=1, max_wait_seconds=8, forget_seconds=100)


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
    assert throttle.record_failure("a", 100.0) == 2  # counts as the fourth again
    assert throttle.record_failure("a", 1000.0) == 0


def test_one_failure_or_all_can_be_taken_back() -> None:
    throttle = Throttle(LIMIT, 10)
    fail(throttle, 4)
    throttle.undo_failure("a", 0)
    assert throttle.wait_seconds("a", 0) == 0
    assert throttle.record_failure("a", 0) == 2
    throttle.forget("a")
    assert fail(throttle, 3) == [0, 0, 1]
    throttle.undo_failure("unknown", 0)


def test_the_table_is_bounded_and_drops_the_least_recently_stored_key() -> None:
    throttle = Throttle(LIMIT, 2)
    fail(throttle, 3)
    throttle.record_failure("b", 0)
    throttle.record_failure("a", 0)
    throttle.record_failure("c", 0)
    assert len(throttle) == 2
    assert throttle.wait_seconds("a", 0) == 2
    assert throttle.record_failure("b", 0) == 0


@given(st.lists(st.floats(0, 50), max_size=200), st.integers(1, 5))
def test_no_pattern_of_attempts_gets_more_attempts_than_the_limit_allows(
    pauses: list[float], keys: int
) -> None:
    throttle = Throttle(LIMIT, keys)
    now, tried = 0.0, 0
    for pause in pauses:
        now += pause
        if throttle.wait_seconds("a", now) == 0:
            throttle.record_failure("a", now)
            tried += 1
    # The free failures, the three shorter waits, and then one attempt for each longest wait.
    assert tried <= LIMIT.free_failures + 4 + now / LIMIT.max_wait_seconds + now / LIMIT.forget_seconds * 2


# Token buckets


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(3, 0.0)
    assert [bucket.take(0.0, 0.5, 3) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(1.0, 0.5, 3)  # half a token; the refusal takes none
    assert bucket.take(2.0, 0.5, 3)
    assert [bucket.take(1000.0, 0.5, 3) for _ in range(4)] == [True, True, True, False]


def test_a_bucket_follows_changed_limits_after_a_reload() -> None:
    bucket = TokenBucket(100, 0.0)
    assert [bucket.take(0.0, 1, 2) for _ in range(3)] == [True, True, False]
    assert [bucket.take(1.0, 5, 10) for _ in range(6)] == [True] * 5 + [False]


ONE_PER_SECOND = RateLimit(1.0, 1.0)


def test_each_key_has_a_bucket_and_the_table_is_bounded() -> None:
    limiter = RateLimiter(ONE_PER_SECOND, 2)
    assert [limiter.take("a", 0.0) for _ in range(2)] == [True, False]
    assert limiter.take("b", 0.0)
    assert not limiter.take("a", 0.0)  # stored again, so b is the least recently stored key
    limiter.take("c", 0.0)
    assert len(limiter) == 2
    assert not limiter.take("a", 0.0)


def test_the_wait_is_the_time_until_the_next_token() -> None:
    limiter = RateLimiter(RateLimit(0.5, 2.0), 10)
    assert limiter.wait_seconds("a", 0.0) == 0
    assert [limiter.take("a", 0.0) for _ in range(3)] == [True, True, False]
    assert limiter.wait_seconds("a", 0.5) == 1.5
    assert limiter.take("a", 2.0)


def test_a_debt_is_repaid_at_the_rate() -> None:
    limiter = RateLimiter(RateLimit(10.0, 100.0), 10)
    assert limiter.spend("a", 0.0, 100.0) == 0
    assert limiter.spend("a", 0.0, 50.0) == 5.0
    assert limiter.wait_seconds("a", 2.0, 0.0) == 3.0
    assert limiter.wait_seconds("a", 5.0, 0.0) == 0
    assert not limiter.take("a", 5.0)


def test_other_limits_apply_at_once_and_the_counts_stay() -> None:
    limiter = RateLimiter(ONE_PER_SECOND, 10)
    assert limiter.take("a", 0.0)
    limiter.reconfigure(RateLimit(100.0, 50.0))
    assert not limiter.take("a", 0.0)
    assert [limiter.take("a", 0.02) for _ in range(3)] == [True, True, False]


def test_a_key_gets_no_full_bucket_by_filling_the_table_with_others() -> None:
    limiter = RateLimiter(RateLimit(0.1, 3.0), 5)
    assert [limiter.take("attacker", 0.0) for _ in range(4)] == [True] * 3 + [False]
    for n in range(100):
        limiter.take(f"other {n}", 0.0)
    assert len(limiter) == 5
    assert not limiter.take("attacker", 0.0)
    # The first to be dropped had no token left, and gains them as every bucket does.
    assert limiter.take("attacker", 10.0)
    assert not limiter.take("attacker", 10.0)


def test_a_new_key_starts_full_if_the_dropped_ones_would_be() -> None:
    limiter = RateLimiter(RateLimit(1.0, 3.0), 5)
    for n in range(100):
        assert [limiter.take(f"visitor {n}", float(n)) for _ in range(4)] == [True] * 3 + [False]


@given(
    st.lists(st.tuples(st.floats(0, 5), st.sampled_from("abcdef")), max_size=200),
    st.integers(1, 4),
    st.integers(1, 10),
)
def test_no_key_gets_more_than_the_burst_and_the_rate_however_small_the_table(
    attempts: list[tuple[float, str]], keys: int, burst: int
) -> None:
    limiter, now = RateLimiter(RateLimit(0.5, burst), keys), 0.0
    taken = dict.fromkeys("abcdef", 0)
    for pause, key in attempts:
        now += pause
        taken[key] += limiter.take(key, now)
        assert len(limiter) <= keys
    assert max(taken.values()) <= burst + now * 0.5 + 1e-6


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
