"""From the line to a waiter: who is decided to get whom, stored, or taken back.

Strategy: a match is counted in memory at once, so that the next one goes by it, and is stored by an update that
takes effect only if the conversation still is as it was thought to be. If the database did not take it, then it
is taken back, and matched again; if it is not known whether it did, the row's next version says so.
"""

import asyncio
import logging
from collections.abc import Sequence

from tornado_chat.aio.background import Tasks
from tornado_chat.core.errors import ChatError, Conflict
from tornado_chat.core.types import Conversation
from tornado_chat.domain.queue import Assignment
from tornado_chat.observability.logs import fields
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.support.cases import RETRY, Case, Conversations, WaiterDesk
from tornado_chat.services.support.dispatch_state import Casebook

log = logging.getLogger(__name__)

SECOND_LOOK = 2.0  # seconds until those whom the policy passed over are looked at again
PORTION = 500  # people who are told their place, before the loop gets a turn


class Matching:
    """Those who wait, on their way to a waiter.

    :arg term: nobody is matched unless it runs and has settled.
    """

    def __init__(
        self,
        book: Casebook,
        conversations: Conversations,
        loop: asyncio.AbstractEventLoop,
        term: Term[Conversation],
    ) -> None:
        self._book = book
        self._conversations = conversations
        self._loop = loop
        self._term = term
        self._asked: dict[Case, None] = {}  # those who want to know their place as soon as there is a line
        self._second_look: asyncio.TimerHandle | None = None
        self._tasks = Tasks(loop)

    def forget(self) -> None:
        """Whatever was to be done for those who were known so far."""
        self._asked = {}
        if self._second_look is not None:
            self._second_look.cancel()
            self._second_look = None

    def settled(self) -> None:
        """The line has come together."""
        self.match()
        asked, self._asked = self._asked, {}
        self._tasks.spawn(self._tell_places(list(asked)))

    def wait(self, case: Case) -> None:
        """A user is there and has no waiter: it joins the line, unless it is in there, and is told its place."""
        self._join(case)
        self._tell_place(case)

    def match(self) -> None:
        """Give a waiter to everybody for whom there is one."""
        if not self._term.running or self._term.settling:
            return
        book = self._book
        for assignment in book.desk.match():
            book.deciding[assignment.ticket.number] = assignment.waiter
            case, waiter = book.cases[assignment.ticket.number], book.waiters[assignment.waiter]
            self._tasks.spawn(self._store(case, waiter, assignment))
        book.places.changed()
        if book.desk.passed_over and self._second_look is None:
            self._second_look = self._loop.call_later(SECOND_LOOK, self._look_at_passed_over)

    async def hand_over(self, case: Case, target: WaiterDesk, reason: str) -> None:
        """Give a user to a waiter who has room, whoever serves it now.

        :raises ChatError: it could not be stored, and does not count.
        """
        self._book.deciding[case.row.id] = target.person
        self._book.desk.pool.took(target.person)
        await self._assign(case, target, reason)

    def learn(self, row: Conversation) -> None:
        """Take in a version of a conversation, and go on with who waits by it; an old one changes nothing."""
        before = self._book.learn(row)
        if before is None or before.waiter is None:
            return
        if row.open and row.waiter is None:
            case = self._book.cases[row.id]
            if case.there:
                self.wait(case)
        self._loop.call_soon(self.match)  # there is a place that became free

    async def ask_again(self, case: Case) -> None:
        """See what the database says of a conversation that is not as it was thought to be."""
        try:
            for row in await self._conversations.several([case.row.id]):
                self.learn(row)
        except ChatError as error:
            log.warning("a conversation could not be read: %s", error, extra=fields(**case.row.thread.named))

    # --- inside ---

    def _join(self, case: Case) -> None:
        if self._book.join(case):
            self.match()

    def _look_at_passed_over(self) -> None:
        """Policies may change their mind as time goes by, without anything else happening."""
        self._second_look = None
        self.match()

    async def _store(self, case: Case, waiter: WaiterDesk, assignment: Assignment) -> None:
        book, desk = self._book, self._book.desk
        try:
            await self._assign(case, waiter, assignment.reason)
        except Conflict:
            pass  # it ended meanwhile, or is not as it was thought to be
        except ChatError as error:
            log.warning(
                "a match could not be stored, trying again: %s", error, extra=fields(**case.row.thread.named)
            )
            if desk is book.desk:
                book.put_off.add(case.row.id)
            await asyncio.sleep(RETRY)
            if desk is book.desk:
                book.put_off.discard(case.row.id)
        if desk is not book.desk:
            return
        if case.there and case.waiting and book.holds(case):
            self._join(case)
        self.match()

    async def _assign(self, case: Case, waiter: WaiterDesk, reason: str) -> None:
        """Store a decision that is counted in the pool and in ``deciding`` already, or take it back."""
        book, desk = self._book, self._book.desk
        row, person, name, address = case.row, waiter.person, waiter.name, waiter.address
        try:
            await self._conversations.assign(row, person, name, address, reason)
        except ChatError as error:
            if isinstance(error, Conflict):
                await self.ask_again(case)
            if desk is book.desk and case.row.waiter != person:  # else another coordinator decided the same
                book.free_place(waiter)
            raise
        finally:
            if desk is book.desk:
                book.deciding.pop(row.id, None)

    def _tell_place(self, case: Case) -> None:
        """To one who has just asked; not while it is being assigned."""
        book = self._book
        if self._term.settling:  # the line still comes together
            self._asked[case] = None
        elif case.row.id in book.desk:
            book.places.tell(case, book.desk.place(case.row.id))

    async def _tell_places(self, cases: Sequence[Case]) -> None:
        for count, case in enumerate(cases, 1):
            self._tell_place(case)
            if count % PORTION == 0:
                await asyncio.sleep(0)
