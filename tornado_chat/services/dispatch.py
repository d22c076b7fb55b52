"""The dispatcher: the line, the waiters, and who talks to whom.

Strategy: one structure in memory owns all decisions (the ``Desk`` of ``domain/queue.py`` and
the books of ``cases.py``); it is only touched on one loop, that of the coordinator, so no two matches race.
Each decision is then stored, by an update that takes effect only if the conversation still is as it was
thought to be, and what people are told of it is published by its commit. A decision that the database
did not take is taken back. Whoever becomes the coordinator builds everything again from the
unfinished conversations.

A waiter's *ready* (what it wants) and *connected* (what its sockets say) are two facts; it gets
users while both hold. A user whose sockets are all gone is not matched meanwhile, and finds its
place again when it comes back in time.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

from tornado_chat import config
from tornado_chat.attendance import HandOver, OnDuty
from tornado_chat.domain.queue import Assignment, Desk, QueuePolicy
from tornado_chat.errors import ChatError, Conflict, NotFound
from tornado_chat.events import Assigned, Departed, Event, Place, Returned
from tornado_chat.logs import fields
from tornado_chat.metrics import Buckets
from tornado_chat.portions import portions
from tornado_chat.services.cases import Case, Conversations, WaiterDesk
from tornado_chat.services.grace import Graces
from tornado_chat.services.journal import about
from tornado_chat.services.places import PlaceTeller
from tornado_chat.services.term import Term
from tornado_chat.tasks import Tasks
from tornado_chat.types import Conversation, Person

log = logging.getLogger(__name__)

SECOND_LOOK = 2.0  # seconds until those whom the policy passed over are looked at again
PORTION = 500  # conversations of one question
RETRY = 5.0  # seconds until something that the database did not take is tried again
MOST_ENDED = 10_000
"""Conversations that are known to be over: many more than end while somebody still says that its user is there."""


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
        self._settings = settings
        self._conversations = conversations
        self._loop = loop
        self._publish = publish
        self._policy = policy
        self._waited = waited
        self._clock = clock
        self._make_desk = desk
        self._term: Term[Conversation] = Term(loop, settling, self._settled)
        self._tasks = Tasks(loop)
        self._users_awaited: Graces[Case] = Graces(loop, sure, self._user_away, self._user_lost)
        self._waiters_awaited: Graces[WaiterDesk] = Graces(loop, sure, self._waiter_away, self._waiter_lost)
        self._reset()

    def _reset(self) -> None:
        self._users_awaited.stop_all()
        self._waiters_awaited.stop_all()
        self._cases: dict[int, Case] = {}
        self._assigning: dict[int, Person] = {}  # decided, and not yet committed: who gets whom
        self._put_off: set[int] = set()  # could not be committed: not to be matched again at once
        self._ended: dict[int, None] = {}
        self._asked: dict[Case, None] = {}  # those who want to know their place as soon as there is a line
        self._second_look: asyncio.TimerHandle | None = None
        self._places = PlaceTeller(
            self._loop,
            self._settings.queue_interval,
            self._line,
            lambda: len(self.desk),
            self._tell_place,
        )
        self.desk = self._make_desk(self._policy)
        self.waiters: dict[Person, WaiterDesk] = {}

    # --- life ---

    async def begin(self) -> None:
        """Go on with what is unfinished: everybody has the full grace to come back to place and conversation."""
        self.end()
        with self._term.beginning() as overheard:
            rows = await self._conversations.unfinished()
            self._reset()
            for some in portions(rows, PORTION):
                for row in some:
                    if row.id not in self._cases:  # its user came meanwhile
                        self._adopt(row)
                await asyncio.sleep(0)  # or a coordinator of many would be taken for dead
        for row in overheard:
            self._learn(row)

    def end(self) -> None:
        """From now on nothing is decided here, and a closing socket ends nothing."""
        self._term.end()
        self._places.stop()
        if self._second_look is not None:
            self._second_look.cancel()
        self._reset()

    def _settled(self) -> None:
        self._match()
        asked, self._asked = self._asked, {}
        self._tasks.spawn(self._tell_own_places(list(asked)))

    async def look_again(self) -> None:
        """Events may have been missed: see what the database says.

        :raises Unavailable: it says nothing.
        """
        known = set(self._cases)
        versions = await self._conversations.versions()
        news = [id for id in known if id not in versions]
        for id, changes in versions.items():
            case = self._cases.get(id)
            if case is None or case.row.changes < changes:
                news.append(id)
        for some in portions(news, PORTION):
            for row in await self._conversations.several(some):
                if row.id in self._cases:
                    self._learn(row)
                elif self._term.running and row.open and row.id not in known:
                    self._adopt(row)

    def tell_again(self) -> None:
        """Tell everybody its place, also who knows it."""
        for case in self._cases.values():
            case.told_place = 0
        self._places.changed()

    def reconfigure(self, settings: config.Support, policy: QueuePolicy) -> None:
        """Go by other settings and another policy from now on, those who wait already included.

        A waiter with more users than it may have now keeps them; a grace that is running keeps its time.
        """
        self._settings, self._policy = settings, policy
        self._places.interval = settings.queue_interval
        for waiter in self.waiters.values():
            self._set_available(waiter)
        self.desk.set_policy(policy)
        self._match()

    @property
    def capacity(self) -> int:
        """How many users a waiter serves at once."""
        return self._settings.capacity

    # --- people come and go ---

    def user_here(self, process: str, row: Conversation) -> None:
        """A process holds sockets of the conversation's user."""
        case = self._cases.get(row.id)
        if case is None:
            if not row.open or row.id in self._ended:
                return
            case = self._adopt(row)
        else:
            self._learn(row)
            if row.id not in self._cases:  # it is over
                return
        self._users_awaited.stop(case)
        case.there.add(process)
        if case.waiting:
            self._join(case)
            self._tell_own_place(case)

    def user_gone(self, process: str, conversation_id: int) -> None:
        """A process holds none any more. That is no departure: the grace begins, if it was the last one."""
        case = self._cases.get(conversation_id)
        if case is None or process not in case.there:
            return
        case.there.discard(process)
        if not case.there:
            if self.desk.leave(conversation_id):
                self._places.changed()
            self._users_awaited.start(case, self._settings.rejoin_grace)

    def waiter_here(self, process: str, fact: OnDuty) -> None:
        """A process holds sockets of a waiter, who takes new users or does not."""
        waiter = self._waiter(fact.person, fact.address, fact.name)
        self._waiters_awaited.stop(waiter)
        waiter.ready = fact.ready
        waiter.claims = fact.claims
        waiter.name = fact.name or waiter.name
        waiter.there.add(process)
        self._set_available(waiter)
        self._match()

    def waiter_gone(self, process: str, person: Person) -> None:
        """As ``user_gone``."""
        waiter = self.waiters.get(person)
        if waiter is None or process not in waiter.there:
            return
        waiter.there.discard(process)
        if not waiter.there:
            self._set_available(waiter)
            self._waiters_awaited.start(waiter, self._settings.rejoin_grace)

    async def hand_over(self, wish: HandOver) -> None:
        """Give a user to another waiter.

        :raises NotFound: there is no such waiter who is ready and has room.
        :raises Conflict: it is no longer the source's user.
        """
        case = self._cases.get(wish.conversation_id)
        if case is not None and case.row.waiter == wish.target != wish.source:
            return  # asked again, as whoever did it could not answer any more
        target, pooled = self.waiters.get(wish.target), self.desk.pool.get(wish.target)
        if target is None or pooled is None or not pooled.free or wish.target == wish.source:
            raise NotFound("no_such_waiter", id=wish.target.id)
        if case is None or case.row.waiter != wish.source or case.row.id in self._assigning:
            raise Conflict("no_conversation")
        self._assigning[case.row.id] = target.person
        self.desk.pool.took(target.person)
        await self._assign(case, target, f"handed over by {wish.source.id}")

    # --- looking ---

    def case(self, conversation_id: int) -> Case:
        """An unfinished conversation."""
        return self._cases[conversation_id]

    def cases(self) -> Iterator[Case]:
        """All unfinished conversations."""
        return iter(self._cases.values())

    @property
    def deciding(self) -> Mapping[int, Person]:
        """The conversations whose waiter is decided, and not stored yet."""
        return self._assigning

    @property
    def put_off(self) -> Collection[int]:
        """The conversations whose match could not be stored, and which are not in the line for a moment."""
        return self._put_off

    # --- what was committed, here or elsewhere ---

    events = (Assigned, Departed, Returned)

    def on_event(self, event: Event) -> None:
        """Called for ``events``."""
        if not isinstance(event, Assigned | Departed | Returned):
            return
        if self._term.running:
            self._learn(event.conversation)
        else:
            self._term.overhear(event.conversation)

    def _learn(self, row: Conversation) -> None:
        """A version of a conversation; an old one changes nothing."""
        case = self._cases.get(row.id)
        if case is None or row.changes <= case.row.changes:
            return
        before, case.row = case.row, row
        if not row.open:
            self._close(case)
        if (before.waiter is not None and before.waiter != row.waiter) or not row.open:
            self._release(before)
        if row.open and row.waiter is not None and row.waiter != before.waiter:
            self._begin(case, before)
        if row.open and row.waiter is None and before.waiter is not None:
            case.waits_since = self._loop.time()
            if case.there:
                self._join(case)
                self._tell_own_place(case)
        if before.waiter is not None:
            self._loop.call_soon(self._match)  # there is a place that became free

    def _begin(self, case: Case, before: Conversation) -> None:
        row = case.row
        assert row.waiter is not None
        assert row.waiter_uuid is not None
        if self.desk.leave(row.id):
            self._places.changed()
        waiter = self._waiter(row.waiter, row.waiter_uuid, row.waiter_name)
        waiter.cases[row.id] = case
        if self._assigning.get(row.id) != waiter.person:  # not our own decision: an earlier coordinator's
            self.desk.pool.took(waiter.person)
        if before.waiter is None:
            waited = self._loop.time() - case.waits_since
            self._waited.observe(waited)
            log.info(
                "matched", extra=about(row.thread, waiter.person, waited=round(waited, 1), why=row.reason)
            )
        else:
            log.info(
                "transferred",
                extra=about(row.thread, waiter.person, previous=before.waiter.id, why=row.reason),
            )
        if not waiter.there and waiter not in self._waiters_awaited:  # lost between the match and its commit
            self._waiters_awaited.start(waiter, self._settings.rejoin_grace)

    def _close(self, case: Case) -> None:
        del self._cases[case.row.id]
        self._ended[case.row.id] = None
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        self._users_awaited.stop(case)
        if self.desk.leave(case.row.id):
            self._places.changed()

    def _release(self, before: Conversation) -> None:
        """The waiter of the version ``before`` is rid of the conversation: its place is free."""
        if before.waiter is None:
            return
        waiter = self.waiters[before.waiter]
        self.desk.pool.released(before.waiter)
        waiter.cases.pop(before.id, None)
        self._forget_if_idle(waiter)

    def _adopt(self, row: Conversation) -> Case:
        """An unfinished conversation that was not known here. Its people are awaited."""
        age = max(0.0, self._clock() - row.created / 1e6)
        case = self._cases[row.id] = Case(row, self._loop.time() - age)
        self._users_awaited.start(case, self._settings.rejoin_grace)
        if row.waiter is not None:
            assert row.waiter_uuid is not None
            waiter = self._waiter(row.waiter, row.waiter_uuid, row.waiter_name)
            waiter.cases[row.id] = case
            self.desk.pool.took(waiter.person)
            if not waiter.there:
                self._waiters_awaited.start(waiter, self._settings.rejoin_grace)
        return case

    # --- matching ---

    def _join(self, case: Case) -> None:
        """Put a user into the line, at the place that its number and its fate give it."""
        number = case.row.id
        if number not in self.desk and number not in self._assigning and number not in self._put_off:
            self.desk.join(case.ticket)
            self._match()

    def _match(self) -> None:
        """Give a waiter to everybody for whom there is one."""
        if not self._term.running or self._term.settling:
            return
        for assignment in self.desk.match():
            self._assigning[assignment.ticket.number] = assignment.waiter
            case, waiter = self._cases[assignment.ticket.number], self.waiters[assignment.waiter]
            self._tasks.spawn(self._store_match(case, waiter, assignment))
        self._places.changed()
        if self.desk.passed_over and self._second_look is None:
            self._second_look = self._loop.call_later(SECOND_LOOK, self._look_at_passed_over)

    def _look_at_passed_over(self) -> None:
        """Policies may change their mind as time goes by, without anything else happening."""
        self._second_look = None
        self._match()

    async def _store_match(self, case: Case, waiter: WaiterDesk, assignment: Assignment) -> None:
        desk = self.desk
        try:
            await self._assign(case, waiter, assignment.reason)
        except Conflict:
            pass  # it ended meanwhile, or is not as it was thought to be
        except ChatError as error:
            log.warning(
                "a match could not be stored, trying again: %s", error, extra=fields(**case.row.thread.named)
            )
            if desk is self.desk:
                self._put_off.add(case.row.id)
            await asyncio.sleep(RETRY)
            if desk is self.desk:
                self._put_off.discard(case.row.id)
        if desk is not self.desk:
            return
        if case.there and case.waiting and self._cases.get(case.row.id) is case:
            self._join(case)
        self._match()

    async def _assign(self, case: Case, waiter: WaiterDesk, reason: str) -> None:
        """Store a decision that is counted in the pool and in ``_assigning`` already, or take it back."""
        desk, row, person, name, address = self.desk, case.row, waiter.person, waiter.name, waiter.address
        try:
            await self._conversations.assign(row, person, name, address, reason)
        except ChatError as error:
            if isinstance(error, Conflict):
                await self._ask_again(case)
            if desk is self.desk and case.row.waiter != person:  # else another coordinator decided the same
                desk.pool.released(person)
                self._forget_if_idle(waiter)
            raise
        finally:
            if desk is self.desk:
                self._assigning.pop(row.id, None)

    async def _ask_again(self, case: Case) -> None:
        try:
            for row in await self._conversations.several([case.row.id]):
                self._learn(row)
        except ChatError as error:
            log.warning("a conversation could not be read: %s", error, extra=fields(**case.row.thread.named))

    # --- places ---

    def _line(self, start: int, stop: int) -> Iterator[Case]:
        for ticket in self.desk.in_order(start, stop):
            yield self._cases[ticket.number]

    def _tell_own_place(self, case: Case) -> None:
        """To one who has just asked; not while it is being assigned."""
        if self._term.settling:  # the line still comes together
            self._asked[case] = None
        elif case.row.id in self.desk:
            self._places.tell(case, self.desk.place(case.row.id))

    async def _tell_own_places(self, cases: Sequence[Case]) -> None:
        for count, case in enumerate(cases, 1):
            self._tell_own_place(case)
            if count % PORTION == 0:
                await asyncio.sleep(0)

    def _tell_place(self, case: Case, place: int) -> None:
        self._publish(Place(case.row, place))

    # --- who has not come back ---

    def _user_away(self, case: Case) -> bool:
        return self._term.running and self._cases.get(case.row.id) is case and not case.there

    async def _user_lost(self, case: Case) -> None:
        try:
            self._learn(await self._conversations.end(case.row.id, case.row.user))
        except ChatError as error:
            log.warning(
                "a departure could not be stored, trying again: %s",
                error,
                extra=fields(**case.row.thread.named),
            )
            if self._term.running:
                self._users_awaited.start(case, RETRY)

    def _waiter_away(self, waiter: WaiterDesk) -> bool:
        return self._term.running and self.waiters.get(waiter.person) is waiter and not waiter.there

    async def _waiter_lost(self, waiter: WaiterDesk) -> None:
        waiter.ready = False
        self._set_available(waiter)
        for case in list(waiter.cases.values()):
            if waiter.there or not self._term.running:  # back at the last moment: keeps whom it still has
                return
            row = case.row
            if row.waiter != waiter.person or row.id in self._assigning:
                continue
            try:
                await self._conversations.give_back(row)
            except Conflict:  # gone this very moment
                await self._ask_again(case)
            except ChatError as error:
                log.warning(
                    "users could not go back to the line, trying again: %s",
                    error,
                    extra=fields(role="waiter", id=waiter.person.id),
                )
                if self._term.running:
                    self._waiters_awaited.start(waiter, RETRY)
                return
        self._forget_if_idle(waiter)

    # --- inside ---

    def _waiter(self, person: Person, address: str, name: str | None) -> WaiterDesk:
        """The waiter's desk, made if it has none."""
        waiter = self.waiters.get(person)
        if waiter is None:
            waiter = self.waiters[person] = WaiterDesk(person, address, name)
            self._set_available(waiter)
        return waiter

    def _set_available(self, waiter: WaiterDesk) -> None:
        stance = (waiter.ready, bool(waiter.there))
        if stance != waiter.stance:
            waiter.stance, waiter.since = stance, self._loop.time()
        self.desk.pool.set(
            waiter.person,
            available=waiter.ready and bool(waiter.there),
            capacity=self._settings.capacity,
            claims=waiter.claims,
        )

    def _forget_if_idle(self, waiter: WaiterDesk) -> None:
        pooled = self.desk.pool.get(waiter.person)
        awaited = waiter in self._waiters_awaited
        if not waiter.there and not awaited and pooled is not None and pooled.load == 0:
            self.desk.pool.remove(waiter.person)
            self.waiters.pop(waiter.person, None)
