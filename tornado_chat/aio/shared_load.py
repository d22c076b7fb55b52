"""How many connections each of several processes has: memory that all of them share, a number for each."""

import mmap
import os
from collections.abc import MutableMapping
from typing import Self

ENVIRONMENT_VARIABLE = "TORNADO_CHAT_LOADS"
"""The variable that tells a child: descriptor, colon, place."""

NOT_ACCEPTING = -1
"""What stands at the place of a process that takes no connections."""

COUNTER_BYTES = 4  # bytes of a number


class SharedLoads:
    """:arg slot: this process's own, from 0; only there it writes."""

    def __init__(self, descriptor: int, slot: int = 0) -> None:
        self.descriptor = descriptor
        self._slot = slot
        self._counts = memoryview(mmap.mmap(descriptor, 0)).cast("i")

    @classmethod
    def create(cls, slots: int) -> Self:
        """New memory, in which there is nobody."""
        descriptor = os.memfd_create("tornado-chat-loads")
        os.ftruncate(descriptor, slots * COUNTER_BYTES)
        made = cls(descriptor)
        for slot in range(slots):
            made.clear(slot)
        return made

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Self | None:
        """What ``environ`` tells of, and does not tell anybody else."""
        descriptor, _, slot = environ.pop(ENVIRONMENT_VARIABLE, "").partition(":")
        if not slot:
            return None
        os.set_inheritable(int(descriptor), False)
        return cls(int(descriptor), int(slot))

    def clear(self, slot: int) -> None:
        """Its process takes no connections, or has ended."""
        self._counts[slot] = NOT_ACCEPTING

    def set_connections(self, connections: int) -> None:
        """How many this process has."""
        self._counts[self._slot] = connections

    def stop_accepting(self) -> None:
        """This process takes no more."""
        self.clear(self._slot)

    def minimum(self) -> int:
        """How many the process has that has the fewest; this one has said its own."""
        return min(number for number in self._counts if number != NOT_ACCEPTING)
