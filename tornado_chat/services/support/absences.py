"""The grace timers of users and waiters that are not connected.

If a user does not return within the grace, its conversation ends. If a waiter does not return, its users
return to the head of the queue. The grace is short for a client that has left, and long for one whose
connection was lost. Users that a waiter got after its last sign of life, which it cannot have seen, return
after ``SILENCE_SECONDS`` already.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tornado_chat import config
from tornado_chat.core.errors import ChatError, Conflict
from tornado_chat.core.types import Conversation, Person
from tornado_chat.delivery.answer_watch import UNANSWERED_SECONDS
from tornado_chat.observability.logs import fields
from tornado_chat.services.leadership.grace_timers import GraceTimers
from tornado_chat.services.leadership.retries import is_fault, retry_seconds
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.support.dispatch_state import Case, DispatchState, WaiterState
from tornado_chat.services.support.repository import ConversationStore, MayStore

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0  # seconds until a change that was not stored is tried again

SILENCE_SECONDS = 7.0
"""The time after the report that a waiter is silent in which it may still see its newest users."""

REPORT_DELAY_SECONDS = 0.5  # the longest time that a report usually takes to the coordinator


class Absences:
    """The grace timers of the dispatcher.

    :arg is_certain: returns True if the knowledge of other processes is up to date; until then no grace ends.
    :arg may_store: returns the function that says whether a change decided now may still be stored.
    :arg apply_version: called with the new version of a conversation that has ended.
    :arg reread: reads a conversation again whose known version is outdated.
    :arg on_waiter_gone: called with a waiter that did not return in time.
    :arg on_serving_changed: called when the number of waiters that serve the queue has changed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: config.Support,
        state: DispatchState,
        term: Term[Conversation],
        repository: ConversationStore,
        is_certain: Callable[[], Awaitable[bool]],
        may_store: Callable[[], MayStore],
        apply_version: Callable[[Conversation], None],
        reread: Callable[[Case], Awaitable[None]],
        on_serving_changed: Callable[[], None],
        on_waiter_gone: Callable[[Person], None],
    ) -> None:
        self._on_waiter_gone = on_waiter_gone
        self._settings = settings
        self._loop = loop
        self._state = state
        self._term = term
        self._repository = repository
        self._may_store = may_store
        self._apply_version = apply_version
        self._reread = reread
        self._on_serving_changed = on_serving_changed
        self._users: GraceTimers[Case] = GraceTimers(loop, is_certain, self._is_user_away, self._on_user_lost)
        self._waiters: GraceTimers[WaiterState] = GraceTimers(
            loop, is_certain, self._is_waiter_away, self._on_waiter_lost
        )
        self._silent: GraceTimers[WaiterState] = GraceTimers(
            loop, is_certain, self._is_waiter_silent, self._on_waiter_silent
        )

    def reconfigure(self, settings: config.Support) -> None:
        """Use other lengths for the graces that start from now on."""
        self._settings = settings

    def clear(self) -> None:
        """Stop all grace timers."""
        self._users.stop_all()
        self._waiters.stop_all()
        self._silent.stop_all()

    def await_user(self, case: Case, *, has_left: bool = False) -> None:
        """Start the grace of a user.

        :arg has_left: True if the client has left, and its connection was not lost.
        """
        self._users.start(case, self._settings.grace(has_left=has_left))

    def stop_awaiting_user(self, case: Case) -> None:
        """Stop the grace of a user that is connected again, or whose conversation has ended."""
        self._users.stop(case)

    def await_waiter(self, waiter: WaiterState, *, has_left: bool = False) -> None:
        """Start the grace of a waiter, unless the waiter is connected or its grace is running.

        :arg has_left: as in ``await_user``.
        """
        if not waiter.processes and waiter not in self._waiters:
            self._waiters.start(waiter, self._settings.grace(has_left=has_left))

    def stop_awaiting_waiter(self, waiter: WaiterState) -> None:
        """Stop the grace of a waiter that is connected again."""
        self._waiters.stop(waiter)

    def watch_silence(self, waiter: WaiterState) -> None:
        """Start or stop the time in which a silent waiter may still see its newest users."""
        if not waiter.is_silent:
            self._silent.stop(waiter)
        elif waiter not in self._silent:
            self._silent.start(waiter, SILENCE_SECONDS)

    def forget_if_idle(self, waiter: WaiterState) -> None:
        """Discard the state of a waiter that is not connected, has no running grace and no users."""
        if self._state.waiters.get(waiter.person) is waiter and waiter not in self._waiters:
            self._state.remove_if_idle(waiter)

    # --- inside ---

    def _is_user_away(self, case: Case) -> bool:
        return self._term.is_running and self._state.is_current(case) and not case.processes

    async def _on_user_lost(self, case: Case) -> None:
        pause = RETRY_SECONDS
        try:
            self._apply_version(await self._repository.end_abandoned(case.row, self._may_store()))
        except Conflict:  # the conversation has changed, as its waiter was lost; the user is still away
            await self._reread(case)
        except ChatError as error:
            log.warning(
                "the end of a conversation could not be stored, trying again: %s",
                error,
                extra=fields(conversation=case.row.id),
            )
            pause = retry_seconds(error, RETRY_SECONDS)
        if self._is_user_away(case) and case not in self._users:  # not ended, and has not come back
            self._users.start(case, pause)

    def _is_waiter_away(self, waiter: WaiterState) -> bool:
        is_current = self._state.waiters.get(waiter.person) is waiter
        return self._term.is_running and is_current and not waiter.processes

    def _is_waiter_silent(self, waiter: WaiterState) -> bool:
        is_current = self._state.waiters.get(waiter.person) is waiter
        return self._term.is_running and is_current and waiter.is_silent

    async def _on_waiter_silent(self, waiter: WaiterState) -> None:
        # The silence began UNANSWERED_SECONDS before its report, and the report SILENCE_SECONDS ago.
        began = self._loop.time() - SILENCE_SECONDS - UNANSWERED_SECONDS - REPORT_DELAY_SECONDS
        unseen = [case for case in waiter.cases.values() if case.assigned_at >= began]
        for case in unseen:
            row = case.row
            if not self._is_waiter_silent(waiter) or row.waiter != waiter.person or case.decision is not None:
                continue
            try:
                await self._repository.requeue(row, self._may_store())
            except Conflict:
                await self._reread(case)
            except ChatError as error:  # the grace of the waiter remains, when its sockets are closed
                log.warning(
                    "a user of a silent waiter could not be requeued: %s",
                    error,
                    extra=fields(conversation=row.id),
                )
            else:
                log.info(
                    "requeued, the waiter does not answer",
                    extra=fields(conversation=row.id, role="waiter", id=waiter.person.id),
                )

    async def _on_waiter_lost(self, waiter: WaiterState) -> None:
        waiter.ready = False
        self._on_waiter_gone(waiter.person)
        self._state.update_waiter(waiter, self._loop.time())
        if self._state.set_serving(waiter, False):
            self._on_serving_changed()
        pause = RETRY_SECONDS
        for case in list(waiter.cases.values()):
            if not self._is_waiter_away(waiter) or waiter in self._waiters:
                return  # the waiter came back at the last moment, and keeps the users that it still has
            row = case.row
            if row.waiter != waiter.person or case.decision is not None:
                continue
            try:
                await self._repository.requeue(row, self._may_store())
            except Conflict:  # the conversation has ended or was transferred meanwhile
                await self._reread(case)
            except ChatError as error:
                log.warning(
                    "users of a lost waiter could not be requeued, trying again: %s",
                    error,
                    extra=fields(role="waiter", id=waiter.person.id),
                )
                pause = retry_seconds(error, RETRY_SECONDS)
                if not is_fault(error):  # it concerns the other users, too
                    break
        if waiter.cases and self._is_waiter_away(waiter) and waiter not in self._waiters:
            # Not stored; or a transfer was being stored, and may fail.
            self._waiters.start(waiter, pause)
        self.forget_if_idle(waiter)
