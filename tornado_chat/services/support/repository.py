"""Where support conversations are stored: the one place of their lookups and commits."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from tornado_chat.core.types import Conversation, Person
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversations


class ConversationStore(Protocol):
    """What the dispatcher needs of a repository.

    A change is published to ``Dispatcher.on_event`` before its future is done. Each change names the version
    of the conversation that it was decided on, and takes effect only if that is still the stored one; else
    the future's error is ``Conflict``. All methods fail with ``Unavailable`` while the database is away; a
    change may also raise it at once, if the server is overloaded.
    """

    async def unfinished(self) -> list[Conversation]:
        """Return all waiting and active conversations, oldest first."""
        ...

    async def change_counts(self) -> Mapping[int, int]:
        """Return the version (``Conversation.changes``) of each unfinished conversation, by its number."""
        ...

    async def find_many(self, ids: Sequence[int]) -> list[Conversation]:
        """Return those of ``ids`` that exist."""
        ...

    def assign(
        self, row: Conversation, waiter: Person, name: str | None, address: str, reason: str
    ) -> asyncio.Future[Conversation]:
        """Give a waiting user to a waiter. ``Conflict`` also if the user does not wait."""
        ...

    def transfer(
        self, row: Conversation, waiter: Person, name: str | None, address: str, reason: str
    ) -> asyncio.Future[Conversation]:
        """Give the user of an active conversation to another waiter, else ``Conflict``."""
        ...

    def requeue(self, row: Conversation) -> asyncio.Future[Conversation]:
        """Put the user of an active conversation back to the head of the queue, else ``Conflict``."""
        ...

    def end(self, conversation_id: int, gone: Person) -> asyncio.Future[Conversation]:
        """End a conversation because ``gone`` has left for good. Ending it twice changes nothing."""
        ...


class ConversationRepository:
    """The conversations in the database: a ``ConversationStore``, and what users and waiters look up."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- for the connections of this process ---

    def find_unfinished(self, user: Person) -> asyncio.Future[Conversation | None]:
        """Return the conversation in which a user waits or is served. Answered in the order of the calls."""
        return self._store.look_up(conversations.unfinished_of, user)

    def join(
        self, user: Person, name: str | None, address: str, claims: Mapping[str, Any]
    ) -> asyncio.Future[Conversation]:
        """Return the user's unfinished conversation; a new one, in which it waits, if there is none.

        :arg address: the address of the user in a new one.
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
