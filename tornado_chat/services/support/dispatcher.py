"""The dispatcher: orders the queue and assigns users to waiters.

Strategy: one object decides for all processes; it is only called on the loop of the coordinator, so there are
no concurrent matches. Its state is in ``dispatch_state.py``. A decision takes effect there at once, so that
the next decision takes it into account, and is stored in the same turn of the loop by an update that takes
effect only on the version of the conversation that was decided on (``repository.py``). The commit publishes
the events for users and waiters. A decision that was refused is made again after the row was read back
(``decisions.py``). A new coordinator builds the state again from the unfinished conversations.

No decision is made without the lease of the coordinator, nor stored after the end of the term in which it was
made: a process that was suspended may go on long after another process has taken over.

A waiter is *ready* by its own request and *connected* by its sockets; it gets users while it is both. A user
without a socket is not matched, and gets its position again if it returns within the grace.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from functools import partial

from msgspec.structs import replace

from tornado_chat import config
from tornado_chat.aio.background import BackgroundTasks
from tornado_chat.aio.chunks import chunks
from tornado_chat.aio.clock import now_seconds
from tornado_chat.cluster.facts import ReturnRequest, TransferRequest, WaiterPresence
from tornado_chat.core.errors import ChatError, Conflict, NotFound, Unavailable
from tornado_chat.core.events import (
    ConversationAccepted,
    ConversationAssigned,
    ConversationEnded,
    ConversationPrioritised,
    ConversationRequeued,
    Event,
    PresenceChanged,
    QueuePositionChanged,
)
from tornado_chat.core.types import DEFAULT_GROUP, Conversation, ConversationState, Person
from tornado_chat.domain.expected_wait import Pace
from tornado_chat.domain.group_queue import GroupQueue
from tornado_chat.domain.groups import Groups
from tornado_chat.domain.queue import MatchingQueue, QueuePolicy
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import Histogram
from tornado_chat.services.leadership.term import Term
from tornado_chat.services.support.absences import Absences
from tornado_chat.services.support.acceptances import Acceptances
from tornado_chat.services.support.agent_states import AgentChanged, AgentStates
from tornado_chat.services.support.decisions import Decisions
from tornado_chat.services.support.dispatch_state import Case, Decision, DispatchState, WaiterState
from tornado_chat.services.support.fallbacks import FallbackTimes
from tornado_chat.services.support.queue_positions import GroupPositions, QueuePositions
from tornado_chat.services.support.repository import ConversationStore
from tornado_chat.storage.conversations import transfer_reason

log = logging.getLogger(__name__)

CHUNK_ROWS = 500  # conversations of one query
CHUNK_POSITIONS = 500  # positions that are published before the loop may run other tasks
REMATCH_SECONDS = 2.0  # seconds until the policy is asked again about users without a suitable waiter


class Dispatcher:
    """The coordinator's queue, waiters and unfinished support conversations.

    :arg publish: publishes events that are not stored: positions in the queue.
    :arg wait_histogram: measures how long users wait for their first waiter.
    :arg is_certain: returns True if the knowledge of other processes is up to date; until then no grace ends.
    :arg holds_lease: returns True while this process alone may decide, by its own monotonic clock. It is also
        called on the writer's thread.
    :arg clock: seconds since 1970.
    :arg make_queue: creates the empty queue of a group with a policy.
    :arg groups: the groups; None: one group, with the capacity of ``settings``.
    :arg on_agent_changed: called when the state of an agent has changed.
    :arg settle_seconds: seconds from ``begin`` in which processes report their users and waiters. Until then
        no match is made, or the users of the process that reports first would be served first.
    """

    def __init__(
        self,
        settings: config.Support,
        repository: ConversationStore,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[Event], None],
        policy: QueuePolicy,
        wait_histogram: Histogram,
        is_certain: Callable[[], Awaitable[bool]],
        holds_lease: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = now_seconds,
        make_queue: Callable[[QueuePolicy], MatchingQueue] = MatchingQueue,
        settle_seconds: float = 0.0,
        groups: Groups | None = None,
        on_agent_changed: AgentChanged = lambda agent, state, previous: None,
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._loop = loop
        self._publish = publish
        self._wait_histogram = wait_histogram
        self._clock = clock
        self._holds_lease = holds_lease
        self._state = DispatchState(groups or Groups.single(settings.capacity), policy, make_queue)
        self._term: Term[Conversation] = Term(loop, settle_seconds, self._on_settled)
        self._agent_states = AgentStates(on_agent_changed, lambda: self._term.has_settled)
        self._decisions = Decisions(
            loop,
            repository,
            self._state,
            self._term,
            holds_lease,
            take_read=self._take_read,
            on_resolved=self._on_resolved,
        )
        self._absences = Absences(
            loop,
            settings,
            self._state,
            self._term,
            repository,
            is_certain,
            may_store=self._decisions.make_fence,
            apply_version=self._apply_version,
            reread=self._reread,
            on_serving_changed=self._on_serving_changed,
            on_waiter_gone=self._agent_states.note_gone,
        )
        self._acceptances = Acceptances(
            loop,
            settings,
            self._state,
            self._term,
            repository,
            is_certain,
            may_store=self._decisions.make_fence,
            reread=self._reread,
            publish=publish,
            on_serving_changed=self._on_serving_changed,
            clock=clock,
        )
        self._tasks = BackgroundTasks(loop)
        self._rematch_timer: asyncio.TimerHandle | None = None
        # The users whose positions are published when the term has settled.
        self._position_requests: dict[Case, None] = {}
        self._positions = self._make_positions()
        self._fallback_times = FallbackTimes(loop, self._on_fallback_due)

    # --- life ---

    async def begin(self) -> None:
        """Start a term with the unfinished conversations. Each user and waiter has the full grace to return.

        :raises Unavailable: the database is away.
        """
        self.end()
        with self._term.starting() as buffered:
            service_times = await self._repository.service_times()
            rows = await self._repository.unfinished()
            self._clear()
            self._state.service_times.replace(service_times)
            for chunk in chunks(rows, CHUNK_ROWS):
                for row in chunk:
                    if row.id not in self._state.cases:  # else its user was reported meanwhile
                        self._absences.await_user(self._add(row))
                # Without a pause, a coordinator with many conversations would be declared dead.
                await asyncio.sleep(0)
        for row in buffered:
            self._take_published(row)
        if self._term.has_settled:  # immediately: there is no other process to report
            self._on_settled()

    def end(self) -> None:
        """End the term: make no decisions, and let closing sockets start no grace."""
        self._term.end()
        self._clear()

    async def resync(self) -> None:
        """Read from the database the changes whose events may have been missed.

        :raises Unavailable: the database is away.
        """
        term, cases = self._term.number, self._state.cases
        versions = await self._repository.change_counts()
        outdated = [id for id in cases if id not in versions]
        outdated += [
            id for id, changes in versions.items() if id not in cases or cases[id].row.changes < changes
        ]
        for chunk in chunks(outdated, CHUNK_ROWS):
            rows = {row.id: row for row in await self._repository.find_many(chunk)}
            if self._term.number != term or not self._term.is_running:
                return  # the next term has read, or reads, all conversations
            for id in chunk:
                self._take_read(id, rows.get(id))

    def republish(self) -> None:
        """Publish the position of each waiting user again, also if it has not changed."""
        for case in self._state.cases.values():
            case.published_position = 0
        self._positions.changed()

    def reconfigure(
        self, settings: config.Support, policy: QueuePolicy, groups: Groups | None = None
    ) -> None:
        """Use other settings, groups and another policy from now on, also for users that are waiting already.

        A waiter with more users than the new capacity keeps them; a running grace keeps its length. Users of
        a group that does not exist any more wait in the default group. If ``policy`` fails to rank the
        waiting users, its error is raised and nothing has changed.
        """
        self._state.reconfigure(groups or Groups.single(settings.capacity), policy, self._loop.time())
        self._settings = settings
        self._absences.reconfigure(settings)
        self._acceptances.reconfigure(settings)
        self._positions.stop()
        self._positions = self._make_positions()
        self._on_serving_changed()
        self._fallback_times.clear()
        for ticket in self._state.queue.in_order():
            self._await_fallback(self._state.cases[ticket.number])
        self._loop.call_soon(self._match)  # not here, as a policy that fails must not stop a reload

    @property
    def policy(self) -> QueuePolicy:
        """The policy in use."""
        return self._state.policy

    def sort_again(self) -> None:
        """Sort the queue again in the next turn of the event loop, as the policy was suspended or is back."""
        self._loop.call_soon(self._sort_again)

    def _sort_again(self) -> None:
        self._state.queue.set_policy(self._state.policy)
        self._match()

    def check_policy(self, policy: QueuePolicy) -> None:
        """Let ``policy`` rank the waiting users, and change nothing. Raises the error of ``policy``."""
        self._state.queue.check_policy(policy)

    # --- presence reports ---

    def on_user_present(self, process: str, row: Conversation) -> None:
        """Handle the report that a process has sockets of the user, or that the user asks its position."""
        case = self._state.cases.get(row.id)
        if case is None:
            if row.state is ConversationState.ENDED or self._state.has_ended(row.id):
                return
            case = self._add(row)
        else:
            if row.changes > case.row.changes:
                self._apply_version(row)
                if row.state is ConversationState.ENDED:
                    return
            self._absences.stop_awaiting_user(case)
        was_present = bool(case.processes)
        case.processes.add(process)
        if not was_present:
            self._publish_presence(case)
        if case.row.state is ConversationState.WAITING:
            self._wait(case)

    def on_user_absent(self, process: str, conversation_id: int, *, has_left: bool = False) -> None:
        """Handle the report that a process has no sockets of the user. After the last the grace starts.

        :arg has_left: True if the last client has left, as ``CoordinatorClient.withdraw``.
        """
        case = self._state.cases.get(conversation_id)
        if case is None or process not in case.processes:
            return
        case.processes.discard(process)
        if not case.processes:
            if self._state.queue.leave(conversation_id):
                self._positions.changed()
            self._absences.await_user(case, has_left=has_left)
            self._publish_presence(case)

    def on_waiter_present(self, process: str, fact: WaiterPresence) -> None:
        """Handle the report that a process has sockets of a waiter, which is ready or paused."""
        now = self._loop.time()
        waiter = self._state.waiter(fact.person, fact.address, fact.name, now)
        self._absences.stop_awaiting_waiter(waiter)
        waiter.ready = fact.ready
        waiter.claims = fact.claims
        waiter.takes_offers = fact.takes_offers
        waiter.name = fact.name or waiter.name
        was_present = bool(waiter.processes)
        waiter.processes.add(process)
        if not was_present:
            self._publish_presences(waiter)
        (waiter.silent_processes.discard if fact.answers else waiter.silent_processes.add)(process)
        self._state.update_waiter(waiter, now)
        if self._state.set_serving(waiter, fact.ready):
            self._on_serving_changed()
        self._absences.watch_silence(waiter)
        self._agent_states.note(waiter)
        self._match()

    def on_waiter_absent(self, process: str, person: Person, *, has_left: bool = False) -> None:
        """Handle the report that a process has no sockets of the waiter, as ``on_user_absent``."""
        waiter = self._state.waiters.get(person)
        if waiter is None or process not in waiter.processes:
            return
        waiter.processes.discard(process)
        waiter.silent_processes.discard(process)
        self._absences.watch_silence(waiter)
        if not waiter.processes:
            self._state.update_waiter(waiter, self._loop.time())
            self._agent_states.note(waiter)
            self._absences.await_waiter(waiter, has_left=has_left)
            self._publish_presences(waiter)

    # --- requests ---

    async def transfer(self, request: TransferRequest) -> list[str | None]:
        """Transfer a user to another waiter. Returns the name of a waiter that is to be asked first.

        :raises NotFound: the target is unknown, is not ready or has no free place.
        :raises Conflict: the user is not served by the source any more.
        :raises Unavailable: this process does not coordinate any more, or the transfer was not stored.
        """
        case = self._state.cases.get(request.conversation_id)
        if case is not None and case.row.waiter == request.target != request.source:
            return []  # a repeated request: the previous coordinator did the transfer, but could not answer
        target = self._state.waiters.get(request.target)
        group = DEFAULT_GROUP if case is None else case.row.group
        if request.offer is None:
            is_free = self._state.queue.pool.is_free_for(request.target, group)
        else:
            is_free = target is not None and bool(target.processes)
        if target is None or not is_free or request.target == request.source:
            raise NotFound("no_such_waiter", id=request.target.id)
        if case is None or case.row.waiter != request.source or case.decision is not None:
            raise Conflict("no_conversation")
        if request.may_offer and target.takes_offers:
            return [target.name]
        if not self._holds_lease():
            raise Unavailable("no_coordinator")
        decision = self._state.decide_transfer(
            case, target, transfer_reason(request.source), request.offer, request.note
        )
        await self._decisions.transfer(decision)
        return []

    async def return_to_line(self, request: ReturnRequest) -> None:
        """Return a user to the head of the line of a group.

        :raises Conflict: the user is not served by the source any more.
        :raises Unavailable: this process does not coordinate any more, or the change was not stored.
        """
        case = self._state.cases.get(request.conversation_id)
        if case is None or case.row.waiter != request.source or case.decision is not None:
            raise Conflict("no_conversation")
        if not self._holds_lease():
            raise Unavailable("no_coordinator")
        try:
            await self._repository.return_to_line(case.row, request, self._decisions.make_fence())
        except Conflict:
            await self._reread(case)
            raise

    # --- committed changes, of this process or others ---

    events = (
        ConversationAssigned,
        ConversationEnded,
        ConversationRequeued,
        ConversationAccepted,
        ConversationPrioritised,
    )

    def on_event(self, event: Event) -> None:
        """Apply a committed change; called for the types in ``events``."""
        if not isinstance(
            event,
            ConversationAssigned
            | ConversationEnded
            | ConversationRequeued
            | ConversationAccepted
            | ConversationPrioritised,
        ):
            return
        if self._term.is_running:
            self._take_published(event.conversation)
            if isinstance(event, ConversationAccepted):
                self._acceptances.on_accepted(event.conversation)
        else:
            self._term.buffer(event.conversation)

    def _take_published(self, row: Conversation) -> None:
        """Apply a version from an event. The event of a conversation that is unknown here may be late.

        So its place is held at once, and the row is read: the conversation may have ended before this term.
        """
        is_known = row.id in self._state.cases
        self._take(row)
        case = self._state.cases.get(row.id)
        if case is not None and not is_known:
            self._tasks.spawn(self._reread(case))

    def _take(self, row: Conversation) -> None:
        """Apply a version of a conversation that may be unknown here. An end is remembered in any case."""
        if row.id in self._state.cases or row.state is ConversationState.ENDED:
            self._apply_version(row)
        elif not self._state.has_ended(row.id):  # else ``row`` was read before the end
            self._absences.await_user(self._add(row))

    def _take_read(self, conversation_id: int, row: Conversation | None) -> None:
        """Apply what was read of a conversation; None if it was deleted, as by an erasure."""
        case = self._state.cases.get(conversation_id)
        if row is not None:
            self._take(row)
        elif case is not None:
            self._apply_version(
                replace(case.row, state=ConversationState.ENDED, changes=case.row.changes + 1)
            )

    # --- views ---

    @property
    def queue(self) -> GroupQueue:
        """The waiting users and the pool of waiters; the caller must not change them."""
        return self._state.queue

    @property
    def cases(self) -> Mapping[int, Case]:
        """The unfinished conversations, by number."""
        return self._state.cases

    @property
    def waiters(self) -> Mapping[Person, WaiterState]:
        """The waiters that are connected, are in their grace or have users."""
        return self._state.waiters

    @property
    def serving(self) -> Set[Person]:
        """The waiters that serve the queue, as ``DispatchState.serving``."""
        return self._state.serving

    @property
    def groups(self) -> Groups:
        """The groups."""
        return self._state.groups

    def serving_in(self, group: str) -> int:
        """Return the number of waiters that serve a group."""
        return self._state.serving_in(group)

    def presence(self, conversation_id: int) -> PresenceChanged | None:
        """Return which participants of a conversation are present; None if it is not known here."""
        case = self._state.cases.get(conversation_id)
        return None if case is None else self._presence(case)

    def _presence(self, case: Case) -> PresenceChanged:
        row = case.row
        present = {row.user.role: bool(case.processes)}
        if row.waiter is not None:
            present[row.waiter.role] = bool(self._state.waiters[row.waiter].processes)
        return PresenceChanged(row.thread, present, time=round(self._clock() * 1e6))

    def _publish_presence(self, case: Case) -> None:
        """Publish the presence for observers. Before the first agent, they ask for it when they come."""
        if case.row.assigned is not None:
            self._publish(self._presence(case))

    def _publish_presences(self, waiter: WaiterState) -> None:
        for case in waiter.cases.values():
            self._publish_presence(case)

    def pace(self, group: str) -> Pace | None:
        """Return how fast the queue of a group moves; None: there is no estimate."""
        return self._state.pace(group)

    # --- the queue ---

    def _wait(self, case: Case) -> None:
        """Queue a connected user without a waiter, and publish its position unless it is matched at once."""
        if self._enqueue(case):
            self._match()
        if not self._term.has_settled:  # the queue is still incomplete
            self._position_requests[case] = None
        else:
            self._publish_position(case)

    def _enqueue(self, case: Case) -> bool:
        """Put a waiting user into the queue, and watch its fallback groups; as ``DispatchState.enqueue``."""
        is_new = self._state.enqueue(case, self._loop.time())
        if is_new:
            self._await_fallback(case)
        return is_new

    def _await_fallback(self, case: Case) -> None:
        time = self._state.next_fallback(case, self._loop.time())
        if time is not None:
            self._fallback_times.add(case.row.id, time)

    def _on_fallback_due(self, conversation_id: int) -> None:
        """Share a user that still waits with the fallback groups that are due."""
        case = self._state.cases.get(conversation_id)
        if case is not None and conversation_id in self._state.queue:
            self._state.share_with_fallbacks(case, self._loop.time())
            self._await_fallback(case)
            self._match()

    def _match(self) -> None:
        """Match waiting users with free waiters and store each decision."""
        if not self._term.has_settled:
            return
        state = self._state
        is_leading = self._holds_lease()
        try:
            if is_leading:
                for decision in state.match():
                    self._decisions.assign(decision)
        finally:  # the policy may have failed
            if len(state.queue):
                self._positions.changed()
                if self._rematch_timer is None and (state.queue.has_passed_over or not is_leading):
                    self._rematch_timer = self._loop.call_later(REMATCH_SECONDS, self._rematch)

    def _rematch(self) -> None:
        """Match again: the policy may choose differently as time goes by, or the lease is held again."""
        self._rematch_timer = None
        self._match()

    def _on_resolved(self, decision: Decision) -> None:
        """Queue the user again if it still waits: the decision was not stored, or the waiter is lost."""
        if not decision.waiter.processes:
            self._absences.forget_if_idle(decision.waiter)
        case = decision.case
        if self._state.is_current(case) and case.processes:
            self._enqueue(case)
        if case.row.waiter != decision.waiter.person:  # the waiter's place is free
            self._loop.call_soon(self._match)  # so that a failing policy does not fail the caller

    # --- conversations ---

    def _add(self, row: Conversation) -> Case:
        case = self._state.add(row, self._loop.time(), max(0.0, self._clock() - row.created / 1e6))
        if row.waiter is not None:
            self._absences.await_waiter(self._state.waiters[row.waiter])
            self._acceptances.watch(case)
            self._on_serving_changed()  # the waiter may have been unknown here
        return case

    def _apply_version(self, row: Conversation) -> None:
        """Apply a version of a conversation and its consequences; a version that is not newer is ignored."""
        case, now = self._state.cases.get(row.id), self._loop.time()
        was_queued, held = row.id in self._state.queue, () if case is None else case.places
        before = self._state.apply_version(row, now)
        if case is None or before is None:
            return
        if row.waiter != before.waiter or row.state is ConversationState.ENDED:
            self._acceptances.watch(case)
        if row.state is ConversationState.ENDED:
            self._absences.stop_awaiting_user(case)
            self._state.service_times.add(row.group, row.service_seconds)
        elif row.waiter is None:
            if before.waiter is not None and len(row.missed_by) > len(before.missed_by):
                self._acceptances.on_missed(row, before.waiter)
            if case.processes:
                self._wait(case)
        elif row.waiter != before.waiter:
            self._on_assigned(case, before, now)
        if row.open and row.waiter != before.waiter:
            self._publish_presence(case)
        if was_queued:
            self._positions.changed()
        for person in held:
            if person not in case.places:  # a place of this waiter is free
                self._absences.forget_if_idle(self._state.waiters[person])
                self._loop.call_soon(self._match)

    def _on_assigned(self, case: Case, before: Conversation, now: float) -> None:
        row = case.row
        assert row.waiter is not None
        role, id = row.waiter.role.value, row.waiter.id
        if before.waiter is None:
            waited = now - case.waits_since
            self._wait_histogram.observe(waited)
            log.info(
                "matched",
                extra=fields(conversation=row.id, role=role, id=id, waited=round(waited, 1), why=row.reason),
            )
        else:
            log.info(
                "transferred",
                extra=fields(
                    conversation=row.id, role=role, id=id, previous=before.waiter.id, why=row.reason
                ),
            )
        waiter = self._state.waiters[row.waiter]
        if not waiter.processes:  # lost between the decision and its commit
            self._absences.await_waiter(waiter)

    async def _reread(self, case: Case) -> None:
        """Read a conversation again whose known version is outdated."""
        try:
            rows = await self._repository.find_many([case.row.id])
        except ChatError as error:
            log.warning("a conversation could not be read: %s", error, extra=fields(conversation=case.row.id))
        else:
            if self._state.is_current(case):
                self._take_read(case.row.id, next(iter(rows), None))

    # --- positions ---

    def _make_positions(self) -> GroupPositions[Case]:
        state = self._state
        return GroupPositions(
            {
                group: QueuePositions(
                    self._loop,
                    self._settings.queue_interval,
                    partial(state.queued_cases, group),
                    partial(state.queue_length, group),
                    partial(state.serving_in, group),
                    lambda case, position, serving, expected: self._publish(
                        QueuePositionChanged(case.row, position, serving, expected)
                    ),
                    partial(state.pace, group),
                )
                for group in state.groups.names
            }
        )

    def _on_serving_changed(self) -> None:
        if len(self._state.queue):
            self._positions.changed()

    def _publish_position(self, case: Case) -> None:
        if case.row.id in self._state.queue:
            queue = self._state.queue
            self._positions.publish(queue.lane_name(case.row.group), case, queue.position(case.row.id))
        else:  # decided: the position is published if the user returns to the queue
            case.published_position = 0

    def _on_settled(self) -> None:
        """Match and publish the requested positions: all processes have reported, the queue is complete."""
        self._match()
        self._agent_states.on_settled()
        requests, self._position_requests = self._position_requests, {}
        self._tasks.spawn(self._publish_positions(list(requests)))

    async def _publish_positions(self, cases: Sequence[Case]) -> None:
        for chunk in chunks(cases, CHUNK_POSITIONS):
            for case in chunk:
                self._publish_position(case)
            await asyncio.sleep(0)

    # --- inside ---

    def _clear(self) -> None:
        """Discard all users, waiters, timers and pending position updates."""
        self._absences.clear()
        self._agent_states.clear()
        self._acceptances.clear()
        self._fallback_times.clear()
        self._positions.stop()
        self._position_requests = {}
        if self._rematch_timer is not None:
            self._rematch_timer.cancel()
            self._rematch_timer = None
        self._state.clear()
        self._positions = self._make_positions()
