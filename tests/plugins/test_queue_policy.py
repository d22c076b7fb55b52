"""The queue policy: priorities with ageing, sticky waiters, skills."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_struct
from tornado_chat_plugins.queue_policy.policy import MICROSECONDS_PER_SECOND, Policy, PolicyRules

from tornado_chat import Person, Role, Ticket
from tornado_chat.domain.queue import MatchingQueue
from tornado_chat.testing import ChatServer, StartChatServer

ANN, BEN = Person(Role.WAITER, "1"), Person(Role.WAITER, "2")


def ticket(
    number: int, since: int = 0, last: Person | None = None, returned: bool = False, **claims: Any
) -> Ticket:
    return Ticket(
        number, Person(Role.USER, str(number)), since * MICROSECONDS_PER_SECOND, returned, claims, last
    )


def make_queue(rules: PolicyRules, now: int = 0, **skills: Any) -> MatchingQueue:
    """Return a queue with the waiters Ann and Ben, who serve up to five users each."""
    queue = MatchingQueue(Policy(rules, lambda: now * MICROSECONDS_PER_SECOND))
    for person, name in ((ANN, "ann"), (BEN, "ben")):
        if name in skills:
            queue.pool.set(person, available=True, capacity=5, claims={"skills": skills[name]})
    return queue


def matches(queue: MatchingQueue, *tickets: Ticket) -> list[tuple[int, str]]:
    for each in tickets:
        queue.join(each)
    return [(made.ticket.number, made.waiter.id) for made in queue.match()]


PRIORITY = PolicyRules(priority_claim="priority", head_start_microseconds=300 * MICROSECONDS_PER_SECOND)


def test_a_long_wait_goes_before_a_priority() -> None:
    queue = make_queue(PRIORITY, ann=[])
    waiting = ticket(1, since=0), ticket(2, since=299, priority=1), ticket(3, since=301, priority=1)
    vip, returned = ticket(4, since=600, priority=99), ticket(5, since=700, returned=True)
    assert [number for number, _ in matches(queue, *waiting, vip, returned)] == [5, 4, 2, 1, 3]


@pytest.mark.parametrize("strange", ["2", None, [1], 1.5, -3, {}])
def test_an_invalid_priority_counts_as_none(strange: Any) -> None:
    assert PRIORITY.priority({"priority": strange}) == 0


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 9)), min_size=1, max_size=40))
def test_no_user_starves(arrivals: list[tuple[int, int]]) -> None:
    policy = Policy(PRIORITY, lambda: 0)
    tickets = [ticket(n, since, priority=priority) for n, (since, priority) in enumerate(arrivals, 1)]
    longest = PRIORITY.highest_priority * PRIORITY.head_start_microseconds
    for one in tickets:
        for other in tickets:
            if other.since - one.since > longest:
                assert policy.rank(one) < policy.rank(other)


def test_the_settings_are_for_some_groups_only() -> None:
    queue = make_queue(replace(PRIORITY, skills_claim="skills", groups=frozenset({"crisis"})), ann=[])
    waiting = [
        replace_struct(ticket(number, since=number, priority=1, skills="legal"), group=group)
        for number, group in ((1, "default"), (2, "crisis"), (3, "default"))
    ]
    assert matches(queue, *waiting) == [(1, ANN.id), (3, ANN.id)]  # number 2 waits for a skill
    assert [queue.position(2), *queue.in_order()] == [1, waiting[1]]


def test_a_free_last_waiter_is_preferred() -> None:
    queue = make_queue(PolicyRules(sticky=True), ann=[], ben=[])
    queue.pool.hold(BEN, 101)
    assert matches(queue, ticket(1, last=BEN), ticket(2)) == [(1, "2"), (2, "1")]
    queue.pool.set(BEN, available=False, capacity=5)
    assert matches(queue, ticket(3, last=BEN)) == [(3, "1")]


def test_skills_are_matched_without_blocking_other_users() -> None:
    rules = PolicyRules(skills_claim="skills")
    queue = make_queue(rules, ann=["Billing"], ben="tax, billing")
    queue.pool.hold(BEN, 101)
    assert matches(queue, ticket(1, skills=["tax", "billing"]), ticket(2, skills="billing")) == [
        (1, "2"),
        (2, "1"),
    ]
    assert matches(queue, ticket(3, skills=["law"]), ticket(4)) == [(4, "1")]
    assert (3 in queue, queue.has_passed_over) == (True, True)
    queue.pool.set(ANN, available=True, capacity=5, claims={"skills": ["law"]})
    assert matches(queue) == [(3, "1")]


@pytest.mark.parametrize(
    ("patience", "now", "expected"), [(120, 119, []), (120, 121, [(1, "1")]), (0, 9999, [])]
)
def test_after_the_timeout_any_waiter_is_chosen(patience: int, now: int, expected: list[Any]) -> None:
    queue = make_queue(
        PolicyRules(skills_claim="skills", skills_timeout_microseconds=patience * MICROSECONDS_PER_SECOND),
        now,
        ann=[],
    )
    assert matches(queue, ticket(1, skills=["law"])) == expected


def test_sticky_does_not_overrule_skills() -> None:
    queue = make_queue(PolicyRules(sticky=True, skills_claim="skills"), ann=[], ben=["law"])
    assert matches(queue, ticket(1, last=ANN, skills=["law"])) == [(1, "2")]


# In the server


@pytest.fixture
def server(chat_server: StartChatServer) -> ChatServer:
    options = {"priority": True, "sticky": True, "skills": True, "skills_patience": 30}
    return chat_server(plugins=["queue_policy"], queue_policy=options)


def test_the_last_waiter_is_remembered(server: ChatServer) -> None:
    first, second = server.waiter(1), server.waiter(2)
    user = server.user(5)
    served_by = user.receive("connect_success").payload_value("uuid")
    user.send_frame("disconnect")
    user.receive("disconnected")
    for _ in range(3):  # without sticky, the other waiter would be chosen
        user.send_frame("connect")
        assert user.receive("connect_success").payload_value("uuid") == served_by
        user.send_frame("disconnect")
        user.receive("disconnected")
    assert served_by in (first.uuid, second.uuid)


def test_the_skills_timeout_ends_without_another_event(server: ChatServer) -> None:
    waiter, user = server.waiter(1), server.user(5, skills=["law"])
    assert user.receive("connect_queue").payload_value("location") == 1
    server.settle()
    assert [frame.type for frame in user.unread()] == []
    # No event occurs except the passage of time.
    server.clock.advance(40)
    assert user.receive("connect_success").payload_value("uuid") == waiter.uuid


@pytest.mark.parametrize("rules", [PolicyRules(), PRIORITY])
def test_a_score_goes_before_every_wait_and_priority(rules: PolicyRules) -> None:
    queue = make_queue(rules, ann=[])
    scored = replace_struct(ticket(4, since=900), score=50)
    higher = replace_struct(ticket(5, since=950), score=60)
    waiting = ticket(1, since=0), ticket(2, since=10, priority=3), ticket(3, since=600, returned=True)
    for each in (*waiting, scored, higher):
        queue.join(each)
    made = queue.match()
    assert [each.ticket.number for each in made][:3] == [3, 5, 4]
    assert ", score 60;" in made[1].reason


def test_a_waiter_to_be_avoided_is_the_last_choice() -> None:
    queue = make_queue(PolicyRules(sticky=True), ann=[], ben=[])
    avoiding = replace_struct(ticket(1, last=ANN), avoids=(ANN,))
    assert matches(queue, avoiding) == [(1, BEN.id)]
    queue.pool.set(BEN, available=True, capacity=1)  # on duty, without a free place
    again = replace_struct(ticket(2, last=ANN), avoids=(ANN,))
    assert matches(queue, again, ticket(3)) == [(3, ANN.id)]
    queue.pool.set(BEN, available=False, capacity=1)
    assert [(made.ticket.number, made.waiter) for made in queue.match()] == [(2, ANN)]
