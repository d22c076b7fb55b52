"""A queue that checks each decision against an independent model, and measures it."""

import heapq
import time
from array import array
from collections import defaultdict

import msgspec

from tornado_chat.core.types import Person
from tornado_chat.domain.queue import Assignment, MatchingQueue, QueuePolicy, Ticket

Key = tuple[bool, int]


class CallCosts:
    """The durations of calls, by the length of the queue at the time of the call.

    :ivar by_length: microseconds, by the number of digits of the length.
    """

    def __init__(self) -> None:
        self.by_length: dict[int, array[float]] = defaultdict(lambda: array("f"))

    def add(self, length: int, nanoseconds: float) -> None:
        self.by_length[len(str(length))].append(nanoseconds / 1000)


class ExpectedOrder:
    """The expected order, derived from what happened to each user and not from the queue.

    It covers users with the same claims: among them users that lost their waiter come first, then the order
    of arrival counts.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[bytes, Key]] = {}
        self._heaps: dict[bytes, list[Key]] = defaultdict(list)

    def add(self, ticket: Ticket) -> None:
        group = msgspec.json.encode(ticket.claims) if ticket.claims else b""
        key = (not ticket.returned, ticket.number)
        if self._waiting.get(ticket.number) != (group, key):
            self._waiting[ticket.number] = group, key
            heapq.heappush(self._heaps[group], key)

    def remove(self, number: int) -> None:
        self._waiting.pop(number, None)

    def is_next(self, ticket: Ticket) -> bool:
        """Return True if the ticket is the first among those with the same claims."""
        group, key = self._waiting[ticket.number]
        heap = self._heaps[group]
        while (found := self._waiting.get(heap[0][1])) is None or found[1] != heap[0]:
            heapq.heappop(heap)
        return heap[0] == key


class DecisionMonitor:
    """The expectations and the measurements that all queues of a day share.

    :ivar ready: the waiters that were reported to the coordinator as present and ready.
    :arg policy_matches_all: the policy matches every user, so that no user may wait while a waiter is free.
    """

    def __init__(self, *, policy_matches_all: bool) -> None:
        self.ready: set[Person] = set()
        self.join_costs = CallCosts()
        self.match_costs = CallCosts()
        self.position_costs = CallCosts()
        self.max_length = 0
        self.policy_matches_all = policy_matches_all


class CheckedQueue(MatchingQueue):
    """The real queue, which reports its decisions to ``monitor``."""

    def __init__(self, policy: QueuePolicy, monitor: DecisionMonitor) -> None:
        super().__init__(policy)
        self._monitor = monitor
        self._expected = ExpectedOrder()

    def join(self, ticket: Ticket) -> None:
        length, started = len(self), time.perf_counter_ns()
        super().join(ticket)
        self._monitor.join_costs.add(length, time.perf_counter_ns() - started)
        self._monitor.max_length = max(self._monitor.max_length, length + 1)
        self._expected.add(ticket)

    def leave(self, number: int) -> bool:
        self._expected.remove(number)
        return super().leave(number)

    def position(self, number: int) -> int:
        started = time.perf_counter_ns()
        position = super().position(number)
        self._monitor.position_costs.add(len(self), time.perf_counter_ns() - started)
        return position

    def match(self) -> list[Assignment]:
        made = super().match()
        if self._monitor.policy_matches_all:
            assert not self.has_passed_over, "a user waits although a waiter is free"
        return made

    def match_at(self, index: int) -> Assignment | None:
        length, started = len(self), time.perf_counter_ns()
        made = super().match_at(index)
        if made is not None:
            self._monitor.match_costs.add(length, time.perf_counter_ns() - started)
            self._check(made)
        return made

    def _check(self, made: Assignment) -> None:
        waiter = self.pool.get(made.waiter)
        assert self._expected.is_next(made.ticket), f"{made.ticket.number} was served before an earlier user"
        assert made.waiter in self._monitor.ready, (
            f"{made.waiter.key} is not present, and was assigned {made.ticket.number}"
        )
        assert waiter is not None, f"{made.waiter.key} is unknown"
        assert waiter.load <= waiter.capacity, f"{made.waiter.key} is above its capacity"
        self._expected.remove(made.ticket.number)
