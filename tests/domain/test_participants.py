"""When the agent of a conversation has changed, and to whom."""

from tornado_chat.core.types import Kind, Part, Participant, Person, Role, Thread
from tornado_chat.domain.participants import handovers

THREAD = Thread(Kind.SUPPORT, 5)
USER, BOB, EVE = Person(Role.USER, "1"), Person(Role.WAITER, "7"), Person(Role.WAITER, "8")


def stay(person: Person, joined: int, left: int | None = None) -> Participant:
    part = Part.CLIENT if person.role is Role.USER else Part.AGENT
    return Participant(THREAD, person, part, None, joined, left)


def changes(*stays: Participant) -> list[tuple[str, str, int, bool]]:
    return [
        (each.previous.person.id, each.next.person.id, each.time, each.was_lost) for each in handovers(stays)
    ]


def test_one_agent_is_no_change() -> None:
    assert changes(stay(USER, 1)) == []
    assert changes(stay(USER, 1), stay(BOB, 2)) == []


def test_a_transfer_and_the_way_back_are_two_changes() -> None:
    stays = [stay(USER, 1), stay(BOB, 2, 5), stay(EVE, 5, 9), stay(BOB, 9)]
    assert changes(*stays) == [("7", "8", 5, False), ("8", "7", 9, False)]


def test_an_agent_that_was_lost_and_returns_is_no_change() -> None:
    assert changes(stay(USER, 1), stay(BOB, 2, 5), stay(BOB, 7)) == []


def test_the_agent_after_a_lost_one() -> None:
    assert changes(stay(USER, 1), stay(BOB, 2, 5), stay(EVE, 7)) == [("7", "8", 7, True)]


def test_a_change_of_an_old_conversation_without_known_end_is_no_loss() -> None:
    assert changes(stay(BOB, 2), stay(EVE, 7)) == [("7", "8", 7, False)]
