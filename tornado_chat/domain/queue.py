"""The waiting line, the waiters, and who gets whom.

A ``MatchingQueue`` is all that the dispatcher owns. It hears that users come and go (``join``, ``leave``) and
how things are with the waiters (``desk.pool``); ``match`` says who now belongs to whom, and why::

    desk = Desk(FifoLeastLoaded())
    desk.pool.set(waiter, available=True, capacity=5)
    desk.join(Ticket(number=1, user=user, since=now))
    for assignment in desk.match():
        ...  # store it, then tell both

Strategy: two sorted lists, the line by the policy's rank and the free waiters by their turn, each
beside a dictionary that knows where everybody stands in it. A place in the line is an index, so
with n waiting and w waiters ``join``, ``leave`` and ``position`` cost O(log n), a change of a waiter
O(log w), and a match both. Nothing here scans, except for a policy that passes over tickets
(``MatchingQueue.match`` says what that costs).

There is no clock and no lock: one owner calls, one call at a time. Wrong use is an error of the
program, not of a user, and raises ``ValueError``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace
from sortedcontainers import SortedKeyList, SortedList

from tornado_chat.core.types import Person


class Ticket(msgspec.Struct, frozen=True):
    """A user in the queue.

    :arg number: the id of the conversation, which increases in the order of arrival.
    :arg since: the time at which the user joined the queue.
    :arg returned: True if the user has been served before and has lost its waiter.
    :arg claims: the claims of the user's token that ``[support] queue_claims`` names, for the policy.
    :arg last_waiter: the waiter of the user's previous conversation.
    """

    number: int
    user: Person
    since: int
    returned: bool = False
    claims: Mapping[str, Any] = {}
    last_waiter: Person | None = None


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


class QueuePolicy(Protocol):
    """The order of the queue and the choice of waiters. A plugin can replace the policy.

    Both methods are called very often and must not block. They must not change the pool.
    """

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        """Return the rank of the ticket: the smallest rank is next, and equal ranks are ordered by number.

        Called once, when the ticket joins. This suffices for ageing too: if the priorities of all tickets
        grow at the same speed, their order never changes, and a priority is a head start, ``(ticket.since -
        head_start,)``. Ranks must be comparable with each other and contain no NaN.
        """
        ...

    def choose(self, ticket: Ticket, pool: "WaiterPool") -> Choice | None:
        """Return the choice of one of the free waiters of ``pool`` for ``ticket``; None if no waiter suits.

        Called only while at least one waiter is free. A ticket without a choice keeps its position and does
        not block the tickets behind it; the next ``MatchingQueue.match`` calls this method for it again.
        """
        ...


class FifoLeastLoaded:
    """The default policy: first come, first served, by the waiter with the fewest users.

    Users that have lost their waiter come before users that have not been served yet. Among waiters with the
    same load, the waiter whose last assignment is the oldest is chosen.
    """

    def rank(self, ticket: Ticket) -> tuple[Any, ...]:
        return (not ticket.returned, ticket.number)

    def choose(self, ticket: Ticket, pool: "WaiterPool") -> Choice | None:
        waiter = pool.least_loaded()
        if waiter is None:
            return None
        who = "returned user" if ticket.returned else "next in line"
        return Choice(waiter.person, f"{who}; least loaded waiter, {waiter.load} of {waiter.capacity}")


def _assignment_order(waiter: Waiter) -> tuple[int, int, Person]:
    # The person makes it unique, and the order the same in every run.
    return waiter.load, waiter.last_assigned, waiter.person


class WaiterPool:
    """The waiters, free or not.

    A waiter's load is counted whether it is available or not, and may lie above its capacity: by a
    capacity that was lowered, or because the owner says ``took`` for users that it assigned itself
    (a transfer, a restart: say it in the order of the assignments, and the turns are right again).
    Such a waiter is not free until enough users are gone.
    """

    def __init__(self) -> None:
        self._waiters: dict[Person, Waiter] = {}
        self._free = SortedKeyList(key=_assignment_order)
        self._assignments = 0

    # --- what the owner says ---

    def set(
        self, person: Person, *, available: bool, capacity: int, claims: Mapping[str, Any] | None = None
    ) -> None:
        """How things are with a waiter, new or known. Without ``claims`` it keeps those it has."""
        if capacity < 0:
            raise ValueError(f"the capacity of {person.key} cannot be {capacity}")
        waiter = self._waiters.get(person) or Waiter(person)
        claims = waiter.claims if claims is None else claims
        self._put(replace(waiter, available=available, capacity=capacity, claims=claims, leaving=False))

    def remove(self, person: Person) -> None:
        """The waiter is gone for good: it is forgotten, as soon as its last user is released.

        If it comes back before that (``set``), nothing has happened. Removing an unknown one
        changes nothing.
        """
        waiter = self._waiters.get(person)
        if waiter is not None:
            self._put(replace(waiter, available=False, leaving=True))

    def took(self, person: Person) -> None:
        """The waiter has one user more. ``MatchingQueue.match`` has said so for the matches it made."""
        waiter = self._known(person)
        self._assignments += 1
        self._put(replace(waiter, load=waiter.load + 1, last_assigned=self._assignments))

    def released(self, person: Person) -> None:
        """The waiter has one user less."""
        waiter = self._known(person)
        if waiter.load == 0:
            raise ValueError(f"{person.key} has no user to release")
        self._put(replace(waiter, load=waiter.load - 1))

    # --- looking ---

    def get(self, person: Person) -> Waiter | None:
        return self._waiters.get(person)

    def least_loaded(self) -> Waiter | None:
        """The free waiter whose turn it is; None if nobody is free."""
        return next(self.in_order(), None)

    def in_order(self) -> Iterator[Waiter]:
        """The free waiters, the one whose turn it is first. Do not change the pool meanwhile."""
        return iter(self._free)

    def __iter__(self) -> Iterator[Waiter]:
        """All waiters, in the order in which they came."""
        return iter(self._waiters.values())

    def __len__(self) -> int:
        return len(self._waiters)

    def _known(self, person: Person) -> Waiter:
        try:
            return self._waiters[person]
        except KeyError:
            raise ValueError(f"{person.key} is not in the pool") from None

    def _put(self, waiter: Waiter) -> None:
        before = self._waiters.get(waiter.person)
        if before is not None and before.free:
            self._free.remove(before)
        if waiter.free:
            self._free.add(waiter)
        self._waiters[waiter.person] = waiter
        if waiter.leaving and waiter.load == 0:
            del self._waiters[waiter.person]


class MatchingQueue:
    """The waiting line and the waiters, matched by ``policy``.

    :ivar pool: the waiters.
    """

    def __init__(self, policy: QueuePolicy) -> None:
        self.pool = WaiterPool()
        self._policy = policy
        # (rank, number, ticket): the number is unique, so that two tickets are never compared.
        self._queue = SortedList()
        self._entries: dict[int, tuple[tuple[Any, ...], int, Ticket]] = {}

    def join(self, ticket: Ticket) -> None:
        """Put ``ticket`` into the line.

        Also how an assignment is undone that could not be stored: ``pool.released``, then ``join``
        with the same ticket, which gets its old place.
        """
        if ticket.number in self._entries:
            raise ValueError(f"ticket {ticket.number} is in the line already")
        entry = (self._policy.rank(ticket), ticket.number, ticket)
        self._queue.add(entry)  # raises if the rank cannot be compared: before it is anywhere
        self._entries[ticket.number] = entry

    def leave(self, number: int) -> bool:
        """Take a ticket out of the line; False if it is not in there."""
        entry = self._entries.pop(number, None)
        if entry is None:
            return False
        self._queue.remove(entry)
        return True

    def set_policy(self, policy: QueuePolicy) -> None:
        """Go by another policy from now on; the line is put in order anew, in O(n log n)."""
        entries = {
            number: (policy.rank(ticket), number, ticket) for number, (_, _, ticket) in self._entries.items()
        }
        self._queue = SortedList(entries.values())
        self._entries = entries
        self._policy = policy

    @property
    def has_passed_over(self) -> bool:
        """Whether somebody waits although a waiter is free: the policy thinks them no match."""
        return bool(self._entries) and self.pool.least_loaded() is not None

    def match(self) -> list[Assignment]:
        """Assign for as long as a waiter is free and suits somebody, the first in line first.

        A match costs O(log n), and the policy is asked once for each. A policy that passes over
        tickets is asked once more for each of those, in every call that finds a waiter free: p
        tickets that suit nobody cost O(p log n), and p times what ``choose`` costs.

        If the policy fails, or chooses somebody who is not free (``ValueError``), the ticket stays
        in the line. What was assigned before that is returned all the same, or it would be lost;
        the error comes out of the next call that gets as far without assigning anything.
        """
        assignments: list[Assignment] = []
        skipped = 0
        while skipped < len(self._queue) and self.pool.least_loaded() is not None:
            ticket: Ticket = self._queue[skipped][-1]
            try:
                choice = self._choose(ticket)
            except Exception:
                if assignments:
                    break
                raise
            if choice is None:
                skipped += 1
                continue
            self.leave(ticket.number)
            self.pool.took(choice.waiter)
            assignments.append(Assignment(ticket, choice.waiter, choice.reason))
        return assignments

    def _choose(self, ticket: Ticket) -> Choice | None:
        choice = self._policy.choose(ticket, self.pool)
        if choice is not None:
            waiter = self.pool.get(choice.waiter)
            if waiter is None or not waiter.free:
                raise ValueError(f"the policy chose {choice.waiter.key}, who is not free")
        return choice

    # --- looking ---

    def position(self, number: int) -> int:
        """The ticket's place in the line: 1 is the next one."""
        if number not in self._entries:
            raise ValueError(f"ticket {number} is not in the line")
        before: int = self._queue.bisect_left(self._entries[number])
        return before + 1

    def in_order(self, start: int = 0, stop: int | None = None) -> Iterator[Ticket]:
        """The waiting tickets, the next one first, or a slice of them. Do not change the line meanwhile."""
        return (ticket for _, _, ticket in self._queue.islice(start, stop))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, number: int) -> bool:
        return number in self._entries
