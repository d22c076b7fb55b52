"""Users and waiters that are not connected: they are awaited for a grace, then given up.

A user that does not come back has left its conversation for good. The users of a waiter that does not come
back return to the head of the queue.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tornado_chat.core.errors import ChatError, Conflict
from tornado_chat.core.types import Conversation
from tornado_chat.observability.logs import fields
from tornado_chat.services.leadership.grace_timers import GraceTimers
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.support.dispatch_state import Case, DispatchState, WaiterState
from tornado_chat.services.support.repository import ConversationStore

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0  # seconds until a change that the database did not take is tried again


class Absences:
    """The grace timers of the dispatcher.

    :arg is_certain: whether what is known of other processes is up to date. No grace ends while it is not.
    :arg learn: called with the new version of a conversation that has ended.
    :arg reread: reads a conversation that is not as it was thought to be.
    :ivar grace_seconds: how long a person is awaited from now on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        grace_seconds: float,
        state: DispatchState,
        term: Term[Conversation],
        repository: ConversationStore,
        is_certain: Callable[[], Awaitable[bool]],
        learn: Callable[[Conversation], None],
        reread: Callable[[Case], Awaitable[None]],
    ) -> None:
        self.grace_seconds = grace_seconds
        self._loop = loop
        self._state = state
        self._term = term
        self._repository = repository
        self._learn = learn
        self._reread = reread
        self._users: GraceTimers[Case] = GraceTimers(loop, is_certain, self._is_user_away, self._on_user_lost)
        self._waiters: GraceTimers[WaiterState] = GraceTimers(
            loop, is_certain, self._is_waiter_away, self._on_waiter_lost
        )

    def clear(self) -> None:
        """Stop all grace timers."""
        self._users.stop_all()
        self._waiters.stop_all()

    def await_user(self, case: Case) -> None:
        """Begin the grace of a user."""
        self._users.start(case, self.grace_seconds)

    def stop_awaiting_user(self, case: Case) -> None:
        """The user is connected, or its conversation is over."""
        self._users.stop(case)

    def await_waiter(self, waiter: WaiterState) -> None:
        """Begin the grace of a waiter, unless the waiter is connected or its grace is running."""
        if not waiter.processes and waiter not in self._waiters:
            self._waiters.start(waiter, self.grace_seconds)

    def stop_awaiting_waiter(self, waiter: WaiterState) -> None:
        """The waiter is connected."""
        self._waiters.stop(waiter)

    def forget_if_idle(self, waiter: WaiterState) -> None:
        """Forget a waiter that is not connected, is not awaited and has no users."""
        if self._state.waiters.get(waiter.person) is waiter and waiter not in self._waiters:
            self._state.remove_if_idle(waiter)

    # --- inside ---

    def _is_user_away(self, case: Case) -> bool:
        return self._term.is_running and self._state.is_current(case) and not case.processes

    async def _on_user_lost(self, case: Case) -> None:
        try:
            self._learn(await self._repository.end(case.row.id, case.row.user))
        except ChatError as error:
            log.warning(
                "a departure could not be stored, trying again: %s",
                error,
                extra=fields(conversation=case.row.id),
            )
            if self._term.is_running:
                self._users.start(case, RETRY_SECONDS)

    def _is_waiter_away(self, waiter: WaiterState) -> bool:
        is_current = self._state.waiters.get(waiter.person) is waiter
        return self._term.is_running and is_current and not waiter.processes

    async def _on_waiter_lost(self, waiter: WaiterState) -> None:
        waiter.ready = False
        self._state.update_waiter(waiter, self._loop.time())
        for case in list(waiter.cases.values()):
            if waiter.processes or not self._term.is_running:
                return  # the waiter came back at the last moment, and keeps the users that it still has
            row = case.row
            if row.waiter != waiter.person or case.decision is not None:
                continue
            try:
                await self._repository.requeue(row)
            except Conflict:  # ended or transferred at this moment
                await self._reread(case)
            except ChatError as error:
                log.warning(
                    "users could not go back to the line, trying again: %s",
                    error,
                    extra=fields(role="waiter", id=waiter.person.id),
                )
                if self._term.is_running:
                    self._waiters.start(waiter, RETRY_SECONDS)
                return
        self.forget_if_idle(waiter)
