"""The life of a counselling session or supervision record, as a table.

Pure rules: who is present comes in, what is to be done goes out. The same table holds for a
session (visitor and consultant) and for a record (consultant and supervisor); ``ASKER`` is who
seeks help, ``HELPER`` who gives it.

=========  ==================  ==========  ==========================
state      event               new state   effects
=========  ==================  ==========  ==========================
ready      first of a side     ready       announce
ready      … and both present  active      announce, start
ready      cancel (asker)      cancelled   finish
ready      end                 completed   finish
active     back in time        active      stop the grace
active     last of a side left active      start the grace
active     grace is over       completed   finish
active     end                 completed   finish
=========  ==================  ==========  ==========================

Everything else changes nothing: a second socket, coming and going before the start, whatever
happens to a finished room.
"""

import enum
from typing import NamedTuple

from tornado_chat.core.types import SessionState


class Side(enum.StrEnum):
    ASKER = "asker"
    HELPER = "helper"

    @property
    def other(self) -> "Side":
        return Side.HELPER if self is Side.ASKER else Side.ASKER


class Event(enum.Enum):
    """What happens to a room. The events of a side come with that side."""

    ENTERED = "the first socket of a side opened"
    LEFT = "the last socket of a side closed"
    GRACE_OVER = "a side did not come back in time"
    CANCELLED = "the asker gave up"
    ENDED = "a participant or the host ends it"


class RoomEffect(enum.Enum):
    """What the service has to do, in this order."""

    ANNOUNCE = "tell everybody that the side has joined"
    STOP_GRACE = "stop the side's grace timer"
    START_GRACE = "start the side's grace timer"
    START = "store the start; its commit tells everybody"
    FINISH = "store the end; its commit tells everybody and closes the sockets"


class Transition(NamedTuple):
    state: SessionState
    effects: tuple[RoomEffect, ...] = ()


_READY, _ACTIVE = SessionState.READY, SessionState.ACTIVE

# (state, event, is the other side present?) -> step; what is not in here changes nothing.
TRANSITIONS: dict[tuple[SessionState, Event, bool], Transition] = {
    (_READY, Event.ENTERED, False): Transition(_READY, (RoomEffect.ANNOUNCE,)),
    (_READY, Event.ENTERED, True): Transition(_ACTIVE, (RoomEffect.ANNOUNCE, RoomEffect.START)),
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
    """What ``event`` does to a room in ``state``."""
    return TRANSITIONS.get((state, event, is_other_present), Transition(state))
