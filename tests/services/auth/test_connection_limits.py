"""Counting connections without an identity and large answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat import config
from tornado_chat.core.errors import TooFast
from tornado_chat.services.auth.connection_limits import (
    EXCESS_FACTOR,
    AnonymousConnection,
    AnonymousConnections,
    LargeAnswers,
)


def anonymous(in_all: int = 100, per_address: int = 3) -> AnonymousConnections:
    return AnonymousConnections(
        config.Limits(anonymous_connections=in_all, anonymous_connections_per_address=per_address)
    )


def open_all(connections: AnonymousConnections, *addresses: str) -> list[AnonymousConnection]:
    opened = [connections.open(address) for address in addresses]
    return [each for each in opened if each is not None]


def test_an_address_has_a_limit_an_excess_and_then_nothing() -> None:
    connections = anonymous(per_address=3)
    opened = [connections.open("192.0.2.1") for _ in range(7)]
    assert [each is None for each in opened] == [False] * 6 + [True]
    assert [each.is_excess for each in opened if each] == [False] * 3 + [True] * 3
    other = connections.open("192.0.2.2")
    assert other is not None
    assert not other.is_excess


def test_all_addresses_of_a_64_share_a_limit() -> None:
    connections = anonymous(per_address=2)
    first, second, third = open_all(connections, "2001:db8::1", "2001:db8::2", "2001:db8::ffff:1")
    assert (first.is_excess, second.is_excess, third.is_excess) == (False, False, True)
    (elsewhere,) = open_all(connections, "2001:db8:0:1::1")
    assert not elsewhere.is_excess


def test_many_addresses_share_the_limit_in_all() -> None:
    connections = anonymous(in_all=4)
    opened = [connections.open(f"192.0.2.{n}") for n in range(9)]
    assert [each is not None and each.is_excess for each in opened] == [False] * 4 + [True] * 4 + [False]
    assert opened[-1] is None


def test_an_excess_connection_is_none_any_more_when_there_is_room() -> None:
    connections = anonymous(per_address=1)
    first, second = open_all(connections, "192.0.2.1", "192.0.2.1")
    assert second.is_excess
    first.release()
    assert not second.is_excess


def test_the_limit_in_all_leaves_descriptors_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tornado_chat.aio.descriptors.limit", lambda: 8)
    assert sum(each.is_excess for each in open_all(anonymous(), *(f"192.0.2.{n}" for n in range(8)))) == 4


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans())))
def test_what_is_released_leaves_nothing_behind(steps: list[tuple[int, bool]]) -> None:
    connections, opened = anonymous(in_all=6, per_address=2), list[AnonymousConnection]()
    for number, is_open in steps:
        if is_open:
            opened += open_all(connections, f"192.0.2.{number}")
        elif opened:
            each = opened[number % len(opened)]
            each.release()
            each.release()
        assert len(connections) == sum(not each.is_released for each in opened) <= EXCESS_FACTOR * 6
    for each in opened:
        each.release()
    assert (len(connections), connections._by_network) == (0, {})


def test_large_answers_are_counted_by_person_else_by_network() -> None:
    answers = LargeAnswers(config.Limits(answers_per_person=2))
    ends = [answers.begin("user:1", "192.0.2.1"), answers.begin("user:1", "192.0.2.9")]
    with pytest.raises(TooFast) as refused:
        answers.begin("user:1", "192.0.2.1")
    assert refused.value.detail["retry_after"] > 0
    ends += [answers.begin("user:2", "192.0.2.1"), answers.begin(None, "2001:db8::1")]
    ends.append(answers.begin(None, "2001:db8::2"))
    with pytest.raises(TooFast):
        answers.begin(None, "2001:db8::3")
    for end in ends:
        end()
    assert len(answers) == 0
    answers.begin("user:1", "192.0.2.1")
