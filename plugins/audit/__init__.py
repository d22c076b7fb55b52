"""An append-only audit log of the actions of people in sessions and conversations."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import click
import peewee

from tornado_chat.plugin_api import (
    Activity,
    ChatError,
    CommandContext,
    Context,
    Conversation,
    Identity,
    Keeper,
    Message,
    Person,
    Plugin,
    Room,
    Thread,
    Transaction,
    WriteBehind,
    hookimpl,
)

from . import chain
from .commands import audit
from .data_keeper import AuditKeeper
from .seen_heads import HEAD_FILE, SeenHeads
from .startup import find_start_problem, open_key
from .verification import REMEDY, find_problem, has_data, unacknowledged_breaks

READ_ACTIONS = {"messages": "read", "export": "exported", "observe": "observes"}
JOINED = "joined"
CHECK_SECONDS = 15.0  # seconds between two checks of the end of the chain


class Audit(Plugin):
    """Writes an audit record for each event, in the commit after the event."""

    def find_problems(self, context: CommandContext) -> Sequence[str]:
        text = find_start_problem(context.database, context.state_dir)
        return [text] if text else []

    @hookimpl
    def register_models(self) -> Sequence[type[peewee.Model]]:
        return chain.TABLES

    @hookimpl
    def register_commands(self) -> Sequence[click.Command]:
        return [audit]

    @hookimpl
    def register_keeper(self, state_dir: Path) -> Keeper:
        return AuditKeeper(state_dir)

    @hookimpl
    async def startup(self, context: Context) -> None:
        self._context = context
        self._write_behind = WriteBehind(context)
        self._heads = SeenHeads(context.state_dir / HEAD_FILE)
        self._breaks = set[int]()
        self._key = await open_key(context, self._heads)
        context.spawn(self._watch())

    @hookimpl
    async def shutdown(self) -> None:
        await self._write_behind.finish()
        await asyncio.to_thread(self._heads.save)

    async def _watch(self) -> None:
        """Report the problem of the chain, if it has one, and save the head, again and again."""
        while True:
            with contextlib.suppress(ChatError):  # the database is away, which the server reports
                self._context.problem(await self._find_problem())
            await asyncio.to_thread(self._heads.save)
            await asyncio.sleep(CHECK_SECONDS)

    async def _find_problem(self) -> str | None:
        key, seen, known = self._key, self._heads.newest, self._breaks

        def check(database: peewee.Database) -> tuple[chain.ChainEnd, set[int], str | None]:
            breaks = set(unacknowledged_breaks(database, key, known))
            return chain.read_end(database, key, seen), breaks, find_problem(database, key, seen, breaks)

        try:
            end, self._breaks, problem = await self._context.read(check)
        except ChatError as error:
            await self._context.read(has_data)  # raises, too, if the database is away
            return f"the tables of the audit log cannot be read ({error.__cause__ or error}); {REMEDY}"
        if not end.fault:  # other processes and commands write records, too
            self._heads.note(end.head)
        return problem

    # --- before an action ---

    @hookimpl
    async def transcript_requested(self, thread: Thread, identity: Identity, how: str) -> None:
        """Record that a transcript is read. If this fails, the transcript is not sent."""
        action, key = READ_ACTIONS[how], self._key
        entry = chain.AuditEntry(identity.person.key, action, thread.kind.value, thread.id)
        self._heads.note(
            await self._context.write(
                lambda tx: chain.append_about(tx.database, key, entry, tx.now, seen=self._heads.newest)
            )
        )

    # --- events that are recorded ---

    @hookimpl
    async def message_posted(self, message: Message) -> None:
        await self._record(message.sender, chain.POSTED, message.thread, message.seq)

    @hookimpl
    async def participant_joined(self, thread: Thread, identity: Identity) -> None:
        await self._record(identity.person, JOINED, thread)

    @hookimpl
    async def participant_left(self, thread: Thread, person: Person) -> None:
        await self._record(person, "left", thread)

    @hookimpl
    async def observer_left(self, thread: Thread, identity: Identity) -> None:
        await self._record(identity.person, "stops observing", thread)

    @hookimpl
    async def action_taken(self, activity: Activity) -> None:
        await self._record(activity.actor, activity.action, activity.thread, detail=activity.detail)

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
        self,
        actor: Person | str,
        action: str,
        thread: Thread | None,
        message: int | None = None,
        detail: str | None = None,
    ) -> None:
        name = actor if isinstance(actor, str) else actor.key
        kind, id = (thread.kind.value, thread.id) if thread else (chain.SERVER_KIND, 0)
        entry, key = chain.AuditEntry(name, action, kind, id, message), self._key
        # A person joins before the messages that are stored by now.
        append = chain.append if thread is None or message or action == JOINED else chain.append_about
        head: chain.Head | None = None

        def write(tx: Transaction) -> None:
            nonlocal head
            head = append(tx.database, key, entry, tx.now, detail, self._heads.newest)

        await self._write_behind.add(write, done=lambda: self._heads.note(head))
