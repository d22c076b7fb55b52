"""The waiting queue, the pool of waiters, and the matches between them.

The dispatcher owns one ``MatchingQueue``. Users ``join`` and ``leave`` it, and ``queue.pool`` holds the state
of the waiters; ``match`` returns the assignments of users to waiters, with reasons::

    queue = MatchingQueue(FifoLeastLoaded())
    queue.pool.set(waiter, available=True, capacity=5)
    queue.join(Ticket(number=1, user=user, since=now))
    for assignment in queue.match():
        ...  # store the assignment, then notify both sides

Strategy: two sorted lists, the queue by the policy's rank and the free waiters by load and last assignment,
each beside a dictionary of its entries. A position in the queue is an index, so with n waiting and w waiters
``join``, ``leave`` and ``position`` cost O(log n), a change of a waiter O(log w), and a match both. No
operation scans a list, except for a policy that skips tickets (``MatchingQueue.match`` states the cost).

There is no clock and no lock: the owner makes one call at a time. Wrong use is an error of the program, not
of a user, and raises ``ValueError``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace
from sortedcontainers import SortedList

from tornado_chat.core.types import DEFAULT_GROUP, Person


class Ticket(msgspec.Struct, frozen=True):
    """A user in the queue.

    :arg number: the id of the conversation, which increases in the order of arrival.
    :arg since: the time at which the user joined the queue.
    :arg returned: True if the user has been served before and has lost its waiter.
    :arg claims: the claims of the user's token that ``[support] queue_claims`` names, for the policy.
    :arg last_waiter: the waiter of the user's previous conversation.
    :arg group: the group that the user has chosen.
    :arg score: the user's lane: a policy should serve users with a higher score first; 0 for most.
    :arg avoids: waiters that get the user only if no other waiter is available.
    """

    number: int
    user: Person
    since: int
    returned: bool = False
    claims: Mapping[str, Any] = {}
    last_waiter: Person | None = None
    group: str = DEFAULT_GROUP
    score: int = 0
    avoids: tuple[Person, ...] = ()


class Waiter(msgspec.Struct, frozen=True):
    """The present state of a waiter. It is immutable, so that only the pool can change the order of waiters.

    :arg capacity: the number of users that the waiter serves at the same time.
    :arg load: the number of users that the waiter has.
    :arg available: True if the waiter is connected and ready.
    :arg last_assigned: the number of its last assignment among all assignments of the pool, 0 for none.
    :arg leaving: True if the waiter has left for good but still has users.
    :arg claims: all claims of the waiter's token, for the policy.
    """

    person: Person
    capacity: int = 0
    load: int = 0
    available: bool = False
    last_assigned: int = 0
    leaving: bool = False
    claims: Mapping[str, Any] = {}

    @property
    def free(self) -> bool:
        """True if the waiter can take one more user."""
        return self.available and self.load < self.capacity


class Choice(msgspec.Struct, frozen=True):
    """A policy's decision for one ticket; ``reason`` is a sentence for the waiter and the log."""

    waiter: Person
    reason: str


class Assignment(msgspec.Struct, frozen=True):
    """A match: the ticket has left the queue, and the load of the waiter has increased by one."""

    ticket: Ticket
    waiter: Person
    reason: str


class PolicyFailed(Exception):
    """A policy has no rank for a ticket."""


class QueuePolicy(Protocol):
    """The order of the queue and the choice of waiters. A plugin can replace the policy.

    Both methods are called very often and must not block. They must not change the pool.
    """

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        """Return the rank of the ticket: the smallest rank is next, and equal ranks are ordered by number.

        Called once, when the ticket joins, and once more for each fallback group that it is shared with. This
        suffices for ageing too: if the priorities of all tickets grow at the same speed, their order never
        changes, and a priority is a head start, ``(ticket.since - head_start,)``. Ranks must be comparable
        with each other and contain no NaN.
        """
        ...

    def choose(self, ticket: Ticket, pool: "WaiterPool") -> Choice | None:
        """Return the choice of one of the free waiters of ``pool`` for ``ticket``; None if no waiter suits.

        ``pool`` has the waiters that serve the group in whose queue the ticket is, each with its capacity for
        that group. Called only while at least one of them is free. A ticket without a choice keeps its
        position and does not block the tickets behind it; the next ``MatchingQueue.match`` calls this method
        for it again.
        """
        ...


class FifoLeastLoaded:
    """The default policy: first come, first served, by the waiter with the fewest users.

    Users that have lost their waiter come before users that have not been served yet, and among both, users
    with a higher score before those with a lower one. Among waiters with the same load, the waiter whose last
    assignment is the oldest is chosen.
    """

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        return (not ticket.returned, -ticket.score, ticket.number)

    def choose(self, ticket: Ticket, pool: "WaiterPool") -> Choice | None:
        waiter = pool.least_loaded()
        if waiter is None:
            return None
        rank = "returned user" if ticket.returned else "next in line"
        if ticket.score:
            rank += f", score {ticket.score}"
        return Choice(waiter.person, f"{rank}; least loaded waiter, {waiter.load} of {waiter.capacity}")


class WaiterPool:
    """The waiters, free or not.

    A waiter's load is the number of conversations for which it holds a place. A place is held by the number
    of the conversation, so that holding or releasing it twice has no effect. The load does not depend on
    whether the waiter is available. It is above the capacity if the capacity was lowered, or if the owner
    calls ``hold`` for conversations that ``match`` has not assigned (a transfer; a restart, in the order of
    the assignments, so that the order of the waiters is restored). Such a waiter is not free until enough
    places are released.
    """

    def __init__(self) -> None:
        self._waiters: dict[Person, Waiter] = {}
        self._held: dict[Person, set[int]] = {}
        # (load, last assignment, person, waiter): the person is unique, so two ``Waiter`` objects are never
        # compared, and the order is the same in every run.
        self._free = SortedList()
        self._free_entries: dict[Person, tuple[int, int, Person, Waiter]] = {}
        self._assignments = 0

    # --- changes by the owner ---

    def set(
        self, person: Person, *, available: bool, capacity: int, claims: Mapping[str, Any] | None = None
    ) -> None:
        """Set the state of a new or known waiter. Without ``claims``, a known waiter keeps its claims."""
        if capacity < 0:
            raise ValueError(f"the capacity of {person.key} cannot be {capacity}")
        waiter = self._waiters.get(person) or Waiter(person)
        claims = waiter.claims if claims is None else claims
        self._put(replace(waiter, available=available, capacity=capacity, claims=claims, leaving=False))

    def remove(self, person: Person) -> None:
        """Remove a waiter as soon as its last place is released.

        ``set`` before that cancels the removal. Removing an unknown waiter has no effect.
        """
        waiter = self._waiters.get(person)
        if waiter is not None:
            self._put(replace(waiter, available=False, leaving=True))

    def hold(self, person: Person, number: int) -> None:
        """Hold a place of the waiter for a conversation; ``MatchingQueue.match`` does it for its assignments.

        :raises ValueError: the waiter is not in the pool.
        """
        waiter = self._waiters.get(person)
        if waiter is None:
            raise ValueError(f"{person.key} is not in the pool")
        held = self._held.setdefault(person, set())
        if number not in held:
            held.add(number)
            self._assignments += 1
            self._put(replace(waiter, load=len(held), last_assigned=self._assignments))

    def release(self, person: Person, number: int) -> None:
        """Release the waiter's place for a conversation; without such a place this has no effect."""
        held = self._held.get(person)
        if held is not None and number in held:
            held.remove(number)
            self._put(replace(self._waiters[person], load=len(held)))

    @contextmanager
    def without(self, people: Sequence[Person]) -> Iterator[None]:
        """Return a context in which these waiters are not available, if any other waiter is."""
        hidden = [self._waiters[person] for person in people if person in self._waiters]
        if hidden and any(each.available and each.person not in people for each in self):
            for waiter in hidden:
                self._put(replace(waiter, available=False))
        else:
            hidden = []
        try:
            yield
        finally:
            for waiter in hidden:
                self._put(waiter)

    # --- views ---

    def get(self, person: Person) -> Waiter | None:
        return self._waiters.get(person)

    def least_loaded(self) -> Waiter | None:
        """Return the free waiter with the lowest load and the oldest assignment; None if none is free."""
        if not self._free:
            return None
        waiter: Waiter = self._free[0][-1]
        return waiter

    def in_order(self) -> Iterator[Waiter]:
        """Iterate over the free waiters, the least loaded first. The pool must not change meanwhile."""
        return (entry[-1] for entry in self._free)

    def __iter__(self) -> Iterator[Waiter]:
        """Iterate over all waiters, in the order of their first ``set``."""
        return iter(self._waiters.values())

    def __len__(self) -> int:
        return len(self._waiters)

    def _put(self, waiter: Waiter) -> None:
        person = waiter.person
        before = self._free_entries.pop(person, None)
        if before is not None:
            self._free.remove(before)
        if waiter.leaving and waiter.load == 0:
            self._waiters.pop(person, None)
            self._held.pop(person, None)
            return
        self._waiters[person] = waiter
        if waiter.available and waiter.load < waiter.capacity:
            entry = self._free_entries[person] = (waiter.load, waiter.last_assigned, person, waiter)
            self._free.add(entry)


_Entry = tuple[tuple[Any, ...], int, Ticket]
"""Rank, number and ticket. The number is unique, so two ``Ticket`` objects are never compared."""


class RankedTickets(NamedTuple):
    """The tickets of a queue with their ranks, by number and in order."""

    entries: dict[int, _Entry]
    in_order: Any


class MatchingQueue:
    """The waiting queue and the waiters, matched by ``policy``.

    :ivar pool: the waiters.
    """

    def __init__(self, policy: QueuePolicy) -> None:
        self.pool = WaiterPool()
        self._policy = policy
        self._queue = SortedList()
        self._entries: dict[int, _Entry] = {}

    def join(self, ticket: Ticket) -> None:
        """Put ``ticket`` into the queue.

        To undo an assignment that was not stored, call ``pool.release``, then ``join`` with the same ticket,
        which gets its old position.

        :raises ValueError: the ticket is in the queue already.
        """
        if ticket.number in self._entries:
            raise ValueError(f"ticket {ticket.number} is in the queue already")
        entry = (_rank(self._policy, ticket, self._entries), ticket.number, ticket)
        self._queue.add(entry)  # before the next line, as it raises if the rank cannot be compared
        self._entries[ticket.number] = entry

    def leave(self, number: int) -> bool:
        """Take a ticket out of the queue. Return False if it is not in the queue."""
        entry = self._entries.pop(number, None)
        if entry is None:
            return False
        self._queue.remove(entry)
        return True

    def set_policy(self, policy: QueuePolicy) -> None:
        """Use another policy from now on, and sort the queue again, in O(n log n).

        If ``policy`` fails otherwise than by ``PolicyFailed``, its error is raised and nothing has changed.
        """
        self.use(policy, self.rank_all(policy))

    def rank_all(
        self, policy: QueuePolicy, on_failed: Callable[[PolicyFailed], object] = lambda error: None
    ) -> "RankedTickets":
        """Return the waiting tickets with the ranks of ``policy``, sorted.

        :arg on_failed: called for each ticket that ``policy`` fails to rank; it gets the rank of the default.
        :raises Exception: of ``policy``, other than ``PolicyFailed``.
        """
        entries: dict[int, _Entry] = {}
        for number in sorted(self._entries):
            ticket = self._entries[number][-1]
            entries[number] = (_rank(policy, ticket, entries, on_failed), number, ticket)
        return RankedTickets(entries, SortedList(entries.values()))

    def use(self, policy: QueuePolicy, ranked: "RankedTickets") -> None:
        """Use another policy from now on. :arg ranked: of ``rank_all`` with this policy."""
        self._entries, self._queue = ranked.entries, ranked.in_order
        self._policy = policy

    @property
    def has_passed_over(self) -> bool:
        """True if tickets wait although a waiter is free: the policy found no suitable waiter for them."""
        return bool(self._entries) and bool(self.pool._free)

    def match(self) -> list[Assignment]:
        """Assign tickets to waiters, in the order of the queue, while a waiter is free and suits a ticket.

        A match costs O(log n) and one call of the policy. Each ticket that the policy skips costs one more
        call in every ``match`` that finds a free waiter: p tickets without a suitable waiter cost O(p log n)
        and p calls of ``choose``.

        If the policy fails, or chooses a waiter that is not free (``ValueError``), the ticket stays in the
        queue. Assignments made before the error are returned, as they would be lost otherwise; the error is
        raised by the next call that reaches the ticket without an assignment.
        """
        assignments: list[Assignment] = []
        skipped = 0
        while skipped < len(self._queue) and self.pool._free:
            try:
                made = self.match_at(skipped)
            except Exception:
                if assignments:
                    break
                raise
            if made is None:
                skipped += 1
            else:
                assignments.append(made)
        return assignments

    def match_at(self, index: int) -> Assignment | None:
        """Assign the ticket at ``index`` of the queue, while a waiter is free; None: the policy skips it.

        :raises ValueError: the policy chooses a waiter that is not free.
        """
        pool = self.pool
        ticket: Ticket = self._queue[index][-1]
        if ticket.avoids:
            with pool.without(ticket.avoids):
                choice = self._choose(ticket)
        else:
            choice = self._choose(ticket)
        if choice is None:
            return None
        del self._queue[index]
        del self._entries[ticket.number]
        pool.hold(choice.waiter, ticket.number)
        return Assignment(ticket, choice.waiter, choice.reason)

    def _choose(self, ticket: Ticket) -> Choice | None:
        pool = self.pool
        if ticket.avoids and not pool._free:
            return None
        choice = self._policy.choose(ticket, pool)
        if choice is not None and choice.waiter not in pool._free_entries:
            raise ValueError(f"the policy chose {choice.waiter.key}, who is not free")
        return choice

    def head_at(self, index: int) -> tuple[tuple[Any, ...], int] | None:
        """Return rank and number of the ticket at ``index``; None if there is none, or no waiter is free."""
        if index >= len(self._queue) or not self.pool._free:
            return None
        rank, number, _ = self._queue[index]
        return rank, number

    # --- views ---

    def position(self, number: int) -> int:
        """Return the ticket's position, from 1. :raises ValueError: the ticket is not in the queue."""
        if number not in self._entries:
            raise ValueError(f"ticket {number} is not in the queue")
        before: int = self._queue.bisect_left(self._entries[number])
        return before + 1

    def in_order(self, start: int = 0, stop: int | None = None) -> Iterator[Ticket]:
        """Iterate over the tickets, or a slice, in order. The queue must not change meanwhile."""
        return (ticket for _, _, ticket in self._queue.islice(start, stop))

    def ranked(self) -> Iterator[tuple[tuple[Any, ...], int, Ticket]]:
        """Iterate over rank, number and ticket, in order. The queue must not change meanwhile."""
        return iter(self._queue)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, number: int) -> bool:
        return number in self._entries


def check_policy(queues: Iterable[MatchingQueue], policy: QueuePolicy) -> None:
    """Let ``policy`` rank the waiting users of ``queues``, and change nothing.

    :raises PolicyFailed: it can rank none of them.
    :raises Exception: as ``MatchingQueue.set_policy``.
    """
    failures: list[PolicyFailed] = []
    count = sum(len(queue.rank_all(policy, failures.append).entries) for queue in queues)
    if failures and len(failures) == count:
        raise failures[0]


def _rank(
    policy: QueuePolicy,
    ticket: Ticket,
    entries: Mapping[int, _Entry],
    on_failed: Callable[[PolicyFailed], object] = lambda error: None,
) -> tuple[Any, ...]:
    """Return the policy's rank of a ticket.

    If the policy has none, the ticket gets the position that the default policy would give it, as far as the
    other tickets allow: behind the ticket that came before it, or at the head of the queue.
    """
    try:
        return policy.rank(ticket)
    except PolicyFailed as error:
        on_failed(error)
        before = max((number for number in entries if number < ticket.number), default=None)
        return () if ticket.returned or before is None else entries[before][0]
