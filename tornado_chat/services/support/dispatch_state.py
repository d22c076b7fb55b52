"""The dispatcher's state: the queue, the waiters, and which conversation belongs to which waiter.

Strategy: this module is pure. Its input is versions of the conversations' rows, presence reports and the
results of commits; its output is decisions. It has no clock, timer, task or database; times are passed in. A
waiter's places are not counted up and down but derived: each conversation holds a place of the waiter that
its row names, and, while a decision is being stored, a place of the waiter of that decision
(``_update_places``).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tornado_chat.core.types import Conversation, ConversationState, ExpectedWait, Person
from tornado_chat.domain.expected_wait import Pace, ServiceTimes
from tornado_chat.domain.group_queue import GroupQueue
from tornado_chat.domain.groups import Groups
from tornado_chat.domain.queue import MatchingQueue, QueuePolicy, Ticket
from tornado_chat.services.leadership.recent_keys import RecentKeys

MAX_ENDED_IDS = 10_000
"""Ended conversations that are remembered: many more than can end while a presence report is in transit."""

WAITING, ENDED = ConversationState.WAITING, ConversationState.ENDED


class Case:
    """An unfinished conversation.

    :ivar row: the newest known version of the conversation.
    :ivar waits_since: the time at which the user came, or lost its waiter, by the loop's clock.
    :ivar processes: the processes that have sockets of the user.
    :ivar decision: the decision that is being stored, or of which is unknown whether it was stored; None if
        there is none. Until then the user is not matched.
    :ivar places: the waiters that hold a place for the conversation.
    :ivar published_position: the position in the queue that was published last; 0 before that.
    :ivar published_serving: the number of serving waiters that was published with the position.
    :ivar published_wait: the expected wait that was published with the position; None if there was none.
    :ivar published_at: the time of that publication, by the loop's clock.
    :ivar assigned_at: the time at which the present waiter was assigned, by the loop's clock; infinitely long
        ago if that was in an earlier term.
    :ivar is_accepted: True if the present waiter has confirmed the assignment.
    """

    __slots__ = (
        "assigned_at",
        "decision",
        "is_accepted",
        "places",
        "processes",
        "published_at",
        "published_position",
        "published_serving",
        "published_wait",
        "row",
        "waits_since",
    )

    def __init__(self, row: Conversation, waits_since: float) -> None:
        self.row = row
        self.waits_since = waits_since
        self.processes: set[str] = set()
        self.decision: Decision | None = None
        self.places: tuple[Person, ...] = ()
        self.published_position = 0
        self.published_serving = 0
        self.published_wait: ExpectedWait | None = None
        self.published_at = float("-inf")
        self.assigned_at = float("-inf")
        self.is_accepted = row.accepted is not None


class WaiterState:
    """A waiter that is connected, is in its grace, or has users.

    :ivar address: the address that the waiter's users know; it does not change while this object exists.
    :ivar claims: the claims of the waiter's last token, for the queue policy.
    :ivar ready: True if the waiter takes new users.
    :ivar processes: the processes that have sockets of the waiter.
    :ivar silent_processes: those of them in which no socket of the waiter answers its pings.
    :ivar cases: the waiter's conversations, by number.
    :ivar ready_and_connected: both states as the pool knows them; None before the first update.
    :ivar takes_offers: True if the waiter is asked before it gets another waiter's user.
    :ivar since: the time of the last change of ``ready_and_connected``, by the loop's clock.
    :ivar missed_in_row: the assignments that the waiter has lost unconfirmed since it confirmed the last one.
    """

    __slots__ = (
        "address",
        "cases",
        "claims",
        "missed_in_row",
        "name",
        "person",
        "processes",
        "ready",
        "ready_and_connected",
        "silent_processes",
        "since",
        "takes_offers",
    )

    def __init__(self, person: Person, address: str, name: str | None) -> None:
        self.person = person
        self.address = address
        self.name = name
        self.claims: Mapping[str, Any] = {}
        self.ready = False
        self.processes: set[str] = set()
        self.silent_processes: set[str] = set()
        self.cases: dict[int, Case] = {}
        self.ready_and_connected: tuple[bool, bool] | None = None
        self.since = 0.0
        self.missed_in_row = 0
        self.takes_offers = False

    @property
    def is_silent(self) -> bool:
        """True if the waiter is connected, and no socket of it answers its pings."""
        return bool(self.processes) and self.processes <= self.silent_processes


class Decision:
    """The decision that a waiter gets a conversation, not stored yet; ``row`` is the version it rests on.

    :ivar offer: the number of the offer that the waiter has accepted; None: there was none.
    :ivar note: of the waiter before, for this one.
    """

    __slots__ = ("case", "note", "offer", "reason", "row", "waiter")

    def __init__(
        self,
        case: Case,
        waiter: WaiterState,
        reason: str,
        offer: int | None = None,
        note: str | None = None,
    ) -> None:
        self.case = case
        self.row = case.row
        self.waiter = waiter
        self.reason = reason
        self.offer = offer
        self.note = note


def _ticket(row: Conversation) -> Ticket:
    return Ticket(
        row.id,
        row.user,
        row.created,
        row.returned,
        row.claims,
        row.last_waiter,
        row.group,
        row.score,
        tuple(dict.fromkeys(row.missed_by)),
    )


class DispatchState:
    """All unfinished support conversations, with their users and waiters.

    :arg groups: the groups, with the waiters' capacities.
    :arg make_queue: creates the empty queue of a group with a policy.
    :ivar queue: the waiting users and the pool of waiters.
    :ivar cases: the unfinished conversations, by number.
    :ivar waiters: the waiters that are connected, are in their grace, or have users.
    :ivar serving: the waiters that serve the queue: ready or with users, and neither paused nor lost. A
        waiter that is in its grace serves, and so does a waiter without a free place.
    :ivar groups: the groups.
    :ivar service_times: how long the last conversations of each group took.
    """

    def __init__(
        self,
        groups: Groups,
        policy: QueuePolicy,
        make_queue: Callable[[QueuePolicy], MatchingQueue] = MatchingQueue,
    ) -> None:
        self.groups = groups
        self._policy = policy
        self._make_queue = make_queue
        self.service_times = ServiceTimes()
        self.clear()

    @property
    def policy(self) -> QueuePolicy:
        return self._policy

    def clear(self) -> None:
        """Discard the whole state. Cases, waiters and decisions from before are not part of the new state."""
        self.queue = GroupQueue(self._policy, self._priorities(), self._make_queue)
        self.cases: dict[int, Case] = {}
        self.waiters: dict[Person, WaiterState] = {}
        self.serving: set[Person] = set()
        self._serving_in: dict[str, set[Person]] = {name: set() for name in self.groups.names}
        self._ended = RecentKeys[int](MAX_ENDED_IDS)

    def reconfigure(self, groups: Groups, policy: QueuePolicy, now: float) -> None:
        """Use other groups and another policy from now on, also for users that are waiting already.

        If ``policy`` fails, its error is raised and nothing has changed.
        """
        self.queue.set_policy(policy)
        self._policy = policy
        if groups != self.groups:
            waiting = [self.cases[ticket.number] for ticket in self.queue.in_order()]
            for case in waiting:
                self.queue.leave(case.row.id)
            self.groups = groups
            self.queue.set_groups(self._priorities())
            for case in waiting:
                self.enqueue(case, now)
        for waiter in self.waiters.values():
            self.update_waiter(waiter, now)
        self._serving_in = {name: set() for name in self.groups.names}
        for person in self.serving:
            self._note_serving(person)

    # --- conversations ---

    def add(self, row: Conversation, now: float, age_seconds: float) -> Case:
        """Add an unfinished conversation that is ``age_seconds`` old."""
        case = self.cases[row.id] = Case(row, now - age_seconds)
        if row.waiter is not None:
            self._waiter_of(row, now).cases[row.id] = case
            self._update_places(case)
        return case

    def has_ended(self, conversation_id: int) -> bool:
        """Return True if the conversation is one of the last ``MAX_ENDED_IDS`` that have ended.

        That includes conversations whose end was reported before they were known.
        """
        return conversation_id in self._ended

    def apply_version(self, row: Conversation, now: float) -> Conversation | None:
        """Replace the known version of a conversation by the newer version ``row``.

        That resolves a decision on the version before: it has made this version, or cannot be stored now.
        Returns the previous version; None if ``row`` is not newer, or the conversation is unknown.
        """
        if row.state is ENDED:
            self._ended.add(row.id)
        case = self.cases.get(row.id)
        if case is None or row.changes <= case.row.changes:
            return None
        before, case.row, case.decision = case.row, row, None
        self.queue.leave(row.id)  # also if the user waits again: after its service it has another rank
        if before.waiter is not None and (before.waiter != row.waiter or row.state is ENDED):
            self.waiters[before.waiter].cases.pop(row.id, None)
        if row.state is ENDED:
            del self.cases[row.id]
        elif row.waiter is None:
            if before.waiter is not None:
                case.waits_since = now
        elif row.waiter != before.waiter:
            case.assigned_at = now
            case.is_accepted = row.accepted is not None
            self._waiter_of(row, now).cases[row.id] = case
        self._update_places(case)
        return before

    def is_current(self, case: Case) -> bool:
        """Return True if the conversation is unfinished and ``case`` was created after the last ``clear``."""
        return self.cases.get(case.row.id) is case

    def enqueue(self, case: Case, now: float) -> bool:
        """Put a waiting user into the queue of its group, at the position that the policy gives it.

        A user that has waited long enough is in the queues of the fallback groups, too. Returns False if the
        user is in the queue already, does not wait, or has a decision that is being stored.
        """
        row = case.row
        if row.state is not WAITING or case.decision is not None or row.id in self.queue:
            return False
        self.queue.join(_ticket(row), self._due_fallbacks(case, now))
        return True

    def share_with_fallbacks(self, case: Case, now: float) -> None:
        """Put a queued user into the queues of the fallback groups for which it has waited long enough."""
        for group in self._due_fallbacks(case, now):
            self.queue.share(_ticket(case.row), group)

    def next_fallback(self, case: Case, now: float) -> float | None:
        """Return the time at which the next fallback group is due, by the loop's clock; None: none is."""
        times = (time for time, _ in self._fallback_times(case) if time > now)
        return min(times, default=None)

    # --- decisions ---

    def match(self) -> list[Decision]:
        """Decide on a waiter for each queued user that the policy can match now."""
        decisions = []
        for made in self.queue.match():
            case = self.cases[made.ticket.number]
            case.decision = decision = Decision(case, self.waiters[made.waiter], made.reason)
            case.places = (made.waiter,)  # ``MatchingQueue.match`` holds the place
            decisions.append(decision)
        return decisions

    def decide_transfer(
        self,
        case: Case,
        target: WaiterState,
        reason: str,
        offer: int | None = None,
        note: str | None = None,
    ) -> Decision:
        """Decide on another waiter for an active conversation; see ``Decision``."""
        case.decision = decision = Decision(case, target, reason, offer, note)
        self._update_places(case)
        return decision

    def is_pending(self, decision: Decision) -> bool:
        """Return True if the decision is not resolved, and its conversation is unfinished and current."""
        return decision.case.decision is decision and self.is_current(decision.case)

    def resolve(self, decision: Decision) -> None:
        """Remove a decision that was stored or has failed; the places follow the conversation's row again."""
        case = decision.case
        if case.decision is decision:
            case.decision = None
            if self.cases.get(case.row.id) is case:
                self._update_places(case)

    # --- waiters ---

    def waiter(self, person: Person, address: str, name: str | None, now: float) -> WaiterState:
        """Return the waiter's state, a new one if it has none."""
        waiter = self.waiters.get(person)
        if waiter is None:
            waiter = self.waiters[person] = WaiterState(person, address, name)
            self.update_waiter(waiter, now)
        return waiter

    def set_serving(self, waiter: WaiterState, serving: bool) -> bool:
        """Note whether the waiter serves its groups. Return True if their numbers of waiters changed."""
        (self.serving.add if serving else self.serving.discard)(waiter.person)
        return self._note_serving(waiter.person)

    def serving_in(self, group: str) -> int:
        """Return the number of waiters that serve a group."""
        return len(self._serving_in[group])

    def pace(self, group: str) -> Pace | None:
        """Return how fast the queue of a group moves; None: there is no estimate.

        An agent that serves several groups with waiting users counts with an equal share of its places.
        """
        capacities, places = self.queue.pool.capacities, 0.0
        for person in self._serving_in[group]:
            groups = capacities(person)
            if len(groups) > 1:
                busy = sum(1 for name in groups if name == group or self.queue.length(name))
                places += groups[group] / busy
            else:
                places += groups.get(group, 0)
        return self.service_times.pace(group, places)

    def update_waiter(self, waiter: WaiterState, now: float) -> None:
        """Update the pool from a waiter's ``ready``, ``claims``, ``processes`` and ``silent_processes``."""
        ready_and_connected = (waiter.ready, bool(waiter.processes))
        if ready_and_connected != waiter.ready_and_connected:
            waiter.ready_and_connected, waiter.since = ready_and_connected, now
        available = waiter.ready and bool(waiter.processes - waiter.silent_processes)
        capacities = self.groups.capacities(waiter.person, waiter.claims)
        self.queue.pool.set(waiter.person, available=available, capacities=capacities, claims=waiter.claims)

    def remove_if_idle(self, waiter: WaiterState) -> None:
        """Remove a waiter that is not connected and holds no place for any user."""
        pooled = self.queue.pool.get(waiter.person)
        if not waiter.processes and pooled is not None and pooled.load == 0:
            self.queue.pool.remove(waiter.person)
            self.waiters.pop(waiter.person, None)
            self.set_serving(waiter, False)

    # --- views ---

    def queue_length(self, group: str) -> int:
        """Return the number of users in the queue of a group, as ``GroupQueue.length``."""
        return self.queue.length(group)

    def queued_cases(self, group: str, start: int, stop: int) -> Iterator[tuple[int, Case]]:
        """Iterate over the positions and conversations of a group's users, in order, between two indices."""
        for position, ticket in self.queue.in_group(group, start, stop):
            yield position, self.cases[ticket.number]

    # --- inside ---

    def _waiter_of(self, row: Conversation, now: float) -> WaiterState:
        assert row.waiter is not None
        assert row.waiter_uuid is not None
        waiter = self.waiters.get(row.waiter)
        if waiter is None:  # after a change of the coordinator: not reported yet, but it has a user
            waiter = self.waiter(row.waiter, row.waiter_uuid, row.waiter_name, now)
            self.set_serving(waiter, True)
        return waiter

    def _priorities(self) -> dict[str, int]:
        return {name: self.groups[name].priority for name in self.groups.names}

    def _fallback_times(self, case: Case) -> Iterator[tuple[float, str]]:
        """Yield the times from which fallback groups serve the user, too, by the loop's clock."""
        for each in self.groups.fallbacks(self.queue.lane_name(case.row.group)):
            yield case.waits_since + each.seconds, each.group

    def _due_fallbacks(self, case: Case, now: float) -> list[str]:
        return [group for time, group in self._fallback_times(case) if time <= now]

    def _note_serving(self, person: Person) -> bool:
        """Update the waiters that serve each group. Return True if one of the groups has others now."""
        groups = self.queue.pool.capacities(person) if person in self.serving else {}
        changed = [
            people for name, people in self._serving_in.items() if (name in groups) != (person in people)
        ]
        for people in changed:
            (people.add if person not in people else people.discard)(person)
        return bool(changed)

    def _update_places(self, case: Case) -> None:
        """Hold and release places of waiters to match the conversation's row and its pending decision."""
        row, decision = case.row, case.decision
        if row.state is ENDED:
            wanted: tuple[Person, ...] = ()
        elif decision is None or decision.waiter.person == row.waiter:
            wanted = () if row.waiter is None else (row.waiter,)
        elif row.waiter is None:
            wanted = (decision.waiter.person,)
        else:
            wanted = (row.waiter, decision.waiter.person)
        if wanted == case.places:
            return
        pool = self.queue.pool
        for person in case.places:
            if person not in wanted:
                pool.release(person, row.id)
        for person in wanted:
            pool.hold(person, row.id)
        case.places = wanted
