"""The rules of groups: which agents serve a group, which users may choose it, and when others help out.

A group has a queue of its own. An agent may serve several groups, and has one load in all of them. The claims
``groups`` and ``capacity`` of tokens count only if the configuration has groups, so that without any the
server works as one without groups.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from tornado_chat.core.types import DEFAULT_GROUP, Person, Role

GROUPS_CLAIM = "groups"
"""The claim of a token with the names of groups: a list of texts, or one text with commas."""

CAPACITY_CLAIM = "capacity"
"""The claim of an agent's token with the number of users that the agent serves at the same time."""

MAX_CAPACITY = 1000


class Group(msgspec.Struct, frozen=True):
    """The rules of a group.

    :arg capacity: an agent gets a user of the group while it serves fewer users than this, of all groups.
    :arg roles: the roles of the agents that serve the group, unless ``members`` or the claim say otherwise.
    :arg members: the agents that serve the group whatever their role and claims.
    :arg supervisors: the people who supervise the group whatever their claims.
    :arg tells_observing: whether participants are told of observers.
    :arg priority: the waiting users of the group with the highest priority come first.
    :arg fallback: the group whose agents serve a user, too, that has waited ``fallback_seconds``; or None.
    """

    name: str
    capacity: int
    roles: frozenset[Role] = frozenset({Role.WAITER})
    members: frozenset[Person] = frozenset()
    is_public: bool = True
    priority: int = 0
    fallback: str | None = None
    fallback_seconds: float = 0.0
    supervisors: frozenset[Person] = frozenset()
    tells_observing: bool = False


class Fallback(msgspec.Struct, frozen=True):
    """From ``seconds`` of waiting on, the agents of ``group`` serve a user of another group, too."""

    seconds: float
    group: str


class Groups:
    """All groups of a configuration.

    :arg groups: the groups, in the order of the configuration. The group ``DEFAULT_GROUP`` is among them.
    :arg uses_claims: whether the claims ``groups`` and ``capacity`` count.
    """

    def __init__(self, groups: Iterable[Group], *, uses_claims: bool = True) -> None:
        self._groups = {group.name: group for group in groups}
        self._uses_claims = uses_claims
        self._fallbacks = {name: self._find_fallbacks(name) for name in self._groups}

    @classmethod
    def single(cls, capacity: int) -> "Groups":
        """Return the groups of a configuration without groups: one, which all waiters serve."""
        return cls([Group(DEFAULT_GROUP, capacity)], uses_claims=False)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Groups)
            and self._groups == other._groups
            and self._uses_claims == other._uses_claims
        )

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, name: object) -> bool:
        return name in self._groups

    def __getitem__(self, name: str) -> Group:
        """Return a group; the default group for an unknown name, as of a group that was removed."""
        return self._groups.get(name) or self._groups[DEFAULT_GROUP]

    def __iter__(self) -> Iterator[Group]:
        """Iterate over the groups, in the order of the configuration."""
        return iter(self._groups.values())

    @property
    def names(self) -> Collection[str]:
        return self._groups.keys()

    def capacities(self, person: Person, claims: Mapping[str, Any]) -> dict[str, int]:
        """Return the groups that an agent serves, each with the agent's capacity for it.

        Empty for a person who serves no group.
        """
        named = self._named_in(claims)
        own = claims.get(CAPACITY_CLAIM) if self._uses_claims else None
        limit = min(own, MAX_CAPACITY) if type(own) is int and own >= 0 else None
        return {
            name: group.capacity if limit is None else limit
            for name, group in self._groups.items()
            if _serves(group, person, named)
        }

    def may_join(self, name: str, claims: Mapping[str, Any]) -> bool:
        """Return True if a user with these claims may join the queue of a group."""
        group = self._groups.get(name)
        return group is not None and (group.is_public or name in (self._named_in(claims) or ()))

    def supervised(self, person: Person, claims: Mapping[str, Any]) -> list[str]:
        """Return the groups whose conversations a supervisor may all follow; empty for other roles.

        These are the groups that name the supervisor, or that the claim ``groups`` names.
        """
        if person.role is not Role.SUPERVISOR:
            return []
        named = self._named_in(claims) or ()
        return [name for name, group in self._groups.items() if person in group.supervisors or name in named]

    def fallbacks(self, name: str) -> tuple[Fallback, ...]:
        """Return the groups that help out for a group, the first first."""
        return self._fallbacks.get(name, ())

    def _named_in(self, claims: Mapping[str, Any]) -> Collection[str] | None:
        """Return the names of groups in the claims; None if the claim is missing or no list of texts."""
        value = claims.get(GROUPS_CLAIM) if self._uses_claims else None
        if isinstance(value, str):
            return {name.strip() for name in value.split(",")}
        return {name for name in value if isinstance(name, str)} if isinstance(value, list | tuple) else None

    def _find_fallbacks(self, name: str) -> tuple[Fallback, ...]:
        """Follow the chain of fallback groups from ``name``, up to a group that does not exist or repeats."""
        found: dict[str, Fallback] = {}
        seconds, group = 0.0, self._groups[name]
        while group.fallback in self._groups and group.fallback not in (name, *found):
            seconds += group.fallback_seconds
            found[group.fallback] = Fallback(seconds, group.fallback)
            group = self._groups[group.fallback]
        return tuple(found.values())


def _serves(group: Group, person: Person, named: Collection[str] | None) -> bool:
    """Return True if an agent serves a group. :arg named: the groups in the agent's token, or None."""
    if person in group.members:
        return True
    if person.role not in group.roles:
        return False
    return not group.members if named is None else group.name in named
