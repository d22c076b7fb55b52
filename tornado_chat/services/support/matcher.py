"""From the line to a waiter: who is decided to get whom, stored, or taken back.

Strategy: a match is counted in memory at once, so that the next one goes by it, and is stored by an update
that takes effect only if the conversation still is as it was thought to be. If the database did not take it,
then it is taken back, and matched again; if it is not known whether it did, the row's next version says so.
"""

import asyncio
import logging
from collections.abc import Sequence

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.core.errors import ChatError, Conflict
from tornado_chat.core.types import Conversation
from tornado_chat.domain.queue import Assignment
from tornado_chat.observability.logs import fields
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.support.cases import RETRY_SECONDS, Case, ConversationStore, WaiterState
from tornado_chat.services.support.dispatch_state import DispatchState

log = logging.getLogger(__name__)

REMATCH_SECONDS = 2.0  # seconds until those whom the policy passed over are looked at again
CHUNK_SIZE = 500  # people who are told their place, before the loop gets a turn


class Matcher:
    """Those who wait, on their way to a waiter.

    :arg term: nobody is matched unless it runs and has settled.
    """

    def __init__(
        self,
        state: DispatchState,
        conversations: ConversationStore,
        loop: asyncio.AbstractEventLoop,
        term: Term[Conversation],
    ) -> None:
        self._state = state
        self._conversations = conversations
        self._loop = loop
        self._term = term
        self._asked: dict[Case, None] = {}  # those who want to know their place as soon as there is a line
        self._rematch_timer: asyncio.TimerHandle | None = None
        self._tasks = BackgroundTasks(loop)

    def forget(self) -> None:
        """Whatever was to be done for those who were known so far."""
        self._asked = {}
        if self._rematch_timer is not None:
            self._rematch_timer.cancel()
            self._rematch_timer = None

    def settled(self) -> None:
        """The line has come together."""
        self.match()
        asked, self._asked = self._asked, {}
        self._tasks.spawn(self._publish_positions(list(asked)))

    def wait(self, case: Case) -> None:
        """A user is there and has no waiter: it joins the line, unless it is in there, and is told its place."""
        self._join(case)
        self._publish_position(case)

    def match(self) -> None:
        """Give a waiter to everybody for whom there is one."""
        if not self._term.is_running or self._term.is_settling:
            return
        state = self._state
        for assignment in state.desk.match():
            state.deciding[assignment.ticket.number] = assignment.waiter
            case, waiter = state.cases[assignment.ticket.number], state.waiters[assignment.waiter]
            self._tasks.spawn(self._store(case, waiter, assignment))
        state.positions.changed()
        if state.desk.has_passed_over and self._rematch_timer is None:
            self._rematch_timer = self._loop.call_later(REMATCH_SECONDS, self._rematch)

    async def hand_over(self, case: Case, target: WaiterState, reason: str) -> None:
        """Give a user to a waiter who has room, whoever serves it now.

        :raises ChatError: it could not be stored, and does not count.
        """
        self._state.deciding[case.row.id] = target.person
        self._state.desk.pool.took(target.person)
        await self._assign(case, target, reason)

    def learn(self, row: Conversation) -> None:
        """Take in a version of a conversation, and go on with who waits by it; an old one changes nothing."""
        before = self._state.learn(row)
        if before is None or before.waiter is None:
            return
        if row.open and row.waiter is None:
            case = self._state.cases[row.id]
            if case.processes:
                self.wait(case)
        self._loop.call_soon(self.match)  # there is a place that became free

    async def ask_again(self, case: Case) -> None:
        """See what the database says of a conversation that is not as it was thought to be."""
        try:
            for row in await self._conversations.find_many([case.row.id]):
                self.learn(row)
        except ChatError as error:
            log.warning("a conversation could not be read: %s", error, extra=fields(**case.row.thread.named))

    # --- inside ---

    def _join(self, case: Case) -> None:
        if self._state.join(case):
            self.match()

    def _rematch(self) -> None:
        """Policies may change their mind as time goes by, without anything else happening."""
        self._rematch_timer = None
        self.match()

    async def _store(self, case: Case, waiter: WaiterState, assignment: Assignment) -> None:
        state, desk = self._state, self._state.desk
        try:
            await self._assign(case, waiter, assignment.reason)
        except Conflict:
            pass  # it ended meanwhile, or is not as it was thought to be
        except ChatError as error:
            log.warning(
                "a match could not be stored, trying again: %s", error, extra=fields(**case.row.thread.named)
            )
            if desk is state.desk:
                state.postponed.add(case.row.id)
            await asyncio.sleep(RETRY_SECONDS)
            if desk is state.desk:
                state.postponed.discard(case.row.id)
        if desk is not state.desk:
            return
        if case.processes and case.waiting and state.holds(case):
            self._join(case)
        self.match()

    async def _assign(self, case: Case, waiter: WaiterState, reason: str) -> None:
        """Store a decision that is counted in the pool and in ``deciding`` already, or take it back."""
        state, desk = self._state, self._state.desk
        row, person, name, address = case.row, waiter.person, waiter.name, waiter.address
        try:
            await self._conversations.assign(row, person, name, address, reason)
        except ChatError as error:
            if isinstance(error, Conflict):
                await self.ask_again(case)
            if desk is state.desk and case.row.waiter != person:  # else another coordinator decided the same
                state.release_slot(waiter)
            raise
        finally:
            if desk is state.desk:
                state.deciding.pop(row.id, None)

    def _publish_position(self, case: Case) -> None:
        """To one who has just asked; not while it is being assigned."""
        state = self._state
        if self._term.is_settling:  # the line still comes together
            self._asked[case] = None
        elif case.row.id in state.desk:
            state.positions.tell(case, state.desk.position(case.row.id))

    async def _publish_positions(self, cases: Sequence[Case]) -> None:
        for count, case in enumerate(cases, 1):
            self._publish_position(case)
            if count % CHUNK_SIZE == 0:
                await asyncio.sleep(0)
