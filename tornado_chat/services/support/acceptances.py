"""The time in which an assigned waiter has to confirm the assignment (``[support] accept_timeout``).

A waiter confirms an assignment by the frame ``accept``, or by writing or typing to the user; its process
stores the confirmation. A waiter that does not in time loses the assignment: the user returns to the head of
the queue, and that waiter is its last choice. A waiter that has lost ``MAX_MISSED_IN_ROW`` assignments in a
row is paused.

The timers are the coordinator's, the confirmations are in the database. So a new coordinator goes on with the
timers, and one that was suspended, or has missed the event, takes nothing away that was confirmed meanwhile:
the change takes effect only on an assignment without a confirmation.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

from tornado_chat import config
from tornado_chat.core.errors import ChatError, Conflict
from tornado_chat.core.events import Event, WaiterPaused
from tornado_chat.core.types import Conversation, Person
from tornado_chat.observability.logs import fields
from tornado_chat.services.leadership.grace_timers import GraceTimers
from tornado_chat.services.leadership.retries import retry_seconds
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.support.absences import RETRY_SECONDS
from tornado_chat.services.support.dispatch_state import Case, DispatchState
from tornado_chat.services.support.repository import ConversationStore, MayStore

log = logging.getLogger(__name__)

MAX_MISSED_IN_ROW = 2
"""The assignments in a row that a waiter may leave unconfirmed before it is paused: one may be bad luck."""

MIN_REST_SECONDS = 5.0
"""The time that a waiter has at least after a change of the coordinator."""


class Acceptances:
    """The timers of unconfirmed assignments.

    :arg is_certain: returns True if the knowledge of other processes is up to date.
    :arg may_store: returns the function that says whether a change decided now may still be stored.
    :arg reread: reads a conversation again whose known version may be outdated.
    :arg publish: publishes events that are not stored.
    :arg on_serving_changed: called when the number of waiters that serve the queue has changed.
    :arg clock: seconds since 1970.
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
        reread: Callable[[Case], Awaitable[None]],
        publish: Callable[[Event], None],
        on_serving_changed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._state = state
        self._term = term
        self._repository = repository
        self._may_store = may_store
        self._reread = reread
        self._publish = publish
        self._on_serving_changed = on_serving_changed
        self._clock = clock
        self._timers: GraceTimers[Case] = GraceTimers(loop, is_certain, self._is_open, self._on_timeout)

    def reconfigure(self, settings: config.Support) -> None:
        """Use another time for the assignments from now on; 0 ends the running times, too."""
        self._settings = settings
        if not settings.accept_timeout:
            self.clear()

    def clear(self) -> None:
        """Stop all timers."""
        self._timers.stop_all()

    def watch(self, case: Case) -> None:
        """Start the time of an assignment, or stop it if there is nothing to confirm any more."""
        timeout = self._settings.accept_timeout
        if not timeout or not self._is_unconfirmed(case):
            self._timers.stop(case)
            return
        seconds = timeout
        if math.isinf(case.assigned_at):  # assigned in an earlier term
            age = self._clock() - (case.row.assigned or 0) / 1e6
            seconds = min(timeout, max(timeout - age, MIN_REST_SECONDS))
        self._timers.start(case, seconds)

    def on_accepted(self, row: Conversation) -> None:
        """Handle the confirmation of an assignment."""
        case = self._state.cases.get(row.id)
        if case is None or case.row.changes != row.changes:
            return
        case.is_accepted = True
        if case.decision is None:
            case.row = row
        self._timers.stop(case)
        waiter = None if row.waiter is None else self._state.waiters.get(row.waiter)
        if waiter is not None:
            waiter.missed_in_row = 0

    def on_missed(self, row: Conversation, person: Person) -> None:
        """Handle that a waiter has lost an assignment, and pause it if that was one too many."""
        log.info("not accepted", extra=fields(conversation=row.id, role=person.role.value, id=person.id))
        waiter = self._state.waiters.get(person)
        if waiter is None:
            return
        waiter.missed_in_row += 1
        if waiter.missed_in_row < MAX_MISSED_IN_ROW or not waiter.ready:
            return
        waiter.missed_in_row = 0
        waiter.ready = False
        self._state.update_waiter(waiter, self._loop.time())
        if self._state.set_serving(waiter, False):
            self._on_serving_changed()
        log.info("paused, accepts no assignment", extra=fields(role=person.role.value, id=person.id))
        self._publish(WaiterPaused(person))

    # --- inside ---

    def _is_unconfirmed(self, case: Case) -> bool:
        """Return True if a waiter still has to confirm the assignment."""
        return self._state.is_current(case) and case.row.waiter is not None and not case.is_accepted

    def _is_open(self, case: Case) -> bool:
        return self._term.is_running and self._is_unconfirmed(case)

    async def _on_timeout(self, case: Case) -> None:
        row, pause = case.row, RETRY_SECONDS
        if case.decision is None:  # else a transfer is being stored
            try:
                await self._repository.take_back(row, self._may_store())
            except Conflict:
                await self._reread(case)
                if case.row is row:  # the same assignment: it was confirmed, and the event did not arrive
                    case.is_accepted = True
                return
            except ChatError as error:
                log.warning(
                    "an assignment without a confirmation could not be taken back, trying again: %s",
                    error,
                    extra=fields(conversation=row.id),
                )
                pause = retry_seconds(error, RETRY_SECONDS)
            else:
                return
        if self._is_open(case) and case not in self._timers:
            self._timers.start(case, pause)
