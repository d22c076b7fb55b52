"""Reads and stores support conversations.

No other module of ``support`` commits a change of their state; ``service.py`` stores ratings and read marks.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from tornado_chat.cluster.facts import ReturnRequest
from tornado_chat.core.errors import Unavailable
from tornado_chat.core.types import ConsentForm, Conversation, EarlyWords, Kind, Person, Thread
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.support.dispatch_state import Decision
from tornado_chat.storage import consents, conversations, handovers
from tornado_chat.storage.writer import Transaction

MAX_MEASURED = 2000
"""The last conversations that are read for the service times of all groups."""

MayStore = Callable[[], bool]
"""Returns True as long as a decision may be stored; called on the writer's thread."""


class ConversationStore(Protocol):
    """The interface of the repository for the dispatcher.

    A change is published to ``Dispatcher.on_event`` before its future is done. It takes effect only if its
    row is still the stored version of the conversation, and is in the state that the method names; else the
    future's error is ``Conflict``. All methods fail with ``Unavailable`` while the database is away; a change
    may also raise it immediately, if the server is overloaded.

    ``may_store`` is called in the transaction, on the writer's thread: if it returns False, the coordinator's
    right to decide has ended since the decision, nothing is stored, and the error is ``Unavailable``.
    """

    async def unfinished(self) -> list[Conversation]:
        """Return all waiting and active conversations, oldest first."""
        ...

    async def change_counts(self) -> Mapping[int, int]:
        """Return the version (``Conversation.changes``) of each unfinished conversation, by its number."""
        ...

    async def find_many(self, ids: Sequence[int]) -> list[Conversation]:
        """Return the existing conversations among ``ids``."""
        ...

    def read_back(self, conversation_id: int) -> asyncio.Future[list[Conversation]]:
        """Return the stored version of a conversation, an empty list if it was deleted.

        It is read after all earlier changes of this process have been committed or refused, also those whose
        commit was in doubt.
        """
        ...

    def assign(self, decision: Decision, may_store: MayStore) -> asyncio.Future[Conversation]:
        """Assign a waiting user to a waiter."""
        ...

    def transfer(self, decision: Decision, may_store: MayStore) -> asyncio.Future[Conversation]:
        """Transfer the user of an active conversation to another waiter."""
        ...

    def requeue(self, row: Conversation, may_store: MayStore) -> asyncio.Future[Conversation]:
        """Return the user of an active conversation to the head of the queue."""
        ...

    def take_back(self, row: Conversation, may_store: MayStore) -> asyncio.Future[Conversation]:
        """Return the user of an assignment without a confirmation to the head of the queue.

        The future's error is also ``Conflict`` if the waiter has confirmed it, or has written, meanwhile.
        """
        ...

    async def service_times(self) -> Sequence[tuple[str, float | None]]:
        """Return how long the last conversations took, as ``conversations.service_times``."""
        ...

    def return_to_line(
        self, row: Conversation, request: ReturnRequest, may_store: MayStore
    ) -> asyncio.Future[Conversation]:
        """Return the user of an active conversation to the head of the line of a group, with the note."""
        ...

    def end_abandoned(self, row: Conversation, may_store: MayStore) -> asyncio.Future[Conversation]:
        """End an unfinished conversation whose user has not returned in time."""
        ...


class ConversationRepository:
    """The ``ConversationStore`` on the database, with the lookups for the connections of this process.

    :arg early_words: returns what becomes of the first words of users of a group who give up.
    """

    def __init__(self, store: Store, early_words: Callable[[str], EarlyWords]) -> None:
        self._store = store
        self._early_words = early_words

    # --- for the connections of this process ---

    def find_unfinished(self, user: Person) -> asyncio.Future[Conversation | None]:
        """Return the user's waiting or active conversation. Calls are answered in their order."""
        return self._store.look_up(conversations.unfinished_of, user)

    def join(
        self,
        user: Person,
        name: str | None,
        address: str,
        claims: Mapping[str, Any],
        group: str,
        accepted: ConsentForm | None = None,
    ) -> asyncio.Future[Conversation]:
        """Return the user's unfinished conversation; if there is none, store a new waiting conversation.

        :arg address: the address of the user in a new conversation.
        :arg group: the group of a new conversation.
        :arg accepted: what the user has accepted; it is stored with a conversation of this group.
        """

        def work(tx: Transaction) -> Conversation:
            row = conversations.join(tx, user, name, address, claims, group)
            if accepted is not None and accepted.group == row.group:
                consents.accept(tx, row.thread, user, accepted)
            return row

        return self._store.write(work)

    def leave(
        self, conversation: Conversation, gone: Person, *, withdraws: bool
    ) -> asyncio.Future[Conversation]:
        """End a conversation because ``gone`` has left for good. Ending it twice has no effect.

        :arg withdraws: delete the first words, if there was no waiter.
        The future's error is ``Conflict`` if ``gone`` is not in the conversation any more.
        """
        words = EarlyWords.DISCARD if withdraws else self._early_words(conversation.group)
        return self._store.write(
            lambda tx: conversations.leave(tx, conversation.id, gone, words), conversation.thread
        )

    def accept(self, conversation: Conversation, waiter: Person) -> asyncio.Future[Conversation]:
        """Note that the waiter has confirmed its assignment. A second confirmation has no effect.

        The future's error is ``Conflict`` if the waiter does not serve the user any more.
        """
        return self._store.write(
            lambda tx: conversations.accept(tx, conversation.id, waiter), conversation.thread
        )

    def end(self, conversation_id: int, by: Person) -> asyncio.Future[Conversation]:
        """End a conversation, whoever takes part in it. One that has ended stays as it is."""
        return self._store.write(
            lambda tx: conversations.end(tx, conversation_id, by), Thread(Kind.SUPPORT, conversation_id)
        )

    # --- for the dispatcher ---

    async def unfinished(self) -> list[Conversation]:
        return await self._store.read(conversations.unfinished)

    async def change_counts(self) -> Mapping[int, int]:
        return await self._store.read(conversations.change_counts)

    async def find_many(self, ids: Sequence[int]) -> list[Conversation]:
        return await self._store.read(conversations.find_many, ids)

    def read_back(self, conversation_id: int) -> asyncio.Future[list[Conversation]]:
        return self._store.write(lambda tx: conversations.find_many(tx.database, [conversation_id]))

    def assign(self, decision: Decision, may_store: MayStore) -> asyncio.Future[Conversation]:
        return self._give(conversations.assign, decision, may_store)

    def transfer(self, decision: Decision, may_store: MayStore) -> asyncio.Future[Conversation]:
        def transfer(tx: Transaction, **values: Any) -> Conversation:
            source, target = decision.row.waiter, decision.waiter.person
            if decision.offer is not None:
                handovers.accept(tx, decision.offer, target)
            row = conversations.transfer(tx, **values)
            if decision.note is not None and source is not None:
                handovers.record(tx, row.thread, source, target, decision.note)
            return row

        return self._give(transfer, decision, may_store)

    def requeue(self, row: Conversation, may_store: MayStore) -> asyncio.Future[Conversation]:
        return self._change(row, partial(conversations.requeue, conversation=row), may_store)

    def take_back(self, row: Conversation, may_store: MayStore) -> asyncio.Future[Conversation]:
        return self._change(row, partial(conversations.take_back, conversation=row), may_store)

    async def service_times(self) -> Sequence[tuple[str, float | None]]:
        return await self._store.read(conversations.service_times, MAX_MEASURED)

    def return_to_line(
        self, row: Conversation, request: ReturnRequest, may_store: MayStore
    ) -> asyncio.Future[Conversation]:
        def change(tx: Transaction) -> Conversation:
            changed = conversations.requeue(tx, row, request.group)
            handovers.create(
                *(tx, row.thread, request.source, request.returned_by, ()),
                timeout=0,
                group=request.group,
                note=request.note,
            )
            return changed

        return self._change(row, change, may_store)

    def end_abandoned(self, row: Conversation, may_store: MayStore) -> asyncio.Future[Conversation]:
        words = self._early_words(row.group)
        work = partial(conversations.end_abandoned, conversation=row, early_words=words)
        return self._change(row, work, may_store)

    def _give(
        self, give: Callable[..., Conversation], decision: Decision, may_store: MayStore
    ) -> asyncio.Future[Conversation]:
        row, waiter = decision.row, decision.waiter
        work = partial(
            give,
            conversation=row,
            waiter=waiter.person,
            waiter_name=waiter.name,
            waiter_uuid=waiter.address,
            reason=decision.reason,
        )
        return self._change(row, work, may_store)

    def _change(
        self, row: Conversation, change: Callable[[Transaction], Conversation], may_store: MayStore
    ) -> asyncio.Future[Conversation]:
        def work(tx: Transaction) -> Conversation:
            if not may_store():
                raise Unavailable("no_coordinator")
            return change(tx)

        return self._store.write(work, row.thread)
