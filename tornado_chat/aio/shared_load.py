"""How many connections each of several processes has: memory that all of them share, a number for each."""

import mmap
import os
from collections.abc import MutableMapping
from typing import Self

VARIABLE = "TORNADO_CHAT_LOADS"
"""The variable that tells a child: descriptor, colon, place."""

NOBODY = -1
"""What stands at the place of a process that takes no connections."""

WIDTH = 4  # bytes of a number


class Loads:
    """:arg place: this process's own, from 0; only there it writes."""

    def __init__(self, descriptor: int, place: int = 0) -> None:
        self.descriptor = descriptor
        self._place = place
        self._numbers = memoryview(mmap.mmap(descriptor, 0)).cast("i")

    @classmethod
    def create(cls, places: int) -> Self:
        """New memory, in which there is nobody."""
        descriptor = os.memfd_create("tornado-chat-loads")
        os.ftruncate(descriptor, places * WIDTH)
        made = cls(descriptor)
        for place in range(places):
            made.clear(place)
        return made

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Self | None:
        """What ``environ`` tells of, and does not tell anybody else."""
        descriptor, _, place = environ.pop(VARIABLE, "").partition(":")
        if not place:
            return None
        os.set_inheritable(int(descriptor), False)
        return cls(int(descriptor), int(place))

    def clear(self, place: int) -> None:
        """Its process takes no connections, or has ended."""
        self._numbers[place] = NOBODY

    def say(self, connections: int) -> None:
        """How many this process has."""
        self._numbers[self._place] = connections

    def leave(self) -> None:
        """This process takes no more."""
        self.clear(self._place)

    def least(self) -> int:
        """How many the process has that has the fewest; this one has said its own."""
        return min(number for number in self._numbers if number != NOBODY)
