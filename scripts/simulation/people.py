"""The simulated people and their present state."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tornado_chat.core.types import Person


class SimulatedUser:
    """A user, from its arrival to its departure.

    :ivar conversation: the id of its present or last conversation.
    :ivar arrived: the loop time at which that conversation began.
    :ivar expected: the wait that the user was told then, in seconds; None without an estimate.
    :ivar process: the process that holds its socket; None if it has none.
    :ivar served: the user has had a waiter in this conversation.
    :ivar is_over: this conversation has ended.
    :ivar timer: fires when the user gives up, or leaves after being served.
    """

    __slots__ = (
        "arrived",
        "claims",
        "conversation",
        "expected",
        "is_over",
        "last_waiter",
        "person",
        "process",
        "served",
        "timer",
    )

    def __init__(self, person: Person, claims: Mapping[str, Any]) -> None:
        self.person = person
        self.claims = claims
        self.conversation = 0
        self.arrived = 0.0
        self.expected: float | None = None
        self.process: str | None = None
        self.served = False
        self.is_over = False
        self.last_waiter: Person | None = None
        self.timer: asyncio.TimerHandle | None = None

    def set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        """Replace the user's timer, and cancel the former one."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer


class SimulatedWaiter:
    """A waiter during its shift.

    :ivar process: the process that holds its socket; None if it has none.
    :ivar users: the number of its users, by the committed assignments.
    :ivar leaving: the shift is over; the waiter stays until its last user has left.
    """

    __slots__ = ("claims", "leaving", "person", "process", "ready", "users")

    def __init__(self, person: Person, claims: Mapping[str, Any]) -> None:
        self.person = person
        self.claims = claims
        self.process: str | None = None
        self.ready = False
        self.leaving = False
        self.users = 0
