"""State machine test that compares the queue with a simple model of plain lists and full scans."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tornado_chat.core.types import Person, Role
from tornado_chat.domain.queue import Choice, FifoLeastLoaded, MatchingQueue, Ticket, WaiterPool

WAITERS = [Person(Role.WAITER, name) for name in "abcde"]
skills = st.sampled_from([None, "law", "tax"])
some_waiter = st.sampled_from(WAITERS)
some_capacity = st.integers(0, 3)


def suits(ticket: Ticket, claims: dict[str, Any]) -> bool:
    return ticket.claims["skill"] in (None, claims["skill"])


class Skilled(FifoLeastLoaded):
    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        for waiter in pool.in_order():
            if suits(ticket, dict(waiter.claims)):
                return Choice(waiter.person, "suits")
        return None


@dataclass
class ModelWaiter:
    person: Person
    available: bool
    capacity: int
    claims: dict[str, Any]
    users: list[Ticket] = field(default_factory=list)
    last_assigned: int = 0
    leaving: bool = False


class DeskMachine(RuleBasedStateMachine):
    """A queue with the default policy, for which every waiter suits."""

    picky = False

    def __init__(self) -> None:
        super().__init__()
        self.desk = MatchingQueue(Skilled() if self.picky else FifoLeastLoaded())
        self.waiting: list[Ticket] = []
        self.waiters: dict[Person, ModelWaiter] = {}
        self.gone: set[int] = set()
        self.arrived = self.assignments = 0

    # --- users ---

    @rule(skill=skills)
    def arrive(self, skill: str | None) -> None:
        self.arrived += 1
        person = Person(Role.USER, str(self.arrived))
        self._join(Ticket(self.arrived, person, since=self.arrived, claims={"skill": skill}))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(ticket)
        self.gone.add(ticket.number)
        assert self.desk.leave(ticket.number)
        assert not self.desk.leave(ticket.number)

    @precondition(lambda self: self._busy())
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self._busy()))
        number = waiter.users.pop(data.draw(st.integers(0, len(waiter.users) - 1))).number
        self.gone.add(number)
        self._released(waiter, number)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def join_twice(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.waiting))
        with pytest.raises(ValueError, match="already"):
            self.desk.join(ticket)

    # --- waiters ---

    @rule(person=some_waiter, capacity=some_capacity, skill=skills)
    def ready(self, person: Person, capacity: int, skill: str | None) -> None:
        claims = {"skill": skill}
        self.desk.pool.set(person, available=True, capacity=capacity, claims=claims)
        waiter = self.waiters.setdefault(person, ModelWaiter(person, True, capacity, claims))
        waiter.available, waiter.capacity, waiter.claims, waiter.leaving = True, capacity, claims, False

    @precondition(lambda self: self.waiters)
    @rule(data=st.data(), capacity=some_capacity)
    def unready(self, data: st.DataObject, capacity: int) -> None:
        waiter = data.draw(st.sampled_from(list(self.waiters.values())))
        self.desk.pool.set(waiter.person, available=False, capacity=capacity)
        waiter.available, waiter.capacity, waiter.leaving = False, capacity, False

    @precondition(lambda self: self.waiters)
    @rule(data=st.data(), capacity=some_capacity)
    def change_capacity(self, data: st.DataObject, capacity: int) -> None:
        waiter = data.draw(st.sampled_from(list(self.waiters.values())))
        self.desk.pool.set(waiter.person, available=waiter.available, capacity=capacity)
        waiter.capacity, waiter.leaving = capacity, False

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        """Remove a waiter; its users wait again."""
        waiter = data.draw(st.sampled_from(list(self.waiters.values())))
        self.leave_for_good(waiter.person)
        while waiter.users:
            lost = waiter.users.pop()
            self._released(waiter, lost.number)
            self._join(Ticket(lost.number, lost.user, lost.since, returned=True, claims=lost.claims))

    @rule(person=some_waiter)
    def leave_for_good(self, person: Person) -> None:
        """Remove a waiter: it gets no more users, and is forgotten with its last user."""
        self.desk.pool.remove(person)
        if waiter := self.waiters.get(person):
            waiter.available, waiter.leaving = False, True
            self._forget(waiter)

    @precondition(lambda self: self.waiting and self.waiters)
    @rule(data=st.data())
    def assigned_by_hand(self, data: st.DataObject) -> None:
        """Assign any ticket to any waiter by the owner, even above the capacity."""
        ticket = data.draw(st.sampled_from(self.waiting))
        waiter = data.draw(st.sampled_from(list(self.waiters.values())))
        assert self.desk.leave(ticket.number)
        self.desk.pool.hold(waiter.person, ticket.number)
        self._took(ticket, waiter)

    # --- matching ---

    @rule()
    def match(self) -> None:
        made = [(each.ticket, each.waiter) for each in self.desk.match()]
        assert made == self._naive_match()
        for ticket in self.waiting:
            assert not self._suitable(ticket), "a waiting user and a free waiter"

    def _naive_match(self) -> list[tuple[Ticket, Person]]:
        made = []
        for ticket in self._in_order():
            if suitable := self._suitable(ticket):
                waiter = min(suitable, key=lambda w: (len(w.users), w.last_assigned, w.person))
                self._took(ticket, waiter)
                assert len(waiter.users) <= waiter.capacity
                made.append((ticket, waiter.person))
        return made

    # --- invariants ---

    @invariant()
    def every_user_is_in_exactly_one_place(self) -> None:
        present = [ticket.number for ticket in self.waiting]
        present += [ticket.number for waiter in self.waiters.values() for ticket in waiter.users]
        assert sorted([*present, *self.gone]) == list(range(1, self.arrived + 1))

    @invariant()
    def the_queue_equals_the_model(self) -> None:
        expected = self._in_order()
        assert list(self.desk.in_order()) == expected
        assert len(self.desk) == len(expected)
        for position, ticket in enumerate(expected, 1):
            assert ticket.number in self.desk
            assert self.desk.position(ticket.number) == position
        assert not any(number in self.desk for number in self.gone)

    @invariant()
    def the_pool_equals_the_model(self) -> None:
        pool = self.desk.pool
        assert {
            (w.person, w.load, w.available, w.capacity, w.last_assigned, w.leaving, w.claims["skill"])
            for w in pool
        } == {
            (
                w.person,
                len(w.users),
                w.available,
                w.capacity,
                w.last_assigned,
                w.leaving,
                w.claims["skill"],
            )
            for w in self.waiters.values()
        }
        assert len(pool) == len(self.waiters)
        free = sorted(self._free(), key=lambda w: (len(w.users), w.last_assigned, w.person))
        assert [w.person for w in pool.in_order()] == [w.person for w in free]
        first = pool.least_loaded()
        assert (first and first.person) == (free[0].person if free else None)

    # --- the model ---

    def _in_order(self) -> list[Ticket]:
        return sorted(self.waiting, key=lambda ticket: (not ticket.returned, ticket.number))

    def _busy(self) -> list[ModelWaiter]:
        return [waiter for waiter in self.waiters.values() if waiter.users]

    def _free(self) -> list[ModelWaiter]:
        return [w for w in self.waiters.values() if w.available and len(w.users) < w.capacity]

    def _suitable(self, ticket: Ticket) -> list[ModelWaiter]:
        return [w for w in self._free() if not self.picky or suits(ticket, w.claims)]

    def _join(self, ticket: Ticket) -> None:
        self.desk.join(ticket)
        self.waiting.append(ticket)

    def _took(self, ticket: Ticket, waiter: ModelWaiter) -> None:
        self.assignments += 1
        self.waiting.remove(ticket)
        waiter.users.append(ticket)
        waiter.last_assigned = self.assignments

    def _released(self, waiter: ModelWaiter, number: int) -> None:
        self.desk.pool.release(waiter.person, number)
        self._forget(waiter)

    def _forget(self, waiter: ModelWaiter) -> None:
        if waiter.leaving and not waiter.users:
            del self.waiters[waiter.person]


class PickyDeskMachine(DeskMachine):
    """A queue with a policy that passes over tickets."""

    picky = True


TestDesk = DeskMachine.TestCase
TestPickyDesk = PickyDeskMachine.TestCase
TestDesk.settings = TestPickyDesk.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
