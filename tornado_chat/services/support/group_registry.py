"""The groups of the configuration, for the connections and the HTTP API of this process."""

from collections.abc import Iterator

from tornado_chat import config
from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import AGENT_ROLES, DEFAULT_GROUP, EarlyWords, Identity, Person, Role
from tornado_chat.domain.approval import ApprovalRules
from tornado_chat.domain.groups import Group, Groups


def build_groups(settings: config.Config) -> Groups:
    """Return the rules of the groups of a configuration."""
    if not settings.groups:
        return Groups.single(settings.support.capacity)
    sections = {DEFAULT_GROUP: config.Group(), **settings.groups}
    return Groups(_build_group(name, section, settings.support) for name, section in sections.items())


def _build_group(name: str, section: config.Group, support: config.Support) -> Group:
    return Group(
        name,
        section.capacity or support.capacity,
        frozenset(map(Role, section.roles)),
        frozenset(map(Person.from_key, section.members)),
        section.public,
        section.priority,
        section.fallback or None,
        section.fallback_after,
        frozenset(map(Person.from_key, section.supervisors)),
        section.tell_observing,
    )


class GroupRegistry:
    """The rules and the texts of the groups.

    :ivar rules: the rules.
    """

    rules: Groups

    def __init__(self, settings: config.Config) -> None:
        self.reconfigure(settings)

    def reconfigure(self, settings: config.Config) -> None:
        """Use the groups of another configuration from now on."""
        self.rules = build_groups(settings)
        self._sections = settings.groups
        self._early_words = settings.support.early_words

    @property
    def approval_groups(self) -> frozenset[str]:
        """The groups whose agents need an approval for each message."""
        return frozenset(name for name, section in self._sections.items() if section.approval)

    def approval_rules(self, name: str) -> ApprovalRules:
        """Return what happens to the held messages of a group."""
        section = self._section(name)
        return ApprovalRules(section.approval_timeout, section.approval_expired == "send")

    def require_open(self, identity: Identity, name: str) -> None:
        """Check that a user may choose a group.

        :raises NotFound: there is no such group, or the user may not choose it.
        """
        if not self.rules.may_join(name, identity.claims):
            raise NotFound("no_such_group", group=name[:64])

    def require_known(self, name: str) -> None:
        """Check that there is a group. :raises NotFound: there is none."""
        if name not in self.rules:
            raise NotFound("no_such_group", group=name[:64])

    def of_user(self, identity: Identity) -> Iterator[Group]:
        """Iterate over the groups that a user may choose."""
        return (group for group in self.rules if self.rules.may_join(group.name, identity.claims))

    def has_agent(self, identity: Identity) -> bool:
        """Return True if the person may serve users: a waiter, or a consultant who serves a group."""
        if identity.person.role is Role.WAITER:
            return True
        is_agent = identity.person.role in AGENT_ROLES
        return is_agent and bool(self.rules.capacities(identity.person, identity.claims))

    def serves(self, identity: Identity, name: str) -> bool:
        """Return True if an agent serves a group; a group that does not exist counts as the default group."""
        person = identity.person
        return person.role in AGENT_ROLES and self.rules[name].name in self.rules.capacities(
            person, identity.claims
        )

    def early_words(self, name: str) -> EarlyWords:
        """Return what becomes of the first words of a user of the group who gives up."""
        own = self._section(name).early_words
        return EarlyWords(self._early_words if own == "default" else own)

    def title(self, name: str, language: str) -> str:
        """Return the title of a group in ``zh_CN`` or ``en``."""
        return self._section(name).title_in(language, name)

    def text(self, name: str, language: str) -> str:
        """Return the sentence about a group; empty if it has none."""
        return self._section(name).text_in(language)

    def _section(self, name: str) -> config.Group:
        return self._sections.get(name) or config.Group()
