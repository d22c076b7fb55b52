"""The waiting line: what joining, matching and asking for one's place cost as it grows."""

from collections import deque
from collections.abc import Iterator, Sequence

from tornado_chat.bench.rounds import Candidate, compare_times
from tornado_chat.core.types import Person, Role
from tornado_chat.domain.queue import FifoLeastLoaded, MatchingQueue, Ticket

QUEUE_LENGTHS = (10, 1_000, 100_000)
ITERATIONS = 2_000


def lines(rounds: int) -> Iterator[str]:
    return compare_times(
        "queue: one of so many waiting; the shortest line is the yardstick", _candidates(), rounds
    )


def _candidates() -> Sequence[Sequence[Candidate]]:
    desks = {length: _Busy(length) for length in QUEUE_LENGTHS}
    return [
        [
            Candidate(f"join, release and match, {length} waiting", desk.match, ITERATIONS)
            for length, desk in desks.items()
        ],
        [Candidate(f"place, {length} waiting", desk.position, ITERATIONS) for length, desk in desks.items()],
    ]


class _Busy:
    """A desk where everybody is busy, and so many wait."""

    def __init__(self, length: int) -> None:
        self._desk = MatchingQueue(FifoLeastLoaded())
        self._next = 0
        for n in range(100):
            waiter = Person(Role.WAITER, str(n))
            self._desk.pool.set(waiter, available=True, capacity=5, claims={})
        for _ in range(500):
            self._join()
        self._held = deque((made.waiter, made.ticket.number) for made in self._desk.match())
        for _ in range(length):
            self._join()

    def match(self) -> None:
        """As many join as are matched: the line stays as long as it is."""
        for _ in range(ITERATIONS):
            self._join()
            self._desk.pool.release(*self._held.popleft())
            for made in self._desk.match():
                self._held.append((made.waiter, made.ticket.number))

    def position(self) -> None:
        first = next(iter(self._desk.in_order())).number
        waiting = self._next - first
        for n in range(ITERATIONS):
            self._desk.position(first + n % waiting)

    def _join(self) -> None:
        self._desk.join(Ticket(self._next, Person(Role.USER, str(self._next)), self._next))
        self._next += 1
