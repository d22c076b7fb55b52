"""Which agents serve a group, which users may choose it, and which groups help out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_chat.core.types import DEFAULT_GROUP, Person, Role
from tornado_chat.domain.groups import MAX_CAPACITY, Fallback, Group, Groups

ANN, BOB = Person(Role.WAITER, "ann"), Person(Role.WAITER, "bob")
CAT, DAN = Person(Role.CONSULTANT, "cat"), Person(Role.CONSULTANT, "dan")
WAITERS, CONSULTANTS = frozenset({Role.WAITER}), frozenset({Role.CONSULTANT})

GROUPS = Groups(
    [
        Group(DEFAULT_GROUP, 5),
        Group("crisis", 1, roles=CONSULTANTS),
        Group("legal", 2, members=frozenset({BOB, CAT})),
        Group("school", 3, roles=WAITERS | CONSULTANTS, is_public=False),
    ]
)


@pytest.mark.parametrize(
    ("person", "claims", "served"),
    [
        (ANN, {}, {DEFAULT_GROUP: 5, "school": 3}),
        (BOB, {}, {DEFAULT_GROUP: 5, "legal": 2, "school": 3}),
        (CAT, {}, {"crisis": 1, "legal": 2, "school": 3}),
        (ANN, {"groups": ["legal", "crisis"]}, {"legal": 2}),  # the role waiter does not serve crisis
        (ANN, {"groups": "school, legal"}, {"legal": 2, "school": 3}),
        (CAT, {"groups": ["crisis"]}, {"crisis": 1, "legal": 2}),  # a member serves its group in any case
        (ANN, {"groups": []}, {}),
        (ANN, {"groups": 7}, {DEFAULT_GROUP: 5, "school": 3}),  # no list: as if there were no claim
        (DAN, {"capacity": 2}, {"crisis": 2, "school": 2}),
        (DAN, {"capacity": 0}, {"crisis": 0, "school": 0}),
        (DAN, {"capacity": True}, {"crisis": 1, "school": 3}),
        (DAN, {"capacity": -1}, {"crisis": 1, "school": 3}),
        (DAN, {"capacity": 10**9}, {"crisis": MAX_CAPACITY, "school": MAX_CAPACITY}),
        (Person(Role.SUPERVISOR, "eve"), {"groups": ["crisis"]}, {}),
    ],
)
def test_agents_serve_groups_by_role_members_and_claims(
    person: Person, claims: dict[str, Any], served: dict[str, int]
) -> None:
    assert GROUPS.capacities(person, claims) == served


@pytest.mark.parametrize(
    ("name", "claims", "expected"),
    [
        (DEFAULT_GROUP, {}, True),
        ("crisis", {}, True),
        ("school", {}, False),
        ("school", {"groups": ["school"]}, True),
        ("school", {"groups": "legal, school"}, True),
        ("crisis", {"groups": ["school"]}, True),  # a public group needs no claim
        ("nowhere", {"groups": ["nowhere"]}, False),
    ],
)
def test_users_may_choose_public_groups_and_those_of_their_token(
    name: str, claims: dict[str, Any], expected: bool
) -> None:
    assert GROUPS.may_join(name, claims) is expected


def test_without_groups_claims_do_not_count() -> None:
    groups = Groups.single(5)
    assert groups.capacities(ANN, {"groups": ["crisis"], "capacity": 1}) == {DEFAULT_GROUP: 5}
    assert groups.capacities(CAT, {"groups": [DEFAULT_GROUP]}) == {}
    assert groups.may_join(DEFAULT_GROUP, {"groups": []})
    assert not groups.may_join("crisis", {"groups": ["crisis"]})


def test_a_removed_group_counts_as_the_default_group() -> None:
    assert GROUPS["removed"].name == DEFAULT_GROUP
    assert "removed" not in GROUPS
    assert GROUPS.fallbacks("removed") == ()


NAMES = [DEFAULT_GROUP, "a", "b", "c", "d"]


@given(st.fixed_dictionaries({name: st.sampled_from([None, "nowhere", *NAMES]) for name in NAMES}))
def test_fallbacks_follow_the_chain_and_end_at_a_circle(fallbacks: dict[str, str | None]) -> None:
    groups = Groups(
        Group(name, 1, fallback=fallback, fallback_seconds=10.0) for name, fallback in fallbacks.items()
    )
    for name in NAMES:
        found = groups.fallbacks(name)
        helpers = [each.group for each in found]
        assert len({name, *helpers}) == 1 + len(helpers)
        assert [each.seconds for each in found] == [10.0 * (n + 1) for n in range(len(found))]
        chain = [name, *helpers]
        assert all(fallbacks[one] == other for one, other in zip(chain, helpers, strict=False))
        assert fallbacks[chain[-1]] in (None, "nowhere", *chain)


def test_equal_groups_are_equal() -> None:
    assert Groups.single(5) == Groups.single(5)
    assert Groups.single(5) != Groups.single(4)
    assert Groups.single(5) != Groups([Group(DEFAULT_GROUP, 5)])
    assert Groups([Group("a", 1, fallback="b"), Group("b", 1)]).fallbacks("a") == (Fallback(0.0, "b"),)
