"""What a pong proves."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tornado_chat.core.types import Kind, Thread
from tornado_chat.domain.receipts import ReceiptTracker

A, B = Thread(Kind.SUPPORT, 1), Thread(Kind.SUPPORT, 2)


def test_a_pong_proves_what_was_written_before_its_ping() -> None:
    ledger = ReceiptTracker()
    assert not ledger.is_ping_due
    ledger.record_sent(A, 1)
    ledger.record_sent(A, 2)
    ledger.record_sent(B, 7)
    assert ledger.is_ping_due
    payload = ledger.ping()
    assert payload == b"7"
    assert ledger.pong(payload) == {A: 2, B: 7}
    assert not ledger.is_ping_due
    assert not ledger.is_ping_outstanding


def test_what_is_written_while_a_ping_is_outstanding_is_proven_by_the_next() -> None:
    ledger = ReceiptTracker()
    ledger.record_sent(A, 1)
    first = ledger.ping()
    ledger.record_sent(A, 2)
    assert not ledger.is_ping_due
    assert ledger.pong(first) == {A: 1}
    assert ledger.is_ping_due
    assert ledger.pong(ledger.ping()) == {A: 2}


def test_stale_and_unsolicited_pongs_prove_nothing() -> None:
    ledger = ReceiptTracker()
    ledger.record_sent(A, 1)
    assert ledger.pong(b"1") == {}
    first = ledger.ping()
    for payload in (b"", b"0", b"2", b"01"):
        assert ledger.pong(payload) == {}
        assert ledger.is_ping_outstanding
    assert ledger.pong(first) == {A: 1}
    assert ledger.pong(first) == {}
    ledger.record_sent(A, 2)
    second = ledger.ping()
    assert ledger.pong(first) == {}
    assert ledger.pong(second) == {A: 2}


def test_a_ping_of_a_silent_socket_proves_nothing_but_life() -> None:
    ledger = ReceiptTracker()
    assert ledger.pong(ledger.ping()) == {}
    assert not ledger.is_ping_outstanding


def test_two_pings_at_a_time_are_a_mistake() -> None:
    ledger = ReceiptTracker()
    ledger.ping()
    with pytest.raises(AssertionError):
        ledger.ping()


class LedgerMachine(RuleBasedStateMachine):
    """One socket whose peer answers pings late, twice, or with payloads of its own making."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ReceiptTracker()
        self.written: dict[Thread, int] = {}
        self.covered: dict[Thread, int] = {}
        self.proven: dict[Thread, int] = {}
        self.payload: bytes | None = None

    @rule(thread=st.sampled_from([A, B]), more=st.integers(1, 3))
    def write(self, thread: Thread, more: int) -> None:
        self.written[thread] = self.written.get(thread, 0) + more
        self.ledger.record_sent(thread, self.written[thread])

    @precondition(lambda self: self.payload is None)
    @rule()
    def ping(self) -> None:
        self.payload = self.ledger.ping()
        self.covered = dict(self.written)

    @precondition(lambda self: self.payload is not None)
    @rule()
    def answer(self) -> None:
        assert self.payload is not None
        self.proven.update(self.ledger.pong(self.payload))
        self.payload = None
        assert self.proven == self.covered

    @rule(payload=st.binary(max_size=3))
    def answer_what_was_not_asked(self, payload: bytes) -> None:
        if payload != self.payload:
            assert self.ledger.pong(payload) == {}

    @invariant()
    def it_owes_a_ping_only_if_none_is_outstanding_and_something_is_unproven(self) -> None:
        assert self.ledger.is_ping_outstanding is (self.payload is not None)
        assert self.ledger.is_ping_due is (self.payload is None and self.proven != self.written)


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLedger = LedgerMachine.TestCase
