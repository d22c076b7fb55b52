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
                    "capacity": dispatcher.capacity,
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
                    }
                    for ticket in islice(dispatcher.queue.in_order(), MAX_QUEUE_ROWS)
                ],
            },
            "conversations": sum(len(waiter.cases) for waiter in dispatcher.waiters.values()),
        }

    # --- inside ---

    def _queue_status(self) -> status_types.QueueOverview:
        queue = self._dispatcher.queue
        first = [
            self._waiting(self._dispatcher.cases[each.number])
            for each in islice(queue.in_order(), status_types.MAX_LIST_ENTRIES)
        ]
        return status_types.QueueOverview(len(queue), round(self.longest_wait(), 1), first)

    def _waiting(self, case: Case) -> status_types.QueuedUserStatus:
        since, seconds = self._since(case.waits_since)
        return status_types.QueuedUserStatus(case.row.id, case.row.user.host_id, since, seconds)

    def _state(self, waiter: WaiterState) -> str:
        if not waiter.processes:
            return "away"
        if not waiter.ready:
            return "paused"
        pooled = self._dispatcher.queue.pool.get(waiter.person)
        return "ready" if pooled is not None and pooled.free else "busy"

    def _waiter(self, waiter: WaiterState) -> status_types.WaiterOverview:
        return status_types.WaiterOverview(
            waiter.person.host_id,
            waiter.name,
            self._state(waiter),
            len(waiter.cases),
            self._dispatcher.capacity,
            *self._since(waiter.since),
        )

    def _conversation(self, case: Case) -> status_types.ConversationStatus:
        row = case.row
        people = [_participant(row.user, bool(case.processes))]
        if row.waiter is not None:
            waiter = self._dispatcher.waiters.get(row.waiter)
            people.append(_participant(row.waiter, waiter is not None and bool(waiter.processes)))
        if row.state is ConversationState.WAITING:
            since = self._since(case.waits_since)
        else:
            since = self._since_wall(row.assigned or row.created)
        return status_types.ConversationStatus("conversation", row.id, row.state.value, *since, people)

    def _room(self, room: Room, presence: Mapping[Person, bool]) -> status_types.ConversationStatus:
        since = self._since_wall(room.started or room.created)
        people = [_participant(person, present) for person, present in presence.items()]
        return status_types.ConversationStatus(
            ROOM_KINDS[room.thread.kind], room.thread.id, room.state.value, *since, people
        )

    def _since(self, loop_time: float) -> tuple[str, float]:
        age = self._loop.time() - loop_time
        return self._times.format(int((time.time() - age) * 1e6)), round(age, 1)

    def _since_wall(self, microseconds: int) -> tuple[str, float]:
        return self._times.format(microseconds), round(max(0.0, time.time() - microseconds / 1e6), 1)


def _participant(person: Person, present: bool) -> status_types.ParticipantStatus:
    return status_types.ParticipantStatus(person.role.value, person.host_id, present)
