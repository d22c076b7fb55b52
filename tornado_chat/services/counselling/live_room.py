"""A room as the coordinator knows it: who is present, and for whom it waits. Without timers."""

from collections.abc import Mapping
from typing import NamedTuple

from tornado_chat import config
from tornado_chat.core.errors import Conflict
from tornado_chat.core.events import PresenceChanged
from tornado_chat.core.types import Kind, Person, Role, Room, SessionState
from tornado_chat.domain.room_state import Side

MICROSECONDS = 1_000_000  # in a second


class Absence(NamedTuple):
    """The grace of a participant who is absent.

    :ivar since: the begin, and ``until`` the end, in seconds by the loop's clock.
    :ivar shown_until: the end in microseconds since 1970.
    :ivar has_left: True if the client has left; False if its connection was lost.
    """

    since: float
    until: float
    shown_until: int
    has_left: bool

    def extended(self, seconds: float, longest: float, now: float, clock: int) -> "Absence":
        """Return the grace with more seconds, up to ``longest`` from its begin.

        :arg now: the time by the loop's clock, and ``clock`` the same in microseconds since 1970.
        :raises Conflict: the grace is as long as it may be.
        """
        end = max(self.until, now)  # it may be over, while the presence is not certain
        until = min(end + seconds, self.since + longest)
        if until <= end:
            raise Conflict("waits_longest")
        return self._replace(until=until, shown_until=clock + round((until - now) * MICROSECONDS))


class LiveRoom:
    """A room with a participant who is present, or has a grace timer.

    :ivar room: the newest known version of the room.
    :ivar processes: the processes in which each side has sockets.
    :ivar absences: the graces of the sides that are awaited.
    :ivar is_starting: True while the start is being stored.
    """

    __slots__ = ("absences", "is_starting", "processes", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.processes: dict[Side, set[str]] = {Side.ASKER: set(), Side.HELPER: set()}
        self.absences: dict[Side, Absence] = {}
        self.is_starting = False

    def is_present(self, side: Side) -> bool:
        return bool(self.processes[side])

    def person(self, side: Side) -> Person:
        return self.room.asker if side is Side.ASKER else self.room.helper

    @property
    def is_session(self) -> bool:
        return self.room.thread.kind is Kind.SESSION

    def has_left(self, side: Side) -> bool:
        """Return True if the side is awaited, and its client has left."""
        absence = self.absences.get(side)
        return absence is not None and absence.has_left

    def grace_seconds(self, settings: config.Counselling, *, has_left: bool) -> float:
        """Return the length of a grace that starts now."""
        if self.room.state is SessionState.READY:
            return settings.ready_grace
        return settings.grace(has_left=has_left)

    def presence(self, settings: config.Counselling, clock: int) -> PresenceChanged:
        """Return the presence of the participants, with the graces that run and those that would start.

        :arg clock: microseconds since 1970.
        """
        roles = {side: self.person(side).role for side in Side}
        present = {role: self.is_present(side) for side, role in roles.items()}
        until = {roles[side]: absence.shown_until for side, absence in self.absences.items()}
        return PresenceChanged(self.room.thread, present, until, self._graces(settings), clock)

    def _graces(self, settings: config.Counselling) -> Mapping[Role, float]:
        if self.room.state is SessionState.ACTIVE:
            return {self.person(side).role: settings.rejoin_grace for side in Side}
        return {self.room.asker.role: settings.ready_grace} if self.is_session else {}
