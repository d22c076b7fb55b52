"""The dispatcher's conversations, where they are stored."""

import asyncio
from collections.abc import Mapping, Sequence

from tornado_chat.core.types import Conversation, Person
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversations


class ConversationRepository:
    """``cases.ConversationStore`` of a database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def unfinished(self) -> list[Conversation]:
        return await self._store.read(conversations.unfinished)

    async def change_counts(self) -> Mapping[int, int]:
        return await self._store.read(conversations.change_counts)

    async def find_many(self, ids: Sequence[int]) -> list[Conversation]:
        return await self._store.read(conversations.find_many, ids)

    def assign(
        self, row: Conversation, waiter: Person, name: str | None, address: str, reason: str
    ) -> asyncio.Future[Conversation]:
        return self._store.write(lambda tx: conversations.assign(tx, row, waiter, name, address, reason))

    def requeue(self, row: Conversation) -> asyncio.Future[Conversation]:
        return self._store.write(lambda tx: conversations.requeue(tx, row))

    def end(self, conversation_id: int, gone: Person) -> asyncio.Future[Conversation]:
        return self._store.write(lambda tx: conversations.end(tx, conversation_id, gone))
