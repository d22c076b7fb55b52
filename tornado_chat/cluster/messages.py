"""What processes say to each other besides events. ``coordination.py`` tells when."""

from typing import Any

import msgspec

from tornado_chat.cluster.codec import Failure
from tornado_chat.cluster.facts import Fact, Question


class LookAgain(msgspec.Struct, frozen=True):
    """To all: some events could not be sent, by me or by one that died; what was missed is in the database."""


# --- from the coordinator ---


class Coordinating(msgspec.Struct, frozen=True):
    """To all, again and again: I coordinate these processes. ``term`` is another one each time that I begin."""

    term: int
    processes: tuple[str, ...] = ()


class Vacant(msgspec.Struct, frozen=True):
    """To all: I coordinate no more, and the lease is free."""


class TellAll(msgspec.Struct, frozen=True):
    """To one: say all your facts."""


class Answered(msgspec.Struct, frozen=True):
    """To one: the answer to its question, JSON values."""

    id: int
    value: Any = None
    failure: Failure | None = None


# --- to the coordinator. Changes of facts are numbered, so that it sees when it has missed one ---


class Beat(msgspec.Struct, frozen=True):
    """I live, and have told so many changes."""

    number: int


class Here(msgspec.Struct, frozen=True):
    """The change ``number``: a fact holds."""

    number: int
    fact: Fact


class Gone(msgspec.Struct, frozen=True):
    """The change ``number``: a fact holds no more."""

    number: int
    key: str


class Everything(msgspec.Struct, frozen=True):
    """Slice ``part`` of ``parts`` (from 0) of all facts that hold after the change ``number``."""

    number: int
    part: int
    parts: int
    facts: tuple[Fact, ...]


class Goodbye(msgspec.Struct, frozen=True):
    """I stop."""


class Asked(msgspec.Struct, frozen=True):
    """``id`` is of the asking process's own count."""

    id: int
    question: Question


ALL = (
    LookAgain,
    Coordinating,
    Vacant,
    TellAll,
    Answered,
    Beat,
    Here,
    Gone,
    Everything,
    Goodbye,
    Asked,
)
