"""Offers of hand-overs in both dialects: to offer, accept, decline and withdraw.

Strategy: an offer is a row with the present candidate and its time limit, so a restarted server continues it.
Who accepts gets a session in the transaction that notes the acceptance. The user of a support conversation is
given by the dispatcher, which stores both in one transaction, too.
"""

from collections.abc import Callable, Sequence

import peewee as pw

from tornado_chat.cluster.facts import CoordinatorClient, ReturnRequest, TransferRequest
from tornado_chat.core.errors import Conflict, Forbidden, Malformed, NotFound
from tornado_chat.core.events import OfferChanged
from tornado_chat.core.numbers import is_number
from tornado_chat.core.types import (
    Action,
    Activity,
    Candidate,
    Conversation,
    Identity,
    Kind,
    Offer,
    OfferState,
    Part,
    Person,
    Role,
    Room,
    Thread,
)
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.auth.access import HOST_ROLES, AccessControl
from tornado_chat.services.handover.steps import OfferSteps
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import conversations, handovers, participants, rooms
from tornado_chat.storage.writer import Transaction

AGENTS_OF = {
    Kind.SESSION: frozenset({Role.CONSULTANT, Role.SUPERVISOR}),
    Kind.SUPPORT: frozenset({Role.WAITER, Role.CONSULTANT, Role.SUPERVISOR}),
}
"""The roles of the people that can be agents, by kind of conversation."""

MICROSECONDS = 1_000_000  # in a second


class Offers:
    """Hand-overs of sessions and support conversations.

    :arg timeout_seconds: how long a candidate may think, if the offer does not say it.
    :arg is_group: returns True if there is a group of this name.
    """

    def __init__(
        self,
        store: Store,
        steps: OfferSteps,
        coordinator_client: CoordinatorClient,
        access_control: AccessControl,
        plugins: PluginManager,
        *,
        timeout_seconds: float,
        is_group: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._steps = steps
        self._coordinator_client = coordinator_client
        self._access_control = access_control
        self._plugins = plugins
        self._timeout_seconds = timeout_seconds
        self._is_group = is_group

    def reconfigure(self, timeout_seconds: float) -> None:
        """Use another time limit for new offers."""
        self._timeout_seconds = timeout_seconds

    async def offer(
        self,
        identity: Identity,
        thread: Thread,
        candidates: Sequence[Candidate] = (),
        *,
        group: str | None = None,
        note: str | None = None,
        timeout: float | None = None,
    ) -> OfferChanged:
        """Offer a conversation to people, in order; or return a support conversation to the line of a group.

        :arg timeout: seconds for each candidate; None: ``[server] offer_timeout``.
        :raises NotFound: there is no such conversation, or no such group.
        :raises Forbidden: the caller may not hand the conversation over.
        :raises Conflict: it has ended, has no agent, or is offered already.
        :raises Malformed: there is no candidate, or one of them cannot be the agent.
        """
        agent = await self._require_agent(identity, thread)
        if group is not None:
            if thread.kind is not Kind.SUPPORT or candidates:
                raise Malformed("no_target")
            if not self._is_group(group):
                raise NotFound("no_such_group", group=group)
            request = ReturnRequest(thread.id, agent, identity.person, group, note)
            await self._coordinator_client.call(request)
            self._report(identity, "handed to a group", thread, group)
            return await self._store.read(_latest, thread)
        people = list(dict.fromkeys(candidate.person for candidate in candidates))
        if not people or agent in people or any(each.role not in AGENTS_OF[thread.kind] for each in people):
            raise Malformed("no_target")
        msg = await self._steps.announcement(thread, people[0])
        seconds = self._timeout_seconds if timeout is None else timeout

        def work(tx: Transaction) -> OfferChanged:
            if _lock_agent(tx, thread) != agent:
                raise Conflict("not_agent")
            offer = handovers.create(
                tx,
                thread,
                agent,
                identity.person,
                candidates,
                timeout=round(seconds * MICROSECONDS),
                note=note,
            )
            self._steps.announce(tx, offer, msg)
            return handovers.shown(tx.database, offer, time=tx.now)

        made = await self._store.write(work, thread)
        self._report(identity, "offered hand-over", thread, ", ".join(person.key for person in people))
        return made

    async def current(self, identity: Identity, thread: Thread) -> OfferChanged:
        """Return the last offer of a conversation: for its people, the agent, hosts and admins.

        :raises NotFound: there is none.
        :raises Forbidden: the caller is none of them.
        """
        change = await self._store.read(_latest, thread)
        if identity.person in change.readers:
            return change
        await self._require_agent(identity, thread, is_reading=True)
        return change

    async def accept(self, identity: Identity, offer: Offer) -> OfferChanged:
        """Become the agent of a conversation that is offered to the caller. Accepting again has no effect.

        :raises Conflict: it is not offered to the caller now, or has ended.
        :raises NotFound: the caller is not connected as an agent of support.
        """
        person, thread = identity.person, offer.thread
        if offer.state is OfferState.ACCEPTED and offer.target == person:
            return await self._store.read(_latest, thread)
        if not offer.is_open or offer.target != person:
            raise Conflict("no_offer")
        if thread.kind is Kind.SUPPORT:
            request = TransferRequest(thread.id, offer.source, person, offer=offer.id)
            await self._coordinator_client.call(request)
        else:

            def work(tx: Transaction) -> Room:
                rooms.lock(tx, thread)
                accepted = handovers.accept(tx, offer.id, person)
                name = accepted.candidates[accepted.place].name
                return rooms.replace_agent(tx, thread, accepted.source, person, identity.name or name)

            await self._store.write(work, thread)
        self._report(identity, "accepted hand-over", thread, f"from {offer.source.key}")
        return await self._store.read(_latest, thread)

    async def decline(self, identity: Identity, offer: Offer) -> Offer:
        """Decline an offer, which goes to the next candidate.

        :raises Conflict: it is not offered to the caller.
        """
        if not offer.is_open or offer.target != identity.person:
            raise Conflict("no_offer")
        moved = await self._steps.advance(offer, OfferState.DECLINED)
        self._report(identity, "declined hand-over", offer.thread)
        return moved

    async def withdraw(self, identity: Identity, thread: Thread) -> OfferChanged:
        """Withdraw the open offer of a conversation.

        :raises Forbidden: the caller may not hand the conversation over.
        :raises Conflict: there is no open offer, or the conversation waits in the line of a group.
        """
        change = await self._store.read(_latest, thread)
        if identity.person != change.offer.offered_by:
            await self._require_agent(identity, thread)
        if change.offer.group is not None:
            raise Conflict("no_offer")
        await self._store.write(lambda tx: handovers.withdraw(tx, change.offer), thread)
        self._report(identity, "withdrew hand-over", thread)
        return await self._store.read(_latest, thread)

    async def find(self, offer_id: int) -> Offer:
        """Return an offer by its number. :raises NotFound: there is no such."""
        if not is_number(offer_id):
            raise NotFound("no_handover")
        return await self._store.look_up(handovers.get, offer_id)

    async def latest(self, thread: Thread) -> Offer:
        """Return the last offer of a conversation. :raises NotFound: there is none."""
        return (await self._store.read(_latest, thread)).offer

    async def current_for_target(self, thread: Thread) -> OfferChanged:
        """Return the last offer of a conversation for a person that has just answered it."""
        return await self._store.read(_latest, thread)

    async def accept_on_entry(self, identity: Identity, thread: Thread) -> bool:
        """Accept the offer of a session to a person that enters it. Returns False if there is none."""
        offer = await self._store.look_up(handovers.find_open, thread)
        if offer is None or offer.target != identity.person:
            return False
        await self.accept(identity, offer)
        return True

    # --- inside ---

    async def _require_agent(self, identity: Identity, thread: Thread, *, is_reading: bool = False) -> Person:
        """Return the agent of a conversation that the caller may hand over.

        These are the agent itself, supervisors that have joined, hosts and admins.
        """
        found = await self._store.read(_find, thread)
        if found is None:
            raise NotFound(_NO_SUCH[thread.kind], id=thread.id)
        agent, is_open, supervisors = found
        if not await self._access_control.is_allowed_by_plugin(identity, Action.SUPERVISE, thread):
            person = identity.person
            if person.role not in HOST_ROLES and person != agent and person not in supervisors:
                self._report(identity, "refused to hand over", thread)
                raise Forbidden("not_your_session")
        if is_reading:
            return identity.person
        if not is_open:
            raise Conflict("session_finished")
        if agent is None:
            raise Conflict("no_conversation")
        return agent

    def _report(self, identity: Identity, action: str, thread: Thread, detail: str | None = None) -> None:
        self._plugins.report_action(Activity(identity.person.key, action, thread, detail))


_NO_SUCH = {Kind.SESSION: "no_such_session", Kind.SUPPORT: "no_such_conversation"}


def _agent_of(found: Room | Conversation) -> Person | None:
    return found.helper if isinstance(found, Room) else found.waiter


def _find(database: pw.Database, thread: Thread) -> tuple[Person | None, bool, set[Person]] | None:
    """Return the agent of a conversation, whether it is open, and the supervisors that have joined it."""
    found: Room | Conversation | None = (
        rooms.find(database, thread)
        if thread.kind is Kind.SESSION
        else conversations.get(database, thread.id)
    )
    if found is None:
        return None
    joined = {
        each.person
        for each in participants.of_thread(database, thread)
        if each.part is Part.SUPERVISOR and each.left is None
    }
    return _agent_of(found), found.open, joined


def _latest(database: pw.Database, thread: Thread) -> OfferChanged:
    offer = handovers.latest(database, thread)
    if offer is None:
        raise NotFound("no_handover")
    return handovers.shown(database, offer)


def _lock_agent(tx: Transaction, thread: Thread) -> Person | None:
    """Return the agent of an open conversation that no other transaction changes before this one ends."""
    found = rooms.lock(tx, thread) if thread.kind is Kind.SESSION else conversations.lock(tx, thread.id)
    return _agent_of(found) if found.open else None
