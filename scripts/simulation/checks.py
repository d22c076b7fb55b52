"""A desk that is looked at: each decision is checked against a second opinion, and timed."""

import heapq
import time
from array import array
from collections import defaultdict

import msgspec

from tornado_chat.core.types import Person
from tornado_chat.domain.queue import Assignment, MatchingQueue, QueuePolicy, Ticket

Key = tuple[bool, int]


class CallCosts:
    """Of each call, by the length of the line then.

    :ivar by_length: microseconds, by the number of digits of the length.
    """

    def __init__(self) -> None:
        self.by_length: dict[int, array[float]] = defaultdict(lambda: array("f"))

    def add(self, length: int, nanoseconds: float) -> None:
        self.by_length[len(str(length))].append(nanoseconds / 1000)


class ExpectedOrder:
    """Who must be next, known from what happened to people and not from the line.

    Equals are those with the same claims: among them whoever lost a waiter is first, then whoever came first.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[bytes, Key]] = {}
        self._heaps: dict[bytes, list[Key]] = defaultdict(list)

    def waits(self, ticket: Ticket) -> None:
        group = msgspec.json.encode(ticket.claims) if ticket.claims else b""
        key = (not ticket.returned, ticket.number)
        if self._waiting.get(ticket.number) != (group, key):
            self._waiting[ticket.number] = group, key
            heapq.heappush(self._heaps[group], key)

    def waits_no_more(self, number: int) -> None:
        self._waiting.pop(number, None)

    def is_next(self, ticket: Ticket) -> bool:
        """Whether the ticket is the first of its equals."""
        group, key = self._waiting[ticket.number]
        heap = self._heaps[group]
        while (found := self._waiting.get(heap[0][1])) is None or found[1] != heap[0]:
            heapq.heappop(heap)
        return heap[0] == key


class DecisionMonitor:
    """What a day's desks are checked by, and what they cost.

    :ivar ready: the waiters of whom the coordinator knows that they are there and want users.
    :arg policy_matches_all: the policy has a match for everybody, so that nobody may wait while a waiter is free.
    """

    def __init__(self, *, policy_matches_all: bool) -> None:
        self.ready: set[Person] = set()
        self.join_costs = CallCosts()
        self.match_costs = CallCosts()
        self.position_costs = CallCosts()
        self.max_length = 0
        self.policy_matches_all = policy_matches_all


class CheckedQueue(MatchingQueue):
    """The line and the waiters, as they are; ``watch`` sees what is decided."""

    def __init__(self, policy: QueuePolicy, watch: DecisionMonitor) -> None:
        super().__init__(policy)
        self._watch = watch
        self._expected = ExpectedOrder()
        self._matcher = False

    def join(self, ticket: Ticket) -> None:
        length, started = len(self), time.perf_counter_ns()
        super().join(ticket)
        self._watch.join_costs.add(length, time.perf_counter_ns() - started)
        self._watch.max_length = max(self._watch.max_length, length + 1)
        self._expected.waits(ticket)

    def leave(self, number: int) -> bool:
        if not self._matcher:
            self._expected.waits_no_more(number)
        return super().leave(number)

    def position(self, number: int) -> int:
        started = time.perf_counter_ns()
        place = super().position(number)
        self._watch.position_costs.add(len(self), time.perf_counter_ns() - started)
        return place

    def match(self) -> list[Assignment]:
        length, started = len(self), time.perf_counter_ns()
        self._matcher = True
        try:
            made = super().match()
        finally:
            self._matcher = False
        if made:
            self._watch.match_costs.add(length, (time.perf_counter_ns() - started) / len(made))
        for each in made:
            self._check(each)
        if self._watch.policy_matches_all:
            assert not self.has_passed_over, "somebody waits although a waiter is free"
        return made

    def _check(self, made: Assignment) -> None:
        waiter = self.pool.get(made.waiter)
        assert self._expected.is_next(made.ticket), f"{made.ticket.number} was served before who came first"
        assert made.waiter in self._watch.ready, (
            f"{made.waiter.key} is not there, and got {made.ticket.number}"
        )
        assert waiter is not None, f"{made.waiter.key} is unknown"
        assert waiter.load <= waiter.capacity, f"{made.waiter.key} has too many"
        self._expected.waits_no_more(made.ticket.number)
