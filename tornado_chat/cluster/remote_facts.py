"""The facts that the coordinator has received from the other processes.

Strategy: a process numbers the changes of its facts and sends the last number with each heartbeat. If the
numbers show that a change was missed, the coordinator requests a full report and passes the differences on.
The facts of a process begin empty with the number 0. This is correct for a process that has just started; any
other process has a higher number, so its full report is requested.

Any client of Redis can send messages in the name of a process. A broken client must not do lasting harm by
that: a change with a number that is known already makes the facts *doubtful*, and the process itself is
requested to send all of them; names of processes are kept for a bounded time and in a bounded number.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from tornado_chat.cluster.facts import Coordinator, PresenceFact

log = logging.getLogger(__name__)

MAX_PROCESSES = 1000
"""The number of processes whose facts are kept."""

MAX_REPORT_PARTS = 1000
"""The number of parts of a full report: half a million facts."""

NAMED_PROCESSES = 10
"""The number of processes that one log line names."""


@dataclass
class ProcessFacts:
    """The facts of one process. Times are those of the loop's clock in seconds.

    :ivar number: the number of the last change that ``facts`` contains.
    :ivar last_received_at: the time of the last message of the process.
    :ivar requested_at: the time of the last request for a full report.
    :ivar chunks: the received parts of a full report that belongs to the change ``chunks_number``.
    :ivar is_doubtful: True if ``facts`` may be wrong although ``number`` is the last one.
    """

    last_received_at: float
    number: int = 0
    requested_at: float = float("-inf")
    facts: dict[str, PresenceFact] = field(default_factory=dict)
    chunks: list[tuple[PresenceFact, ...]] = field(default_factory=list)
    chunks_number: int = 0
    is_doubtful: bool = False


class RemoteFacts:
    """The facts of all other processes, passed on to ``coordinator``.

    :arg request_full_report: requests a full report from a process.
    :arg now: the clock of the loop.
    :arg dead_after_seconds: the time without a message after which a process counts as dead. For the same
        time after ``begin``, first full reports count as already known.
    :arg rerequest_seconds: the time after which a request for a full report is repeated.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        request_full_report: Callable[[str], None],
        now: Callable[[], float],
        *,
        dead_after_seconds: float,
        rerequest_seconds: float,
    ) -> None:
        self._coordinator = coordinator
        self._request_full_report = request_full_report
        self._now = now
        self._dead_after_seconds = dead_after_seconds
        self._rerequest_seconds = rerequest_seconds
        self._processes: OrderedDict[str, ProcessFacts] = OrderedDict()  # the last heard at the end
        self._already_known_until = 0.0

    def begin(self) -> None:
        """Start empty: the full reports that follow contain facts that are already known."""
        self._processes.clear()
        self._already_known_until = self._now() + self._dead_after_seconds

    def clear(self) -> None:
        self._processes.clear()

    @property
    def processes(self) -> tuple[str, ...]:
        return tuple(self._processes)

    def deliver(self, process: str, fact: PresenceFact, *, already_known: bool = False) -> None:
        """Pass a fact on to the coordinator."""
        try:
            self._coordinator.on_report(process, fact, already_known=already_known)
        except Exception:
            log.exception("the coordinator failed on %s", type(fact).__name__)

    # --- messages of other processes ---

    def on_heartbeat(self, process: str, number: int) -> None:
        remote = self._process_facts(process)
        if remote.number != number or remote.is_doubtful:
            self._request_missing(process, remote)

    def on_report(self, process: str, number: int, fact: PresenceFact) -> None:
        remote = self._process_facts(process)
        if self._is_next(process, remote, number):
            remote.facts[fact.key] = fact
            self.deliver(process, fact)

    def on_withdraw(self, process: str, number: int, key: str, *, has_left: bool = False) -> None:
        remote = self._process_facts(process)
        if self._is_next(process, remote, number):
            remote.facts.pop(key, None)
            self._deliver_withdrawal(process, key, has_left=has_left)

    def on_full_report(
        self, process: str, number: int, part: int, parts: int, facts: tuple[PresenceFact, ...]
    ) -> None:
        remote = self._process_facts(process)
        if part == 0:
            remote.chunks, remote.chunks_number = [], number
        if number != remote.chunks_number or part != len(remote.chunks) or parts > MAX_REPORT_PARTS:
            return
        remote.chunks.append(facts)
        if len(remote.chunks) < parts:
            return
        current = {fact.key: fact for chunk in remote.chunks for fact in chunk}
        before, remote.facts, remote.chunks = remote.facts, current, []
        already_known = not remote.number and self._now() < self._already_known_until
        remote.number = number
        remote.is_doubtful = False
        for key in before.keys() - current.keys():
            self._deliver_withdrawal(process, key)
        for key, fact in current.items():
            if before.get(key) != fact:
                self.deliver(process, fact, already_known=already_known)

    def remove_process(self, process: str) -> None:
        remote = self._processes.pop(process, None)
        if remote is not None:
            for key in remote.facts:
                self._deliver_withdrawal(process, key)

    # --- silence ---

    def remove_dead(self) -> bool:
        """Withdraw the facts of processes that count as dead; return True if there are any."""
        limit = self._now() - self._dead_after_seconds
        dead = [process for process, remote in self._processes.items() if remote.last_received_at < limit]
        if dead:
            more = len(dead) - NAMED_PROCESSES
            log.warning(
                "%s%s has been silent for %.0f s; its participants count as disconnected",
                ", ".join(dead[:NAMED_PROCESSES]),
                f" and {more} more, each" if more > 0 else "",
                self._dead_after_seconds,
            )
        for process in dead:
            self.remove_process(process)
        return bool(dead)

    def reset_silence(self) -> None:
        """Restart the measurement of silence, as this process could not receive messages for a while."""
        now = self._now()
        if now < self._already_known_until + self._dead_after_seconds:
            self._already_known_until = now + self._dead_after_seconds
        for remote in self._processes.values():
            remote.last_received_at = now

    # --- facts by process ---

    def _process_facts(self, process: str) -> ProcessFacts:
        remote = self._processes.get(process)
        if remote is None:
            if len(self._processes) >= MAX_PROCESSES:
                self._remove_least()
            remote = self._processes[process] = ProcessFacts(self._now())
        remote.last_received_at = self._now()
        self._processes.move_to_end(process)
        return remote

    def _remove_least(self) -> None:
        """Remove the process that is silent for the longest time, of those without facts if there are any.

        A process that exists is requested to report again with its next heartbeat.
        """
        without_facts = (process for process, remote in self._processes.items() if not remote.facts)
        self.remove_process(next(without_facts, None) or next(iter(self._processes)))

    def _is_next(self, process: str, remote: ProcessFacts, number: int) -> bool:
        if number == remote.number + 1:
            remote.number = number
            return True
        # A lower number means that another message had this number, or that the process counts anew.
        remote.is_doubtful |= number <= remote.number
        self._request_missing(process, remote)
        return False

    def _request_missing(self, process: str, remote: ProcessFacts) -> None:
        if self._now() >= remote.requested_at + self._rerequest_seconds:
            remote.requested_at = self._now()
            self._request_full_report(process)

    def _deliver_withdrawal(self, process: str, key: str, *, has_left: bool = False) -> None:
        """Pass a withdrawal on. Of a dead process, or one that was missed, ``has_left`` is not known."""
        try:
            self._coordinator.on_withdraw(process, key, has_left=has_left)
        except Exception:
            log.exception("the coordinator failed on the withdrawal of a fact")
