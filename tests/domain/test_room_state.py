"""Tests of the state machine of rooms: its table, the table in the docstring, and any sequence of events."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.types import EndReason, SessionState
from tornado_chat.domain import room_state
from tornado_chat.domain.room_state import (
    TRANSITIONS,
    Event,
    RoomEffect,
    Side,
    Transition,
    end_reason,
    transition,
)

# The events in the docstring's table: (event, is the other side present?)
EVENTS: dict[str, list[tuple[Event, bool]]] = {
    "first of a side": [(Event.ENTERED, False)],
    "… and both present": [(Event.ENTERED, True)],
    "back in time": [(Event.ENTERED, False), (Event.ENTERED, True)],
    "last of a side left": [(Event.LEFT, False), (Event.LEFT, True)],
    "grace is over": [(Event.GRACE_OVER, False), (Event.GRACE_OVER, True)],
    "gave up (asker)": [(Event.GAVE_UP, False), (Event.GAVE_UP, True)],
    "cancel (asker)": [(Event.CANCELLED, False), (Event.CANCELLED, True)],
    "end": [(Event.ENDED, False), (Event.ENDED, True)],
}
EFFECTS = {
    "announce": RoomEffect.ANNOUNCE,
    "start": RoomEffect.START,
    "finish": RoomEffect.FINISH,
    "start the grace": RoomEffect.START_GRACE,
    "stop the grace": RoomEffect.STOP_GRACE,
}
FINISHED = (SessionState.COMPLETED, SessionState.CANCELLED)


def documented_table() -> dict[tuple[SessionState, Event, bool], Transition]:
    lines = (room_state.__doc__ or "").splitlines()
    ruler, _, end = (i for i, line in enumerate(lines) if line.startswith("==="))
    starts = [i for i, c in enumerate(lines[ruler]) if c == "=" and lines[ruler][i - 1 : i] in ("", " ")]
    table = {}
    for line in lines[ruler + 3 : end]:
        state, event, new, effects = (
            line[a:b].strip() for a, b in itertools.pairwise([*starts, len(line) + 1])
        )
        parsed_effects = tuple(EFFECTS[word.strip()] for word in effects.split(","))
        for parsed_event, other in EVENTS[event]:
            table[SessionState(state), parsed_event, other] = Transition(SessionState(new), parsed_effects)
    return table


def test_the_docstring_has_the_same_table() -> None:
    assert documented_table() == TRANSITIONS


@pytest.mark.parametrize(
    ("state", "event", "other_present"),
    [key for key in itertools.product(SessionState, Event, (True, False)) if key not in TRANSITIONS],
)
def test_events_that_are_not_in_the_table_have_no_effect(
    state: SessionState, event: Event, other_present: bool
) -> None:
    assert transition(state, event, other_present) == Transition(state, ())


def test_effects_are_in_the_order_of_their_declaration() -> None:
    order = list(RoomEffect)
    for each in TRANSITIONS.values():
        assert list(each.effects) == sorted(each.effects, key=order.index)


def test_a_side_has_another_side() -> None:
    assert (Side.ASKER.other, Side.HELPER.other) == (Side.HELPER, Side.ASKER)


@given(events=st.lists(st.tuples(st.sampled_from(Event), st.booleans())))
def test_no_room_starts_or_ends_twice_or_continues_after_its_end(events: list[tuple[Event, bool]]) -> None:
    state = SessionState.READY
    seen: list[RoomEffect] = []
    for event, other_present in events:
        before = state
        state, effects = transition(state, event, other_present)
        if before in FINISHED:
            assert (state, effects) == (before, ())
        assert (RoomEffect.FINISH in effects) == (state in FINISHED and before not in FINISHED)
        assert (RoomEffect.START in effects) == (
            before is SessionState.READY and state is SessionState.ACTIVE
        )
        assert (RoomEffect.START_GRACE in effects) == (
            event is (Event.LEFT if before is SessionState.ACTIVE else Event.GAVE_UP)
            and before not in FINISHED
        )
        assert (RoomEffect.STOP_GRACE in effects) == (event is Event.ENTERED and before not in FINISHED)
        seen += effects
    assert seen.count(RoomEffect.START) <= 1
    assert seen.count(RoomEffect.FINISH) <= 1


@pytest.mark.parametrize(
    ("state", "event", "has_left", "reason"),
    [
        (SessionState.ACTIVE, Event.ENDED, False, EndReason.ENDED),
        (SessionState.READY, Event.ENDED, False, EndReason.ENDED),
        (SessionState.ACTIVE, Event.GRACE_OVER, True, EndReason.LEFT),
        (SessionState.ACTIVE, Event.GRACE_OVER, False, EndReason.GRACE),
        (SessionState.READY, Event.GRACE_OVER, False, EndReason.NOT_STARTED),
        (SessionState.READY, Event.GRACE_OVER, True, EndReason.NOT_STARTED),
        (SessionState.READY, Event.CANCELLED, False, EndReason.CANCELLED),
    ],
)
def test_the_reason_of_an_end(state: SessionState, event: Event, has_left: bool, reason: EndReason) -> None:
    assert RoomEffect.FINISH in transition(state, event, False).effects
    assert end_reason(state, event, has_left=has_left) is reason
