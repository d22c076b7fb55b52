"""What processes say to each other besides events. ``coordination.py`` tells when."""

from typing import Any

import msgspec

from tornado_chat.cluster.codec import Failure
from tornado_chat.cluster.facts import CoordinatorRequest, PresenceFact


class ResyncRequest(msgspec.Struct, frozen=True):
    """To all: some events could not be sent, by me or by one that died; what was missed is in the database."""


# --- from the coordinator ---


class CoordinatorAnnouncement(msgspec.Struct, frozen=True):
    """To all, again and again: I coordinate these processes. ``term`` is another one each time that I begin."""

    term: int
    processes: tuple[str, ...] = ()


class LeaseReleased(msgspec.Struct, frozen=True):
    """To all: I coordinate no more, and the lease is free."""


class FullReportRequest(msgspec.Struct, frozen=True):
    """To one: say all your facts."""


class RpcResponse(msgspec.Struct, frozen=True):
    """To one: the answer to its question, JSON values."""

    id: int
    value: Any = None
    failure: Failure | None = None


# --- to the coordinator. Changes of facts are numbered, so that it sees when it has missed one ---


class Heartbeat(msgspec.Struct, frozen=True):
    """I live, and have told so many changes."""

    number: int


class FactReported(msgspec.Struct, frozen=True):
    """The change ``number``: a fact holds."""

    number: int
    fact: PresenceFact


class FactWithdrawn(msgspec.Struct, frozen=True):
    """The change ``number``: a fact holds no more."""

    number: int
    key: str


class FullReport(msgspec.Struct, frozen=True):
    """Slice ``part`` of ``parts`` (from 0) of all facts that hold after the change ``number``."""

    number: int
    part: int
    parts: int
    facts: tuple[PresenceFact, ...]


class ProcessStopped(msgspec.Struct, frozen=True):
    """I stop."""


class RpcRequest(msgspec.Struct, frozen=True):
    """``id`` is of the asking process's own count."""

    id: int
    question: CoordinatorRequest


ALL_MESSAGES = (
    ResyncRequest,
    CoordinatorAnnouncement,
    LeaseReleased,
    FullReportRequest,
    RpcResponse,
    Heartbeat,
    FactReported,
    FactWithdrawn,
    FullReport,
    ProcessStopped,
    RpcRequest,
)
