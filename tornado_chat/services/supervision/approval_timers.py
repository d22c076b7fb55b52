"""The times of held messages, on the coordinator.

Strategy: a timer runs for each held message that has a deadline; a new coordinator reads them from the
database. The end of a timer is a transaction of the present term, which has no effect if a supervisor has
decided before.
"""

import asyncio
import logging
from collections.abc import Callable

from tornado_chat.cluster.facts import always_certain
from tornado_chat.core.errors import ChatError, Unavailable
from tornado_chat.core.events import Event, HeldChanged
from tornado_chat.core.types import HeldMessage, HeldState
from tornado_chat.domain.approval import ApprovalRules
from tornado_chat.observability.logs import fields
from tornado_chat.services.leadership.grace_timers import GraceTimers
from tornado_chat.services.leadership.retries import retry_seconds
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import held_messages
from tornado_chat.storage.writer import Transaction

log = logging.getLogger(__name__)

MICROSECONDS = 1_000_000  # in a second
RETRY_SECONDS = 5.0  # seconds until a decision that was not stored is tried again


class ApprovalTimers:
    """The timers of held messages.

    :arg rules: returns the rules of a group.
    :arg clock: microseconds since 1970.
    :arg report: called with each message that was decided by its time.
    :arg holds_lease: returns True while this process alone may decide. Also called on the writer's thread.
    """

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        rules: Callable[[str], ApprovalRules],
        clock: Callable[[], int],
        report: Callable[[HeldMessage], None],
        holds_lease: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._report = report
        self._holds_lease = holds_lease
        self._held: dict[int, HeldMessage] = {}
        self._term: Term[HeldMessage] = Term(loop, 0.0, lambda: None)
        self._timers: GraceTimers[int] = GraceTimers(
            loop, always_certain, self._held.__contains__, self._on_expired
        )

    async def begin(self) -> None:
        """Start a term with the messages that are held.

        :raises Unavailable: the database is away.
        """
        self.end()
        with self._term.starting() as buffered:
            rows = await self._store.read(held_messages.undecided)
        for held in [*rows, *buffered]:
            self._take(held)

    def end(self) -> None:
        """End the term: no message expires."""
        self._term.end()
        self._timers.stop_all()
        self._held.clear()

    async def resync(self) -> None:
        """Read from the database the changes whose events may have been missed.

        :raises Unavailable: the database is away.
        """
        number = self._term.number
        rows = {held.id: held for held in await self._store.read(held_messages.undecided)}
        missing = [id for id in self._held if id not in rows]
        decided = await self._store.read(held_messages.find_many, missing) if missing else []
        if self._term.number == number and self._term.is_running:
            for held in [*rows.values(), *decided]:
                self._take(held)

    events = (HeldChanged,)

    def on_event(self, event: Event) -> None:
        """Start or stop the timer of a held message; called for the types in ``events``."""
        if not isinstance(event, HeldChanged):
            return
        if self._term.is_running:
            self._take(event.held)
        else:
            self._term.buffer(event.held)

    def _take(self, held: HeldMessage) -> None:
        if held.state is not HeldState.HELD:
            self._held.pop(held.id, None)
            self._timers.stop(held.id)
        elif held.deadline is not None and held.id not in self._held:
            self._held[held.id] = held
            self._timers.start(held.id, max(0.0, (held.deadline - self._clock()) / MICROSECONDS))

    async def _on_expired(self, held_id: int) -> None:
        held = self._held[held_id]
        term, number, holds_lease = self._term, self._term.number, self._holds_lease
        sends = self._rules(held.group).sends_expired

        def expire(tx: Transaction) -> list[HeldMessage]:
            if term.number != number or not holds_lease():  # this process was suspended since the decision
                raise Unavailable("no_coordinator")
            return held_messages.expire(tx, held_id, sends=sends)

        try:
            decided = await self._store.write(expire, held.thread)
        except Exception as error:
            log.warning(
                "the end of an approval could not be stored, trying again: %s",
                error,
                exc_info=None if isinstance(error, ChatError) else error,
                extra=fields(**held.thread.named),
            )
            if term.number == number and held_id in self._held:
                self._timers.start(held_id, retry_seconds(error, RETRY_SECONDS))
            return
        for each in decided:
            self._report(each)
        self._held.pop(held_id, None)
