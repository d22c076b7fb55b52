"""The simulated waiters: shifts, pauses and lost connections."""

from scripts.simulation.checks import DecisionMonitor
from scripts.simulation.clock import VirtualLoop
from scripts.simulation.people import SimulatedWaiter
from scripts.simulation.plan import DROP_SHARE, HOUR, PROCESSES, Chances, Plan
from tornado_chat.cluster.facts import WaiterPresence
from tornado_chat.core.types import Person, Role
from tornado_chat.services.support.dispatcher import Dispatcher


class SimulatedStaff:
    """Reports the presence of simulated waiters to ``dispatcher``.

    :ivar all: all waiters whose shift has begun.
    :ivar on_duty: the waiters that are present, or have lost their connection.
    :ivar max_on_duty: the largest number of waiters on duty at a time.
    """

    def __init__(
        self,
        plan: Plan,
        chances: Chances,
        loop: VirtualLoop,
        dispatcher: Dispatcher,
        monitor: DecisionMonitor,
    ) -> None:
        self._plan = plan
        self._chances = chances
        self._loop = loop
        self._dispatcher = dispatcher
        self._monitor = monitor
        self.all: dict[Person, SimulatedWaiter] = {}
        self.on_duty: dict[Person, SimulatedWaiter] = {}
        self.max_on_duty = 0

    def begin(self, number: int, end: float) -> None:
        """Begin the shift of a waiter, which lasts until the loop time ``end``."""
        waiter = SimulatedWaiter(Person(Role.WAITER, str(number)), self._chances.skills())
        self.all[waiter.person] = self.on_duty[waiter.person] = waiter
        self.max_on_duty = max(self.max_on_duty, len(self.on_duty))
        self.report_presence(waiter, ready=True)
        self._loop.call_later(self._chances.work(), self._pause, waiter)
        if end < self._plan.hours * HOUR - 1:  # the last waiters stay as long as users wait
            self._loop.call_at(end, self._end_shift, waiter)
        if self._chances(DROP_SHARE):
            self._loop.call_later(self._chances.until_drop(), self._lose, waiter)

    def report_presence(self, waiter: SimulatedWaiter, *, ready: bool) -> None:
        """Report that the waiter is present, and whether it accepts users."""
        waiter.ready = ready
        if waiter.process is None:
            waiter.process = self._chances.random.choice(PROCESSES)
        (self._monitor.ready.add if ready else self._monitor.ready.discard)(waiter.person)
        address = f"00000000-0000-4000-9000-{int(waiter.person.id):012x}"
        fact = WaiterPresence(waiter.person, ready, None, address, waiter.claims)
        self._dispatcher.on_waiter_present(waiter.process, fact)

    def _pause(self, waiter: SimulatedWaiter) -> None:
        if not waiter.leaving:
            if waiter.process is not None:
                self.report_presence(waiter, ready=False)
            self._loop.call_later(self._chances.pause(), self._resume, waiter)

    def _resume(self, waiter: SimulatedWaiter) -> None:
        if not waiter.leaving:
            if waiter.process is not None:
                self.report_presence(waiter, ready=True)
            self._loop.call_later(self._chances.work(), self._pause, waiter)

    def _lose(self, waiter: SimulatedWaiter) -> None:
        """Cut the waiter's connection for a while."""
        if waiter.process is not None:
            self.disconnect(waiter)
            self._loop.call_later(self._chances.away(), self._reconnect, waiter)

    def _reconnect(self, waiter: SimulatedWaiter) -> None:
        if waiter.person in self.on_duty:
            self.report_presence(waiter, ready=not waiter.leaving)
            self._leave_if_idle(waiter)

    def _end_shift(self, waiter: SimulatedWaiter) -> None:
        waiter.leaving = True
        if waiter.process is not None:
            self.report_presence(waiter, ready=False)
            self._leave_if_idle(waiter)

    def _leave_if_idle(self, waiter: SimulatedWaiter) -> None:
        if waiter.leaving and not waiter.users and waiter.process is not None:
            self.disconnect(waiter)
            del self.on_duty[waiter.person]

    def disconnect(self, waiter: SimulatedWaiter) -> None:
        """Close the waiter's socket, which starts the grace timer."""
        if waiter.process is not None:
            process, waiter.process = waiter.process, None
            self._monitor.ready.discard(waiter.person)
            self._dispatcher.on_waiter_absent(process, waiter.person)

    def change_users(self, person: Person, change: int) -> None:
        """Add ``change`` to the number of a waiter's users, after a commit."""
        waiter = self.all[person]
        waiter.users += change
        assert 0 <= waiter.users <= self._plan.capacity, f"{person.key} has {waiter.users} users"
        if waiter.leaving and not waiter.users:
            self._loop.call_soon(self._leave_if_idle, waiter)
