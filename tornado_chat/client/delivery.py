"""How far the messages of a client have come: sent, delivered, seen."""

from typing import Literal

import msgspec

DeliveryState = Literal["sent", "delivered", "seen"]


class Person(msgspec.Struct, frozen=True):
    """The sender of a message (feature ``sender``).

    :ivar id: a text, also if the host uses numbers.
    """

    role: str
    id: str
    name: str | None = None


class Delivery(msgspec.Struct):
    """What the other side of a conversation has received and read.

    :ivar received: all messages up to this number have arrived at its client (feature ``receipt``).
    :ivar read: it has read all messages up to this number (feature ``read``).
    """

    received: int = 0
    read: int = 0

    def state(self, seq: int) -> DeliveryState:
        """Return the state of a stored message: in doubt the lower one."""
        if seq <= self.read:
            return "seen"
        return "delivered" if seq <= self.received else "sent"

    def advance(self, *, received: int = 0, read: int = 0) -> bool:
        """Take over a report. Return True if it says more than the reports before."""
        before = (self.received, self.read)
        self.received, self.read = max(received, self.received), max(read, self.read)
        return before != (self.received, self.read)
