"""A process's side of the facts: those of its own people, and how it says them. ``ledger`` is the other side."""

from collections.abc import Iterator

from tornado_chat.cluster.facts import Fact
from tornado_chat.cluster.messages import Beat, Everything, Gone, Here

SLICE = 500
"""Facts in one message."""


class OwnFacts:
    """The facts by key, in the order in which they came, and the number of the last change."""

    def __init__(self) -> None:
        self.facts: dict[str, Fact] = {}
        self._number = 0

    def here(self, fact: Fact) -> Here:
        self.facts[fact.key] = fact
        self._number += 1
        return Here(self._number, fact)

    def gone(self, key: str) -> Gone | None:
        """Nothing, if it did not hold."""
        if self.facts.pop(key, None) is None:
            return None
        self._number += 1
        return Gone(self._number, key)

    def beat(self) -> Beat:
        return Beat(self._number)

    def everything(self) -> Iterator[Everything]:
        facts = tuple(self.facts.values())
        slices = [facts[at : at + SLICE] for at in range(0, len(facts), SLICE)] or [()]
        for part, slice in enumerate(slices):
            yield Everything(self._number, part, len(slices), slice)
