"""Checks of the sections of groups: names, members and fallback groups."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tornado_chat.core.types import AGENT_ROLES, DEFAULT_GROUP, Role

if TYPE_CHECKING:
    from tornado_chat.config.sections import Config, Group

CONSENT_OPTIONS = ("consent", "consent_zh_cn", "consent_en")
MAX_VERSION_CHARS = 32
"""The size of the version's column in the database."""

MAX_CONSENT_CHARS = 16_000
"""The longest consent text: it goes to the client in one frame."""

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""A group's name: it is in addresses, in labels of metrics and in a column of the database."""


def check_groups(config: "Config") -> Iterator[tuple[str, str, str]]:
    """Yield (section, option, message) of each mistake in the sections of groups."""
    for name, group in config.groups.items():
        section = f"group:{name}"
        if not NAME_PATTERN.fullmatch(name):
            expected = "1 to 32 of a-z, 0-9, _ and -, beginning with a letter or a digit"
            yield section, "", f'"{name}" is no name of a group; use {expected}'
        for member in group.members:
            role, _, id = member.partition(":")
            if role not in AGENT_ROLES or not id:
                yield section, "members", f'"{member}" is no agent; it looks like waiter:7 or consultant:8'
        for supervisor in group.supervisors:
            role, _, id = supervisor.partition(":")
            if role != Role.SUPERVISOR or not id:
                message = f'"{supervisor}" is no supervisor; it looks like supervisor:3'
                yield section, "supervisors", message
        if not group.roles and not group.members:
            message = "is empty, and there are no members: no agent could serve the group; write waiter"
            yield section, "roles", message
        yield from _check_consent(section, group)
        yield from _check_fallback(name, group, {DEFAULT_GROUP: None, **config.groups})


def _check_consent(section: str, group: "Group") -> Iterator[tuple[str, str, str]]:
    if not any(getattr(group, option) for option in CONSENT_OPTIONS):
        if group.consent_version:
            yield section, "consent_version", "there is no text; write it into consent, or remove this option"
        if group.consent_required:
            yield section, "consent_required", "there is no text to accept; write it into consent"
        return
    if not group.consent_version:
        yield section, "consent_version", "is empty; name the version of the text, for example 2026-01"
    if len(group.consent_version) > MAX_VERSION_CHARS:
        yield section, "consent_version", f"has more than {MAX_VERSION_CHARS} characters; use a shorter one"
    for language, option in (("zh_CN", "consent_zh_cn"), ("en", "consent_en")):
        if not group.consent_in(language):
            yield section, option, "is empty, and so is consent; write the text in this language, or consent"


def _check_fallback(
    name: str, group: "Group", groups: Mapping[str, "Group | None"]
) -> Iterator[tuple[str, str, str]]:
    section, fallback = f"group:{name}", group.fallback
    if not fallback:
        return
    if fallback not in groups:
        near = get_close_matches(fallback, groups, 1)
        advice = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(groups)}"
        yield section, "fallback", f'there is no group "{fallback}"; {advice}'
        return
    path = [name]
    while fallback in groups and fallback not in path:
        path.append(fallback)
        following = groups[fallback]
        fallback = following.fallback if following is not None else ""
    if fallback == name:
        cycle = " → ".join((*path, name))
        yield section, "fallback", f"the groups form a circle: {cycle}; leave the last one empty"
