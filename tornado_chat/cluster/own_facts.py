"""The facts that this process reports. ``remote_facts`` is the receiving side."""

from collections.abc import Iterator

from tornado_chat.cluster.facts import PresenceFact
from tornado_chat.cluster.messages import FactReported, FactWithdrawn, FullReport, Heartbeat

CHUNK_FACTS = 500
"""The number of facts in one message of a full report."""


class OwnFacts:
    """The facts by key, in the order of their first report, and the number of the last change."""

    def __init__(self) -> None:
        self.facts: dict[str, PresenceFact] = {}
        self._number = 0

    def add(self, fact: PresenceFact) -> FactReported:
        self.facts[fact.key] = fact
        self._number += 1
        return FactReported(self._number, fact)

    def remove(self, key: str, *, has_left: bool = False) -> FactWithdrawn | None:
        """Remove a fact and return the message for the coordinator; None if there is no such fact.

        :arg has_left: as in ``CoordinatorClient.withdraw``.
        """
        if self.facts.pop(key, None) is None:
            return None
        self._number += 1
        return FactWithdrawn(self._number, key, has_left)

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(self._number)

    def full_report(self) -> Iterator[FullReport]:
        facts = tuple(self.facts.values())
        chunks = [facts[at : at + CHUNK_FACTS] for at in range(0, len(facts), CHUNK_FACTS)] or [()]
        for part, chunk in enumerate(chunks):
            yield FullReport(self._number, part, len(chunks), chunk)
