"""Connection counts of the processes of one machine, in shared memory with one counter per process."""

import mmap
import os
from collections.abc import MutableMapping
from typing import Self

ENVIRONMENT_VARIABLE = "TORNADO_CHAT_LOADS"
"""The environment variable that passes descriptor and slot to a child process, as ``descriptor:slot``."""

NOT_ACCEPTING = -1
"""The value in the slot of a process that accepts no connections."""

COUNTER_BYTES = 4


class SharedLoads:
    """The connection counts of all processes of this machine.

    :arg descriptor: file descriptor of the shared memory.
    :arg slot: index of the counter of this process, from 0. A process writes only to its own slot.
    """

    def __init__(self, descriptor: int, slot: int = 0) -> None:
        self.descriptor = descriptor
        self._slot = slot
        self._counts = memoryview(mmap.mmap(descriptor, 0)).cast("i")

    @classmethod
    def create(cls, slots: int) -> Self:
        """Create shared memory with ``slots`` counters, all of them ``NOT_ACCEPTING``."""
        descriptor = os.memfd_create("tornado-chat-loads")
        os.ftruncate(descriptor, slots * COUNTER_BYTES)
        loads = cls(descriptor)
        for slot in range(slots):
            loads.clear(slot)
        return loads

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Self | None:
        """Return the shared memory that ``environ`` names, or None.

        The variable is removed from ``environ`` and the descriptor is made non-inheritable, so that child
        processes of this process do not get them.
        """
        descriptor, _, slot = environ.pop(ENVIRONMENT_VARIABLE, "").partition(":")
        if not slot:
            return None
        os.set_inheritable(int(descriptor), False)
        return cls(int(descriptor), int(slot))

    @property
    def environ(self) -> dict[str, str]:
        """The variable that passes this object to a program that replaces this one in the same process.

        It makes the descriptor inheritable.
        """
        os.set_inheritable(self.descriptor, True)
        return {ENVIRONMENT_VARIABLE: f"{self.descriptor}:{self._slot}"}

    def clear(self, slot: int) -> None:
        """Mark the process of ``slot`` as accepting no connections, as it does not yet or has ended."""
        self._counts[slot] = NOT_ACCEPTING

    def set_connections(self, connections: int) -> None:
        """Set the number of connections of this process."""
        self._counts[self._slot] = connections

    def stop_accepting(self) -> None:
        """Mark this process as accepting no more connections."""
        self.clear(self._slot)

    def minimum(self) -> int:
        """Return the lowest number of connections of any accepting process.

        This process must have called ``set_connections`` before.

        :raises ValueError: no process accepts connections.
        """
        return min(count for count in self._counts if count != NOT_ACCEPTING)
