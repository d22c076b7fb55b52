"""The dispatcher's memory: who waits, who serves, who has whom.

Strategy: the conversations' rows say what is so, and the ``MatchingQueue`` of ``domain/queue.py`` counts by
it. What is decided, and not stored yet, is marked in ``deciding`` and counted already. Nothing in here asks
the database or decides anything; one loop owns it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

from tornado_chat import config
from tornado_chat.core.events import Event, QueuePositionChanged
from tornado_chat.core.types import Conversation, Person
from tornado_chat.domain.queue import MatchingQueue, QueuePolicy
from tornado_chat.observability.metrics import Histogram
from tornado_chat.services.leadership.grace_timers import GraceTimers
from tornado_chat.services.messaging.event_log import log_fields
from tornado_chat.services.support.cases import Case, WaiterState
from tornado_chat.services.support.queue_positions import QueuePositions

log = logging.getLogger(__name__)

MAX_ENDED_IDS = 10_000
"""Conversations that are known to be over: many more than end while somebody still says that its user is there."""


class DispatchState:
    """All unfinished support conversations and their people.

    :arg publish: the bus, for places in the line.
    :arg waited: seconds until the first waiter.
    :arg clock: seconds since 1970.
    :arg desk: makes the line, empty, for a policy.
    :ivar awaited_users: those who have no socket, and may come back.
    :ivar awaited_waiters: likewise.
    :ivar desk: the line and the pool of waiters. Another one as soon as everybody is forgotten.
    :ivar cases: the unfinished conversations, by their numbers.
    :ivar waiters: those who are there, are awaited or have users.
    :ivar deciding: decided, and not yet committed: who gets whom.
    :ivar postponed: conversations whose match could not be committed: not to be matched again at once.
    :ivar positions: tells them to those in the line.
    """

    def __init__(
        self,
        settings: config.Support,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Event], None],
        policy: QueuePolicy,
        waited: Histogram,
        awaited_users: GraceTimers[Case],
        awaited_waiters: GraceTimers[WaiterState],
        clock: Callable[[], float] = time.time,
        desk: Callable[[QueuePolicy], MatchingQueue] = MatchingQueue,
    ) -> None:
        self.settings = settings
        self.awaited_users = awaited_users
        self.awaited_waiters = awaited_waiters
        self._loop = loop
        self._publish = publish
        self._policy = policy
        self._waited = waited
        self._clock = clock
        self._make_queue = desk
        self._start_empty()

    def forget(self) -> None:
        """Everybody: nobody is awaited, and whoever is spoken of from now on is new."""
        self.awaited_users.stop_all()
        self.awaited_waiters.stop_all()
        self.positions.stop()
        self._start_empty()

    def _start_empty(self) -> None:
        self.desk = self._make_queue(self._policy)
        self.cases: dict[int, Case] = {}
        self.waiters: dict[Person, WaiterState] = {}
        self.deciding: dict[int, Person] = {}
        self.postponed: set[int] = set()
        self._ended: dict[int, None] = {}
        self.positions = QueuePositions(
            self._loop,
            self.settings.queue_interval,
            self._line,
            lambda: len(self.desk),
            self._publish_position,
        )

    def reconfigure(self, settings: config.Support, policy: QueuePolicy) -> None:
        """Go by other settings and another policy from now on, those who wait already included."""
        self.settings, self._policy = settings, policy
        self.positions.interval = settings.queue_interval
        for waiter in self.waiters.values():
            self.set_available(waiter)
        self.desk.set_policy(policy)

    # --- users ---

    def adopt(self, row: Conversation) -> Case:
        """An unfinished conversation that was not known here. Its people are awaited."""
        age = max(0.0, self._clock() - row.created / 1e6)
        case = self.cases[row.id] = Case(row, self._loop.time() - age)
        self.awaited_users.start(case, self.settings.rejoin_grace)
        if row.waiter is not None:
            assert row.waiter_uuid is not None
            waiter = self.waiter(row.waiter, row.waiter_uuid, row.waiter_name)
            waiter.cases[row.id] = case
            self.desk.pool.took(waiter.person)
            if not waiter.processes:
                self.awaited_waiters.start(waiter, self.settings.rejoin_grace)
        return case

    def is_over(self, conversation_id: int) -> bool:
        """Whether it ended not long ago."""
        return conversation_id in self._ended

    def holds(self, case: Case) -> bool:
        """Whether it is unfinished, and not forgotten."""
        return self.cases.get(case.row.id) is case

    def join(self, case: Case) -> bool:
        """Put a user into the line, at the place that its number and its fate give it.

        False if it is in there already, or has to stay out.
        """
        number = case.row.id
        if number in self.desk or number in self.deciding or number in self.postponed:
            return False
        self.desk.join(case.ticket)
        return True

    def leave(self, conversation_id: int) -> None:
        """Take a user out of the line, if it is in there."""
        if self.desk.leave(conversation_id):
            self.positions.changed()

    def learn(self, row: Conversation) -> Conversation | None:
        """Take in a version of a conversation, and return the one before; None if it is an old one, or unknown."""
        case = self.cases.get(row.id)
        if case is None or row.changes <= case.row.changes:
            return None
        before, case.row = case.row, row
        if not row.open:
            self._close(case)
        if (before.waiter is not None and before.waiter != row.waiter) or not row.open:
            self._release(before)
        if row.open and row.waiter is not None and row.waiter != before.waiter:
            self._begin(case, before)
        if row.open and row.waiter is None and before.waiter is not None:
            case.waits_since = self._loop.time()
        return before

    def _begin(self, case: Case, before: Conversation) -> None:
        row = case.row
        assert row.waiter is not None
        assert row.waiter_uuid is not None
        self.leave(row.id)
        waiter = self.waiter(row.waiter, row.waiter_uuid, row.waiter_name)
        waiter.cases[row.id] = case
        if self.deciding.get(row.id) != waiter.person:  # not our own decision: an earlier coordinator's
            self.desk.pool.took(waiter.person)
        if before.waiter is None:
            waited = self._loop.time() - case.waits_since
            self._waited.observe(waited)
            log.info(
                "matched",
                extra=log_fields(row.thread, waiter.person, waited=round(waited, 1), why=row.reason),
            )
        else:
            log.info(
                "transferred",
                extra=log_fields(row.thread, waiter.person, previous=before.waiter.id, why=row.reason),
            )
        if (
            not waiter.processes and waiter not in self.awaited_waiters
        ):  # lost between the match and its commit
            self.awaited_waiters.start(waiter, self.settings.rejoin_grace)

    def _close(self, case: Case) -> None:
        del self.cases[case.row.id]
        self._ended[case.row.id] = None
        if len(self._ended) > MAX_ENDED_IDS:
            del self._ended[next(iter(self._ended))]
        self.awaited_users.stop(case)
        self.leave(case.row.id)

    def _release(self, before: Conversation) -> None:
        """The waiter of the version ``before`` is rid of the conversation: its place is free."""
        if before.waiter is None:
            return
        waiter = self.waiters[before.waiter]
        waiter.cases.pop(before.id, None)
        self.release_slot(waiter)

    # --- waiters ---

    def waiter(self, person: Person, address: str, name: str | None) -> WaiterState:
        """The waiter's desk, made if it has none."""
        waiter = self.waiters.get(person)
        if waiter is None:
            waiter = self.waiters[person] = WaiterState(person, address, name)
            self.set_available(waiter)
        return waiter

    def set_available(self, waiter: WaiterState) -> None:
        """Tell the pool what the waiter wants, and whether it is there."""
        stance = (waiter.ready, bool(waiter.processes))
        if stance != waiter.stance:
            waiter.stance, waiter.since = stance, self._loop.time()
        self.desk.pool.set(
            waiter.person,
            available=waiter.ready and bool(waiter.processes),
            capacity=self.settings.capacity,
            claims=waiter.claims,
        )

    def release_slot(self, waiter: WaiterState) -> None:
        """It has one user less than was counted."""
        self.desk.pool.released(waiter.person)
        self.forget_if_idle(waiter)

    def forget_if_idle(self, waiter: WaiterState) -> None:
        """It is not there, nobody expects it back, and it has no users."""
        pooled = self.desk.pool.get(waiter.person)
        awaited = waiter in self.awaited_waiters
        if not waiter.processes and not awaited and pooled is not None and pooled.load == 0:
            self.desk.pool.remove(waiter.person)
            self.waiters.pop(waiter.person, None)

    # --- places ---

    def _line(self, start: int, stop: int) -> Iterator[Case]:
        for ticket in self.desk.in_order(start, stop):
            yield self.cases[ticket.number]

    def _publish_position(self, case: Case, place: int) -> None:
        self._publish(QueuePositionChanged(case.row, place))
