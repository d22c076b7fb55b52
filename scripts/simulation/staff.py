"""The waiters of a day: their shifts, their pauses, and connections that they lose."""

from scripts.simulation.checks import DecisionMonitor
from scripts.simulation.clock import VirtualLoop
from scripts.simulation.people import SimulatedWaiter
from scripts.simulation.plan import DROP_SHARE, HOUR, PROCESSES, Chances, Plan
from tornado_chat.cluster.facts import WaiterPresence
from tornado_chat.core.types import Person, Role
from tornado_chat.services.support.dispatcher import Dispatcher


class SimulatedStaff:
    """Tells ``dispatcher`` what its waiters do.

    :ivar all: who has come today.
    :ivar on_duty: who is there, or has lost its connection.
    :ivar max_on_duty: the most who were, at once.
    """

    def __init__(
        self, plan: Plan, chances: Chances, loop: VirtualLoop, dispatcher: Dispatcher, watch: DecisionMonitor
    ) -> None:
        self._plan = plan
        self._chances = chances
        self._loop = loop
        self._dispatcher = dispatcher
        self._watch = watch
        self.all: dict[Person, SimulatedWaiter] = {}
        self.on_duty: dict[Person, SimulatedWaiter] = {}
        self.max_on_duty = 0

    def begin(self, number: int, end: float) -> None:
        """A waiter comes, until ``end`` by the loop's clock."""
        attendant = SimulatedWaiter(Person(Role.WAITER, str(number)), self._chances.skills())
        self.all[attendant.person] = self.on_duty[attendant.person] = attendant
        self.max_on_duty = max(self.max_on_duty, len(self.on_duty))
        self.report_presence(attendant, ready=True)
        self._loop.call_later(self._chances.work(), self._pause, attendant)
        if end < self._plan.hours * HOUR - 1:  # the last ones stay as long as somebody needs them
            self._loop.call_at(end, self._end_shift, attendant)
        if self._chances(DROP_SHARE):
            self._loop.call_later(self._chances.until_drop(), self._lose, attendant)

    def report_presence(self, attendant: SimulatedWaiter, *, ready: bool) -> None:
        """It is there, and wants users or not."""
        attendant.ready = ready
        if attendant.process is None:
            attendant.process = self._chances.random.choice(PROCESSES)
        (self._watch.ready.add if ready else self._watch.ready.discard)(attendant.person)
        address = f"00000000-0000-4000-9000-{int(attendant.person.id):012x}"
        fact = WaiterPresence(attendant.person, ready, None, address, attendant.claims)
        self._dispatcher.on_waiter_present(attendant.process, fact)

    def _pause(self, attendant: SimulatedWaiter) -> None:
        if not attendant.leaving:
            if attendant.process is not None:
                self.report_presence(attendant, ready=False)
            self._loop.call_later(self._chances.pause(), self._resume, attendant)

    def _resume(self, attendant: SimulatedWaiter) -> None:
        if not attendant.leaving:
            if attendant.process is not None:
                self.report_presence(attendant, ready=True)
            self._loop.call_later(self._chances.work(), self._pause, attendant)

    def _lose(self, attendant: SimulatedWaiter) -> None:
        """Its connection is gone for a while."""
        if attendant.process is not None:
            self.disconnect(attendant)
            self._loop.call_later(self._chances.away(), self._found_again, attendant)

    def _found_again(self, attendant: SimulatedWaiter) -> None:
        if attendant.person in self.on_duty:
            self.report_presence(attendant, ready=not attendant.leaving)
            self._go_if_idle(attendant)

    def _end_shift(self, attendant: SimulatedWaiter) -> None:
        attendant.leaving = True
        if attendant.process is not None:
            self.report_presence(attendant, ready=False)
            self._go_if_idle(attendant)

    def _go_if_idle(self, attendant: SimulatedWaiter) -> None:
        if attendant.leaving and not attendant.users and attendant.process is not None:
            self.disconnect(attendant)
            del self.on_duty[attendant.person]

    def disconnect(self, attendant: SimulatedWaiter) -> None:
        """It has no socket any more; the grace begins."""
        if attendant.process is not None:
            process, attendant.process = attendant.process, None
            self._watch.ready.discard(attendant.person)
            self._dispatcher.on_waiter_absent(process, attendant.person)

    def change_users(self, waiter: Person, change: int) -> None:
        """So many users more, by what was committed."""
        attendant = self.all[waiter]
        attendant.users += change
        assert 0 <= attendant.users <= self._plan.capacity, f"{waiter.key} has {attendant.users} users"
        if attendant.leaving and not attendant.users:
            self._loop.call_soon(self._go_if_idle, attendant)
