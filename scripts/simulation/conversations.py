"""Conversations in memory, with the guarantees of ``storage.conversations``.

A change takes effect only if the conversation still has the expected state; simultaneous changes are
committed together, and their events are published before the callers get the result.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from tornado_chat.cluster.facts import ReturnRequest
from tornado_chat.core.errors import ChatError, Conflict, Unavailable
from tornado_chat.core.events import ConversationAssigned, ConversationEnded, ConversationRequeued
from tornado_chat.core.types import DEFAULT_GROUP, Conversation, ConversationState, Person
from tornado_chat.services.support.dispatch_state import Decision
from tornado_chat.services.support.repository import MAX_MEASURED, MayStore

COMMIT_SECONDS = 0.003  # from a change to its commit
MAX_ENDED_CONVERSATIONS = 10_000  # that are kept for later queries

Change = Callable[
    [], tuple[Conversation, ConversationAssigned | ConversationEnded | ConversationRequeued | None]
]


class InMemoryConversations:
    """``repository.ConversationStore`` without a database.

    :arg publish: is called with every event after its commit.
    :arg clock: seconds since 1970.
    :arg refused: the share of commits that fail, as if the database were unreachable.
    """

    def __init__(
        self,
        publish: Callable[[ConversationAssigned | ConversationEnded | ConversationRequeued], None],
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        random: Random,
        refused: float = 0.0,
    ) -> None:
        self.open: dict[int, Conversation] = {}
        self.refused = refused
        self.writes = 0
        self.conflicts = 0
        self._ended: dict[int, Conversation] = {}
        self._order: deque[int] = deque()
        self._batch: list[tuple[Change, MayStore, asyncio.Future[Conversation]]] = []
        self._users: set[Person] = set()
        self._last = 0
        self._publish = publish
        self._loop = loop
        self._clock = clock
        self._random = random

    def join(
        self, user: Person, claims: Mapping[str, Any], last_waiter: Person | None, group: str = DEFAULT_GROUP
    ) -> Conversation:
        """Create a conversation in which ``user`` waits."""
        assert user not in self._users, f"{user.key} would be in two conversations"
        self._users.add(user)
        self._last += 1
        row = Conversation(
            id=self._last,
            user=user,
            user_name=None,
            user_uuid=f"00000000-0000-4000-8000-{self._last:012x}",
            state=ConversationState.WAITING,
            last_seq=0,
            created=int(self._clock() * 1e6),
            claims=claims,
            last_waiter=last_waiter,
            group=group,
        )
        self.open[row.id] = row
        return row

    # --- the dispatcher's repository interface ---

    async def unfinished(self) -> list[Conversation]:
        await asyncio.sleep(COMMIT_SECONDS)
        return list(self.open.values())

    async def change_counts(self) -> Mapping[int, int]:
        await asyncio.sleep(COMMIT_SECONDS)
        return {row.id: row.changes for row in self.open.values()}

    async def find_many(self, ids: Sequence[int]) -> list[Conversation]:
        await asyncio.sleep(COMMIT_SECONDS)
        found = (self.open.get(id) or self._ended.get(id) for id in ids)
        return [row for row in found if row is not None]

    def read_back(self, conversation_id: int) -> asyncio.Future[list[Conversation]]:
        return asyncio.ensure_future(self.find_many([conversation_id]))

    def assign(self, decision: Decision, may_store: MayStore) -> asyncio.Future[Conversation]:
        return self._give(decision, ConversationState.WAITING, may_store)

    def transfer(self, decision: Decision, may_store: MayStore) -> asyncio.Future[Conversation]:
        return self._give(decision, ConversationState.ACTIVE, may_store)

    def _give(
        self, decision: Decision, expected: ConversationState, may_store: MayStore
    ) -> asyncio.Future[Conversation]:
        row, waiter, reason = decision.row, decision.waiter, decision.reason

        def change() -> tuple[Conversation, ConversationAssigned]:
            changed = self._change(
                row,
                expected,
                state=ConversationState.ACTIVE,
                waiter=waiter.person,
                waiter_name=waiter.name,
                waiter_uuid=waiter.address,
                assigned=int(self._clock() * 1e6),
                returned=False,
                reason=reason,
            )
            return changed, ConversationAssigned(changed, reason, previous=row.waiter)

        return self._write(change, may_store)

    def requeue(self, row: Conversation, may_store: MayStore) -> asyncio.Future[Conversation]:
        def change() -> tuple[Conversation, ConversationRequeued]:
            assert row.waiter is not None
            changed = self._change(
                row,
                ConversationState.ACTIVE,
                state=ConversationState.WAITING,
                returned=True,
                waiter=None,
                waiter_name=None,
                waiter_uuid=None,
            )
            return changed, ConversationRequeued(changed, lost=row.waiter)

        return self._write(change, may_store)

    def take_back(self, row: Conversation, may_store: MayStore) -> asyncio.Future[Conversation]:
        return self.requeue(row, may_store)  # the simulated day has no ``accept_timeout``

    async def service_times(self) -> Sequence[tuple[str, float | None]]:
        await asyncio.sleep(COMMIT_SECONDS)
        return [(row.group, row.service_seconds) for row in list(self._ended.values())[-MAX_MEASURED:]]

    def return_to_line(
        self, row: Conversation, request: ReturnRequest, may_store: MayStore
    ) -> asyncio.Future[Conversation]:
        raise NotImplementedError("no simulated waiter hands a user to a group")

    def end_abandoned(self, row: Conversation, may_store: MayStore) -> asyncio.Future[Conversation]:
        return self._write(lambda: self._end(row, row.user), may_store)

    def end(self, conversation_id: int, gone: Person) -> asyncio.Future[Conversation]:
        """End a conversation because ``gone`` leaves it for good. Ending it twice has no effect."""

        def change() -> tuple[Conversation, ConversationEnded | None]:
            current = self.open.get(conversation_id)
            return (self._ended[conversation_id], None) if current is None else self._end(current, gone)

        return self._write(change)

    def _end(self, row: Conversation, gone: Person) -> tuple[Conversation, ConversationEnded]:
        ended = self._change(row, row.state, state=ConversationState.ENDED, ended=int(self._clock() * 1e6))
        del self.open[row.id]
        self._users.remove(ended.user)
        self._ended[ended.id] = ended
        self._order.append(ended.id)
        if len(self._order) > MAX_ENDED_CONVERSATIONS:
            del self._ended[self._order.popleft()]
        return ended, ConversationEnded(ended, gone)

    # --- inside ---

    def _change(self, row: Conversation, expected: ConversationState, **fields: Any) -> Conversation:
        current = self.open.get(row.id)
        if current is None or row.state is not expected or current.changes != row.changes:
            self.conflicts += 1
            raise Conflict("no_conversation")
        changed = self.open[row.id] = replace(current, **fields, changes=current.changes + 1)
        return changed

    def _write(self, change: Change, may_store: MayStore = lambda: True) -> asyncio.Future[Conversation]:
        future: asyncio.Future[Conversation] = self._loop.create_future()
        if not self._batch:
            self._loop.call_later(COMMIT_SECONDS, self._commit)
        self._batch.append((change, may_store, future))
        return future

    def _commit(self) -> None:
        batch, self._batch = self._batch, []
        if self.refused and self._random.random() < self.refused:
            for _, _, future in batch:
                future.set_exception(Unavailable("database_away"))
            return
        done: list[tuple[asyncio.Future[Conversation], Conversation | ChatError, Any]] = []
        for change, may_store, future in batch:
            self.writes += 1
            try:
                if not may_store():
                    raise Unavailable("no_coordinator")
                row, event = change()
            except ChatError as error:
                done.append((future, error, None))
            else:
                done.append((future, row, event))
        for future, result, event in done:
            if event is not None:
                self._publish(event)
            if future.done():  # the caller was cancelled
                continue
            if isinstance(result, ChatError):
                future.set_exception(result)
            else:
                future.set_result(result)
