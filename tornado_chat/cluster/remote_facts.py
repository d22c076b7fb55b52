"""The coordinator's side of the facts: one book for each other process.

Strategy: a process numbers the changes of its facts, and tells the last number again and again. Where the
numbers show that a change was missed, it is asked for everything, and the differences are passed on. A book
begins empty at 0, which is right for a process that has just begun, and a gap for all others.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from tornado_chat.cluster.facts import Coordinator, PresenceFact

log = logging.getLogger(__name__)


@dataclass
class ProcessFacts:
    """What a process has said.

    :ivar number: of the last change that is in ``facts``.
    :ivar last_received_at: when it last said anything.
    :ivar requested_at: when it was last asked for everything.
    :ivar chunks: of everything, as far as they have come, for the change ``chunks_number``.
    """

    last_received_at: float
    number: int = 0
    requested_at: float = float("-inf")
    facts: dict[str, PresenceFact] = field(default_factory=dict)
    chunks: list[tuple[PresenceFact, ...]] = field(default_factory=list)
    chunks_number: int = 0


class RemoteFacts:
    """:arg request_full_report: asks a process for everything.
    :arg dead: seconds of silence after which a process counts as dead, and, after ``begin``, in which what
        processes have known before is no news.
    :arg rerequest_seconds: seconds until a process that was asked for everything is asked again.
    :arg now: the loop's clock.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        request_full_report: Callable[[str], None],
        now: Callable[[], float],
        *,
        dead: float,
        rerequest_seconds: float,
    ) -> None:
        self._coordinator = coordinator
        self._request_full_report = request_full_report
        self._now = now
        self._dead_after_seconds = dead
        self._rerequest_seconds = rerequest_seconds
        self._processes: dict[str, ProcessFacts] = {}
        self._already_known_until = 0.0

    def begin(self) -> None:
        """Everything will be said to us, and is no news."""
        self._processes.clear()
        self._already_known_until = self._now() + self._dead_after_seconds

    def clear(self) -> None:
        self._processes.clear()

    @property
    def processes(self) -> tuple[str, ...]:
        return tuple(self._processes)

    def deliver(self, process: str, fact: PresenceFact, *, already_known: bool = False) -> None:
        """Tell the coordinator."""
        try:
            self._coordinator.on_report(process, fact, already_known=already_known)
        except Exception:
            log.exception("the coordinator failed on %s", type(fact).__name__)

    # --- what processes say ---

    def on_heartbeat(self, process: str, number: int) -> None:
        remote = self._process_facts(process)
        if remote.number != number:
            self._request_missing(process, remote)

    def on_report(self, process: str, number: int, fact: PresenceFact) -> None:
        remote = self._process_facts(process)
        if self._is_next(process, remote, number):
            remote.facts[fact.key] = fact
            self.deliver(process, fact)

    def on_withdraw(self, process: str, number: int, key: str) -> None:
        remote = self._process_facts(process)
        if self._is_next(process, remote, number):
            remote.facts.pop(key, None)
            self._deliver_withdrawal(process, key)

    def on_full_report(
        self, process: str, number: int, part: int, parts: int, facts: tuple[PresenceFact, ...]
    ) -> None:
        remote = self._process_facts(process)
        if part == 0:
            remote.chunks, remote.chunks_number = [], number
        if number < remote.number or number != remote.chunks_number or part != len(remote.chunks):
            return
        remote.chunks.append(facts)
        if len(remote.chunks) < parts:
            return
        current = {fact.key: fact for chunk in remote.chunks for fact in chunk}
        before, remote.facts, remote.chunks = remote.facts, current, []
        already_known = not remote.number and self._now() < self._already_known_until
        remote.number = number
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

    # --- what time says ---

    def remove_dead(self) -> bool:
        """Take back what the dead have said. Whether there were any."""
        limit = self._now() - self._dead_after_seconds
        dead = [process for process, remote in self._processes.items() if remote.last_received_at < limit]
        for process in dead:
            log.warning(
                "%s has been silent for %.0f s; its people count as gone", process, self._dead_after_seconds
            )
            self.remove_process(process)
        return bool(dead)

    def reset_silence(self) -> None:
        """Nobody could be heard for a while: nobody is dead for having been silent."""
        now = self._now()
        if now < self._already_known_until + self._dead_after_seconds:
            self._already_known_until = now + self._dead_after_seconds
        for remote in self._processes.values():
            remote.last_received_at = now

    # --- books ---

    def _process_facts(self, process: str) -> ProcessFacts:
        remote = self._processes.get(process)
        if remote is None:
            remote = self._processes[process] = ProcessFacts(self._now())
        remote.last_received_at = self._now()
        return remote

    def _is_next(self, process: str, remote: ProcessFacts, number: int) -> bool:
        if number == remote.number + 1:
            remote.number = number
            return True
        if number > remote.number:
            self._request_missing(process, remote)
        return False

    def _request_missing(self, process: str, remote: ProcessFacts) -> None:
        if self._now() >= remote.requested_at + self._rerequest_seconds:
            remote.requested_at = self._now()
            self._request_full_report(process)

    def _deliver_withdrawal(self, process: str, key: str) -> None:
        try:
            self._coordinator.on_withdraw(process, key)
        except Exception:
            log.exception("the coordinator failed on somebody who has gone")
