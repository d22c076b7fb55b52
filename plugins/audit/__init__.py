"""An append-only audit log of the actions of people in sessions and conversations."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import peewee

from tornado_chat.plugin_api import (
    Context,
    Conversation,
    Identity,
    Keeper,
    Message,
    Person,
    Plugin,
    Room,
    Thread,
    WriteBehind,
    hookimpl,
)

from . import chain
from .commands import KEY_FILE, audit
from .data_keeper import AuditKeeper


class Audit(Plugin):
    """Writes an audit record for each event, in the commit after the event."""

    @hookimpl
    def register_models(self) -> Sequence[type[peewee.Model]]:
        return chain.TABLES

    @hookimpl
    def register_commands(self) -> Sequence[click.Command]:
        return [audit]

    @hookimpl
    def register_keeper(self, state_dir: Path) -> Keeper:
        return AuditKeeper(state_dir / KEY_FILE)

    @hookimpl
    async def startup(self, context: Context) -> None:
        self._write_behind = WriteBehind(context)
        # Creating the key waits for the disk, so this runs in a thread.
        self._key = await asyncio.to_thread(chain.load_key, context.state_dir / KEY_FILE, create=True)

    @hookimpl
    async def shutdown(self) -> None:
        await self._write_behind.finish()

    # --- events that are recorded ---

    @hookimpl
    async def message_posted(self, message: Message) -> None:
        await self._record(message.sender, "posted", message.thread, message.seq)

    @hookimpl
    async def participant_joined(self, thread: Thread, identity: Identity) -> None:
        await self._record(identity.person, "joined", thread)

    @hookimpl
    async def participant_left(self, thread: Thread, person: Person) -> None:
        await self._record(person, "left", thread)

    @hookimpl
    async def observer_joined(self, thread: Thread, identity: Identity) -> None:
        await self._record(identity.person, "observes", thread)

    @hookimpl
    async def observer_left(self, thread: Thread, identity: Identity) -> None:
        await self._record(identity.person, "stops observing", thread)

    @hookimpl
    async def transcript_read(self, thread: Thread, identity: Identity, how: str) -> None:
        await self._record(identity.person, "exported" if how == "export" else "read", thread)

    @hookimpl
    async def session_started(self, room: Room) -> None:
        await self._record("-", "started", room.thread)

    @hookimpl
    async def session_ended(self, room: Room) -> None:
        await self._record("-", room.state.value, room.thread)

    @hookimpl
    async def conversation_queued(self, conversation: Conversation) -> None:
        await self._record(conversation.user, "queued", conversation.thread)

    @hookimpl
    async def conversation_assigned(self, conversation: Conversation) -> None:
        if conversation.waiter is not None:
            await self._record(conversation.waiter, "assigned", conversation.thread)

    @hookimpl
    async def conversation_ended(self, conversation: Conversation, gone: Person) -> None:
        await self._record(gone, "parted", conversation.thread)

    async def _record(
        self, actor: Person | str, action: str, thread: Thread, message: int | None = None
    ) -> None:
        name = actor if isinstance(actor, str) else actor.key
        entry, key = chain.AuditEntry(name, action, thread.kind.value, thread.id, message), self._key
        await self._write_behind.add(lambda tx: chain.append(tx.database, key, entry, tx.now))
