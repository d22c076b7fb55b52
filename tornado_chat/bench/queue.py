"""Benchmark of the support queue: the cost of joining, matching and positions by its length."""

from collections import deque
from collections.abc import Iterator, Sequence

from tornado_chat.bench.comparison import Candidate, compare_times
from tornado_chat.core.types import DEFAULT_GROUP, Person, Role
from tornado_chat.domain.group_queue import GroupQueue
from tornado_chat.domain.queue import FifoLeastLoaded, MatchingQueue, Ticket

QUEUE_LENGTHS = (10, 1_000, 100_000)
GROUP_COUNTS = (1, 5)
GROUPED_LENGTH = 100_000
ITERATIONS = 2_000


def measure(rounds: int) -> Iterator[str]:
    return compare_times(
        "queue: the cost of one operation by the queue's length; the baseline is the shortest",
        _candidates(),
        rounds,
    )


def _candidates() -> Sequence[Sequence[Candidate]]:
    queues = {length: _BusyQueue(length) for length in QUEUE_LENGTHS}
    return [
        [
            Candidate(f"join, release and match, {length} waiting", queue.match, ITERATIONS)
            for length, queue in queues.items()
        ],
        [
            Candidate(f"position, {length} waiting", queue.position, ITERATIONS)
            for length, queue in queues.items()
        ],
        [
            Candidate(
                f"as the first, in groups: {count}", _BusyGroups(GROUPED_LENGTH, count).match, ITERATIONS
            )
            for count in GROUP_COUNTS
        ],
    ]


class _BusyQueue:
    """A queue of ``length`` waiting users, with all waiters at capacity."""

    def __init__(self, length: int) -> None:
        self._queue: MatchingQueue | GroupQueue = self._make_queue()
        self._next = 0
        for _ in range(500):
            self._join()
        self._assigned = deque((match.waiter, match.ticket.number) for match in self._queue.match())
        for _ in range(length):
            self._join()

    def _make_queue(self) -> MatchingQueue | GroupQueue:
        queue = MatchingQueue(FifoLeastLoaded())
        for n in range(100):
            queue.pool.set(Person(Role.WAITER, str(n)), available=True, capacity=5, claims={})
        return queue

    def match(self) -> None:
        """Add and match the same number of users, so that the length stays constant."""
        for _ in range(ITERATIONS):
            self._join()
            self._queue.pool.release(*self._assigned.popleft())
            self._assigned.extend((match.waiter, match.ticket.number) for match in self._queue.match())

    def position(self) -> None:
        first = next(iter(self._queue.in_order())).number
        waiting = self._next - first
        for n in range(ITERATIONS):
            self._queue.position(first + n % waiting)

    def _join(self) -> None:
        number = self._next
        self._queue.join(Ticket(number, Person(Role.USER, str(number)), number, group=self._group(number)))
        self._next += 1

    def _group(self, number: int) -> str:
        return DEFAULT_GROUP


class _BusyGroups(_BusyQueue):
    """The same with ``count`` groups of equal priority, which all waiters serve."""

    def __init__(self, length: int, count: int) -> None:
        self._groups = [DEFAULT_GROUP, *map(str, range(1, count))]
        super().__init__(length)

    def _make_queue(self) -> GroupQueue:
        queue = GroupQueue(FifoLeastLoaded(), dict.fromkeys(self._groups, 0))
        capacities = dict.fromkeys(self._groups, 5)
        for n in range(100):
            queue.pool.set(Person(Role.WAITER, str(n)), available=True, capacities=capacities, claims={})
        return queue

    def _group(self, number: int) -> str:
        return self._groups[number % len(self._groups)]
