"""Random orders of the events around decisions: no conversation returns, no place is lost or taken twice.

Strategy: two coordinators with the real dispatcher share one database, and the lease moves between them. Each
step of a commit is an event of its own: its execution, its answer, and the publication to the other process;
so is each step of a query, each presence report and each turn of the clock. Hypothesis chooses their order,
and lets commits fail, or fail in doubt, and events get lost.
"""

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import peewee as pw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scripts.simulation.clock import VirtualLoop
from tornado_chat import config
from tornado_chat.cluster.facts import TransferRequest, WaiterPresence
from tornado_chat.core.errors import ChatError, Unavailable
from tornado_chat.core.events import ConversationAssigned, ConversationQueued, Event
from tornado_chat.core.types import Conversation, ConversationState, Person, Role, Thread
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.observability.metrics import Metrics
from tornado_chat.services.support.dispatcher import Dispatcher
from tornado_chat.services.support.repository import ConversationRepository
from tornado_chat.storage import conversations, models, schema
from tornado_chat.storage.writer import Transaction

WAITING, ACTIVE, ENDED = ConversationState

CAPACITY = 1
GRACE_SECONDS = 20.0
QUIET_SECONDS = 5 * GRACE_SECONDS
USERS = tuple(Person(Role.USER, str(id)) for id in range(1, 5))
WAITERS = tuple(Person(Role.WAITER, str(id)) for id in range(7, 9))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@functools.cache
def open_memory() -> pw.Database:
    database = pw.SqliteDatabase(":memory:")
    schema.upgrade(database)
    return database


class Job:
    """A write or a query of a process: it is executed once, then answered.

    :ivar events: the events of a write that is not answered yet.
    """

    def __init__(self, run: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        self._run = run
        self._future = future
        self.result: Any = None
        self.error: Exception | None = None
        self.events: list[Event] = []

    def execute(self) -> None:
        try:
            self.result = self._run()
        except ChatError as error:
            self.error = error

    def answer(self) -> None:
        if self._future.done():  # the caller was cancelled
            return
        if self.error is not None:
            self._future.set_exception(self.error)
        else:
            self._future.set_result(self.result)


class SlowStore:
    """The store of one process, whose jobs are executed and answered when the test wants.

    :ivar writes: writes to be executed, in order.
    :ivar written: executed writes to be answered, in order.
    :ivar reads: queries to be executed, in any order.
    :ivar found: executed queries to be answered, in any order.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self.writes: deque[Job] = deque()
        self.written: deque[Job] = deque()
        self.reads: list[Job] = []
        self.found: list[Job] = []

    async def read(self, query: Callable[..., Any], *arguments: Any) -> Any:
        future: asyncio.Future[Any] = self._world.loop.create_future()
        self.reads.append(Job(lambda: query(self._world.database, *arguments), future))
        return await future

    def write(
        self, work: Callable[[Transaction], Any], thread: Thread | None = None
    ) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._world.loop.create_future()
        self.writes.append(Job(lambda: self._world.transact(work), future))
        return future


class Process:
    """A process with its coordinator.

    :ivar leads: whether the process believes that it coordinates.
    :ivar reports: presence reports on their way to this coordinator, in order.
    :ivar inbox: events of other processes on their way, in order.
    :ivar in_doubt: events of commits in doubt, which are published before the next write.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self.store = SlowStore(world)
        self.has_lease = self.leads = False
        self.reports: deque[Callable[[], None]] = deque()
        self.inbox: deque[Event] = deque()
        self.in_doubt: list[Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.dispatcher = Dispatcher(
            config.Support(capacity=CAPACITY, rejoin_grace=GRACE_SECONDS),
            ConversationRepository(self.store),  # type: ignore[arg-type]
            world.loop,
            lambda event: None,
            FifoLeastLoaded(),
            Metrics().queue_wait,
            is_certain=self._is_certain,
            holds_lease=lambda: self.leads and self.has_lease,
            clock=world.loop.time,
            settle_seconds=1.0,
        )

    async def _is_certain(self) -> bool:
        return self.leads and self.has_lease and not self.reports and not self.inbox

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        async def run() -> None:
            with contextlib.suppress(ChatError):
                await work

        task = self._world.loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def begin(self) -> None:
        """Begin a term; then all processes report."""
        self.end()

        async def begin() -> None:
            await self.dispatcher.begin()
            self.leads = True
            self._world.report_all(self)

        self.spawn(begin())

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.leads = False
        self.reports.clear()
        self.dispatcher.end()

    # --- the steps of a write ---

    def execute_write(self, outcome: str) -> None:
        """Execute the next write.

        :arg outcome: ``stored``, ``refused``, or ``in doubt``, which is stored and answered as refused.
        """
        self.publish_in_doubt()
        job = self.store.writes.popleft()
        if outcome == "refused":
            job.error = Unavailable("not_stored")
        else:
            job.execute()
            if job.error is None:
                job.result, job.events = job.result
        if outcome == "in doubt" and job.error is None:
            self.in_doubt, job.events = job.events, []
            job.error = Unavailable("not_stored")
        self.store.written.append(job)

    def take_query_step(self, index: int, *, fails: bool = False) -> None:
        """Execute a query, or answer one that was executed.

        :arg index: among all queries of both kinds.
        """
        queries = self.store.found + self.store.reads
        job = queries[index % len(queries)]
        if job in self.store.found:
            self.store.found.remove(job)
            job.answer()
            return
        self.store.reads.remove(job)
        self.store.found.append(job)
        if fails:
            job.error = Unavailable("database_away")
        else:
            job.execute()

    def publish_in_doubt(self) -> None:
        events, self.in_doubt = self.in_doubt, []
        self._world.publish(events, self)

    def answer_write(self) -> None:
        job = self.store.written.popleft()
        self._world.publish(job.events, self)
        job.answer()


class World:
    """The database, the processes, and the participants who are present.

    :ivar present: the users with a socket, and their conversations as their processes know them.
    :ivar on_duty: the waiters with a socket, and whether they are ready.
    :ivar last_leader: the process that held the lease last.
    """

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._on_loop_error)
        self._errors: list[Mapping[str, Any]] = []
        self.database = open_memory()
        models.SupportConversation.delete().execute(self.database)
        self.stored: dict[int, Conversation] = {}
        self.processes = (Process(self), Process(self))
        self.present: dict[Person, Conversation] = {}
        self.on_duty: dict[Person, bool] = {}
        self.last_leader: Process | None = None

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        self._errors.append(context)

    def run(self, seconds: float = 0.0) -> None:
        """Let ``seconds`` pass, and run what is ready then."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.loop.run_until_complete(turns(8))
        assert not self._errors, self._errors[0]

    def flush(self, only: Process | None = None) -> None:
        """Let everything that is under way in all processes, or in one, be stored, be answered and arrive."""
        for process in self.processes if only is None else (only,):
            process.publish_in_doubt()
            store = process.store
            while process.inbox:
                process.dispatcher.on_event(process.inbox.popleft())
            while process.reports:
                process.reports.popleft()()
            while store.writes:
                process.execute_write("stored")
            while store.written:
                process.answer_write()
            while store.reads or store.found:
                process.take_query_step(0)
        self.run()

    def close(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        for _ in range(3):
            self.loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        self.loop.close()

    # --- the database ---

    def transact(self, work: Callable[[Transaction], Any]) -> tuple[Any, list[Event]]:
        tx = Transaction(self.database, int(self.loop.time() * 1e6) + 1)
        with self.database.atomic():
            result = work(tx)
        for event in tx.events:
            self._check(event)
        return result, tx.events

    def _check(self, event: Any) -> None:
        row: Conversation = event.conversation
        before = self.stored.get(row.id)
        if before is None:
            assert isinstance(event, ConversationQueued)
        else:
            assert before.state is not ENDED, "an ended conversation has changed"
            assert row.changes == before.changes + 1, "a change was made on an old version"
            if isinstance(event, ConversationAssigned) and event.previous is None:
                assert before.state is WAITING, "an active conversation was assigned again"
        self.stored[row.id] = row

    def load(self, waiter: Person) -> int:
        return sum(row.waiter == waiter and row.state is ACTIVE for row in self.stored.values())

    def publish(self, events: Sequence[Event], process: Process | None = None) -> None:
        """Publish events: at once in ``process``, later in all others."""
        for event in events:
            for each in self.processes:
                if each is process:
                    each.dispatcher.on_event(event)
                else:
                    each.inbox.append(event)

    # --- the lease ---

    def take_lease(self, process: Process) -> None:
        """Let a process take the free lease. It begins a term, unless its last lease was the last of all."""
        process.has_lease = True
        if process is not self.last_leader or not process.leads:
            process.begin()
        self.last_leader = process

    def step_down(self) -> None:
        for process in self.processes:
            if not process.has_lease:
                process.end()

    # --- the participants ---

    def report(self, call: Callable[[Dispatcher], None], process: Process | None = None) -> None:
        """Send a report to all processes that coordinate, or to ``process``."""
        for each in self.processes if process is None else (process,):
            if each.leads:
                each.reports.append(functools.partial(call, each.dispatcher))

    def report_all(self, process: Process) -> None:
        for row in self.present.values():
            self.report_user(row, process)
        for waiter in self.on_duty:
            self.report_waiter(waiter, process)

    def report_user(self, row: Conversation, process: Process | None = None) -> None:
        self.report(lambda dispatcher: dispatcher.on_user_present("a", row), process)

    def report_waiter(self, waiter: Person, process: Process | None = None) -> None:
        fact = WaiterPresence(waiter, self.on_duty[waiter], None, f"waiter-{waiter.id}")
        self.report(lambda dispatcher: dispatcher.on_waiter_present("b", fact), process)

    def join(self, user: Person) -> None:
        row, events = self.transact(lambda tx: conversations.join(tx, user, None, f"user-{self.loop.time()}"))
        self.publish(events)
        self.present[user] = row
        self.report_user(row)

    def drop(self, user: Person) -> None:
        id = self.present.pop(user).id
        self.report(lambda dispatcher: dispatcher.on_user_absent("a", id))

    def leave(self, id: int, gone: Person) -> None:
        """End a conversation, committed by a third process."""
        row, events = self.transact(lambda tx: conversations.leave(tx, id, gone))
        self.publish(events)
        if row.user in self.present:
            self.drop(row.user)


class DispatchMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = world = World()
        world.take_lease(world.processes[0])
        world.on_duty[WAITERS[0]] = True
        world.run()
        world.flush()  # the coordinator reads
        world.flush()  # and receives the reports
        world.run(2.0)
        for user in USERS[:2]:
            world.join(user)
        world.flush(world.processes[1])
        for report in world.processes[0].reports:
            report()
        world.processes[0].reports.clear()

    def _choose(self, data: st.DataObject, items: Sequence[Any]) -> Any:
        return data.draw(st.sampled_from(list(items)))

    # --- the participants ---

    @rule(user=st.sampled_from(USERS))
    def user_joins_or_asks_its_position(self, user: Person) -> None:
        self.world.join(user)
        self.world.run()

    @precondition(lambda self: self.world.present)
    @rule(data=st.data(), leaves=st.booleans())
    def user_goes(self, data: st.DataObject, leaves: bool) -> None:
        user = self._choose(data, self.world.present)
        if leaves:
            self.world.leave(self.world.present[user].id, user)
        else:
            self.world.drop(user)
        self.world.run()

    @rule(waiter=st.sampled_from(WAITERS), ready=st.booleans())
    def waiter_is_on_duty(self, waiter: Person, ready: bool) -> None:
        self.world.on_duty[waiter] = ready
        self.world.report_waiter(waiter)
        self.world.run()

    @precondition(lambda self: self.world.on_duty)
    @rule(data=st.data())
    def waiter_is_lost(self, data: st.DataObject) -> None:
        waiter = self._choose(data, self.world.on_duty)
        del self.world.on_duty[waiter]
        self.world.report(lambda dispatcher: dispatcher.on_waiter_absent("b", waiter))
        self.world.run()

    @precondition(lambda self: any(row.state is ACTIVE for row in self.world.stored.values()))
    @rule(data=st.data())
    def waiter_ends_a_conversation(self, data: st.DataObject) -> None:
        row = self._choose(data, [row for row in self.world.stored.values() if row.state is ACTIVE])
        assert row.waiter is not None
        self.world.leave(row.id, row.waiter)
        self.world.run()

    @precondition(lambda self: any(row.state is ACTIVE for row in self.world.stored.values()))
    @rule(data=st.data())
    def waiter_transfers_a_conversation(self, data: st.DataObject) -> None:
        row = self._choose(data, [row for row in self.world.stored.values() if row.state is ACTIVE])
        assert row.waiter is not None
        target = WAITERS[row.waiter == WAITERS[0]]
        for process in self.world.processes:
            if process.leads:
                process.spawn(process.dispatcher.transfer(TransferRequest(row.id, row.waiter, target)))
        self.world.run()

    # --- the lease ---

    @rule(index=st.sampled_from((0, 1)), is_smooth=st.booleans())
    def lease_moves(self, index: int, is_smooth: bool) -> None:
        """Let the lease expire, unnoticed by its holder, and let a process take it.

        :arg is_smooth: let the new holder read everything, get all reports and make its first decisions.
        """
        for each in self.world.processes:
            each.has_lease = False
        process = self.world.processes[index]
        self.world.take_lease(process)
        self.world.run()
        for seconds in (0.0, 2.0, 0.0) if is_smooth else ():
            self.world.flush(process)
            self.world.run(seconds)

    @rule()
    def lease_is_lost_unnoticed(self) -> None:
        for process in self.world.processes:
            process.has_lease = False

    @rule()
    def coordinator_without_lease_steps_down(self) -> None:
        self.world.step_down()
        self.world.run()

    # --- the database ---

    @precondition(lambda self: any(each.store.writes for each in self.world.processes))
    @rule(data=st.data(), outcome=st.sampled_from(("stored", "stored", "stored", "refused", "in doubt")))
    def write_is_executed(self, data: st.DataObject, outcome: str) -> None:
        process = self._choose(data, [each for each in self.world.processes if each.store.writes])
        process.execute_write(outcome)
        self.world.run()

    @precondition(lambda self: any(each.store.written for each in self.world.processes))
    @rule(data=st.data())
    def write_is_answered(self, data: st.DataObject) -> None:
        self._choose(data, [each for each in self.world.processes if each.store.written]).answer_write()
        self.world.run()

    @precondition(lambda self: any(each.store.reads or each.store.found for each in self.world.processes))
    @rule(data=st.data(), index=st.integers(0, 3), fails=st.sampled_from((False, False, False, True)))
    def query_takes_a_step(self, data: st.DataObject, index: int, fails: bool) -> None:
        processes = [each for each in self.world.processes if each.store.reads or each.store.found]
        self._choose(data, processes).take_query_step(index, fails=fails)
        self.world.run()

    @rule(index=st.sampled_from((0, 1)))
    def resync_starts(self, index: int) -> None:
        process = self.world.processes[index]
        if process.leads:
            process.spawn(process.dispatcher.resync())
            self.world.run()

    # --- messages and time ---

    @precondition(lambda self: any(each.inbox for each in self.world.processes))
    @rule(data=st.data(), is_lost=st.sampled_from((False, False, False, True)))
    def event_arrives(self, data: st.DataObject, is_lost: bool) -> None:
        process = self._choose(data, [each for each in self.world.processes if each.inbox])
        event = process.inbox.popleft()
        if not is_lost:
            process.dispatcher.on_event(event)
        self.world.run()

    @precondition(lambda self: any(each.reports for each in self.world.processes))
    @rule(data=st.data())
    def report_arrives(self, data: st.DataObject) -> None:
        self._choose(data, [each for each in self.world.processes if each.reports]).reports.popleft()()
        self.world.run()

    @rule(seconds=st.sampled_from((0.5, 2.0, 6.0, GRACE_SECONDS)))
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(index=st.sampled_from((None, 0, 1)))
    def everything_arrives(self, index: int | None) -> None:
        self.world.flush(None if index is None else self.world.processes[index])

    # --- checks ---

    @invariant()
    def no_waiter_has_more_users_than_its_capacity(self) -> None:
        for waiter in WAITERS:
            assert self.world.load(waiter) <= CAPACITY

    def teardown(self) -> None:
        try:
            self._become_quiet()
            self._check_the_end()
        finally:
            self.world.close()

    def _become_quiet(self) -> None:
        """Let everything arrive and be stored, and let the coordinator resync, until all graces are over."""
        world = self.world
        if not any(each.has_lease for each in world.processes):
            world.take_lease(world.processes[0])
        world.step_down()
        leader = next(each for each in world.processes if each.has_lease)
        for _ in range(20):
            world.flush()
            if not leader.leads:
                leader.begin()
            else:
                leader.spawn(leader.dispatcher.resync())
            world.run()
            world.flush()
            world.run(QUIET_SECONDS / 20)

    def _check_the_end(self) -> None:
        world = self.world
        leader = next(each for each in world.processes if each.leads)
        dispatcher = leader.dispatcher
        unfinished = {row.id: row for row in world.stored.values() if row.state is not ENDED}
        assert {id: case.row.changes for id, case in dispatcher.cases.items()} == {
            id: row.changes for id, row in unfinished.items()
        }
        assert {row.user for row in unfinished.values()} == world.present.keys()
        assert all(case.decision is None for case in dispatcher.cases.values())
        for pooled in dispatcher.queue.pool:
            assert pooled.load == world.load(pooled.person), "a place is lost, or taken twice"
        waiting = {row.id for row in unfinished.values() if row.state is WAITING}
        assert {ticket.number for ticket in dispatcher.queue.in_order()} == waiting
        free = [person for person, ready in world.on_duty.items() if ready and world.load(person) < CAPACITY]
        assert not waiting or not free, "a user waits although a place is free"
        assert all(row.waiter in world.on_duty for row in unfinished.values() if row.state is ACTIVE)


@pytest.mark.slow
def test_no_order_of_events_breaks_a_promise(expected_logs: list[str]) -> None:
    expected_logs += ["could not be stored", "could not be read", "could not be requeued"]
    options = settings(max_examples=200, stateful_step_count=50, deadline=None, derandomize=True)
    run_state_machine_as_test(DispatchMachine, settings=options)
