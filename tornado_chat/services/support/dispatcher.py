"""The dispatcher: the line, the waiters, and who talks to whom.

Strategy: one structure in memory owns all decisions (``casebook.py``); it is only touched on one loop, that
of the coordinator, so no two matches race. Each decision is then stored, by an update that takes effect only
if the conversation still is as it was thought to be, and what people are told of it is published by its
commit. A decision that the database did not take is taken back (``matching.py``). This module hears who comes
and goes and what was committed, and gives up who does not come back. Whoever becomes the coordinator builds
everything again from the unfinished conversations.

A waiter's *ready* (what it wants) and *connected* (what its sockets say) are two facts; it gets
users while both hold. A user whose sockets are all gone is not matched meanwhile, and finds its
place again when it comes back in time.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

from tornado_chat import config
from tornado_chat.aio.chunks import chunks
from tornado_chat.cluster.facts import TransferRequest, WaiterPresence
from tornado_chat.core.errors import ChatError, Conflict, NotFound
from tornado_chat.core.events import ConversationAssigned, ConversationEnded, ConversationRequeued, Event
from tornado_chat.core.types import Conversation, Person
from tornado_chat.domain.queue import MatchingQueue, QueuePolicy
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import Histogram
from tornado_chat.services.leadership.grace_timers import GraceTimers
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.support.cases import RETRY_SECONDS, Case, ConversationStore, WaiterState
from tornado_chat.services.support.dispatch_state import DispatchState
from tornado_chat.services.support.matcher import Matcher

log = logging.getLogger(__name__)

CHUNK_ROWS = 500  # conversations of one question


class Dispatcher:
    """All unfinished support conversations, as their coordinator has them.

    :arg publish: the bus, for places in the line.
    :arg is_certain: whether what is known of other processes is up to date. Nobody's grace ends while it is
        not.
    :arg clock: seconds since 1970.
    :arg desk: makes the line, empty, for a policy.
    :arg settle_seconds: seconds from ``begin`` in which processes tell who is there. Until then nobody is
        matched, or those would be served first whose process was the first to speak.
    """

    def __init__(
        self,
        settings: config.Support,
        conversations: ConversationStore,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Event], None],
        policy: QueuePolicy,
        waited: Histogram,
        is_certain: Callable[[], Awaitable[bool]],
        clock: Callable[[], float] = time.time,
        desk: Callable[[QueuePolicy], MatchingQueue] = MatchingQueue,
        settle_seconds: float = 0.0,
    ) -> None:
        self._conversations = conversations
        self._awaited_users: GraceTimers[Case] = GraceTimers(
            loop, is_certain, self._user_away, self._user_lost
        )
        self._awaited_waiters: GraceTimers[WaiterState] = GraceTimers(
            loop, is_certain, self._waiter_away, self._waiter_lost
        )
        self._term: Term[Conversation] = Term(loop, settle_seconds, lambda: self._matcher.settled())
        self._state = DispatchState(
            settings,
            loop,
            publish,
            policy,
            waited,
            self._awaited_users,
            self._awaited_waiters,
            clock,
            desk,
        )
        self._matcher = Matcher(self._state, conversations, loop, self._term)

    # --- life ---

    async def begin(self) -> None:
        """Go on with what is unfinished: everybody has the full grace to come back to place and conversation."""
        self.end()
        with self._term.starting() as buffered:
            rows = await self._conversations.unfinished()
            self._forget()
            for some in chunks(rows, CHUNK_ROWS):
                for row in some:
                    if row.id not in self._state.cases:  # its user came meanwhile
                        self._state.adopt(row)
                await asyncio.sleep(0)  # or a coordinator of many would be taken for dead
        for row in buffered:
            self._matcher.learn(row)

    def end(self) -> None:
        """From now on nothing is decided here, and a closing socket ends nothing."""
        self._term.end()
        self._forget()

    def _forget(self) -> None:
        self._matcher.forget()
        self._state.forget()

    async def resync(self) -> None:
        """Events may have been missed: see what the database says.

        :raises Unavailable: it says nothing.
        """
        known = set(self._state.cases)
        versions = await self._conversations.change_counts()
        news = [id for id in known if id not in versions]
        for id, changes in versions.items():
            case = self._state.cases.get(id)
            if case is None or case.row.changes < changes:
                news.append(id)
        for some in chunks(news, CHUNK_ROWS):
            for row in await self._conversations.find_many(some):
                if row.id in self._state.cases:
                    self._matcher.learn(row)
                elif self._term.is_running and row.open and row.id not in known:
                    self._state.adopt(row)

    def republish(self) -> None:
        """Tell everybody its place, also who knows it."""
        for case in self._state.cases.values():
            case.told_position = 0
        self._state.positions.changed()

    def reconfigure(self, settings: config.Support, policy: QueuePolicy) -> None:
        """Go by other settings and another policy from now on, those who wait already included.

        A waiter with more users than it may have now keeps them; a grace that is running keeps its time.
        """
        self._state.reconfigure(settings, policy)
        self._matcher.match()

    @property
    def capacity(self) -> int:
        """How many users a waiter serves at once."""
        return self._state.settings.capacity

    # --- people come and go ---

    def on_user_present(self, process: str, row: Conversation) -> None:
        """A process holds sockets of the conversation's user."""
        case = self._state.cases.get(row.id)
        if case is None:
            if not row.open or self._state.is_over(row.id):
                return
            case = self._state.adopt(row)
        else:
            self._matcher.learn(row)
            if row.id not in self._state.cases:  # it is over
                return
        self._awaited_users.stop(case)
        case.processes.add(process)
        if case.waiting:
            self._matcher.wait(case)

    def on_user_absent(self, process: str, conversation_id: int) -> None:
        """A process holds none any more. That is no departure: the grace begins, if it was the last one."""
        case = self._state.cases.get(conversation_id)
        if case is None or process not in case.processes:
            return
        case.processes.discard(process)
        if not case.processes:
            self._state.leave(conversation_id)
            self._awaited_users.start(case, self._state.settings.rejoin_grace)

    def on_waiter_present(self, process: str, fact: WaiterPresence) -> None:
        """A process holds sockets of a waiter, who takes new users or does not."""
        waiter = self._state.waiter(fact.person, fact.address, fact.name)
        self._awaited_waiters.stop(waiter)
        waiter.ready = fact.ready
        waiter.claims = fact.claims
        waiter.name = fact.name or waiter.name
        waiter.processes.add(process)
        self._state.set_available(waiter)
        self._matcher.match()

    def on_waiter_absent(self, process: str, person: Person) -> None:
        """As ``on_user_absent``."""
        waiter = self.waiters.get(person)
        if waiter is None or process not in waiter.processes:
            return
        waiter.processes.discard(process)
        if not waiter.processes:
            self._state.set_available(waiter)
            self._awaited_waiters.start(waiter, self._state.settings.rejoin_grace)

    async def hand_over(self, wish: TransferRequest) -> None:
        """Give a user to another waiter.

        :raises NotFound: there is no such waiter who is ready and has room.
        :raises Conflict: it is no longer the source's user.
        """
        case = self._state.cases.get(wish.conversation_id)
        if case is not None and case.row.waiter == wish.target != wish.source:
            return  # asked again, as whoever did it could not answer any more
        target, pooled = self.waiters.get(wish.target), self.desk.pool.get(wish.target)
        if target is None or pooled is None or not pooled.free or wish.target == wish.source:
            raise NotFound("no_such_waiter", id=wish.target.id)
        if case is None or case.row.waiter != wish.source or case.row.id in self._state.deciding:
            raise Conflict("no_conversation")
        await self._matcher.hand_over(case, target, f"handed over by {wish.source.id}")

    # --- looking ---

    @property
    def desk(self) -> MatchingQueue:
        """The line and the pool of waiters."""
        return self._state.desk

    @property
    def waiters(self) -> Mapping[Person, WaiterState]:
        """Those who are there, are awaited or have users."""
        return self._state.waiters

    def case(self, conversation_id: int) -> Case:
        """An unfinished conversation."""
        return self._state.cases[conversation_id]

    def cases(self) -> Iterator[Case]:
        """All unfinished conversations."""
        return iter(self._state.cases.values())

    @property
    def deciding(self) -> Mapping[int, Person]:
        """The conversations whose waiter is decided, and not stored yet."""
        return self._state.deciding

    @property
    def postponed(self) -> Collection[int]:
        """The conversations whose match could not be stored, and which are not in the line for a moment."""
        return self._state.postponed

    # --- what was committed, here or elsewhere ---

    events = (ConversationAssigned, ConversationEnded, ConversationRequeued)

    def on_event(self, event: Event) -> None:
        """Called for ``events``."""
        if not isinstance(event, ConversationAssigned | ConversationEnded | ConversationRequeued):
            return
        if self._term.is_running:
            self._matcher.learn(event.conversation)
        else:
            self._term.buffer(event.conversation)

    # --- who has not come back ---

    def _user_away(self, case: Case) -> bool:
        return self._term.is_running and self._state.holds(case) and not case.processes

    async def _user_lost(self, case: Case) -> None:
        try:
            self._matcher.learn(await self._conversations.end(case.row.id, case.row.user))
        except ChatError as error:
            log.warning(
                "a departure could not be stored, trying again: %s",
                error,
                extra=fields(**case.row.thread.named),
            )
            if self._term.is_running:
                self._awaited_users.start(case, RETRY_SECONDS)

    def _waiter_away(self, waiter: WaiterState) -> bool:
        return self._term.is_running and self.waiters.get(waiter.person) is waiter and not waiter.processes

    async def _waiter_lost(self, waiter: WaiterState) -> None:
        waiter.ready = False
        self._state.set_available(waiter)
        for case in list(waiter.cases.values()):
            if (
                waiter.processes or not self._term.is_running
            ):  # back at the last moment: keeps whom it still has
                return
            row = case.row
            if row.waiter != waiter.person or row.id in self._state.deciding:
                continue
            try:
                await self._conversations.requeue(row)
            except Conflict:  # gone this very moment
                await self._matcher.ask_again(case)
            except ChatError as error:
                log.warning(
                    "users could not go back to the line, trying again: %s",
                    error,
                    extra=fields(role="waiter", id=waiter.person.id),
                )
                if self._term.is_running:
                    self._awaited_waiters.start(waiter, RETRY_SECONDS)
                return
        self._state.forget_if_idle(waiter)
