"""The queues of all groups and the agents that serve them.

Each group has a lane: a ``MatchingQueue`` with the group's waiting users and the agents that serve the group.
An agent is in the lanes of all its groups, with the same load. A ticket is in the lane of its group and, once
it is shared, in the lanes of the groups that help out; it leaves all of them together.

Strategy: with one group everything is passed on to its lane. With several, the lanes are matched in the order
of their priorities, and lanes of equal priority ticket by ticket, in the order of the policy's ranks, so that
no group gets all agents that become free. With k groups a match costs O(k) more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby
from typing import Any

from tornado_chat.core.types import DEFAULT_GROUP, Person
from tornado_chat.domain.queue import (
    Assignment,
    MatchingQueue,
    QueuePolicy,
    Ticket,
    Waiter,
    WaiterPool,
    check_policy,
)


class _Agent:
    """An agent, and what the lanes of its groups have to know of it.

    :ivar capacities: the agent's groups, each with the agent's capacity.
    :ivar pools: the pools of the lanes of these groups.
    :ivar held: the conversations for which the agent holds a place, in the order of their assignment.
    """

    __slots__ = ("available", "capacities", "claims", "held", "leaving", "pools")

    def __init__(self) -> None:
        self.available = False
        self.capacities: Mapping[str, int] = {}
        self.pools: tuple[WaiterPool, ...] = ()
        self.claims: Mapping[str, Any] = {}
        self.held: dict[int, None] = {}
        self.leaving = False

    @property
    def capacity(self) -> int:
        return max(self.capacities.values(), default=0)


class AgentPool:
    """The agents of all groups, as ``WaiterPool`` of one group.

    :arg pools: returns the pool of each lane, by group.
    """

    def __init__(self, pools: Callable[[], Mapping[str, WaiterPool]]) -> None:
        self._agents: dict[Person, _Agent] = {}
        self._pools = pools

    def set(
        self,
        person: Person,
        *,
        available: bool,
        capacities: Mapping[str, int],
        claims: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the state of a new or known agent. Without ``claims``, a known agent keeps its claims.

        :arg capacities: the agent's groups, each with the agent's capacity for it.
        """
        agent = self._agents.setdefault(person, _Agent())
        former, pools = agent.capacities, self._pools()
        agent.available, agent.capacities, agent.leaving = available, capacities, False
        agent.claims = agent.claims if claims is None else claims
        agent.pools = tuple(pools[group] for group in capacities)
        for group in former.keys() - capacities.keys():
            if group in pools:
                for number in agent.held:
                    pools[group].release(person, number)
                pools[group].remove(person)
        for group, capacity in capacities.items():
            pool = pools[group]
            pool.set(person, available=available, capacity=capacity, claims=agent.claims)
            if group not in former:
                for number in agent.held:
                    pool.hold(person, number)

    def remove(self, person: Person) -> None:
        """Remove an agent as soon as its last place is released; ``set`` before that cancels the removal."""
        agent = self._agents.get(person)
        if agent is None:
            return
        agent.available, agent.leaving = False, True
        for pool in agent.pools:
            pool.remove(person)
        self._forget_if_left(person, agent)

    def hold(self, person: Person, number: int) -> None:
        """Hold a place of the agent for a conversation.

        :raises ValueError: the agent is unknown.
        """
        agent = self._agents.get(person)
        if agent is None:
            raise ValueError(f"{person.key} is not in the pool")
        agent.held[number] = None
        for pool in agent.pools:
            pool.hold(person, number)

    def note_held(self, person: Person, number: int) -> None:
        """Hold a place that the pool of one of the agent's lanes holds already."""
        agent = self._agents[person]
        agent.held[number] = None
        if len(agent.pools) > 1:
            for pool in agent.pools:
                pool.hold(person, number)

    def release(self, person: Person, number: int) -> None:
        """Release the agent's place for a conversation; without such a place this has no effect."""
        agent = self._agents.get(person)
        if agent is None or number not in agent.held:
            return
        del agent.held[number]
        for pool in agent.pools:
            pool.release(person, number)
        if agent.leaving:
            self._forget_if_left(person, agent)

    def rejoin(self) -> None:
        """Put all agents into the pools again: the lanes are new ones, and the pools are empty."""
        for person, agent in self._agents.items():
            groups = {name: capacity for name, capacity in agent.capacities.items() if name in self._pools()}
            is_leaving, agent.capacities = agent.leaving, {}
            self.set(person, available=agent.available, capacities=groups)
            if is_leaving:
                self.remove(person)

    # --- views ---

    def get(self, person: Person) -> Waiter | None:
        """Return the state of an agent. The capacity is the largest of its groups."""
        agent = self._agents.get(person)
        if agent is None:
            return None
        return Waiter(
            person, agent.capacity, len(agent.held), agent.available, 0, agent.leaving, agent.claims
        )

    def capacities(self, person: Person) -> Mapping[str, int]:
        """Return the agent's groups, each with the agent's capacity; empty for an unknown agent."""
        agent = self._agents.get(person)
        return {} if agent is None else agent.capacities

    def is_free_for(self, person: Person, group: str) -> bool:
        """Return True if the agent can take a user of ``group``, by a transfer also one it does not serve."""
        agent = self._agents.get(person)
        if agent is None or not agent.available:
            return False
        return len(agent.held) < agent.capacities.get(group, agent.capacity)

    def __iter__(self) -> Iterator[Waiter]:
        """Iterate over all agents, in the order of their first ``set``."""
        return (waiter for person in self._agents if (waiter := self.get(person)) is not None)

    def __len__(self) -> int:
        return len(self._agents)

    def _forget_if_left(self, person: Person, agent: _Agent) -> None:
        if not agent.held:
            del self._agents[person]


class GroupQueue:
    """The waiting users and the agents of all groups, matched by one policy.

    :arg priorities: the priority of each group.
    :arg make_lane: creates the empty queue of a group.
    :ivar pool: the agents.
    """

    def __init__(
        self,
        policy: QueuePolicy,
        priorities: Mapping[str, int],
        make_lane: Callable[[QueuePolicy], MatchingQueue] = MatchingQueue,
    ) -> None:
        self._policy = policy
        self._make_lane = make_lane
        self._lanes_of: dict[int, tuple[str, ...]] = {}  # by ticket: its own lane first
        self._make_lanes(priorities)
        self.pool = AgentPool(lambda: self._pools)

    # --- tickets ---

    def join(self, ticket: Ticket, helpers: Sequence[str] = ()) -> None:
        """Put ``ticket`` into the queue of its group, and of the groups that help out.

        :raises ValueError: the ticket is in the queue already.
        """
        if ticket.number in self._lanes_of:
            raise ValueError(f"ticket {ticket.number} is in the queue already")
        own = self.lane_name(ticket.group)
        self._lanes[own].join(ticket)
        self._lanes_of[ticket.number] = (own,)
        for helper in helpers:
            self.share(ticket, helper)

    def share(self, ticket: Ticket, helper: str) -> None:
        """Put a ticket that is in the queue into the queue of another group, too."""
        lanes = self._lanes_of.get(ticket.number, ())
        if lanes and helper in self._lanes and helper not in lanes:
            self._lanes[helper].join(ticket)
            self._lanes_of[ticket.number] = (*lanes, helper)

    def leave(self, number: int) -> bool:
        """Take a ticket out of all queues. Return False if it is in none."""
        lanes = self._lanes_of.pop(number, ())
        for name in lanes:
            self._lanes[name].leave(number)
        return bool(lanes)

    # --- policy and groups ---

    def check_policy(self, policy: QueuePolicy) -> None:
        """Let ``policy`` rank the waiting users of all groups, see ``domain.queue.check_policy``."""
        check_policy(self._lanes.values(), policy)

    def set_policy(self, policy: QueuePolicy) -> None:
        """Use another policy from now on, and sort the queues again.

        If ``policy`` fails otherwise than by ``PolicyFailed``, its error is raised and nothing has changed.
        """
        ranked = [(lane, lane.rank_all(policy)) for lane in self._lanes.values()]
        for lane, entries in ranked:
            lane.use(policy, entries)
        self._policy = policy

    def set_groups(self, priorities: Mapping[str, int]) -> None:
        """Use other groups from now on. All tickets have to leave before, and join again afterwards."""
        self._make_lanes(priorities)
        self.pool.rejoin()

    # --- matching ---

    @property
    def has_passed_over(self) -> bool:
        """True if a ticket waits although an agent of its group is free: the policy found none suitable."""
        return any(lane.has_passed_over for lane in self._lanes.values())

    def match(self) -> list[Assignment]:
        """Assign tickets to agents, as ``MatchingQueue.match`` in each group."""
        assignments: list[Assignment] = []
        for tier in self._tiers:
            try:
                if len(tier) == 1:
                    for made in self._lanes[tier[0]].match():
                        self._settle(made, tier[0])
                        assignments.append(made)
                else:
                    for made in self._match_tier(tier):
                        assignments.append(made)
            except Exception:
                if assignments:
                    break  # as ``MatchingQueue.match``: the next call raises it
                raise
        return assignments

    def _match_tier(self, tier: Sequence[str]) -> Iterator[Assignment]:
        """Match lanes of equal priority: the next ticket is the one with the smallest rank of all."""
        passed_over: dict[str, set[int]] = {name: set() for name in tier}
        while True:
            heads = [
                (head, name)
                for name in tier
                if (head := self._lanes[name].head_at(len(passed_over[name]))) is not None
            ]
            if not heads:
                return
            (_, number), name = min(heads)
            skipped = passed_over[name]
            made = self._lanes[name].match_at(len(skipped))
            if made is None:
                skipped.add(number)
                continue
            self._settle(made, name)
            for numbers in passed_over.values():
                numbers.discard(number)  # the ticket may have been passed over in another lane
            yield made

    def _settle(self, made: Assignment, lane: str) -> None:
        """Make an assignment of one lane known to the others."""
        number = made.ticket.number
        lanes = self._lanes_of.pop(number)
        if len(lanes) > 1:
            for name in lanes:
                if name != lane:
                    self._lanes[name].leave(number)
        self.pool.note_held(made.waiter, number)

    # --- views ---

    def lane_name(self, group: str) -> str:
        """Return the group whose queue the users of ``group`` are in: the default group if it was removed."""
        return group if group in self._lanes else DEFAULT_GROUP

    @property
    def groups(self) -> Iterable[str]:
        return self._lanes.keys()

    def length(self, group: str) -> int:
        """Return the number of users in the queue of a group, those that it helps out for included."""
        return len(self._lanes[group])

    def position(self, number: int) -> int:
        """Return the ticket's position in its group, from 1. :raises ValueError: it is not in the queue."""
        if number not in self._lanes_of:
            raise ValueError(f"ticket {number} is not in the queue")
        return self._lanes[self._lanes_of[number][0]].position(number)

    def in_order(self) -> Iterator[Ticket]:
        """Iterate over all tickets in the order in which free agents of all groups would be assigned.

        Groups of equal priority are merged by rank, as ``match`` does. The queue must not change meanwhile.
        """
        for tier in self._tiers:
            for _, _, ticket in merge(*(self._own_ranked(name) for name in tier)):
                yield ticket

    def in_group(self, group: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Ticket]]:
        """Iterate over the positions and tickets of a group's own users, in order, between two indices."""
        for position, ticket in enumerate(self._lanes[group].in_order(start, stop), start + 1):
            if self._lanes_of[ticket.number][0] == group:
                yield position, ticket

    def __len__(self) -> int:
        return len(self._lanes_of)

    def __contains__(self, number: int) -> bool:
        return number in self._lanes_of

    # --- inside ---

    def _own_ranked(self, group: str) -> Iterator[tuple[tuple[Any, ...], int, Ticket]]:
        """Iterate over rank, number and ticket of a group's own users, in order."""
        for entry in self._lanes[group].ranked():
            if self._lanes_of[entry[1]][0] == group:
                yield entry

    def _make_lanes(self, priorities: Mapping[str, int]) -> None:
        self._lanes = {name: self._make_lane(self._policy) for name in priorities}
        self._pools = {name: lane.pool for name, lane in self._lanes.items()}
        by_priority = sorted(priorities, key=lambda name: -priorities[name])
        self._tiers = [tuple(tier) for _, tier in groupby(by_priority, key=lambda name: priorities[name])]
