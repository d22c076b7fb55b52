"""The dispatcher: the line, the waiters, and who talks to whom.

Strategy: one structure in memory owns all decisions (``casebook.py``); it is only touched on one loop, that of the
coordinator, so no two matches race. Each decision is then stored, by an update that takes effect only if the
conversation still is as it was thought to be, and what people are told of it is published by its commit. A decision
that the database did not take is taken back (``matching.py``). This module hears who comes and goes and what was
committed, and gives up who does not come back. Whoever becomes the coordinator builds everything again from the
unfinished conversations.

A waiter's *ready* (what it wants) and *connected* (what its sockets say) are two facts; it gets
users while both hold. A user whose sockets are all gone is not matched meanwhile, and finds its
place again when it comes back in time.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

from tornado_chat import config
from tornado_chat.aio.chunks import portions
from tornado_chat.cluster.facts import HandOver, OnDuty
from tornado_chat.core.errors import ChatError, Conflict, NotFound
from tornado_chat.core.events import Assigned, Departed, Event, Returned
from tornado_chat.core.types import Conversation, Person
from tornado_chat.domain.queue import Desk, QueuePolicy
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import Buckets
from tornado_chat.services.leadership.grace_timers import Graces
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.support.cases import RETRY, Case, Conversations, WaiterDesk
from tornado_chat.services.support.dispatch_state import Casebook
from tornado_chat.services.support.matcher import Matching

log = logging.getLogger(__name__)

PORTION = 500  # conversations of one question


class Dispatcher:
    """All unfinished support conversations, as their coordinator has them.

    :arg publish: the bus, for places in the line.
    :arg sure: whether what is known of other processes is up to date. Nobody's grace ends while it is not.
    :arg clock: seconds since 1970.
    :arg desk: makes the line, empty, for a policy.
    :arg settling: seconds from ``begin`` in which processes tell who is there. Until then nobody is matched, or
        those would be served first whose process was the first to speak.
    """

    def __init__(
        self,
        settings: config.Support,
        conversations: Conversations,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Event], None],
        policy: QueuePolicy,
        waited: Buckets,
        sure: Callable[[], Awaitable[bool]],
        clock: Callable[[], float] = time.time,
        desk: Callable[[QueuePolicy], Desk] = Desk,
        settling: float = 0.0,
    ) -> None:
        self._conversations = conversations
        self._awaited_users: Graces[Case] = Graces(loop, sure, self._user_away, self._user_lost)
        self._awaited_waiters: Graces[WaiterDesk] = Graces(loop, sure, self._waiter_away, self._waiter_lost)
        self._term: Term[Conversation] = Term(loop, settling, lambda: self._matching.settled())
        self._book = Casebook(
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
        self._matching = Matching(self._book, conversations, loop, self._term)

    # --- life ---

    async def begin(self) -> None:
        """Go on with what is unfinished: everybody has the full grace to come back to place and conversation."""
        self.end()
        with self._term.beginning() as overheard:
            rows = await self._conversations.unfinished()
            self._forget()
            for some in portions(rows, PORTION):
                for row in some:
                    if row.id not in self._book.cases:  # its user came meanwhile
                        self._book.adopt(row)
                await asyncio.sleep(0)  # or a coordinator of many would be taken for dead
        for row in overheard:
            self._matching.learn(row)

    def end(self) -> None:
        """From now on nothing is decided here, and a closing socket ends nothing."""
        self._term.end()
        self._forget()

    def _forget(self) -> None:
        self._matching.forget()
        self._book.forget()

    async def look_again(self) -> None:
        """Events may have been missed: see what the database says.

        :raises Unavailable: it says nothing.
        """
        known = set(self._book.cases)
        versions = await self._conversations.versions()
        news = [id for id in known if id not in versions]
        for id, changes in versions.items():
            case = self._book.cases.get(id)
            if case is None or case.row.changes < changes:
                news.append(id)
        for some in portions(news, PORTION):
            for row in await self._conversations.several(some):
                if row.id in self._book.cases:
                    self._matching.learn(row)
                elif self._term.running and row.open and row.id not in known:
                    self._book.adopt(row)

    def tell_again(self) -> None:
        """Tell everybody its place, also who knows it."""
        for case in self._book.cases.values():
            case.told_place = 0
        self._book.places.changed()

    def reconfigure(self, settings: config.Support, policy: QueuePolicy) -> None:
        """Go by other settings and another policy from now on, those who wait already included.

        A waiter with more users than it may have now keeps them; a grace that is running keeps its time.
        """
        self._book.reconfigure(settings, policy)
        self._matching.match()

    @property
    def capacity(self) -> int:
        """How many users a waiter serves at once."""
        return self._book.settings.capacity

    # --- people come and go ---

    def user_here(self, process: str, row: Conversation) -> None:
        """A process holds sockets of the conversation's user."""
        case = self._book.cases.get(row.id)
        if case is None:
            if not row.open or self._book.is_over(row.id):
                return
            case = self._book.adopt(row)
        else:
            self._matching.learn(row)
            if row.id not in self._book.cases:  # it is over
                return
        self._awaited_users.stop(case)
        case.there.add(process)
        if case.waiting:
            self._matching.wait(case)

    def user_gone(self, process: str, conversation_id: int) -> None:
        """A process holds none any more. That is no departure: the grace begins, if it was the last one."""
        case = self._book.cases.get(conversation_id)
        if case is None or process not in case.there:
            return
        case.there.discard(process)
        if not case.there:
            self._book.leave(conversation_id)
            self._awaited_users.start(case, self._book.settings.rejoin_grace)

    def waiter_here(self, process: str, fact: OnDuty) -> None:
        """A process holds sockets of a waiter, who takes new users or does not."""
        waiter = self._book.waiter(fact.person, fact.address, fact.name)
        self._awaited_waiters.stop(waiter)
        waiter.ready = fact.ready
        waiter.claims = fact.claims
        waiter.name = fact.name or waiter.name
        waiter.there.add(process)
        self._book.set_available(waiter)
        self._matching.match()

    def waiter_gone(self, process: str, person: Person) -> None:
        """As ``user_gone``."""
        waiter = self.waiters.get(person)
        if waiter is None or process not in waiter.there:
            return
        waiter.there.discard(process)
        if not waiter.there:
            self._book.set_available(waiter)
            self._awaited_waiters.start(waiter, self._book.settings.rejoin_grace)

    async def hand_over(self, wish: HandOver) -> None:
        """Give a user to another waiter.

        :raises NotFound: there is no such waiter who is ready and has room.
        :raises Conflict: it is no longer the source's user.
        """
        case = self._book.cases.get(wish.conversation_id)
        if case is not None and case.row.waiter == wish.target != wish.source:
            return  # asked again, as whoever did it could not answer any more
        target, pooled = self.waiters.get(wish.target), self.desk.pool.get(wish.target)
        if target is None or pooled is None or not pooled.free or wish.target == wish.source:
            raise NotFound("no_such_waiter", id=wish.target.id)
        if case is None or case.row.waiter != wish.source or case.row.id in self._book.deciding:
            raise Conflict("no_conversation")
        await self._matching.hand_over(case, target, f"handed over by {wish.source.id}")

    # --- looking ---

    @property
    def desk(self) -> Desk:
        """The line and the pool of waiters."""
        return self._book.desk

    @property
    def waiters(self) -> Mapping[Person, WaiterDesk]:
        """Those who are there, are awaited or have users."""
        return self._book.waiters

    def case(self, conversation_id: int) -> Case:
        """An unfinished conversation."""
        return self._book.cases[conversation_id]

    def cases(self) -> Iterator[Case]:
        """All unfinished conversations."""
        return iter(self._book.cases.values())

    @property
    def deciding(self) -> Mapping[int, Person]:
        """The conversations whose waiter is decided, and not stored yet."""
        return self._book.deciding

    @property
    def put_off(self) -> Collection[int]:
        """The conversations whose match could not be stored, and which are not in the line for a moment."""
        return self._book.put_off

    # --- what was committed, here or elsewhere ---

    events = (Assigned, Departed, Returned)

    def on_event(self, event: Event) -> None:
        """Called for ``events``."""
        if not isinstance(event, Assigned | Departed | Returned):
            return
        if self._term.running:
            self._matching.learn(event.conversation)
        else:
            self._term.overhear(event.conversation)

    # --- who has not come back ---

    def _user_away(self, case: Case) -> bool:
        return self._term.running and self._book.holds(case) and not case.there

    async def _user_lost(self, case: Case) -> None:
        try:
            self._matching.learn(await self._conversations.end(case.row.id, case.row.user))
        except ChatError as error:
            log.warning(
                "a departure could not be stored, trying again: %s",
                error,
                extra=fields(**case.row.thread.named),
            )
            if self._term.running:
                self._awaited_users.start(case, RETRY)

    def _waiter_away(self, waiter: WaiterDesk) -> bool:
        return self._term.running and self.waiters.get(waiter.person) is waiter and not waiter.there

    async def _waiter_lost(self, waiter: WaiterDesk) -> None:
        waiter.ready = False
        self._book.set_available(waiter)
        for case in list(waiter.cases.values()):
            if waiter.there or not self._term.running:  # back at the last moment: keeps whom it still has
                return
            row = case.row
            if row.waiter != waiter.person or row.id in self._book.deciding:
                continue
            try:
                await self._conversations.give_back(row)
            except Conflict:  # gone this very moment
                await self._matching.ask_again(case)
            except ChatError as error:
                log.warning(
                    "users could not go back to the line, trying again: %s",
                    error,
                    extra=fields(role="waiter", id=waiter.person.id),
                )
                if self._term.running:
                    self._awaited_waiters.start(waiter, RETRY)
                return
        self._book.forget_if_idle(waiter)
