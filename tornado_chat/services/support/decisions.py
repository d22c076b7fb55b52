"""Stores the dispatcher's decisions, and finds out what has become of those that were refused.

Strategy: a decision takes effect only on the version of the conversation that it was made on, in the term in
which it was made, and while this process holds the lease. If the answer is an error, the decision may have
been committed nevertheless: the connection to the database was lost, or the caller has stopped to wait. So it
keeps its place of the waiter until the row was read back, after all earlier changes of this process.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.core.errors import Conflict
from tornado_chat.core.types import Conversation
from tornado_chat.observability.logs import fields
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.support.absences import RETRY_SECONDS
from tornado_chat.services.support.dispatch_state import Decision, DispatchState
from tornado_chat.services.support.repository import ConversationStore, MayStore

log = logging.getLogger(__name__)


class Decisions:
    """The decisions of the dispatcher that are being stored.

    :arg holds_lease: returns True while this process alone may decide. Also called on the writer's thread.
    :arg take_read: called with the stored version of a conversation, None if it was deleted.
    :arg on_resolved: called with each decision after its places follow the conversation's row again. The user
        may wait.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        repository: ConversationStore,
        state: DispatchState,
        term: Term[Conversation],
        holds_lease: Callable[[], bool],
        take_read: Callable[[int, Conversation | None], None],
        on_resolved: Callable[[Decision], None],
    ) -> None:
        self._loop = loop
        self._repository = repository
        self._state = state
        self._term = term
        self._holds_lease = holds_lease
        self._take_read = take_read
        self._on_resolved = on_resolved
        self._tasks = BackgroundTasks(loop)

    def make_fence(self) -> MayStore:
        """Return a function that says whether a change decided now may still be stored."""
        term, number, holds_lease = self._term, self._term.number, self._holds_lease
        return lambda: term.number == number and holds_lease()

    def assign(self, decision: Decision) -> None:
        """Store the decision on a waiting user; the caller does not wait."""
        try:
            stored = self._repository.assign(decision, self.make_fence())
        except Exception as error:
            self._on_refused(decision, error)
        else:
            stored.add_done_callback(partial(self._on_answer, decision))

    async def transfer(self, decision: Decision) -> None:
        """Store the decision on an active conversation.

        :raises Conflict: the conversation has ended, or has another version.
        :raises Unavailable: it is unknown whether the decision was stored, or it was not.
        """
        try:
            await self._repository.transfer(decision, self.make_fence())
        except BaseException as error:
            self._on_refused(decision, error)
            raise
        self._resolve(decision)

    # --- inside ---

    def _on_answer(self, decision: Decision, stored: asyncio.Future[Conversation]) -> None:
        error = asyncio.CancelledError() if stored.cancelled() else stored.exception()
        if error is None:
            self._resolve(decision)
        else:
            self._on_refused(decision, error)

    def _on_refused(self, decision: Decision, error: BaseException) -> None:
        """Read the row of a refused decision: at once after a ``Conflict``, which says that it differs."""
        if not self._state.is_pending(decision):  # the term has ended, or a newer version is known
            self._resolve(decision)
        elif isinstance(error, Conflict):
            self._tasks.spawn(self._read_back(decision))
        else:
            log.log(
                logging.WARNING if self._holds_lease() else logging.INFO,
                "a match could not be stored, trying again: %s",
                error,
                extra=fields(conversation=decision.row.id),
            )
            self._retry_later(decision)

    def _retry_later(self, decision: Decision) -> None:
        self._loop.call_later(RETRY_SECONDS, self._retry, decision)

    def _retry(self, decision: Decision) -> None:
        if self._state.is_pending(decision):
            self._tasks.spawn(self._read_back(decision, final=True))
        else:
            self._resolve(decision)

    async def _read_back(self, decision: Decision, *, final: bool = False) -> None:
        """Read the row of a refused decision, and resolve the decision.

        :arg final: resolve it also if the row has not changed. Else the same decision would fail again, so
            the row is read again later.
        """
        id = decision.row.id
        try:
            rows = await self._repository.read_back(id)
        except Exception as error:
            log.warning("a conversation could not be read: %s", error, extra=fields(conversation=id))
            self._retry_later(decision)
            return
        if self._state.is_pending(decision):
            self._take_read(id, next(iter(rows), None))
            if decision.case.row is decision.row and not final:
                self._retry_later(decision)
                return
        self._resolve(decision)

    def _resolve(self, decision: Decision) -> None:
        self._state.resolve(decision)
        self._on_resolved(decision)
