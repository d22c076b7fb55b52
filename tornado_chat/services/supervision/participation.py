"""Joining, leaving and taking over a conversation as its supervisor.

Strategy: each step is one transaction, whose commit publishes what has changed. The processes with sockets of
the supervisor (``observers.py``) let them speak then, and report the presence of a new agent. So a step takes
effect with its commit, in whichever process the request has come.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Literal

import peewee as pw

from tornado_chat.core.errors import Conflict, NotFound
from tornado_chat.core.events import Event, ParticipationChanged, SystemNotice
from tornado_chat.core.types import (
    Activity,
    ConversationState,
    ConversationView,
    Identity,
    Kind,
    Part,
    Participant,
    Person,
    Thread,
)
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.supervision.rights import SupervisionRights
from tornado_chat.storage import conversation_views, conversations, participants, rooms
from tornado_chat.storage.participants import NewParticipant
from tornado_chat.storage.writer import Transaction

THIRD_PARTS = (Part.SUPERVISOR, Part.OBSERVER)
"""The parts of people who take part beside the client and the agent."""

FormerAgent = Literal["observe", "leave"]
"""What becomes of the agent whose conversation is taken over: it stays as an observer, or leaves."""


class Participation:
    """The steps by which a supervisor takes part in a session or a support conversation.

    :arg find_view: finds conversations, also those that only a plugin knows.
    :arg publish: publishes events that are not stored.
    """

    def __init__(
        self,
        store: Store,
        rights: SupervisionRights,
        plugins: PluginManager,
        find_view: Callable[[Thread], Awaitable[ConversationView]],
        publish: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._rights = rights
        self._plugins = plugins
        self._find_view = find_view
        self._publish = publish

    async def join(self, identity: Identity, thread: Thread) -> Participant:
        """Let a supervisor take part as a named third participant. A second call has no effect.

        :raises NotFound: there is no such conversation.
        :raises Forbidden: the person may not.
        :raises Conflict: the conversation has ended; or the person is its client or agent.
        """
        view = await self._find_view(thread)
        await self._rights.require(identity, view, "join")
        person, name = identity.person, identity.name

        def work(tx: Transaction) -> tuple[Participant, bool]:
            _require_open(tx, thread, person)
            present = third_part(tx.database, thread, person)
            if present is not None and present.part is Part.SUPERVISOR:
                return present, False
            if present is not None:
                participants.leave(tx, thread, person)
            _join(tx, thread, NewParticipant(person, Part.SUPERVISOR, name))
            tx.emit(SystemNotice(thread, "joined_supervisor", tx.now, name or person.id))
            return Participant(thread, person, Part.SUPERVISOR, name, tx.now), True

        joined, is_new = await self._store.write(work, thread)
        if is_new:
            self._report(person, "joined", thread)
        return joined

    async def leave(self, identity: Identity, thread: Thread) -> None:
        """Let a supervisor, or a former agent that observes, stop to take part. A second call has no effect.

        :raises NotFound: there is no such conversation.
        """
        await self._find_view(thread)
        person = identity.person
        # Before the commit: its sockets are closed when the next message can be stored.
        self._publish(ParticipationChanged(thread, person, identity.name, None))

        def work(tx: Transaction) -> bool:
            present = third_part(tx.database, thread, person)
            if present is None:
                return False
            participants.leave(tx, thread, person)
            tx.emit(ParticipationChanged(thread, person, present.name, None))
            if present.part is Part.SUPERVISOR:
                tx.emit(SystemNotice(thread, "left_supervisor", tx.now, present.name or person.id))
            return True

        if await self._store.write(work, thread):
            self._report(person, "left", thread)

    async def take_over(self, identity: Identity, thread: Thread, former: FormerAgent) -> Participant:
        """Make a supervisor the agent of a conversation. A second call has no effect.

        :arg former: what becomes of the agent before.
        :raises NotFound: there is no such conversation.
        :raises Forbidden: the person may not.
        :raises Conflict: the conversation has ended, or has changed meanwhile; or the person is its client.
        """
        view = await self._find_view(thread)
        await self._rights.require(identity, view, "take over")
        person, name = identity.person, identity.name

        def work(tx: Transaction) -> tuple[Participant, Person | None, bool]:
            taken = Participant(thread, person, Part.AGENT, name, tx.now)
            previous = _agent(tx, thread)
            if previous is not None and previous.person == person:
                return taken, previous.person, False
            if third_part(tx.database, thread, person) is not None:
                participants.leave(tx, thread, person)
            if thread.kind is Kind.SESSION:
                assert previous is not None
                rooms.replace_agent(tx, thread, previous.person, person, name)
            else:
                _take_conversation(tx, thread, person, name)
            if previous is not None and former == "observe":
                _join(tx, thread, previous)
            return taken, None if previous is None else previous.person, True

        taken, previous, is_new = await self._store.write(work, thread)
        if is_new:
            detail = None if previous is None else f"from {previous.key}, who will {former}"
            self._report(person, "took over", thread, detail)
        return taken

    def _report(self, actor: Person, action: str, thread: Thread, detail: str | None = None) -> None:
        self._plugins.report_action(Activity(actor.key, action, thread, detail))


def third_part(database: pw.Database, thread: Thread, person: Person) -> Participant | None:
    """Return how a person takes part now beside client and agent; None if it does not."""
    for each in reversed(participants.of_thread(database, thread)):
        if each.person == person and each.part in THIRD_PARTS and each.left is None:
            return each
    return None


def _join(tx: Transaction, thread: Thread, new: NewParticipant) -> None:
    participants.join(tx, thread, [new])
    tx.emit(ParticipationChanged(thread, new.person, new.name, new.part))


def _require_open(tx: Transaction, thread: Thread, person: Person) -> None:
    """Check that a conversation is open, and keep it so until the transaction ends.

    :raises Conflict: it has ended, or the person is its client or agent.
    """
    view = _locked(tx, thread)
    if not view.is_open:
        raise Conflict("session_finished")
    if person in (view.client, view.agent):
        raise Conflict("takes_part")


def _locked(tx: Transaction, thread: Thread) -> ConversationView:
    if thread.kind is Kind.SESSION:
        return rooms.lock(tx, thread).view
    conversations.lock(tx, thread.id)
    view = conversation_views.find(tx.database, thread)
    if view is None:
        raise NotFound("no_such_conversation", id=thread.id)
    return view


def _agent(tx: Transaction, thread: Thread) -> NewParticipant | None:
    """Return the present agent as the observer that it may become; None if there is none."""
    view = _locked(tx, thread)
    if not view.is_open:
        raise Conflict("session_finished")
    return None if view.agent is None else NewParticipant(view.agent, Part.OBSERVER, view.agent_name)


def _take_conversation(tx: Transaction, thread: Thread, person: Person, name: str | None) -> None:
    row = conversations.get(tx.database, thread.id)
    assert row is not None, "the caller has locked it"
    if person == row.user:
        raise Conflict("takes_part")
    give = conversations.assign if row.state is ConversationState.WAITING else conversations.transfer
    give(tx, row, person, name, str(uuid.uuid4()), "taken over")
