"""The queues of several groups: which agent gets whom, against a plain model."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tornado_chat.core.types import DEFAULT_GROUP, Person, Role
from tornado_chat.domain.group_queue import GroupQueue
from tornado_chat.domain.queue import Choice, FifoLeastLoaded, Ticket, WaiterPool

ANN, BOB, CAT = (Person(Role.WAITER, name) for name in ("ann", "bob", "cat"))
AGENTS = (ANN, BOB, CAT)


def ticket(number: int, group: str = DEFAULT_GROUP, **more: Any) -> Ticket:
    return Ticket(number, Person(Role.USER, str(number)), number, group=group, **more)


def queue_of(*numbers: tuple[int, str], priorities: Mapping[str, int] | None = None) -> GroupQueue:
    queue = GroupQueue(FifoLeastLoaded(), priorities or {DEFAULT_GROUP: 0, "crisis": 0, "legal": 0})
    for number, group in numbers:
        queue.join(ticket(number, group))
    return queue


def serve(queue: GroupQueue, person: Person, **capacities: int) -> None:
    queue.pool.set(person, available=True, capacities=capacities, claims={})


def served(queue: GroupQueue) -> list[tuple[int, Person]]:
    return [(made.ticket.number, made.waiter) for made in queue.match()]


def test_an_agent_gets_the_users_of_its_groups_only() -> None:
    queue = queue_of((1, "legal"), (2, "crisis"), (3, DEFAULT_GROUP))
    serve(queue, ANN, crisis=5)
    assert served(queue) == [(2, ANN)]
    serve(queue, BOB, legal=5, default=5)
    assert served(queue) == [(1, BOB), (3, BOB)]


def test_positions_count_within_the_group() -> None:
    queue = queue_of((1, "legal"), (2, "crisis"), (3, "crisis"), (4, "legal"))
    assert [queue.position(number) for number in (1, 2, 3, 4)] == [1, 1, 2, 2]
    queue.leave(1)
    assert queue.position(4) == 1
    with pytest.raises(ValueError, match="not in the queue"):
        queue.position(1)


def test_the_order_of_all_users_is_that_in_which_they_are_served() -> None:
    queue = queue_of(
        *((1, "legal"), (2, DEFAULT_GROUP), (3, "crisis"), (4, "legal"), (5, DEFAULT_GROUP), (6, "urgent")),
        priorities={DEFAULT_GROUP: 0, "crisis": 0, "legal": 0, "urgent": 1},
    )
    queue.share(urgent := next(queue.in_order()), "legal")
    assert urgent.number == 6
    assert [each.number for each in queue.in_order()] == [6, 1, 2, 3, 4, 5]
    serve(queue, ANN, default=9, crisis=9, legal=9, urgent=9)
    assert [number for number, _ in served(queue)] == [6, 1, 2, 3, 4, 5]


def test_the_capacity_of_a_group_counts_the_users_of_all_groups() -> None:
    queue = queue_of((1, DEFAULT_GROUP), (2, DEFAULT_GROUP), (3, "crisis"))
    serve(queue, ANN, default=3, crisis=1)
    assert served(queue) == [(1, ANN), (2, ANN)]  # number 3 waits, as the agent has two users already
    queue.pool.release(ANN, 1)
    assert served(queue) == []
    queue.pool.release(ANN, 2)
    assert served(queue) == [(3, ANN)]


def test_the_group_with_the_highest_priority_comes_first() -> None:
    queue = queue_of(
        (1, DEFAULT_GROUP), (2, "crisis"), (3, "crisis"), priorities={DEFAULT_GROUP: 0, "crisis": 10}
    )
    serve(queue, ANN, default=2, crisis=2)
    assert served(queue) == [(2, ANN), (3, ANN)]


def test_users_of_groups_with_equal_priority_are_in_one_order() -> None:
    queue = queue_of((1, "legal"), (2, "crisis"), (3, DEFAULT_GROUP), (4, "legal"))
    serve(queue, ANN, default=3, crisis=3, legal=3)
    assert served(queue) == [(1, ANN), (2, ANN), (3, ANN)]


def test_a_shared_ticket_is_served_once_by_either_group() -> None:
    queue = queue_of((1, "crisis"), (2, DEFAULT_GROUP))
    queue.share(ticket(1, "crisis"), DEFAULT_GROUP)
    queue.share(ticket(1, "crisis"), DEFAULT_GROUP)
    assert queue.position(2) == 2  # a shared ticket counts where it is shared
    assert [found.number for _, found in queue.in_group(DEFAULT_GROUP)] == [2]
    assert len(queue) == 2
    serve(queue, ANN, default=5)
    serve(queue, BOB, crisis=5)
    assert [number for number, _ in served(queue)] == [1, 2]
    assert len(queue) == 0


def test_leaving_leaves_the_groups_that_help_out() -> None:
    queue = queue_of((1, "crisis"))
    queue.share(ticket(1, "crisis"), "legal")
    assert queue.leave(1)
    assert not queue.leave(1)
    serve(queue, ANN, crisis=5, legal=5)
    assert served(queue) == []
    queue.share(ticket(1, "crisis"), "legal")  # it has left: no effect
    assert served(queue) == []


def test_an_agent_keeps_its_load_when_its_groups_change() -> None:
    queue = queue_of((1, "crisis"), (2, "crisis"), (3, "legal"))
    serve(queue, ANN, crisis=2)
    assert len(served(queue)) == 2
    serve(queue, ANN, legal=2)
    assert served(queue) == []
    queue.pool.release(ANN, 1)
    assert served(queue) == [(3, ANN)]
    assert queue.pool.get(ANN).load == 2  # type: ignore[union-attr]


def test_other_groups_keep_agents_and_their_places() -> None:
    queue = queue_of((1, "crisis"), (2, "legal"))
    serve(queue, ANN, crisis=1, legal=2)
    assert served(queue) == [(1, ANN), (2, ANN)]
    queue.set_groups({DEFAULT_GROUP: 0, "legal": 0})
    queue.join(ticket(3, "crisis"))  # its group was removed
    assert queue.lane_name("crisis") == DEFAULT_GROUP
    serve(queue, ANN, legal=3, default=3)
    assert served(queue) == [(3, ANN)]
    assert queue.pool.is_free_for(ANN, "legal") is False


def test_a_transfer_may_go_to_an_agent_of_another_group() -> None:
    queue = queue_of()
    serve(queue, ANN, crisis=1)
    assert queue.pool.is_free_for(ANN, "legal")
    queue.pool.hold(ANN, 7)
    assert not queue.pool.is_free_for(ANN, "legal")
    assert not queue.pool.is_free_for(BOB, "crisis")
    with pytest.raises(ValueError, match="not in the pool"):
        queue.pool.hold(BOB, 8)


def test_a_removed_agent_leaves_after_its_last_user() -> None:
    queue = queue_of((1, "crisis"))
    serve(queue, ANN, crisis=2, legal=2)
    assert served(queue) == [(1, ANN)]
    queue.pool.remove(ANN)
    queue.set_groups({DEFAULT_GROUP: 0, "crisis": 0})
    queue.join(ticket(2, "crisis"))
    assert served(queue) == []
    assert len(queue.pool) == 1
    queue.pool.release(ANN, 1)
    assert len(queue.pool) == 0


class Skilled:
    """Matches even numbers with ann and cat, and odd numbers with bob and cat."""

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        return (not ticket.returned, ticket.number)

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        unfit = BOB if ticket.number % 2 == 0 else ANN
        for waiter in pool.in_order():
            if waiter.person != unfit:
                return Choice(waiter.person, "fits")
        return None


GROUP_NAMES = (DEFAULT_GROUP, "crisis", "legal")


class QueueMachine(RuleBasedStateMachine):
    """Compares the queue with a model that looks at all tickets and agents in every step."""

    @initialize(
        priorities=st.fixed_dictionaries({name: st.integers(0, 1) for name in GROUP_NAMES}),
        picky=st.booleans(),
    )
    def begin(self, priorities: dict[str, int], picky: bool) -> None:
        self.policy = Skilled() if picky else FifoLeastLoaded()
        self.picky = picky
        self.priorities = priorities
        self.queue = GroupQueue(self.policy, priorities)
        self.waiting: dict[int, tuple[Ticket, set[str]]] = {}
        self.capacities: dict[Person, dict[str, int]] = {}
        self.users: dict[Person, set[int]] = {person: set() for person in AGENTS}
        self.last = 0

    @rule(group=st.sampled_from(GROUP_NAMES), helpers=st.sets(st.sampled_from(GROUP_NAMES)))
    def join(self, group: str, helpers: set[str]) -> None:
        self.last += 1
        made = ticket(self.last, group)
        self.queue.join(made, sorted(helpers))
        self.waiting[self.last] = made, {group, *helpers}

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), helper=st.sampled_from(GROUP_NAMES))
    def share(self, data: st.DataObject, helper: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        self.queue.share(self.waiting[number][0], helper)
        self.waiting[number][1].add(helper)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        assert self.queue.leave(number)
        del self.waiting[number]

    @rule(
        person=st.sampled_from(AGENTS),
        capacities=st.dictionaries(st.sampled_from(GROUP_NAMES), st.integers(0, 3)),
        available=st.booleans(),
    )
    def serve(self, person: Person, capacities: dict[str, int], available: bool) -> None:
        self.queue.pool.set(person, available=available, capacities=capacities, claims={})
        self.capacities[person] = capacities if available else {}

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        busy = [(person, number) for person in AGENTS for number in sorted(self.users[person])]
        if busy:
            person, number = data.draw(st.sampled_from(busy))
            self.queue.pool.release(person, number)
            self.users[person].discard(number)

    @rule(priorities=st.fixed_dictionaries({name: st.integers(0, 1) for name in GROUP_NAMES}))
    def set_groups(self, priorities: dict[str, int]) -> None:
        for number in self.waiting:
            assert self.queue.leave(number)
        self.queue.set_groups(priorities)
        for made, groups in self.waiting.values():
            self.queue.join(made, sorted(groups))
        self.priorities = priorities

    @rule()
    def set_policy(self) -> None:
        self.queue.set_policy(self.policy)

    @rule()
    def match(self) -> None:
        for made in self.queue.match():
            number, person = made.ticket.number, made.waiter
            assert number == self.expected_next(), "another ticket was next"
            groups = self.waiting.pop(number)[1]
            load = len(self.users[person])
            assert any(self.capacities[person].get(group, 0) > load for group in groups)
            self.users[person].add(number)
        assert self.expected_next() is None, "a user waits although a place is free"

    def expected_next(self) -> int | None:
        """Return the number of the ticket that has to be served next; None: no ticket can be."""
        possible = [
            (-self.priorities[group], number)
            for number, (_, groups) in self.waiting.items()
            for group in groups
            for person in self.capacities
            if self.capacities[person].get(group, 0) > len(self.users[person])
            and not (self.picky and person == (BOB if number % 2 == 0 else ANN))
        ]
        return min(possible)[1] if possible else None

    @invariant()
    def views_agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        assert len(self.queue) == len(self.waiting)
        assert sorted(found.number for found in self.queue.in_order()) == sorted(self.waiting)
        for number, (found, _) in self.waiting.items():
            ahead = [other for other, (_, groups) in self.waiting.items() if found.group in groups]
            assert self.queue.position(number) == sorted(ahead).index(number) + 1
        for person in AGENTS:
            pooled = self.queue.pool.get(person)
            assert (pooled.load if pooled else 0) == len(self.users[person])


QueueMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestGroupQueue = QueueMachine.TestCase
