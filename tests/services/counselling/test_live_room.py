"""A room as the coordinator knows it: graces and the presence that clients see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.conftest import COUNSELLOR, VISITOR
from tornado_chat import config
from tornado_chat.core.errors import Conflict
from tornado_chat.core.types import Kind, Person, Role, Room, SessionState, Thread
from tornado_chat.domain.room_state import Side
from tornado_chat.services.counselling.live_room import Absence, LiveRoom

CLOCK = 1_742_430_405_000_000
SETTINGS = config.Counselling(rejoin_grace=120, leave_grace=10, ready_grace=300)


def room(state: SessionState, kind: Kind = Kind.SESSION) -> LiveRoom:
    people = (VISITOR, COUNSELLOR) if kind is Kind.SESSION else (COUNSELLOR, Person(Role.SUPERVISOR, "3"))
    return LiveRoom(Room(Thread(kind, 4), *people, None, None, state, 0, 4, CLOCK))


@pytest.mark.parametrize(
    ("state", "has_left", "seconds"),
    [
        (SessionState.ACTIVE, True, 10),
        (SessionState.ACTIVE, False, 120),
        (SessionState.READY, True, 300),
        (SessionState.READY, False, 300),
    ],
)
def test_the_grace_is_short_after_a_client_has_left_an_active_session(
    state: SessionState, has_left: bool, seconds: float
) -> None:
    assert room(state).grace_seconds(SETTINGS, has_left=has_left) == seconds


def test_a_support_client_that_left_is_awaited_for_ten_seconds_and_a_lost_one_for_sixty() -> None:
    assert config.Support().grace(has_left=True) == 10
    assert config.Support().grace(has_left=False) == 60


def test_no_client_that_left_is_awaited_for_longer_than_a_lost_one() -> None:
    for section in (config.Counselling, config.Support):
        settings = section(rejoin_grace=5)
        assert settings.grace(has_left=True) == settings.grace(has_left=False) == 5


def test_presence_has_the_graces_that_run_and_those_that_would_start() -> None:
    live = room(SessionState.ACTIVE)
    live.processes[Side.ASKER].add("a")
    live.absences[Side.HELPER] = Absence(50, 170, CLOCK + 120_000_000, has_left=False)
    presence = live.presence(SETTINGS, CLOCK)
    assert presence.present == {Role.USER: True, Role.CONSULTANT: False}
    assert presence.until == {Role.CONSULTANT: CLOCK + 120_000_000}
    assert presence.grace == {Role.USER: 120, Role.CONSULTANT: 120}
    assert presence.time == CLOCK
    assert room(SessionState.READY).presence(SETTINGS, CLOCK).grace == {Role.USER: 300}
    assert room(SessionState.READY, Kind.RECORD).presence(SETTINGS, CLOCK).grace == {}


def test_a_grace_is_extended_up_to_the_longest() -> None:
    absence = Absence(100, 220, CLOCK + 20_000_000, has_left=False)
    longer = absence.extended(60, 300, 200, CLOCK)
    assert longer == Absence(100, 280, CLOCK + 80_000_000, has_left=False)
    longest = longer.extended(3600, 300, 200, CLOCK)
    assert longest == Absence(100, 400, CLOCK + 200_000_000, has_left=False)
    with pytest.raises(Conflict, match="waits_longest"):
        longest.extended(1, 300, 200, CLOCK)


def test_a_grace_that_is_over_but_not_ended_is_extended_from_now_on() -> None:
    assert Absence(0, 120, CLOCK, has_left=False).extended(60, 900, 130, CLOCK).until == 190


@given(
    seconds=st.lists(st.floats(0.1, 1000), min_size=1),
    longest=st.floats(0, 5000),
    now=st.floats(0, 6000),
)
def test_no_extension_shortens_a_grace_or_exceeds_the_longest(
    seconds: list[float], longest: float, now: float
) -> None:
    absence = Absence(0, 120, CLOCK, has_left=False)
    for more in seconds:
        try:
            longer = absence.extended(more, longest, now, CLOCK)
        except Conflict:
            assert max(absence.until, now) >= min(longest, max(absence.until, now) + more)
            continue
        assert max(absence.until, now) < longer.until <= longest
        absence = longer
