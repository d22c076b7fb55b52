"""The states of agents, as the coordinator sees them, for the hook ``agent_changed``.

Strategy: the coordinator alone knows whether an agent has a socket in any process, so each change is reported
once in a cluster. What the processes report to a new coordinator while it settles is no change: it reports
each of these states with itself as the state before, since its plugins may not have heard of the agent.
"""

from collections.abc import Callable

from tornado_chat.core.types import AgentState, Person
from tornado_chat.services.support.dispatch_state import WaiterState

AgentChanged = Callable[[Person, AgentState, AgentState], None]
"""Called with an agent, its new state and the one before."""


class AgentStates:
    """The present states of agents; one that is missing is ``GONE``.

    :arg is_settled: returns True if the processes have reported their agents.
    """

    def __init__(self, report: AgentChanged, is_settled: Callable[[], bool]) -> None:
        self._report = report
        self._is_settled = is_settled
        self._states: dict[Person, AgentState] = {}

    def clear(self) -> None:
        """Forget all states, at the begin or the end of a term."""
        self._states.clear()

    def on_settled(self) -> None:
        """Report the states that the processes have reported while the term settled."""
        for agent, state in self._states.items():
            self._report(agent, state, state)

    def note(self, waiter: WaiterState) -> None:
        """Take over the state of an agent that is connected, or has lost its last socket."""
        if not waiter.processes:
            self._set(waiter.person, AgentState.AWAY)
        else:
            self._set(waiter.person, AgentState.READY if waiter.ready else AgentState.PAUSED)

    def note_gone(self, agent: Person) -> None:
        """Take over that an agent did not return in time."""
        self._set(agent, AgentState.GONE)

    def _set(self, agent: Person, state: AgentState) -> None:
        previous = self._states.pop(agent, AgentState.GONE)
        if state is not AgentState.GONE:
            self._states[agent] = state
        if state is not previous and self._is_settled():
            self._report(agent, state, previous)
