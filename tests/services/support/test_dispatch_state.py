"""The dispatcher's state: versions and decisions in any order, and the places that follow from them."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from tornado_chat.core.types import DEFAULT_GROUP, Conversation, ConversationState, Person, Role
from tornado_chat.domain.groups import Groups
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.services.support.dispatch_state import Case, Decision, DispatchState

WAITING, ACTIVE, ENDED = ConversationState
WAITERS = [Person(Role.WAITER, name) for name in ("ann", "bob", "cat")]
ANN, BOB, CAT = WAITERS


def waiting(number: int) -> Conversation:
    return Conversation(number, Person(Role.USER, str(number)), None, f"user-{number}", WAITING, 0, number)


def with_waiter(row: Conversation, waiter: Person) -> Conversation:
    return replace(
        row, state=ACTIVE, waiter=waiter, waiter_uuid=f"waiter-{waiter.id}", changes=row.changes + 1
    )


def without_waiter(row: Conversation) -> Conversation:
    return replace(row, state=WAITING, waiter=None, waiter_uuid=None, returned=True, changes=row.changes + 1)


def ended(row: Conversation) -> Conversation:
    return replace(row, state=ENDED, changes=row.changes + 1)


def ready(state: DispatchState, *people: Person) -> None:
    for person in people:
        waiter = state.waiter(person, f"waiter-{person.id}", None, 0.0)
        waiter.ready = True
        waiter.processes.add("a")
        state.update_waiter(waiter, 0.0)


def load(state: DispatchState, person: Person) -> int:
    pooled = state.queue.pool.get(person)
    return 0 if pooled is None else pooled.load


def decided(state: DispatchState, row: Conversation) -> Decision:
    state.enqueue(state.add(row, 0.0, 0.0), 0.0)
    (decision,) = state.match()
    return decision


@pytest.fixture
def state() -> DispatchState:
    found = DispatchState(Groups.single(1), FifoLeastLoaded())
    ready(found, ANN)
    return found


def test_a_decision_names_the_version_that_it_was_made_on(state: DispatchState) -> None:
    row = waiting(1)
    decision = decided(state, row)
    assert (decision.row, decision.waiter.person) == (row, ANN)
    state.apply_version(with_waiter(row, BOB), 1.0)
    assert decision.row == row
    assert decision.case.row.waiter == BOB


def test_a_stored_decision_holds_one_place(state: DispatchState) -> None:
    decision = decided(state, waiting(1))
    assert load(state, ANN) == 1
    state.apply_version(with_waiter(decision.row, ANN), 1.0)
    state.resolve(decision)
    assert load(state, ANN) == 1


def test_a_decision_that_was_not_stored_holds_no_place(state: DispatchState) -> None:
    decision = decided(state, waiting(1))
    state.resolve(decision)
    state.resolve(decision)
    assert load(state, ANN) == 0
    state.apply_version(with_waiter(decision.row, ANN), 1.0)  # it was stored after all
    assert load(state, ANN) == 1


def test_the_end_frees_the_place_that_was_decided(state: DispatchState) -> None:
    decision = decided(state, waiting(1))
    state.apply_version(ended(decision.row), 1.0)
    assert load(state, ANN) == 0
    state.resolve(decision)
    assert load(state, ANN) == 0
    assert not state.cases


def test_a_transfer_holds_both_places_until_it_is_stored(state: DispatchState) -> None:
    ready(state, BOB)
    case = state.add(with_waiter(waiting(1), ANN), 0.0, 0.0)
    decision = state.decide_transfer(case, state.waiters[BOB], "handed over")
    assert (load(state, ANN), load(state, BOB)) == (1, 1)
    state.apply_version(with_waiter(case.row, BOB), 1.0)
    state.resolve(decision)
    assert (load(state, ANN), load(state, BOB)) == (0, 1)


def test_a_user_whose_match_is_being_stored_is_not_queued(state: DispatchState) -> None:
    decision = decided(state, waiting(1))
    case = decision.case
    assert not state.enqueue(case, 0.0)
    state.resolve(decision)
    assert state.enqueue(case, 0.0)
    assert not state.enqueue(case, 0.0)


def test_old_versions_and_unknown_conversations_change_nothing(state: DispatchState) -> None:
    first = waiting(1)
    second = with_waiter(first, ANN)
    state.add(second, 0.0, 0.0)
    assert state.apply_version(first, 1.0) is None
    assert state.apply_version(second, 1.0) is None
    assert state.apply_version(waiting(2), 1.0) is None
    assert state.cases.keys() == {1}


def test_nothing_of_before_is_known_after_a_clear(state: DispatchState) -> None:
    decision = decided(state, waiting(1))
    state.clear()
    state.resolve(decision)
    assert not state.is_current(decision.case)
    assert len(state.queue.pool) == 0


class StateMachine(RuleBasedStateMachine):
    """Versions of two histories, decisions and their results come in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = DispatchState(Groups.single(2), FifoLeastLoaded())
        ready(self.state, *WAITERS)
        self.decisions: list[Decision] = []
        self.count = 0

    @rule()
    def arrive(self) -> None:
        self.count += 1
        self.state.enqueue(self.state.add(waiting(self.count), 0.0, 0.0), 0.0)

    @rule()
    def match(self) -> None:
        self.decisions += self.state.match()

    @precondition(lambda self: self.decisions)
    @rule(data=st.data(), stored=st.booleans())
    def resolve(self, data: st.DataObject, stored: bool) -> None:
        decision = self.decisions.pop(data.draw(st.integers(0, len(self.decisions) - 1)))
        case = decision.case
        if stored and case.row == decision.row:
            self.state.apply_version(with_waiter(case.row, decision.waiter.person), 0.0)
        self.state.resolve(decision)
        if self.state.is_current(case):
            self.state.enqueue(case, 0.0)

    @precondition(lambda self: self.state.cases)
    @rule(data=st.data(), waiter=st.sampled_from(WAITERS))
    def transfer(self, data: st.DataObject, waiter: Person) -> None:
        case = self._draw(data)
        if case.row.state is ACTIVE and case.decision is None:
            target = self.state.waiters[waiter]
            self.decisions.append(self.state.decide_transfer(case, target, "handed over"))

    @precondition(lambda self: self.state.cases)
    @rule(data=st.data(), waiter=st.sampled_from(WAITERS))
    def another_coordinator_assigns(self, data: st.DataObject, waiter: Person) -> None:
        self.state.apply_version(with_waiter(self._draw(data).row, waiter), 0.0)

    @precondition(lambda self: self.state.cases)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.state.apply_version(ended(self._draw(data).row), 0.0)

    @precondition(lambda self: self.state.cases)
    @rule(data=st.data())
    def lose_waiter(self, data: st.DataObject) -> None:
        case = self._draw(data)
        if case.row.state is ACTIVE:
            self.state.apply_version(without_waiter(case.row), 0.0)
            self.state.enqueue(case, 0.0)

    @invariant()
    def places_are_those_of_rows_and_decisions(self) -> None:
        expected: Counter[Person] = Counter()
        for case in self.state.cases.values():
            holders = {case.row.waiter, case.decision.waiter.person if case.decision else None}
            expected.update(person for person in holders if person is not None)
        for person in WAITERS:
            assert load(self.state, person) == expected[person]
            assert self.state.waiters[person].cases.keys() == {
                number for number, case in self.state.cases.items() if case.row.waiter == person
            }

    @invariant()
    def only_waiting_users_are_queued(self) -> None:
        for _, case in self.state.queued_cases(DEFAULT_GROUP, 0, 1000):
            assert case.row.state is WAITING
            assert case.decision is None

    def _draw(self, data: st.DataObject) -> Case:
        return self.state.cases[data.draw(st.sampled_from(sorted(self.state.cases)))]


TestState = StateMachine.TestCase
TestState.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
