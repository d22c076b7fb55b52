"""Tests of the rules of the queue, one by one; ``test_queue_machine.py`` tests them all together."""

import math
import random
from collections.abc import Iterator
from functools import total_ordering
from typing import Any

import pytest

from tornado_chat.core.types import Person, Role
from tornado_chat.domain.queue import (
    Assignment,
    Choice,
    FifoLeastLoaded,
    MatchingQueue,
    QueuePolicy,
    Ticket,
    Waiter,
    WaiterPool,
)

ANN, BOB, CAT = (Person(Role.WAITER, name) for name in ("ann", "bob", "cat"))


def user(number: int) -> Person:
    return Person(Role.USER, str(number))


def ticket(number: int, *, returned: bool = False, since: int = 0, **claims: Any) -> Ticket:
    return Ticket(number, user(number), since, returned, claims)


def desk_with(*waiters: Person, capacity: int = 5, policy: QueuePolicy | None = None) -> MatchingQueue:
    desk = MatchingQueue(policy or FifoLeastLoaded())
    for waiter in waiters:
        desk.pool.set(waiter, available=True, capacity=capacity)
    return desk


def join(desk: MatchingQueue, *tickets: Ticket | int) -> None:
    for each in tickets:
        desk.join(ticket(each) if isinstance(each, int) else each)


def line(desk: MatchingQueue) -> list[int]:
    return [each.number for each in desk.in_order()]


def pairs(made: list[Assignment]) -> list[tuple[int, str]]:
    return [(each.ticket.number, each.waiter.id) for each in made]


def turns(pool: WaiterPool) -> list[str]:
    return [waiter.person.id for waiter in pool.in_order()]


def known(pool: WaiterPool, person: Person) -> Waiter:
    waiter = pool.get(person)
    assert waiter is not None
    return waiter


# --- the queue ---


def test_first_come_first_served() -> None:
    desk = desk_with()
    join(desk, 2, 1, 3)
    assert line(desk) == [1, 2, 3]
    assert [desk.position(number) for number in (1, 2, 3)] == [1, 2, 3]
    desk.pool.set(ANN, available=True, capacity=2)
    assert pairs(desk.match()) == [(1, "ann"), (2, "ann")]
    assert line(desk) == [3]
    assert desk.position(3) == 1


def test_returned_users_go_before_those_not_served_yet_in_order_of_their_numbers() -> None:
    desk = desk_with()
    join(desk, 3, ticket(9, returned=True), 4, ticket(7, returned=True))
    assert line(desk) == [7, 9, 3, 4]


def test_leaving_the_queue_changes_the_positions_behind() -> None:
    desk = desk_with()
    join(desk, 1, 2, 3)
    assert desk.leave(2)
    assert not desk.leave(2)
    assert not desk.leave(99)
    assert (1 in desk, 2 in desk, len(desk)) == (True, False, 2)
    assert desk.position(3) == 2


def test_a_ticket_that_joins_again_gets_its_former_position() -> None:
    desk = desk_with(ANN, capacity=1)
    join(desk, 1, 2)
    (assignment,) = desk.match()
    desk.pool.release(ANN, 1)  # it could not be stored
    desk.join(assignment.ticket)
    assert line(desk) == [1, 2]


def test_wrong_use_of_the_queue_is_an_error() -> None:
    desk = desk_with()
    join(desk, 1)
    with pytest.raises(ValueError, match="ticket 1 is in the queue already"):
        join(desk, 1)
    with pytest.raises(ValueError, match="ticket 2 is not in the queue"):
        desk.position(2)
    assert line(desk) == [1]


# --- the waiters ---


def test_the_least_loaded_waiter_is_chosen() -> None:
    desk = desk_with(ANN, BOB, CAT)
    for number, busy in enumerate((ANN, ANN, BOB), 101):
        desk.pool.hold(busy, number)
    join(desk, 1, 2, 3)
    assert pairs(desk.match()) == [(1, "cat"), (2, "bob"), (3, "cat")]


def test_among_equal_loads_the_waiter_with_the_oldest_assignment_is_chosen() -> None:
    desk = desk_with(ANN, BOB, CAT)
    for busy in (BOB, CAT, ANN):
        desk.pool.hold(busy, 101)
        desk.pool.release(busy, 101)
    assert turns(desk.pool) == ["bob", "cat", "ann"]
    desk.pool.set(Person(Role.WAITER, "new"), available=True, capacity=5)
    assert turns(desk.pool) == ["new", "bob", "cat", "ann"]


def test_no_waiter_gets_more_users_than_its_capacity() -> None:
    desk = desk_with(ANN, BOB, capacity=2)
    join(desk, *range(1, 8))
    assert len(desk.match()) == 4
    assert desk.match() == []
    assert line(desk) == [5, 6, 7]
    desk.pool.release(BOB, 2)
    assert pairs(desk.match()) == [(5, "bob")]


def test_a_lowered_capacity_removes_no_users_but_adds_none_either() -> None:
    desk = desk_with(ANN, capacity=3)
    join(desk, 1, 2, 3, 4)
    desk.match()
    desk.pool.set(ANN, available=True, capacity=1)
    assert known(desk.pool, ANN).load == 3
    desk.pool.release(ANN, 1)
    desk.pool.release(ANN, 2)
    assert desk.match() == []
    desk.pool.release(ANN, 3)
    assert pairs(desk.match()) == [(4, "ann")]


def test_an_unavailable_waiter_keeps_its_users_and_its_order() -> None:
    desk = desk_with(ANN, BOB)
    join(desk, 1, 2)
    desk.match()
    desk.pool.set(ANN, available=False, capacity=5)
    assert turns(desk.pool) == ["bob"]
    desk.pool.release(ANN, 1)
    desk.pool.release(BOB, 2)
    desk.pool.set(ANN, available=True, capacity=5)
    assert turns(desk.pool) == ["ann", "bob"]


def test_a_removed_waiter_is_forgotten_with_its_last_user() -> None:
    pool = desk_with(ANN, BOB).pool
    pool.hold(ANN, 1)
    pool.hold(ANN, 2)
    pool.remove(ANN)
    pool.remove(BOB)
    pool.remove(CAT)
    assert [(waiter.person, waiter.load, waiter.leaving) for waiter in pool] == [(ANN, 2, True)]
    assert pool.least_loaded() is None
    pool.release(ANN, 1)
    pool.release(ANN, 2)
    assert (len(pool), pool.get(ANN)) == (0, None)


def test_a_removed_waiter_that_returns_still_has_its_users() -> None:
    pool = desk_with(ANN).pool
    pool.hold(ANN, 1)
    pool.remove(ANN)
    pool.set(ANN, available=True, capacity=5)
    pool.release(ANN, 1)
    assert pool.least_loaded() == Waiter(ANN, 5, load=0, available=True, last_assigned=1)


def test_claims_stay_until_others_are_given() -> None:
    pool = WaiterPool()
    pool.set(ANN, available=True, capacity=5, claims={"skills": ["tax"]})
    pool.set(ANN, available=False, capacity=5)
    assert known(pool, ANN).claims == {"skills": ["tax"]}
    pool.set(ANN, available=True, capacity=5, claims={})
    assert known(pool, ANN).claims == {}


def test_users_assigned_by_the_owner_count_even_above_the_capacity() -> None:
    desk = desk_with(ANN, capacity=1)
    desk.pool.hold(ANN, 101)
    desk.pool.hold(ANN, 102)
    join(desk, 1)
    assert desk.match() == []
    assert known(desk.pool, ANN).load == 2


def test_wrong_use_of_the_pool_is_an_error() -> None:
    pool = desk_with(ANN).pool
    with pytest.raises(ValueError, match="waiter:bob is not in the pool"):
        pool.hold(BOB, 1)
    with pytest.raises(ValueError, match="the capacity of waiter:ann cannot be -1"):
        pool.set(ANN, available=True, capacity=-1)
    assert pool.least_loaded() == Waiter(ANN, 5, available=True)


def test_a_place_that_is_held_or_released_twice_counts_once() -> None:
    pool = desk_with(ANN).pool
    pool.hold(ANN, 1)
    pool.hold(ANN, 1)
    pool.hold(ANN, 2)
    assert (known(pool, ANN).load, known(pool, ANN).last_assigned) == (2, 2)
    pool.release(ANN, 1)
    pool.release(ANN, 1)
    pool.release(ANN, 3)
    pool.release(BOB, 1)
    assert known(pool, ANN).load == 1


def test_every_match_has_a_reason() -> None:
    desk = desk_with(ANN)
    join(desk, 1, ticket(2, returned=True))
    assert [each.reason for each in desk.match()] == [
        "returned user; least loaded waiter, 0 of 5",
        "next in line; least loaded waiter, 1 of 5",
    ]


# --- other policies ---


class Skilled(FifoLeastLoaded):
    """A user's ``skill`` must be among the waiter's ``skills``."""

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        skill = ticket.claims.get("skill")
        for waiter in pool.in_order():
            if skill is None or skill in waiter.claims.get("skills", ()):
                return Choice(waiter.person, f"knows {skill}")
        return None


class Sticky(FifoLeastLoaded):
    """Chooses the previous waiter of the user, if that waiter is free."""

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        last = ticket.claims.get("last_waiter")
        if last is not None and (waiter := pool.get(last)) is not None and waiter.free:
            return Choice(last, "knows this user")
        return super().choose(ticket, pool)


class Ageing(FifoLeastLoaded):
    """A point of priority is worth 60 s of waiting."""

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        return (ticket.since - 60_000_000 * ticket.claims.get("priority", 0),)


def test_a_ticket_that_no_waiter_suits_does_not_block_the_others() -> None:
    desk = desk_with(policy=Skilled())
    desk.pool.set(ANN, available=True, capacity=2, claims={"skills": ["tax"]})
    join(desk, ticket(1, skill="law"), ticket(2, skill="tax"), ticket(3, skill="law"), 4, 5)
    made = desk.match()
    assert pairs(made) == [(2, "ann"), (4, "ann")]
    assert made[0].reason == "knows tax"
    assert line(desk) == [1, 3, 5]
    desk.pool.set(BOB, available=True, capacity=5, claims={"skills": ["law", "tax"]})
    assert pairs(desk.match()) == [(1, "bob"), (3, "bob"), (5, "bob")]


def test_a_user_returns_to_its_previous_waiter_if_that_waiter_is_free() -> None:
    desk = desk_with(ANN, BOB, capacity=2, policy=Sticky())
    join(desk, *(ticket(number, last_waiter=BOB) for number in (1, 2, 3)), ticket(4, last_waiter=CAT))
    assert pairs(desk.match()) == [(1, "bob"), (2, "bob"), (3, "ann"), (4, "ann")]


def test_priority_is_a_head_start_in_waiting_time() -> None:
    desk = desk_with(policy=Ageing())
    join(desk, ticket(1, since=0), ticket(2, since=30_000_000, priority=1), ticket(3, since=30_000_000))
    join(desk, ticket(4, since=60_000_001, priority=1), ticket(5, since=30_000_000))
    assert line(desk) == [2, 1, 4, 3, 5]


class Broken(FifoLeastLoaded):
    """Chooses an unknown waiter for ticket 2; fails for ticket 3."""

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        if ticket.number == 2:
            return Choice(CAT, "a mistake")
        if ticket.number == 3:
            raise RuntimeError("broken")
        return super().choose(ticket, pool)


def test_a_broken_policy_loses_no_ticket() -> None:
    desk = desk_with(ANN, policy=Broken())
    join(desk, 1, 2, 3, 4)
    assert pairs(desk.match()) == [(1, "ann")]
    with pytest.raises(ValueError, match="the policy chose waiter:cat, who is not free"):
        desk.match()
    desk.leave(2)
    with pytest.raises(RuntimeError, match="broken"):
        desk.match()
    assert line(desk) == [3, 4]
    assert known(desk.pool, ANN).load == 1


@pytest.mark.parametrize(("available", "capacity"), [(False, 5), (True, 1), (True, 0)])
def test_a_policy_cannot_choose_a_waiter_that_is_unavailable_or_full(available: bool, capacity: int) -> None:
    class Stubborn(FifoLeastLoaded):
        def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
            return Choice(ANN, "always ann")

    desk = desk_with(ANN, BOB, policy=Stubborn())
    desk.pool.hold(ANN, 101)
    desk.pool.set(ANN, available=available, capacity=capacity)
    join(desk, 1)
    with pytest.raises(ValueError, match="the policy chose waiter:ann, who is not free"):
        desk.match()
    assert line(desk) == [1]
    assert known(desk.pool, ANN).load == 1


def test_a_rank_that_cannot_be_compared_leaves_the_queue_unchanged() -> None:
    class Mixed(FifoLeastLoaded):
        def rank(self, ticket: Ticket) -> tuple[Any, ...]:
            return ("two" if ticket.number == 2 else ticket.number,)

    desk = desk_with(policy=Mixed())
    join(desk, 1)
    with pytest.raises(TypeError):
        join(desk, 2)
    join(desk, 3)
    assert (line(desk), len(desk), 2 in desk) == ([1, 3], 2, False)


# --- the cost, counted in comparisons ---


@total_ordering
class Counted:
    """A part of a rank that counts how often it is compared."""

    compared = 0

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        type(self).compared += 1
        return isinstance(other, Counted) and self.value == other.value

    def __lt__(self, other: "Counted") -> bool:
        type(self).compared += 1
        return self.value < other.value

    __hash__ = None  # type: ignore[assignment]


class Counting(FifoLeastLoaded):
    def __init__(self) -> None:
        self.ranked = self.chosen = 0

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        self.ranked += 1
        return (Counted(ticket.number),)

    def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
        self.chosen += 1
        return super().choose(ticket, pool)


@pytest.mark.parametrize("waiting", [100, 20_000])
def test_the_operations_need_a_logarithmic_number_of_comparisons(waiting: int) -> None:
    policy = Counting()
    desk = desk_with(policy=policy)
    numbers = [2 * number for number in range(waiting)]
    random.Random(1).shuffle(numbers)
    join(desk, *numbers)
    middle = waiting | 1  # an odd number: not in the queue yet

    def cost() -> Iterator[int]:
        for action in (
            lambda: desk.join(ticket(middle)),
            lambda: desk.position(middle),
            lambda: desk.leave(middle),
            desk.match,
        ):
            before = Counted.compared
            action()
            yield Counted.compared - before

    desk.pool.set(ANN, available=True, capacity=1)
    # A step of a bisection makes two or three comparisons: tuples are compared for the first difference, and
    # then for its order. A linear scan would make thousands.
    assert max(cost()) <= 3 * (math.log2(waiting) + 4)
    assert policy.ranked == waiting + 1
    assert len(desk) == waiting - 1


@pytest.mark.parametrize(("waiting", "capacity"), [(1000, 7), (7, 1000), (7, 7), (1000, 0), (0, 7)])
def test_the_policy_is_called_once_for_each_match(waiting: int, capacity: int) -> None:
    policy = Counting()
    desk = desk_with(ANN, capacity=capacity, policy=policy)
    join(desk, *range(waiting))
    assert len(desk.match()) == policy.chosen == min(waiting, capacity)
    desk.match()
    assert policy.chosen == min(waiting, capacity)


def test_the_policy_is_called_once_for_each_ticket_that_it_passes_over() -> None:
    class Picky(Counting):
        def choose(self, ticket: Ticket, pool: WaiterPool) -> Choice | None:
            choice = super().choose(ticket, pool)
            return choice if ticket.number % 10 == 9 else None

    policy = Picky()
    desk = desk_with(ANN, capacity=3, policy=policy)
    join(desk, *range(100))
    assert pairs(desk.match()) == [(9, "ann"), (19, "ann"), (29, "ann")]
    assert policy.chosen == 30
    desk.match()
    assert policy.chosen == 30  # no waiter is free, so the policy is not called


# --- a simulated day ---


def test_a_hundred_visitors_and_twenty_waiters() -> None:
    """All users are served, first come, first served, in spite of random departures and lost waiters."""
    dice = random.Random(20250320)
    desk = desk_with()
    waiters = [Person(Role.WAITER, str(number)) for number in range(20)]
    serving: dict[Person, list[Ticket]] = {waiter: [] for waiter in waiters}
    away = set(waiters)
    arrived = lost = 0
    served: list[int] = []
    longest = 0

    def away_from_the_desk(waiter: Person) -> None:
        away.add(waiter)
        desk.pool.remove(waiter)
        for dropped in serving[waiter]:
            desk.pool.release(waiter, dropped.number)
            desk.join(ticket(dropped.number, returned=True))
        serving[waiter].clear()

    while arrived < 100 or len(desk):
        match dice.choices(("arrive", "come", "drop", "finish"), (6, 1, 1, 1))[0]:
            case "arrive" if arrived < 100:
                arrived += 1
                join(desk, arrived)
            case "come" if away:
                waiter = dice.choice(sorted(away))
                away.discard(waiter)
                desk.pool.set(waiter, available=True, capacity=5)
            case "drop" if lost < 40 and len(away) < 20:
                lost += 1
                away_from_the_desk(dice.choice(sorted(set(waiters) - away)))
            case "finish" if busy := [waiter for waiter in waiters if serving[waiter]]:
                waiter = dice.choice(busy)
                finished = serving[waiter].pop(dice.randrange(len(serving[waiter])))
                desk.pool.release(waiter, finished.number)
        longest = max(longest, len(desk))
        expected = sorted(desk.in_order(), key=lambda each: (not each.returned, each.number))
        for assignment, next_in_line in zip(desk.match(), expected, strict=False):
            assert assignment.ticket == next_in_line
            serving[assignment.waiter].append(assignment.ticket)
            assert len(serving[assignment.waiter]) <= 5
            assert assignment.waiter not in away
            if not assignment.ticket.returned:
                served.append(assignment.ticket.number)

    assert served == list(range(1, 101))
    assert lost > 5
    assert longest > 5
