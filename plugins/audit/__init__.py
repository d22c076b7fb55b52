"""An append-only record of who did what to which session."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import click
import peewee

from tornado_chat import Context, Conversation, Identity, Message, Person, Plugin, Room, Thread, hookimpl

from . import chain
from .commands import KEY, audit

UNDER_WAY = 500
"""Records that wait for their commit before the next event waits too."""

RETRY = 5.0  # seconds until a record that the database did not take is tried again


class Audit(Plugin):
    """Records what happens, each record in the commit after the event.

    Records are handed to the writer without waiting for the commit, so that many share one. The
    server's note of how far this plugin has got goes the same way, behind them.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._under_way: set[asyncio.Future[None]] = set()

    @hookimpl
    def register_models(self) -> Sequence[type[peewee.Model]]:
        return chain.TABLES

    @hookimpl
    def register_commands(self) -> Sequence[click.Command]:
        return [audit]

    @hookimpl
    def startup(self, context: Context) -> None:
        self._context = context
        self._key = chain.load_key(context.state_dir / KEY, make=True)

    @hookimpl
    async def shutdown(self) -> None:
        while self._under_way:
            await asyncio.wait(self._under_way)

    # --- what is recorded ---

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

    # --- inside ---

    async def _record(
        self, actor: Person | str, action: str, thread: Thread, message: int | None = None
    ) -> None:
        name = actor if isinstance(actor, str) else actor.key
        self._write(chain.Entry(name, action, thread.kind.value, thread.id, message))
        if len(self._under_way) >= UNDER_WAY:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    def _write(self, entry: chain.Entry) -> None:
        key = self._key
        try:
            written = self._context.write(lambda tx: chain.append(tx.database, key, entry, tx.now))
        except Exception:  # overloaded
            self._context.spawn(self._write_later(entry))
            return
        future = asyncio.ensure_future(self._finish(written, entry))
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)

    async def _finish(self, written: Awaitable[None], entry: chain.Entry) -> None:
        try:
            await written
        except Exception:  # whatever the database has: the record must not be lost for it
            self._context.spawn(self._write_later(entry))

    async def _write_later(self, entry: chain.Entry) -> None:
        await asyncio.sleep(RETRY)
        self._write(entry)
