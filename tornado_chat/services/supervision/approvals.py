"""Approvals: messages of trainees are held until a supervisor approves, edits or refuses them.

Strategy: a held message is a row of its own table, so it survives the server. Each decision is a transaction
that finds the row undecided, or fails; a decision to send appends the message in the same transaction. The
commits publish ``HeldChanged`` for the sender and for the supervisors. The acknowledgement of a held message
waits in the process with the sender's socket, for the event of the decision. The time of a held message is
watched by the coordinator (``approval_timers.py``).
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.errors import ChatError, Conflict, Forbidden, Malformed
from tornado_chat.core.events import Event, HeldChanged
from tornado_chat.core.types import (
    Activity,
    AppendResult,
    HeldMessage,
    HeldState,
    Identity,
    Page,
    Person,
    Thread,
)
from tornado_chat.delivery.hub import Hub
from tornado_chat.delivery.socket_stream import SocketStream
from tornado_chat.domain.approval import ApprovalRules
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.filtering import FilterQueue, MessageFilter
from tornado_chat.services.messaging.participant_names import stored_names
from tornado_chat.services.messaging.store import Store, read_in_chunks
from tornado_chat.services.supervision.approval_calls import ApprovalCalls
from tornado_chat.services.supervision.rights import SupervisionRights
from tornado_chat.storage import conversation_views, held_messages
from tornado_chat.storage.messages import AppendRequest

MAX_RECENT = 1000
"""The number of last decisions that are kept for acknowledgements which are awaited after the decision."""

CHUNK_ROWS = 200
"""The least number of held messages in one query for a list."""

OnDecided = Callable[[HeldMessage], None]

DECISION_NAMES = {
    HeldState.APPROVED: "approved message",
    HeldState.EDITED: "edited message",
    HeldState.REFUSED: "refused message",
    HeldState.EXPIRED: "let message expire",
}
"""The actions for the audit."""


class Approvals:
    """Holds messages, and decides on held messages.

    :arg rules: returns the rules of a group.
    :ivar groups_on: the groups whose agents need an approval for each message.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        loop: asyncio.AbstractEventLoop,
        *,
        filtering: MessageFilter,
        plugins: PluginManager,
        rights: SupervisionRights,
        calls: ApprovalCalls,
        rules: Callable[[str], ApprovalRules],
        groups_on: frozenset[str],
    ) -> None:
        self._store = store
        self._hub = hub
        self._loop = loop
        self._filtering = filtering
        self._plugins = plugins
        self._rights = rights
        self._calls = calls
        self._rules = rules
        self.groups_on = groups_on
        self._tasks = BackgroundTasks(loop)
        self._watchers: dict[int, list[tuple[SocketStream, OnDecided]]] = {}
        self._undecided: dict[int, Thread] = {}  # those whose events came to this process
        self._recent: dict[int, HeldMessage] = {}

    def reconfigure(self, groups_on: frozenset[str]) -> None:
        """Hold the messages of these groups from now on. Messages that are held stay held."""
        self.groups_on = groups_on

    # --- the sender ---

    def hold(self, group: str, message: AppendRequest, received: float) -> Deferred[AppendResult]:
        """Store a message that waits for an approval; called in the place of ``Store.append``.

        The result has the number of the held message, or that of the sent message if it was sent before.

        :arg group: the group of the conversation.
        """
        result: Deferred[AppendResult] = Deferred()
        seconds = self._rules(group).timeout_seconds
        stored = self._store.write(lambda tx: held_messages.hold(tx, message, group, seconds), message.thread)
        stored.add_done_callback(partial(self._on_stored, result))
        return result

    def _on_stored(
        self, result: Deferred[AppendResult], stored: "asyncio.Future[HeldMessage | AppendResult]"
    ) -> None:
        error = stored.exception()
        if isinstance(error, Exception):
            result.settle(error=error)
            return
        found = stored.result()
        if isinstance(found, AppendResult):
            result.settle(found)
        elif found.state is HeldState.HELD:
            result.settle(AppendResult(0, found.created, held=found.id))
            self._tasks.spawn(self._call_supervisors(found))
        elif found.is_sent:
            result.settle(result_of(found, duplicate=True))
        else:
            result.settle(error=refusal_of(found))

    def when_decided(self, held_id: int, socket_stream: SocketStream, callback: OnDecided) -> None:
        """Call ``callback`` once after the decision, when the socket has got the message that was sent."""
        held = self._recent.get(held_id)
        if held is not None:
            self._pass_on(held, socket_stream, callback)
        else:
            self._watchers.setdefault(held_id, []).append((socket_stream, callback))

    async def events_for_sender(self, sender: Person, thread: Thread) -> Sequence[HeldChanged]:
        """Return the states of a sender's last held messages in a conversation, for a new socket."""
        found = await self._store.look_up(held_messages.last_of_sender, thread, sender)
        return [HeldChanged(thread, sender, held) for held in found]

    async def _call_supervisors(self, held: HeldMessage) -> None:
        """Notify the supervisors, and tell the sender who could approve if none of them is there."""
        approvers = await self._calls.call(held)
        if approvers is not None and held.id in self._undecided:
            told = HeldChanged(held.thread, held.sender, held, approvers)
            self._hub.deliver_event(told, held.thread)

    # --- supervisors ---

    async def events_for_supervisor(self, thread: Thread) -> Sequence[HeldChanged]:
        """Return the messages of a conversation that are held now, for a new socket of its observer."""
        found = await self._store.look_up(held_messages.undecided, thread)
        return [HeldChanged(thread, held.sender, held) for held in found]

    async def page(
        self, identity: Identity, *, decided: bool, group: str | None, after: int | None, limit: int
    ) -> Page[HeldMessage]:
        """Return held messages that the caller may decide on, as ``held_messages.page``."""
        found: list[HeldMessage] = []
        allowed: dict[Thread, bool] = {}
        chunk = max(limit + 1, CHUNK_ROWS)  # most rows may be those of other supervisors
        while True:
            rows = await self._store.read(
                held_messages.page, decided=decided, group=group, after=after, limit=chunk
            )
            for held in rows:
                if held.thread not in allowed:
                    allowed[held.thread] = await self._may_decide(identity, held.thread)
                if allowed[held.thread] and held.sender != identity.person:
                    found.append(held)
            if len(found) > limit or len(rows) < chunk:
                return Page(found[:limit], len(found) > limit)
            after = rows[-1].id

    async def name_of_sender(self, held: HeldMessage) -> str | None:
        """Return the name of the agent that has written a message, if it is known."""
        stored = await self._store.look_up(stored_names, held.thread)
        return stored.get(held.sender)

    async def approve(self, identity: Identity, held_id: int, text: str | None = None) -> HeldMessage:
        """Send a held message, as it is or with the text of the supervisor.

        A decision that the same person repeats has no effect.

        :raises NotFound: there is no such held message.
        :raises Forbidden: the person may not supervise the conversation, or has sent the message.
        :raises Conflict: a decision was made before; an earlier message of its sender is held; or the
            conversation has ended.
        :raises Refused: a filter refuses the text of the supervisor.
        """
        held = await self._require(identity, held_id)
        if text is not None and text != held.text:
            if held.media != "text":
                raise Conflict("only_texts_edited")
            if not text.strip():
                raise Malformed("empty_message")
            text = await self._filtered(identity, held.thread, text)
        person = identity.person
        written = self._store.write(lambda tx: held_messages.send(tx, held_id, person, text)[0], held.thread)
        return await self._decide(identity, held, written, (HeldState.APPROVED, HeldState.EDITED))

    async def refuse(self, identity: Identity, held_id: int, note: str | None = None) -> HeldMessage:
        """Refuse a held message; errors as of ``approve``. :arg note: a sentence for its sender."""
        held = await self._require(identity, held_id)
        person, note = identity.person, (note or "").strip() or None
        written = self._store.write(lambda tx: held_messages.refuse(tx, held_id, person, note), held.thread)
        return await self._decide(identity, held, written, (HeldState.REFUSED,))

    async def _filtered(self, identity: Identity, thread: Thread, text: str) -> str:
        """Return the text of a supervisor as the filters of messages change it."""
        texts: list[str] = []

        def keep(message: AppendRequest, received: float) -> Deferred[AppendResult]:
            texts.append(message.text)
            kept: Deferred[AppendResult] = Deferred()
            kept.settle(AppendResult(0, 0))
            return kept

        draft = AppendRequest(thread, identity.person, text)
        await self._filtering.submit(FilterQueue(), identity, draft, self._loop.time(), keep)
        return texts[0]

    async def _require(self, identity: Identity, held_id: int) -> HeldMessage:
        held = await self._store.look_up(held_messages.get, held_id)
        view = await self._store.look_up(conversation_views.find, held.thread)
        if view is None:
            raise Conflict("session_finished")
        if held.sender == identity.person:
            raise Forbidden("not_allowed")
        await self._rights.require(identity, view, "approve a message")
        return held

    async def _may_decide(self, identity: Identity, thread: Thread) -> bool:
        view = await self._store.look_up(conversation_views.find, thread)
        return view is not None and await self._rights.supervises(identity, view)

    async def _decide(
        self,
        identity: Identity,
        held: HeldMessage,
        written: "asyncio.Future[HeldMessage]",
        wanted: Collection[HeldState],
    ) -> HeldMessage:
        try:
            decided = await written
        except Conflict as error:
            if error.code == "already_decided":
                stored = await self._store.look_up(held_messages.get, held.id)
                if stored.decided_by == identity.person and stored.state in wanted:
                    return stored
            raise
        self.report(decided)
        return decided

    def report(self, held: HeldMessage) -> None:
        """Report a decision to the plugins."""
        actor = "-" if held.decided_by is None else held.decided_by.key
        sent = f", sent as {held.seq}" if held.seq is not None else ""
        detail = f"held {held.id} of {held.sender.key}{sent}"
        self._plugins.report_action(Activity(actor, DECISION_NAMES[held.state], held.thread, detail))

    # --- events ---

    events = (HeldChanged,)

    def on_event(self, event: Event) -> None:
        """Deliver the state of a held message; called for the types in ``events``."""
        if not isinstance(event, HeldChanged):
            return
        held = event.held
        self._hub.deliver_event(event, event.thread, upto=held.seq or 0)
        if held.state is HeldState.HELD:
            if held.id not in self._recent:
                self._undecided[held.id] = held.thread
            return
        self._undecided.pop(held.id, None)
        self._recent[held.id] = held
        if len(self._recent) > MAX_RECENT:
            del self._recent[next(iter(self._recent))]
        for socket_stream, callback in self._watchers.pop(held.id, ()):
            self._pass_on(held, socket_stream, callback)

    def _pass_on(self, held: HeldMessage, socket_stream: SocketStream, callback: OnDecided) -> None:
        if not socket_stream.closed:
            self._hub.run_after(socket_stream, held.thread, held.seq or 0, partial(callback, held))

    async def resync(self) -> None:
        """Read from the database the decisions whose events may have been missed.

        :raises Unavailable: the database is away.
        """
        ids = [*{*self._undecided, *self._watchers}]
        async for held in read_in_chunks(self._store, held_messages.find_many, ids):
            if held.state is not HeldState.HELD:
                self.on_event(HeldChanged(held.thread, held.sender, held))


def result_of(held: HeldMessage, *, duplicate: bool = False) -> AppendResult:
    """Return the result of a message that was sent after an approval."""
    assert held.seq is not None
    assert held.decided is not None
    return AppendResult(held.seq, held.decided, duplicate)


def refusal_of(held: HeldMessage) -> ChatError:
    """Return the error for the sender of a message that was not approved."""
    if held.state is HeldState.EXPIRED:
        return Conflict("approval_expired")
    if held.note:
        return Conflict("not_approved_note", note=held.note)
    return Conflict("not_approved")
