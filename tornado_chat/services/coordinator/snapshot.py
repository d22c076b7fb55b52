"""A snapshot of the coordinator: queue, waiters, conversations, rooms.

Strategy: a request reads the state from the objects that own it. So a snapshot is never stale, and costs
nothing without a request.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

from tornado_chat.core import status as status_types
from tornado_chat.core.types import ConversationState, Kind, Person, Room, SessionState
from tornado_chat.services.counselling.room_lifecycle import RoomLifecycle
from tornado_chat.services.support.dispatch_state import Case, WaiterState
from tornado_chat.services.support.dispatcher import Dispatcher
from tornado_chat.wire.times import LocalTimes

MAX_QUEUE_ROWS = 100
"""The maximum number of waiting users in ``support_status``."""

RECENT_SECONDS = 1.0  # the shortest time for which the status of the groups is kept
RECENT_FACTOR = 50

WAITER_STATES = ("ready", "busy", "paused", "away")
ROOM_STATES = (SessionState.READY.value, SessionState.ACTIVE.value)
CONVERSATION_STATES = (ConversationState.WAITING.value, ConversationState.ACTIVE.value)
ROOM_KINDS = {Kind.SESSION: "session", Kind.RECORD: "record"}


class CoordinatorSnapshot:
    """Reads the state of the coordinator. In a process that does not coordinate, the state is empty."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        room_lifecycle: RoomLifecycle,
        times: LocalTimes,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._dispatcher = dispatcher
        self._room_lifecycle = room_lifecycle
        self._times = times
        self._loop = loop
        self._recent_groups: list[status_types.GroupStatus] = []
        self._recent_groups_until = float("-inf")

    # --- numbers ---

    @property
    def queue_length(self) -> int:
        """The number of waiting users."""
        return len(self._dispatcher.queue)

    def longest_wait(self) -> float:
        """Return the waiting time of the longest waiting user in seconds; 0 if no user waits."""
        cases = self._dispatcher.cases
        since = min(
            (cases[each.number].waits_since for each in self._dispatcher.queue.in_order()), default=None
        )
        return 0.0 if since is None else self._loop.time() - since

    def waiter_states(self) -> dict[str, int]:
        found = Counter(self._state(waiter) for waiter in self._dispatcher.waiters.values())
        return {state: found[state] for state in WAITER_STATES}

    def conversation_states(self) -> dict[str, int]:
        found = Counter(case.row.state.value for case in self._dispatcher.cases.values())
        return {state: found[state] for state in CONVERSATION_STATES}

    def room_states(self) -> dict[tuple[str, str], int]:
        found = Counter((room.thread.kind, room.state.value) for room, _ in self._room_lifecycle.live())
        return {
            (name, state): found[kind, state] for kind, name in ROOM_KINDS.items() for state in ROOM_STATES
        }

    def group_states(self) -> list[status_types.GroupStatus]:
        """Return the status of each group."""
        dispatcher, now = self._dispatcher, self._loop.time()
        queue, pool = dispatcher.queue, dispatcher.queue.pool
        waiting, conversations, free = Counter[str](), Counter[str](), Counter[str]()
        since: dict[str, float] = {}
        for case in dispatcher.cases.values():
            group = queue.lane_name(case.row.group)
            if case.row.state is ConversationState.ACTIVE:
                conversations[group] += 1
            elif case.row.id in queue:
                waiting[group] += 1
                since[group] = min(since.get(group, now), case.waits_since)
        for agent in pool:
            free.update(
                name for name in pool.capacities(agent.person) if pool.is_free_for(agent.person, name)
            )
        return [
            status_types.GroupStatus(
                name,
                waiting[name],
                round(now - since.get(name, now), 1),
                dispatcher.serving_in(name),
                free[name],
                conversations[name],
                *self._expected_wait(name, waiting[name], free[name]),
            )
            for name in dispatcher.groups.names
        ]

    def recent_group_states(self) -> list[status_types.GroupStatus]:
        """Return the status of each group, which may be a second old, or more if there are many users.

        Any user may ask for it, and reading it takes the longer the more users there are: it takes one
        ``1 / RECENT_FACTOR`` of the time of the loop at most.
        """
        now = self._loop.time()
        if now >= self._recent_groups_until:
            started = time.perf_counter()
            self._recent_groups = self.group_states()
            taken = time.perf_counter() - started
            self._recent_groups_until = now + max(RECENT_SECONDS, RECENT_FACTOR * taken)
        return self._recent_groups

    # --- in detail ---

    def desk_status(self) -> status_types.DeskStatus:
        """Return the coordinator's part of ``GET /api/v1/status``."""
        room_states = self.room_states()
        return status_types.DeskStatus(
            line=self._queue_status(),
            waiters=status_types.WaiterSummary(
                self.waiter_states(),
                [
                    self._waiter(each)
                    for each in islice(self._dispatcher.waiters.values(), status_types.MAX_LIST_ENTRIES)
                ],
            ),
            conversations=status_types.ConversationSummary(
                self.conversation_states(),
                [
                    self._conversation(case)
                    for case in islice(self._dispatcher.cases.values(), status_types.MAX_LIST_ENTRIES)
                ],
            ),
            rooms=status_types.ConversationSummary(
                {
                    state: sum(n for (_, each), n in room_states.items() if each == state)
                    for state in ROOM_STATES
                },
                [
                    self._room(room, presence)
                    for room, presence in islice(self._room_lifecycle.live(), status_types.MAX_LIST_ENTRIES)
                ],
            ),
            groups=self.group_states(),
        )

    def support_status(self) -> dict[str, Any]:
        """Return waiters, queue and conversations for ``GET /api/v1/support/status``.

        Users and waiters are given as ``Person.key``.
        """
        dispatcher = self._dispatcher
        since = min((ticket.since for ticket in dispatcher.queue.in_order()), default=None)
        return {
            "waiters": [
                {
                    "person": waiter.person.key,
                    "name": waiter.name,
                    "ready": waiter.ready,
                    "connected": bool(waiter.processes),
                    "conversations": len(waiter.cases),
                    "capacity": self._capacity(waiter),
                    "groups": self._groups(waiter),
                }
                for waiter in dispatcher.waiters.values()
            ],
            "queue": {
                "length": len(dispatcher.queue),
                "waiting_since": since,
                "first": [
                    {
                        "person": ticket.user.key,
                        "name": dispatcher.cases[ticket.number].row.user_name,
                        "since": ticket.since,
                        "group": ticket.group,
                        "conversation": ticket.number,
                    }
                    for ticket in islice(dispatcher.queue.in_order(), MAX_QUEUE_ROWS)
                ],
            },
            "conversations": sum(len(waiter.cases) for waiter in dispatcher.waiters.values()),
        }

    # --- inside ---

    def _expected_wait(self, group: str, waiting: int, free: int) -> tuple[float | None, int]:
        """Return the expected wait of a user who joins now, and the number of conversations it rests on."""
        pace = self._dispatcher.pace(group)
        if pace is None:
            return None, 0
        is_next = free > 0 and not waiting
        return 0.0 if is_next else pace.expected_wait(waiting + 1).seconds, pace.based_on

    def _queue_status(self) -> status_types.QueueOverview:
        queue = self._dispatcher.queue
        first = [
            self._waiting(self._dispatcher.cases[each.number])
            for each in islice(queue.in_order(), status_types.MAX_LIST_ENTRIES)
        ]
        return status_types.QueueOverview(len(queue), round(self.longest_wait(), 1), first)

    def _waiting(self, case: Case) -> status_types.QueuedUserStatus:
        since, seconds = self._since(case.waits_since)
        row = case.row
        return status_types.QueuedUserStatus(
            row.id, row.user.host_id, since, seconds, row.user_name, row.group
        )

    def _state(self, waiter: WaiterState) -> str:
        if not waiter.processes:
            return "away"
        if not waiter.ready:
            return "paused"
        pool = self._dispatcher.queue.pool
        is_free = any(pool.is_free_for(waiter.person, group) for group in pool.capacities(waiter.person))
        return "ready" if is_free else "busy"

    def _waiter(self, waiter: WaiterState) -> status_types.WaiterOverview:
        return status_types.WaiterOverview(
            waiter.person.host_id,
            waiter.name,
            self._state(waiter),
            len(waiter.cases),
            self._capacity(waiter),
            *self._since(waiter.since),
            waiter.person.role.value,
            self._groups(waiter),
        )

    def _capacity(self, waiter: WaiterState) -> int:
        pooled = self._dispatcher.queue.pool.get(waiter.person)
        return 0 if pooled is None else pooled.capacity

    def _groups(self, waiter: WaiterState) -> list[str]:
        return list(self._dispatcher.queue.pool.capacities(waiter.person))

    def _conversation(self, case: Case) -> status_types.ConversationStatus:
        row = case.row
        people = [_participant(row.user, bool(case.processes), row.user_name)]
        if row.waiter is not None:
            waiter = self._dispatcher.waiters.get(row.waiter)
            is_present = waiter is not None and bool(waiter.processes)
            people.append(_participant(row.waiter, is_present, row.waiter_name))
        if row.state is ConversationState.WAITING:
            since = self._since(case.waits_since)
        else:
            since = self._since_wall(row.assigned or row.created)
        return status_types.ConversationStatus(
            "conversation", row.id, row.state.value, *since, people, row.group
        )

    def _room(self, room: Room, presence: Mapping[Person, bool]) -> status_types.ConversationStatus:
        since = self._since_wall(room.started or room.created)
        names = {room.asker: room.asker_name, room.helper: room.helper_name}
        people = [_participant(person, present, names.get(person)) for person, present in presence.items()]
        return status_types.ConversationStatus(
            ROOM_KINDS[room.thread.kind], room.thread.id, room.state.value, *since, people
        )

    def _since(self, loop_time: float) -> tuple[str, float]:
        age = self._loop.time() - loop_time
        return self._times.format(int((time.time() - age) * 1e6)), round(age, 1)

    def _since_wall(self, microseconds: int) -> tuple[str, float]:
        return self._times.format(microseconds), round(max(0.0, time.time() - microseconds / 1e6), 1)


def _participant(person: Person, present: bool, name: str | None) -> status_types.ParticipantStatus:
    return status_types.ParticipantStatus(person.role.value, person.host_id, present, name)
