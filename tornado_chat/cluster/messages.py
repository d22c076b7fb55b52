"""Messages between processes besides events; ``leader_election.py`` and ``redis_link.py`` send them."""

from typing import Any

import msgspec

from tornado_chat.cluster.codec import Failure
from tornado_chat.cluster.facts import CoordinatorRequest, PresenceFact


class ResyncRequest(msgspec.Struct, frozen=True):
    """To all processes: events may have been lost, so read missed messages from the database.

    The events were not sent by the sender of this message, or by a process that has died.
    """


class DatabaseWentBack(msgspec.Struct, frozen=True):
    """To all processes: the database has gone back to an older copy, so start afresh.

    :ivar detected: the time at which the sender noticed that, in microseconds since 1970. A process that has
        started later has read the older copy, and has nothing to do.
    """

    detected: int


# --- from the coordinator ---


class CoordinatorAnnouncement(msgspec.Struct, frozen=True):
    """To all processes, periodically: the sender coordinates ``processes``.

    ``term`` is a new number each time that the sender begins to coordinate.
    """

    term: int
    processes: tuple[str, ...] = ()


class LeaseReleased(msgspec.Struct, frozen=True):
    """To all processes: the sender has stopped coordinating, and the lease is free."""


class FullReportRequest(msgspec.Struct, frozen=True):
    """To one process: send a full report of all facts."""


class RpcResponse(msgspec.Struct, frozen=True):
    """To one process: the result of its request ``id``, as JSON values, or an error."""

    id: int
    value: Any = None
    failure: Failure | None = None


# --- to the coordinator. The changes of facts are numbered, so that the coordinator detects missed ones ---


class Heartbeat(msgspec.Struct, frozen=True):
    """The sender is alive, and ``number`` is the number of its last change."""

    number: int


class FactReported(msgspec.Struct, frozen=True):
    """The change ``number``: a fact is new or has changed."""

    number: int
    fact: PresenceFact


class FactWithdrawn(msgspec.Struct, frozen=True):
    """The change ``number``: a fact does not hold any more.

    ``has_left`` is that of ``CoordinatorClient.withdraw``.
    """

    number: int
    key: str
    has_left: bool = False


class FullReport(msgspec.Struct, frozen=True):
    """Part ``part`` (from 0) of ``parts`` of all facts that hold after the change ``number``."""

    number: int
    part: int
    parts: int
    facts: tuple[PresenceFact, ...]


class ProcessStopped(msgspec.Struct, frozen=True):
    """The sender stops."""


class RpcRequest(msgspec.Struct, frozen=True):
    """A request to the coordinator. The sender counts its requests by ``id``."""

    id: int
    question: CoordinatorRequest


ALL_MESSAGES = (
    ResyncRequest,
    DatabaseWentBack,
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
