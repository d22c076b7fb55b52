"""Reads and stores support conversations.

No other module of ``support`` commits a change of their state; ``service.py`` stores ratings and read marks.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from tornado_chat.core.types import Conversation, Person
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversations


class ConversationStore(Protocol):
    """The interface of the repository for the dispatcher.

    A change is published to ``Dispatcher.on_event`` before its future is done. The changes of a ``row`` take
    effect only if that version of the conversation is still the stored version; else the future's error is
    ``Conflict``. All methods fail with ``Unavailable`` while the database is away; a change may also raise it
    immediately, if the server is overloaded.
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

    def assign(
        self, row: Conversation, waiter: Person, name: str | None, address: str, reason: str
    ) -> asyncio.Future[Conversation]:
        """Assign a waiting user to a waiter. Fails with ``Conflict`` also if the user does not wait."""
        ...

    def transfer(
        self, row: Conversation, waiter: Person, name: str | None, address: str, reason: str
    ) -> asyncio.Future[Conversation]:
        """Transfer the user of an active conversation to another waiter, else fail with ``Conflict``."""
        ...

    def requeue(self, row: Conversation) -> asyncio.Future[Conversation]:
        """Return the user of an active conversation to the head of the queue, else fail with ``Conflict``."""
        ...

    def end(self, conversation_id: int, gone: Person) -> asyncio.Future[Conversation]:
        """End a conversation because ``gone`` has left for good. Ending it twice has no effect."""
        ...


class ConversationRepository:
    """The ``ConversationStore`` on the database, with the lookups for the connections of this process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- for the connections of this process ---

    def find_unfinished(self, user: Person) -> asyncio.Future[Conversation | None]:
        """Return the user's waiting or active conversation. Calls are answered in their order."""
        return self._store.look_up(conversations.unfinished_of, user)

    def join(
        self, user: Person, name: str | None, address: str, claims: Mapping[str, Any]
    ) -> asyncio.Future[Conversation]:
        """Return the user's unfinished conversation; if there is none, store a new waiting conversation.

        :arg address: the address of the user in a new conversation.
        """
        return self._store.write(
            partial(conversations.join, user=user, name=name, uuid=address, claims=claims)
        )

    # --- for the dispatcher ---

    async def unfinished(self) -> list[Conversation]:
        return await self._store.read(conversations.unfinished)

    async def change_counts(self) -> Mapping[int, int]:
        return await self._store.read(conversations.change_counts)

    async def find_many(self, ids: Sequence[int]) -> list[Conversation]:
        return await self._store.read(conversations.find_many, ids)

    def assign(
        self, row: Conversation, waiter: Person, name: str | None, address: str, reason: str
    ) -> asyncio.Future[Conversation]:
        return self._store.write(
            partial(
                conversations.assign,
                conversation=row,
                waiter=waiter,
                waiter_name=name,
                waiter_uuid=address,
                reason=reason,
            )
        )

    def transfer(
        self, row: Conversation, waiter: Person, name: str | None, address: str, reason: str
    ) -> asyncio.Future[Conversation]:
        return self._store.write(lambda tx: conversations.transfer(tx, row, waiter, name, address, reason))

    def requeue(self, row: Conversation) -> asyncio.Future[Conversation]:
        return self._store.write(lambda tx: conversations.requeue(tx, row))

    def end(self, conversation_id: int, gone: Person) -> asyncio.Future[Conversation]:
        return self._store.write(lambda tx: conversations.end(tx, conversation_id, gone))
