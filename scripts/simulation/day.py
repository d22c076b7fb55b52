"""The simulated day: users arrive, wait, talk, lose connections and leave, under the real dispatcher.

Strategy: each action of a person is a timer on a loop with virtual time. The dispatcher is the real one; it
receives presence facts as from the processes that hold sockets, and its decisions come back as events of the
repository, which trigger the next actions. Conditions are checked at each decision (``checks``), at each
commit (here), at intervals for all people at once (``_audit``), and at the end. A violation raises
``AssertionError``.
"""

import asyncio
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from scripts.simulation.checks import CheckedQueue, DecisionMonitor
from scripts.simulation.clock import VirtualLoop
from scripts.simulation.conversations import InMemoryConversations
from scripts.simulation.people import SimulatedUser, SimulatedWaiter
from scripts.simulation.plan import DROP_SHARE, HOUR, MINUTE, PROCESSES, Chances, Plan, policy
from scripts.simulation.staff import SimulatedStaff
from tornado_chat import config
from tornado_chat.cluster.facts import TransferRequest, always_certain
from tornado_chat.core.errors import ChatError, Unavailable
from tornado_chat.core.events import (
    ConversationAssigned,
    ConversationEnded,
    ConversationRequeued,
    Event,
    QueuePositionChanged,
)
from tornado_chat.core.types import ConversationState, Person, Role
from tornado_chat.observability.metrics import Histogram
from tornado_chat.services.support.dispatcher import Dispatcher

EPOCH_SECONDS = 1_800_000_000  # begin of the day, in seconds since 1970
AUDIT_SECONDS = HOUR / 4
SETTLING_SECONDS = 1.0  # in which a new coordinator receives the presence facts
RETRY_SECONDS = 5.0  # until a user tries again after the database refused a commit

TRANSFER_SHARE, SILENT_LEAVE_SHARE, RETURN_SHARE = 0.04, 0.3, 0.75
"""The shares of conversations that are transferred, of users that disconnect instead of leaving, and of users
that come again after they lost their queue position."""


class Day:
    """One day of ``plan``; ``run`` simulates it.

    :ivar wait_seconds: the waiting times until the first waiter, by the hour of arrival.
    :ivar estimates: of each user with an estimate on joining: the expected wait and the real one, in seconds.
    :ivar outcomes: the number of conversations by their outcome, and of other happenings.
    :ivar takeover_costs: the reported people and the seconds of processor time of each takeover.
    :arg on_minute: called each simulated minute.
    """

    def __init__(
        self, plan: Plan, loop: VirtualLoop, on_minute: Callable[["Day"], None] = lambda day: None
    ) -> None:
        self.plan = plan
        self.loop = loop
        self.wait_seconds: dict[int, array[float]] = defaultdict(lambda: array("f"))
        self.estimates: list[tuple[float, float]] = []
        self.outcomes: Counter[str] = Counter()
        self.position_updates = 0
        self.takeover_costs: list[tuple[int, float]] = []
        self.people = 0
        self._on_minute = on_minute
        self._chances = Chances(plan)
        self._users: dict[int, SimulatedUser] = {}  # by conversation
        self._settings = config.Support(capacity=plan.capacity)
        self._takeover_lock = asyncio.Lock()
        self._disconnected_users = 0  # users whose connection is lost
        self._error: BaseException | None = None
        self._arriving = True
        self._over: asyncio.Future[None] = loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self.monitor = DecisionMonitor(policy_matches_all=plan.policy == "fifo")
        self.store = InMemoryConversations(
            self._on_event, loop, self.clock, self._chances.random, plan.refused
        )
        self.dispatcher = Dispatcher(
            self._settings,
            self.store,
            loop,
            self._publish,
            policy(plan.policy, lambda: int(self.clock() * 1e6)),
            Histogram(()),
            is_certain=always_certain,
            clock=self.clock,
            make_queue=lambda policy: CheckedQueue(policy, self.monitor),
            settle_seconds=SETTLING_SECONDS,
            groups=plan.group_rules,
        )
        self.staff = SimulatedStaff(plan, self._chances, loop, self.dispatcher, self.monitor)

    def clock(self) -> float:
        """Return the simulated time, in seconds since 1970."""
        return EPOCH_SECONDS + self.loop.time()

    @property
    def waiting(self) -> int:
        """The users in the queue; a user without a socket is not in it meanwhile."""
        return len(self.dispatcher.queue)

    @property
    def talking(self) -> int:
        return sum(waiter.users for waiter in self.staff.all.values())

    @property
    def on_duty(self) -> int:
        return len(self.staff.on_duty)

    async def run(self) -> None:
        """Simulate the day. :raises AssertionError: a check failed."""
        self.loop.set_exception_handler(self._on_loop_error)
        await self.dispatcher.begin()
        for number in range(self.plan.waiters):
            start, end = self._chances.shift()
            self.loop.call_at(start, self._begin_shift, number, end)
        self._next_arrival(enumerate(self._chances.arrivals()))
        for _ in range(self.plan.takeovers):
            when = self._chances.random.random() * self.plan.hours * HOUR
            self.loop.call_at(when, lambda: self._spawn(self._take_over()))
        background_tasks = [
            self._spawn(self._repeat(MINUTE, lambda: self._on_minute(self))),
            self._spawn(self._repeat(AUDIT_SECONDS, self._audit)),
        ]
        await self._over
        if self._error is None:
            self._audit()
            await self._end_all_shifts()
        for task in background_tasks:
            task.cancel()
        if self._error is not None:
            raise self._error

    def _begin_shift(self, number: int, end: float) -> None:
        if not self._over.done():
            self.staff.begin(number, end)

    # --- users ---

    def _next_arrival(self, arrivals: Iterator[tuple[int, float]]) -> None:
        arrival = next(arrivals, None)
        if arrival is None:
            self._arriving = False
            self._finish_if_done()
        else:
            number, time_of_arrival = arrival
            self.loop.call_at(time_of_arrival, self._arrive, number, arrivals)

    def _arrive(self, number: int, arrivals: Iterator[tuple[int, float]]) -> None:
        self.people += 1
        user = SimulatedUser(Person(Role.USER, str(number)), self._chances.claims())
        self._join(user)
        if self._chances(DROP_SHARE):
            self.loop.call_later(self._chances.until_drop(), self._drop, user)
        self._next_arrival(arrivals)

    def _join(self, user: SimulatedUser) -> None:
        row = self.store.join(user.person, user.claims, user.last_waiter, self._chances.group())
        user.conversation, user.arrived = row.id, self.loop.time()
        user.served = user.is_over = False
        user.expected = None
        self._users[row.id] = user
        self._connect(user)
        user.set_timer(self.loop.call_later(self._chances.patience(), self._leave, user))

    def _connect(self, user: SimulatedUser) -> None:
        user.process = self._chances.random.choice(PROCESSES)
        self.dispatcher.on_user_present(user.process, self.store.open[user.conversation])

    def _disconnect(self, user: SimulatedUser) -> None:
        if user.process is not None:
            process, user.process = user.process, None
            self.dispatcher.on_user_absent(process, user.conversation)

    def _drop(self, user: SimulatedUser) -> None:
        if not user.is_over and user.process is not None:
            self._disconnect(user)
            self._disconnected_users += 1
            self.loop.call_later(self._chances.away(), self._return, user)

    def _return(self, user: SimulatedUser) -> None:
        self._disconnected_users -= 1
        if not user.is_over:
            self._connect(user)
        elif user.served or not self._chances(RETURN_SHARE):
            self.outcomes["users that lost their position and did not return"] += not user.served
            self._finish_if_done()
        else:
            self.outcomes["users that lost their position and returned"] += 1
            self._join(user)

    def _leave(self, user: SimulatedUser) -> None:
        """The user gives up waiting, or ends the conversation."""
        if user.process is not None and self._chances(SILENT_LEAVE_SHARE):
            self._disconnect(user)  # the conversation ends after the grace
        else:
            self._spawn(self._end(user, user.person))

    async def _end(self, user: SimulatedUser, gone: Person) -> None:
        number = user.conversation
        while number in self._users:
            try:
                await self.store.end(number, gone)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def _transfer(self, user: SimulatedUser) -> None:
        row = self.store.open.get(user.conversation)
        if row is None or row.waiter is None:
            return
        target = self._chances.random.choice(list(self.staff.on_duty))
        try:
            await self.dispatcher.transfer(TransferRequest(row.id, row.waiter, target))
        except ChatError:
            self.outcomes["refused transfers"] += 1
        else:
            self.outcomes["transfers"] += 1

    # --- events after a commit ---

    def _on_event(self, event: ConversationAssigned | ConversationEnded | ConversationRequeued) -> None:
        row = event.conversation
        user = self._users[row.id]
        if isinstance(event, ConversationAssigned):
            if event.previous is not None:
                self.staff.change_users(event.previous, -1)
            assert row.waiter is not None
            self.staff.change_users(row.waiter, 1)
        elif isinstance(event, ConversationRequeued):
            self.staff.change_users(event.lost, -1)
        elif row.waiter is not None:
            self.staff.change_users(row.waiter, -1)
        self.dispatcher.on_event(event)
        if isinstance(event, ConversationAssigned):
            self._assigned(user, row.waiter, transferred=event.previous is not None)
        elif isinstance(event, ConversationRequeued):
            self.outcomes["users that lost their waiter"] += 1
            user.set_timer(self.loop.call_later(self._chances.patience(), self._leave, user))
        else:
            self._departed(user)

    def _assigned(self, user: SimulatedUser, waiter: Person | None, *, transferred: bool) -> None:
        user.last_waiter = waiter
        if not user.served:
            user.served = True
            hour = int(user.arrived / (self.plan.hours * HOUR) * 24)
            waited = self.loop.time() - user.arrived
            self.wait_seconds[min(hour, 23)].append(waited)
            if user.expected is not None:
                self.estimates.append((user.expected, waited))
        if not transferred:
            talk = self._chances.talk()
            user.set_timer(self.loop.call_later(talk, self._leave, user))
            if self._chances(TRANSFER_SHARE):
                self.loop.call_later(talk / 2, lambda: self._spawn(self._transfer(user)))

    def _departed(self, user: SimulatedUser) -> None:
        user.is_over = True
        user.set_timer(None)
        del self._users[user.conversation]
        if user.served:
            outcome = "served"
        elif user.process is None:
            outcome = "left the queue by disconnecting"
        else:
            outcome = "gave up"
        self.outcomes[outcome] += 1
        if user.process is not None:  # its process withdraws the fact after the event
            process, user.process = user.process, None
            self.dispatcher.on_user_absent(process, user.conversation)
        self._finish_if_done()

    def _publish(self, event: Event) -> None:
        self.position_updates += 1
        if isinstance(event, QueuePositionChanged) and event.expected is not None:
            user = self._users.get(event.conversation.id)
            if user is not None and user.expected is None and self.loop.time() == user.arrived:
                user.expected = event.expected.seconds

    # --- coordinators ---

    async def _take_over(self) -> None:
        """Replace the coordinator by a new one, which has the database and the reported presence facts."""
        async with self._takeover_lock:
            self.monitor.ready.clear()
            started = time.process_time()
            await self.dispatcher.begin()
            reported: list[SimulatedUser | SimulatedWaiter] = [
                *self._users.values(),
                *self.staff.on_duty.values(),
            ]
            self._chances.random.shuffle(reported)
            for person in reported:
                if person.process is None:
                    continue
                if isinstance(person, SimulatedWaiter):
                    self.staff.report_presence(person, ready=person.ready)
                elif not person.is_over:
                    self.dispatcher.on_user_present(person.process, self.store.open[person.conversation])
            self.takeover_costs.append((len(reported), time.process_time() - started))
            await asyncio.sleep(2 * SETTLING_SECONDS)

    # --- checks ---

    def _audit(self) -> None:
        """Check that the dispatcher's state agrees with the database for all people."""
        dispatcher = self.dispatcher
        assert self._users.keys() == self.store.open.keys(), (
            "the open conversations are not those of the users"
        )
        if self._takeover_lock.locked():
            return
        assert dispatcher.cases.keys() == self._users.keys(), "the dispatcher has other conversations"
        queue = {ticket.number for ticket in dispatcher.queue.in_order()}
        waiting = {
            row.id
            for row in self.store.open.values()
            if row.state is ConversationState.WAITING and self._users[row.id].process is not None
        }
        deciding = {
            number: case.decision.waiter.person
            for number, case in dispatcher.cases.items()
            if case.decision is not None
        }
        assert queue == waiting - deciding.keys(), "the queue does not hold the waiting users"
        decided = Counter(
            person for number, person in deciding.items() if self.store.open[number].waiter != person
        )
        for person, waiter in self.staff.all.items():
            pooled = dispatcher.queue.pool.get(person)
            users = waiter.users + decided[person]
            assert (pooled.load if pooled else 0) == users, f"{person.key} has {users} users"

    async def _end_all_shifts(self) -> None:
        """Disconnect all waiters, and check that the dispatcher keeps no state."""
        for waiter in self.staff.on_duty.values():
            waiter.leaving = True
            self.staff.disconnect(waiter)
        self.staff.on_duty.clear()
        await asyncio.sleep(2 * self._settings.rejoin_grace)
        dispatcher = self.dispatcher
        assert not dispatcher.cases, "conversations are left"
        assert not len(dispatcher.queue), "tickets are left in the queue"
        assert not dispatcher.waiters, "waiters are left"
        assert not len(dispatcher.queue.pool), "waiters are left in the pool"

    # --- the run ---

    def _finish_if_done(self) -> None:
        if not (self._arriving or self._users or self._disconnected_users or self._over.done()):
            self._over.set_result(None)

    async def _repeat(self, seconds: float, call: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            call()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._fail(context.get("exception") or RuntimeError(context["message"]))

    def _fail(self, error: BaseException | None) -> None:
        """End the day with an error, from any task or callback."""
        self._error = self._error or error
        if not self._over.done():
            self._over.set_result(None)


def run_day(plan: Plan, on_minute: Callable[[Day], None] = lambda day: None) -> Day:
    """Simulate a day of ``plan``. :raises AssertionError: a check failed."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        day = Day(plan, loop, on_minute)
        runner.run(day.run())
    return day
