"""The people of a day, and what is so of them now."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tornado_chat.core.types import Person


class SimulatedUser:
    """A user, from its coming to its end.

    :ivar conversation: the number of the one that it is in, or was last.
    :ivar came: when that began.
    :ivar process: where its sockets are, None if it has none.
    :ivar served: it has had a waiter in this conversation.
    :ivar is_over: this conversation has ended.
    :ivar timer: it gives up, or has said all that it wanted.
    """

    __slots__ = (
        "came",
        "claims",
        "conversation",
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
        self.came = 0.0
        self.process: str | None = None
        self.served = False
        self.is_over = False
        self.last_waiter: Person | None = None
        self.timer: asyncio.TimerHandle | None = None

    def set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        """``timer`` instead of what was to happen so far."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer


class SimulatedWaiter:
    """A waiter during its shift.

    :ivar process: where its sockets are, None if it has none.
    :ivar users: how many it has, by what was committed.
    :ivar leaving: the shift is over; it stays until its last user is gone.
    """

    __slots__ = ("claims", "leaving", "person", "process", "ready", "users")

    def __init__(self, person: Person, claims: Mapping[str, Any]) -> None:
        self.person = person
        self.claims = claims
        self.process: str | None = None
        self.ready = False
        self.leaving = False
        self.users = 0
