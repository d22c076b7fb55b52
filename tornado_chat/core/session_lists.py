"""Which sessions a list has, and a place in it."""

from typing import NamedTuple

import msgspec

from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.types import Person, SessionState


class SessionFilter(msgspec.Struct, frozen=True):
    """The conditions that a listed session fulfils.

    :ivar user: the visitor; None: any.
    :ivar consultant: None: any.
    :ivar states: empty: any.
    :ivar name: a part of the name of a participant, or the participant's whole id; empty: any. Upper and
        lower case are the same. It is not compared with ``user`` and ``consultant``, as they are in every
        session.
    :ivar opened_from: the earliest time of opening, in microseconds since 1970; None: any.
    :ivar opened_before: all times of opening are before it.
    """

    user: Person | None = None
    consultant: Person | None = None
    states: tuple[SessionState, ...] = ()
    name: str = ""
    opened_from: int | None = None
    opened_before: int | None = None


class SessionPosition(NamedTuple):
    """The place of a session in a list. It stays valid when the session is removed."""

    created: int
    id: int

    @classmethod
    def parse(cls, text: str) -> "SessionPosition | None":
        """Return the position that ``str`` has written, or None if ``text`` is no position."""
        created, _, id = text.partition(".")
        if not all(part.isascii() and part.isdecimal() and len(part) <= 19 for part in (created, id)):
            return None
        position = cls(int(created), int(id))
        return position if max(position) <= MAX_NUMBER else None

    def __str__(self) -> str:
        return f"{self.created}.{self.id}"
