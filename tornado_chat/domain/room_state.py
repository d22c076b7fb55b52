"""The state machine of a counselling session or supervision record, as a table.

Pure rules: the input is the presence of the participants, the output are the effects that the service carries
out. The same table holds for a session (visitor and consultant) and for a record (consultant and supervisor).
``ASKER`` is the client (visitor; consultant of a record), ``HELPER`` the agent (consultant; supervisor).

=========  ==================  ==========  ===============================
state      event               new state   effects
=========  ==================  ==========  ===============================
ready      first of a side     ready       announce, stop the grace
ready      … and both present  active      announce, stop the grace, start
ready      gave up (asker)     ready       start the grace
ready      grace is over       cancelled   finish
ready      cancel (asker)      cancelled   finish
ready      end                 completed   finish
active     back in time        active      stop the grace
active     last of a side left active      start the grace
active     grace is over       completed   finish
active     end                 completed   finish
=========  ==================  ==========  ===============================

All other events have no effect: a second socket of a side, a helper that leaves before the start, and any
event of a finished room.
"""

import enum
from typing import NamedTuple

from tornado_chat.core.types import EndReason, SessionState


class Side(enum.StrEnum):
    """One of the two participants of a room."""

    ASKER = "asker"
    HELPER = "helper"

    @property
    def other(self) -> "Side":
        return Side.HELPER if self is Side.ASKER else Side.ASKER


class Event(enum.Enum):
    """An event of a room. The first four belong to a side.

    ``GAVE_UP`` is ``LEFT`` of the asker of a session that has not started.
    """

    ENTERED = "the first socket of a side opened"
    LEFT = "the last socket of a side closed"
    GAVE_UP = "the last socket of the asker closed before the start"
    GRACE_OVER = "a side did not come back in time"
    CANCELLED = "the asker gave up"
    ENDED = "a participant or the host ends it"


class RoomEffect(enum.Enum):
    """An effect of an event, which the service carries out. ``Transition`` lists them in their order."""

    ANNOUNCE = "announce to the participants that the side has joined"
    STOP_GRACE = "stop the grace timer of the side"
    START_GRACE = "start the grace timer of the side"
    START = "store the start; it is published after the commit"
    FINISH = "store the end; it is published after the commit, and then the sockets are closed"


class Transition(NamedTuple):
    """The new state of a room and the effects of the event."""

    state: SessionState
    effects: tuple[RoomEffect, ...] = ()


_READY, _ACTIVE = SessionState.READY, SessionState.ACTIVE

# (state, event, is the other side present?) -> transition; all other events have no effect.
TRANSITIONS: dict[tuple[SessionState, Event, bool], Transition] = {
    (_READY, Event.ENTERED, False): Transition(_READY, (RoomEffect.ANNOUNCE, RoomEffect.STOP_GRACE)),
    (_READY, Event.ENTERED, True): Transition(
        _ACTIVE, (RoomEffect.ANNOUNCE, RoomEffect.STOP_GRACE, RoomEffect.START)
    ),
    (_READY, Event.GAVE_UP, False): Transition(_READY, (RoomEffect.START_GRACE,)),
    (_READY, Event.GAVE_UP, True): Transition(_READY, (RoomEffect.START_GRACE,)),
    (_READY, Event.GRACE_OVER, False): Transition(SessionState.CANCELLED, (RoomEffect.FINISH,)),
    (_READY, Event.GRACE_OVER, True): Transition(SessionState.CANCELLED, (RoomEffect.FINISH,)),
    (_ACTIVE, Event.ENTERED, False): Transition(_ACTIVE, (RoomEffect.STOP_GRACE,)),
    (_ACTIVE, Event.ENTERED, True): Transition(_ACTIVE, (RoomEffect.STOP_GRACE,)),
    (_ACTIVE, Event.LEFT, False): Transition(_ACTIVE, (RoomEffect.START_GRACE,)),
    (_ACTIVE, Event.LEFT, True): Transition(_ACTIVE, (RoomEffect.START_GRACE,)),
    (_ACTIVE, Event.GRACE_OVER, False): Transition(SessionState.COMPLETED, (RoomEffect.FINISH,)),
    (_ACTIVE, Event.GRACE_OVER, True): Transition(SessionState.COMPLETED, (RoomEffect.FINISH,)),
    (_READY, Event.CANCELLED, False): Transition(SessionState.CANCELLED, (RoomEffect.FINISH,)),
    (_READY, Event.CANCELLED, True): Transition(SessionState.CANCELLED, (RoomEffect.FINISH,)),
    (_READY, Event.ENDED, False): Transition(SessionState.COMPLETED, (RoomEffect.FINISH,)),
    (_READY, Event.ENDED, True): Transition(SessionState.COMPLETED, (RoomEffect.FINISH,)),
    (_ACTIVE, Event.ENDED, False): Transition(SessionState.COMPLETED, (RoomEffect.FINISH,)),
    (_ACTIVE, Event.ENDED, True): Transition(SessionState.COMPLETED, (RoomEffect.FINISH,)),
}


def transition(state: SessionState, event: Event, is_other_present: bool) -> Transition:
    """Return the new state and the effects of ``event`` for a room in ``state``."""
    return TRANSITIONS.get((state, event, is_other_present), Transition(state))


def end_reason(state: SessionState, event: Event, *, has_left: bool = False) -> EndReason:
    """Return the reason of an end for the participants.

    :arg state: the state before the end.
    :arg event: the event that ended the room.
    :arg has_left: True if the client of the side whose grace is over has left; False if its connection was
        lost.
    """
    if event is Event.GRACE_OVER:
        if state is _READY:
            return EndReason.NOT_STARTED
        return EndReason.LEFT if has_left else EndReason.GRACE
    return EndReason.CANCELLED if event is Event.CANCELLED else EndReason.ENDED
