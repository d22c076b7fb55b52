"""Two coordinators that share one database, and the participants: the world of ``test_dispatch_model.py``.

Strategy: each coordinator is the real dispatcher on the real SQL. Each step of a commit is a call of its own:
its execution, its answer, and the publication to the other processes; so is each step of a query, each
presence report and each turn of the clock. The sockets of all participants belong to a third process. Each
check names the broken promise and describes the state (``World.check``).
"""

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import peewee as pw

from scripts.simulation.clock import VirtualLoop
from tornado_chat import config
from tornado_chat.cluster.facts import WaiterPresence
from tornado_chat.core.errors import ChatError, Unavailable
from tornado_chat.core.events import ConversationAssigned, ConversationQueued, Event
from tornado_chat.core.types import Conversation, ConversationState, EarlyWords, Person, Role, Thread
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


def _describe_row(row: Conversation) -> str:
    waiter = None if row.waiter is None else row.waiter.key
    return f"conversation {row.id} of {row.user.key}: {row.state.value}, {waiter}, version {row.changes}"


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

    def __init__(self, world: "World", process: "Process") -> None:
        self._world = world
        self._process = process
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
        mandate = self._process.mandate
        self.writes.append(Job(lambda: self._world.transact(work, mandate), future))
        return future


class Mandate(NamedTuple):
    """The right of a process to decide, which ends with its lease and with its term."""

    process: "Process"
    term: int

    @property
    def holds(self) -> bool:
        return self.process.has_lease and self.term == self.process.mandate.term


class Process:
    """A process with its coordinator.

    :ivar leads: whether the process believes that it coordinates.
    :ivar mandate: its present term, running or not.
    :ivar reports: presence reports on their way to this coordinator, in order.
    :ivar inbox: events of other processes on their way, in order.
    :ivar in_doubt: events of commits in doubt, which are published before the next write.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self.mandate = Mandate(self, 0)
        self.store = SlowStore(world, self)
        self.has_lease = self.leads = False
        self.reports: deque[Callable[[], None]] = deque()
        self.inbox: deque[Event] = deque()
        self.in_doubt: list[Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.dispatcher = Dispatcher(
            config.Support(capacity=CAPACITY, rejoin_grace=GRACE_SECONDS),
            ConversationRepository(self.store, lambda group: EarlyWords.KEEP),  # type: ignore[arg-type]
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

    def __repr__(self) -> str:  # for the traces of Hypothesis
        return f"process {self._world.processes.index(self)}"

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
        self.mandate = Mandate(self, self.mandate.term + 1)
        self.leads = False
        self.reports.clear()
        self.dispatcher.end()

    def describe(self) -> Iterator[str]:
        store = self.store
        yield f"  has the lease: {self.has_lease}, leads: {self.leads}"
        yield f"  writes: {len(store.writes)}, answers of writes: {len(store.written)}"
        yield f"  queries: {len(store.reads)}, answers of queries: {len(store.found)}"
        yield f"  on their way: {len(self.reports)} reports, {len(self.inbox)} events"
        yield f"  in doubt: {[type(event).__name__ for event in self.in_doubt]}"
        for case in self.dispatcher.cases.values():
            decided = None if case.decision is None else case.decision.waiter.person.key
            places = [person.key for person in case.places]
            yield f"  {_describe_row(case.row)}; decided: {decided}, places: {places}"
        for pooled in self.dispatcher.queue.pool:
            yield f"  {pooled.person.key}: available {pooled.available}, load {pooled.load}"

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
    """The database, the processes, and the participants that are present.

    :ivar stored: the stored versions of all conversations, by number.
    :ivar inbox: events on their way to the process of the participants, in order.
    :ivar present: the users with a socket, and their conversations as the process of the participants knows
        them.
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
        self._mandates: dict[int, Mandate | None] = {}  # with which the stored versions were stored
        self.inbox: deque[Event] = deque()
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
        while only is None and self.inbox:
            self.show(self.inbox.popleft())
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

    def transact(
        self, work: Callable[[Transaction], Any], mandate: Mandate | None = None
    ) -> tuple[Any, list[Event]]:
        """Execute a transaction, and return its result and events.

        :arg mandate: of the coordinator that decided; None if the participants' process stores it.
        """
        tx = Transaction(self.database, int(self.loop.time() * 1e6) + 1)
        with self.database.atomic():
            result = work(tx)
        for event in tx.events:
            self._check_event(event, mandate)
        return result, tx.events

    def _check_event(self, event: Any, mandate: Mandate | None) -> None:
        row: Conversation = event.conversation
        before = self.stored.get(row.id)
        if mandate is not None:
            self.check(mandate.holds, "a change was stored without the lease, or after its term", row)
        if before is None:
            self.check(isinstance(event, ConversationQueued), "an unknown conversation has changed", row)
        else:
            self.check(before.state is not ENDED, "an ended conversation has changed", row)
            self.check(row.changes == before.changes + 1, "a change was made on an old version", row)
            if isinstance(event, ConversationAssigned) and event.previous is None:
                self.check(before.state is WAITING, "an active conversation was assigned again", row)
        self.stored[row.id], self._mandates[row.id] = row, mandate

    def load(self, waiter: Person) -> int:
        return sum(row.waiter == waiter and row.state is ACTIVE for row in self.stored.values())

    # --- checks ---

    def check(self, is_kept: bool, promise: str, *details: Any) -> None:
        """Fail with the broken promise and the whole state unless ``is_kept``."""
        assert is_kept, "\n".join((promise, *map(str, details), *self._describe()))

    def _describe(self) -> Iterator[str]:
        yield f"at {self.loop.time():g} s, by the database:"
        for row in self.stored.values():
            yield "  " + _describe_row(row)
        present = {user.id: row.id for user, row in self.present.items()}
        on_duty = {waiter.id: "ready" if ready else "paused" for waiter, ready in self.on_duty.items()}
        yield f"present, in conversation: {present}; on duty: {on_duty}"
        yield f"the process of the participants: {len(self.inbox)} events on their way"
        for index, process in enumerate(self.processes):
            yield f"process {index}, term {process.mandate.term}:"
            yield from process.describe()

    def check_places(self) -> None:
        """Check that no waiter has too many users, and that each coordinator knows what it has assigned.

        A coordinator holds a place for each conversation that it has made active in this term, even if it
        has had no answer, or an error.
        """
        for waiter in WAITERS:
            self.check(self.load(waiter) <= CAPACITY, f"{waiter.key} has more users than its capacity")
        for id, mandate in self._mandates.items():
            row = self.stored[id]
            if mandate is None or row.state is not ACTIVE or mandate != mandate.process.mandate:
                continue
            case = mandate.process.dispatcher.cases.get(id)
            self.check(
                case is not None and row.waiter in case.places,
                "a coordinator has given up a place that is taken by its own decision",
                _describe_row(row),
            )

    # --- events ---

    def publish(self, events: Sequence[Event], process: Process | None = None) -> None:
        """Publish events: at once in ``process``, later in all others; None: of the participants' process."""
        for event in events:
            if process is None:
                self.show(event)
            else:
                self.inbox.append(event)
            for each in self.processes:
                if each is process:
                    each.dispatcher.on_event(event)
                else:
                    each.inbox.append(event)

    def show(self, event: Any) -> None:
        """Handle an event in the process of the participants."""
        self.show_version(event.conversation)

    def show_version(self, row: Conversation) -> None:
        """Show a version to its user. A user whose conversation has ended is not in the queue any more."""
        known = self.present.get(row.user)
        if known is None or known.id != row.id or known.changes >= row.changes:
            return
        self.present[row.user] = row
        if row.state is ENDED:
            self.drop(row.user)

    def resync_participants(self) -> None:
        """Let the process of the participants read the conversations whose events it may have missed."""
        for row in list(self.present.values()):
            self.show_version(self.stored[row.id])

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
        """Let a user connect; one that is present asks for its position."""
        if user in self.present:
            self.report_user(self.present[user])
            return
        row, events = self.transact(lambda tx: conversations.join(tx, user, None, f"user-{self.loop.time()}"))
        self.publish(events)
        self.present[user] = row
        self.report_user(row)

    def drop(self, user: Person) -> None:
        id = self.present.pop(user).id
        self.report(lambda dispatcher: dispatcher.on_user_absent("a", id))

    def leave(self, id: int, gone: Person) -> None:
        """End a conversation, committed by the process of the participants."""
        row, events = self.transact(lambda tx: conversations.leave(tx, id, gone))
        self.publish(events)
        self.show_version(row)  # it may have ended before
