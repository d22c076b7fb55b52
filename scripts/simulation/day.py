"""The day itself: people come, wait, talk, get lost and go, and the dispatcher does not know that it is one.

Strategy: everything that people do is a timer on a loop whose clock jumps. The dispatcher is the real one; it
is told facts as by the processes that hold sockets, and its decisions come back as events of the store, by
which the people go on. What must hold is checked at each decision (``watching``), at each commit (here), from
time to time for everybody at once (``_audit``), and at the end. What does not hold raises ``AssertionError``.
"""

import asyncio
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from scripts.simulation.clock import VirtualLoop
from scripts.simulation.memory import InMemoryConversations
from scripts.simulation.people import SimulatedUser, SimulatedWaiter
from scripts.simulation.plan import DROP_SHARE, HOUR, MINUTE, PROCESSES, Chances, Plan, policy
from scripts.simulation.staff import SimulatedStaff
from scripts.simulation.watching import CheckedQueue, DecisionMonitor
from tornado_chat import config
from tornado_chat.cluster.facts import TransferRequest, always_certain
from tornado_chat.core.errors import ChatError, Unavailable
from tornado_chat.core.events import ConversationAssigned, ConversationEnded, ConversationRequeued, Event
from tornado_chat.core.types import ConversationState, Person, Role
from tornado_chat.observability.metrics import Histogram
from tornado_chat.services.support.dispatcher import Dispatcher

EPOCH_SECONDS = 1_800_000_000  # when the day begins
AUDIT_SECONDS = HOUR / 4
SETTLING_SECONDS = 1.0  # seconds in which a new coordinator is told who is there
RETRY_SECONDS = 5.0  # seconds until somebody tries again what the database refused

TRANSFER_SHARE, SILENT_LEAVE_SHARE, RETURN_SHARE = 0.04, 0.3, 0.75
"""Of conversations that are handed over, of users who leave without a word, and of those who lost their
position and come again."""


class Day:
    """One day of ``plan``. ``run`` lives it.

    :ivar wait_seconds: seconds until the first waiter, by the hour of coming.
    :ivar outcomes: how many conversations ended how, and what else happened how often.
    :ivar takeover_costs: of each takeover, how many people were told, and the seconds of processor time.
    :arg look: called each simulated minute.
    """

    def __init__(
        self, plan: Plan, loop: VirtualLoop, look: Callable[["Day"], None] = lambda day: None
    ) -> None:
        self.plan = plan
        self.loop = loop
        self.wait_seconds: dict[int, array[float]] = defaultdict(lambda: array("f"))
        self.outcomes: Counter[str] = Counter()
        self.position_updates = 0
        self.takeover_costs: list[tuple[int, float]] = []
        self.people = 0
        self._look = look
        self._chances = Chances(plan)
        self._visitors: dict[int, SimulatedUser] = {}  # by conversation
        self._settings = config.Support(capacity=plan.capacity)
        self._takeover_lock = asyncio.Lock()
        self._away = 0  # users whose connection is lost
        self._error: BaseException | None = None
        self._arriving = True
        self._over: asyncio.Future[None] = loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self.watch = DecisionMonitor(policy_matches_all=plan.policy == "fifo")
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
            make_queue=lambda policy: CheckedQueue(policy, self.watch),
            settle_seconds=SETTLING_SECONDS,
        )
        self.staff = SimulatedStaff(plan, self._chances, loop, self.dispatcher, self.watch)

    def clock(self) -> float:
        """Seconds since 1970, in the simulated world."""
        return EPOCH_SECONDS + self.loop.time()

    @property
    def waiting(self) -> int:
        """Those in the line: who has no socket is not in there meanwhile."""
        return len(self.dispatcher.queue)

    @property
    def talking(self) -> int:
        return sum(attendant.users for attendant in self.staff.all.values())

    @property
    def on_duty(self) -> int:
        return len(self.staff.on_duty)

    async def run(self) -> None:
        """:raises AssertionError: something does not hold."""
        self.loop.set_exception_handler(self._broken)
        await self.dispatcher.begin()
        for number in range(self.plan.waiters):
            start, end = self._chances.shift()
            self.loop.call_at(start, self._begin_shift, number, end)
        self._next_arrival(enumerate(self._chances.arrivals()))
        for _ in range(self.plan.takeovers):
            when = self._chances.random.random() * self.plan.hours * HOUR
            self.loop.call_at(when, lambda: self._spawn(self._take_over()))
        helpers = [
            self._spawn(self._every(MINUTE, lambda: self._look(self))),
            self._spawn(self._every(AUDIT_SECONDS, self._audit)),
        ]
        await self._over
        if self._error is None:
            self._audit()
            await self._everybody_goes()
        for helper in helpers:
            helper.cancel()
        if self._error is not None:
            raise self._error

    def _begin_shift(self, number: int, end: float) -> None:
        if not self._over.done():
            self.staff.begin(number, end)

    # --- users ---

    def _next_arrival(self, arrivals: Iterator[tuple[int, float]]) -> None:
        found = next(arrivals, None)
        if found is None:
            self._arriving = False
            self._finish_if_done()
        else:
            self.loop.call_at(found[1], self._arrive, found[0], arrivals)

    def _arrive(self, number: int, arrivals: Iterator[tuple[int, float]]) -> None:
        self.people += 1
        visitor = SimulatedUser(Person(Role.USER, str(number)), self._chances.claims())
        self._join(visitor)
        if self._chances(DROP_SHARE):
            self.loop.call_later(self._chances.until_drop(), self._drop, visitor)
        self._next_arrival(arrivals)

    def _join(self, visitor: SimulatedUser) -> None:
        row = self.store.join(visitor.person, visitor.claims, visitor.last_waiter)
        visitor.conversation, visitor.came = row.id, self.loop.time()
        visitor.served = visitor.is_over = False
        self._visitors[row.id] = visitor
        self._connect(visitor)
        visitor.set_timer(self.loop.call_later(self._chances.patience(), self._leave, visitor))

    def _connect(self, visitor: SimulatedUser) -> None:
        visitor.process = self._chances.random.choice(PROCESSES)
        self.dispatcher.on_user_present(visitor.process, self.store.open[visitor.conversation])

    def _disconnect(self, visitor: SimulatedUser) -> None:
        if visitor.process is not None:
            process, visitor.process = visitor.process, None
            self.dispatcher.on_user_absent(process, visitor.conversation)

    def _drop(self, visitor: SimulatedUser) -> None:
        if not visitor.is_over and visitor.process is not None:
            self._disconnect(visitor)
            self._away += 1
            self.loop.call_later(self._chances.away(), self._back, visitor)

    def _back(self, visitor: SimulatedUser) -> None:
        self._away -= 1
        if not visitor.is_over:
            self._connect(visitor)
        elif visitor.served or not self._chances(RETURN_SHARE):
            self.outcomes["people who lost their place and did not come again"] += not visitor.served
            self._finish_if_done()
        else:
            self.outcomes["people who lost their place and came again"] += 1
            self._join(visitor)

    def _leave(self, visitor: SimulatedUser) -> None:
        """It has waited too long, or said all that it wanted."""
        if visitor.process is not None and self._chances(SILENT_LEAVE_SHARE):
            self._disconnect(visitor)  # the grace does the rest
        else:
            self._spawn(self._end(visitor, visitor.person))

    async def _end(self, visitor: SimulatedUser, gone: Person) -> None:
        number = visitor.conversation
        while number in self._visitors:
            try:
                await self.store.end(number, gone)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def _hand_over(self, visitor: SimulatedUser) -> None:
        row = self.store.open.get(visitor.conversation)
        if row is None or row.waiter is None:
            return
        target = self._chances.random.choice(list(self.staff.on_duty))
        try:
            await self.dispatcher.hand_over(TransferRequest(row.id, row.waiter, target))
        except ChatError:
            self.outcomes["transfers that found no place"] += 1
        else:
            self.outcomes["transfers"] += 1

    # --- what was committed ---

    def _on_event(self, event: ConversationAssigned | ConversationEnded | ConversationRequeued) -> None:
        row = event.conversation
        visitor = self._visitors[row.id]
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
            self._assigned(visitor, row.waiter, transferred=event.previous is not None)
        elif isinstance(event, ConversationRequeued):
            self.outcomes["users whose waiter was lost"] += 1
            visitor.set_timer(self.loop.call_later(self._chances.patience(), self._leave, visitor))
        else:
            self._departed(visitor)

    def _assigned(self, visitor: SimulatedUser, waiter: Person | None, *, transferred: bool) -> None:
        visitor.last_waiter = waiter
        if not visitor.served:
            visitor.served = True
            hour = int(visitor.came / (self.plan.hours * HOUR) * 24)
            self.wait_seconds[min(hour, 23)].append(self.loop.time() - visitor.came)
        if not transferred:
            talk = self._chances.talk()
            visitor.set_timer(self.loop.call_later(talk, self._leave, visitor))
            if self._chances(TRANSFER_SHARE):
                self.loop.call_later(talk / 2, lambda: self._spawn(self._hand_over(visitor)))

    def _departed(self, visitor: SimulatedUser) -> None:
        visitor.is_over = True
        visitor.set_timer(None)
        del self._visitors[visitor.conversation]
        if visitor.served:
            how = "served"
        elif visitor.process is None:
            how = "left the line without a word"
        else:
            how = "gave up"
        self.outcomes[how] += 1
        if visitor.process is not None:  # its process says so when it hears of it
            process, visitor.process = visitor.process, None
            self.dispatcher.on_user_absent(process, visitor.conversation)
        self._finish_if_done()

    def _publish(self, event: Event) -> None:
        self.position_updates += 1

    # --- coordinators ---

    async def _take_over(self) -> None:
        """The coordinator is lost; the next one has the database and what the processes tell it."""
        async with self._takeover_lock:
            self.watch.ready.clear()
            started = time.process_time()
            await self.dispatcher.begin()
            told: list[SimulatedUser | SimulatedWaiter] = [
                *self._visitors.values(),
                *self.staff.on_duty.values(),
            ]
            self._chances.random.shuffle(told)
            for one in told:
                if one.process is None:
                    continue
                if isinstance(one, SimulatedWaiter):
                    self.staff.report_presence(one, ready=one.ready)
                elif not one.is_over:
                    self.dispatcher.on_user_present(one.process, self.store.open[one.conversation])
            self.takeover_costs.append((len(told), time.process_time() - started))
            await asyncio.sleep(2 * SETTLING_SECONDS)

    # --- what must hold ---

    def _audit(self) -> None:
        """Everybody is where the database has them."""
        dispatcher = self.dispatcher
        assert self._visitors.keys() == self.store.open.keys(), "somebody is lost, or twice there"
        if self._takeover_lock.locked():
            return
        assert dispatcher.cases.keys() == self._visitors.keys(), "not who is there"
        line = {ticket.number for ticket in dispatcher.queue.in_order()}
        waiting = {
            row.id
            for row in self.store.open.values()
            if row.state is ConversationState.WAITING and self._visitors[row.id].process is not None
        }
        deciding = {
            number: case.decision.waiter.person
            for number, case in dispatcher.cases.items()
            if case.decision is not None
        }
        postponed = {number for number, case in dispatcher.cases.items() if case.postponed}
        assert line == waiting - deciding.keys() - postponed, "the line is not who waits"
        decided = Counter(
            person for number, person in deciding.items() if self.store.open[number].waiter != person
        )
        for person, attendant in self.staff.all.items():
            pooled = dispatcher.queue.pool.get(person)
            users = attendant.users + decided[person]
            assert (pooled.load if pooled else 0) == users, f"{person.key} has {users} users"

    async def _everybody_goes(self) -> None:
        """All waiters go home: nothing may be left of anybody."""
        for attendant in self.staff.on_duty.values():
            attendant.leaving = True
            self.staff.disconnect(attendant)
        self.staff.on_duty.clear()
        await asyncio.sleep(2 * self._settings.rejoin_grace)
        left = self.dispatcher
        assert not left.cases, "conversations are left"
        assert not len(left.queue), "a line is left"
        assert not left.waiters, "waiters are left"
        assert not len(left.queue.pool), "waiters are left in the pool"

    # --- inside ---

    def _finish_if_done(self) -> None:
        if not (self._arriving or self._visitors or self._away or self._over.done()):
            self._over.set_result(None)

    async def _every(self, seconds: float, do: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            do()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())

    def _broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._fail(context.get("exception") or RuntimeError(context["message"]))

    def _fail(self, error: BaseException | None) -> None:
        """Something does not hold, wherever that was seen: the day is over."""
        self._error = self._error or error
        if not self._over.done():
            self._over.set_result(None)


def run_day(plan: Plan, look: Callable[[Day], None] = lambda day: None) -> Day:
    """Live a day of ``plan``. :raises AssertionError: something did not hold."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        day = Day(plan, loop, look)
        runner.run(day.run())
    return day
