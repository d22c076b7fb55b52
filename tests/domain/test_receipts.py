"""Tests of the receipts that pongs prove."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tornado_chat.core.types import Kind, Thread
from tornado_chat.domain.receipts import ReceiptTracker

A, B = Thread(Kind.SUPPORT, 1), Thread(Kind.SUPPORT, 2)


def test_a_pong_acknowledges_the_items_written_before_its_ping() -> None:
    tracker = ReceiptTracker()
    assert not tracker.is_ping_due
    tracker.record_sent(A, 1)
    tracker.record_sent(A, 2)
    tracker.record_sent(B, 7)
    assert tracker.is_ping_due
    payload = tracker.ping()
    assert payload == b"7"
    assert tracker.pong(payload) == {A: 2, B: 7}
    assert not tracker.is_ping_due
    assert not tracker.is_ping_outstanding


def test_items_written_while_a_ping_is_outstanding_are_acknowledged_by_the_next() -> None:
    tracker = ReceiptTracker()
    tracker.record_sent(A, 1)
    first = tracker.ping()
    tracker.record_sent(A, 2)
    assert not tracker.is_ping_due
    assert tracker.pong(first) == {A: 1}
    assert tracker.is_ping_due
    assert tracker.pong(tracker.ping()) == {A: 2}


def test_stale_and_unsolicited_pongs_prove_nothing() -> None:
    tracker = ReceiptTracker()
    tracker.record_sent(A, 1)
    assert tracker.pong(b"1") == {}
    first = tracker.ping()
    for payload in (b"", b"0", b"2", b"01"):
        assert tracker.pong(payload) == {}
        assert tracker.is_ping_outstanding
    assert tracker.pong(first) == {A: 1}
    assert tracker.pong(first) == {}
    tracker.record_sent(A, 2)
    second = tracker.ping()
    assert tracker.pong(first) == {}
    assert tracker.pong(second) == {A: 2}


def test_the_pong_of_an_idle_socket_acknowledges_no_items() -> None:
    tracker = ReceiptTracker()
    assert tracker.pong(tracker.ping()) == {}
    assert not tracker.is_ping_outstanding


def test_a_second_ping_at_a_time_is_an_error() -> None:
    tracker = ReceiptTracker()
    tracker.ping()
    with pytest.raises(AssertionError):
        tracker.ping()


def test_the_last_ping_covers_what_an_outstanding_one_does_not() -> None:
    tracker = ReceiptTracker()
    assert tracker.last_ping() is None  # there is nothing to prove
    tracker.record_sent(A, 1)
    first = tracker.ping()
    assert tracker.last_ping() is None  # the outstanding ping covers everything
    tracker.record_sent(A, 2)
    last = tracker.last_ping()
    assert last == b"2"
    assert tracker.pong(first) == {}
    assert tracker.pong(last) == {A: 2}


def test_there_is_no_last_ping_whose_pong_could_be_that_of_an_earlier_one() -> None:
    tracker = ReceiptTracker()
    tracker.record_sent(A, 1)
    first = tracker.ping()
    tracker.record_sent(B, 1)
    assert tracker.last_ping() is None
    assert tracker.pong(first) == {A: 1}


class ReceiptMachine(RuleBasedStateMachine):
    """A socket whose peer answers pings late, twice, or with other payloads."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = ReceiptTracker()
        self.written: dict[Thread, int] = {}
        self.covered: dict[Thread, int] = {}
        self.proven: dict[Thread, int] = {}
        self.payload: bytes | None = None

    @rule(thread=st.sampled_from([A, B]), more=st.integers(1, 3))
    def write(self, thread: Thread, more: int) -> None:
        self.written[thread] = self.written.get(thread, 0) + more
        self.tracker.record_sent(thread, self.written[thread])

    @precondition(lambda self: self.payload is None)
    @rule()
    def ping(self) -> None:
        self.payload = self.tracker.ping()
        self.covered = dict(self.written)

    @precondition(lambda self: self.payload is not None)
    @rule()
    def answer(self) -> None:
        assert self.payload is not None
        self.proven.update(self.tracker.pong(self.payload))
        self.payload = None
        assert self.proven == self.covered

    @rule()
    def continue_in_another_process(self) -> None:
        state, self.tracker = self.tracker.hand_over(), ReceiptTracker()
        self.tracker.take_over(state)

    @rule(payload=st.binary(max_size=3))
    def answer_with_another_payload(self, payload: bytes) -> None:
        if payload != self.payload:
            assert self.tracker.pong(payload) == {}

    @invariant()
    def a_ping_is_due_only_if_none_is_outstanding_and_an_item_is_unacknowledged(self) -> None:
        assert self.tracker.is_ping_outstanding is (self.payload is not None)
        assert self.tracker.is_ping_due is (self.payload is None and self.proven != self.written)


ReceiptMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestReceiptMachine = ReceiptMachine.TestCase
