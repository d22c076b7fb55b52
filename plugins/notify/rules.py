"""Delivery rules: the lines of ``webhooks`` and ``apprise``, and the targets that they name.

A rule names one target (a webhook) or several (the addresses in a file for Apprise). Each target
gets its own delivery, so that the retries of one target do not repeat the confirmed delivery of another.
"""

import difflib
import enum
import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from tornado_chat.plugin_api import Notification, Role

EXAMPLE = "ADDRESS role=supervisor+admin type=0+2 offline"
ROLES = tuple(role.value for role in Role if role not in (Role.SERVICE, Role.BOT))  # they have no inbox


class Channel(enum.StrEnum):
    """The way in which a target is reached."""

    WEBHOOK = "webhook"
    APPRISE = "apprise"


@dataclass(frozen=True)
class Rule:
    """One line of the settings.

    :ivar address: a URL or, for Apprise, a file.
    :ivar roles: roles of recipients; empty for all.
    :ivar types: types of notifications; empty for all.
    :ivar is_retired: True if the rule applies to no notification: only stored deliveries are sent.
    """

    channel: Channel
    address: str = field(repr=False)
    roles: frozenset[Role] = frozenset()
    types: frozenset[int] = frozenset()
    only_offline: bool = False
    is_retired: bool = False

    def applies(self, notification: Notification, online: bool) -> bool:
        return (
            not self.is_retired
            and (not self.roles or notification.recipient.role in self.roles)
            and (not self.types or notification.type in self.types)
            and not (self.only_offline and online)
        )


@dataclass(frozen=True)
class Target:
    """A receiver of deliveries.

    :ivar key: a digest of the address, which may contain secrets: it stays the same when rules change.
    :ivar shown: the address without secrets, for logs and commands.
    :ivar rules: the target gets a notification if any of these rules applies.
    """

    key: str
    channel: Channel
    address: str = field(repr=False)
    shown: str
    rules: Sequence[Rule]

    def is_wanted(self, notification: Notification, online: bool) -> bool:
        return any(rule.applies(notification, online) for rule in self.rules)


def parse(channel: Channel, line: str) -> Rule:
    """Parse a rule. :raises ValueError: the line is wrong; the text says why, and what would be right."""
    address, *conditions = line.split()
    try:
        if channel is Channel.WEBHOOK:
            _check_url(address)
        elif not Path(address).is_absolute():
            raise ValueError(
                f'"{address}" is no absolute path; write addresses for Apprise into a file and name its path'
            )
        rule = Rule(channel, address)
        for condition in conditions:
            rule = _with_condition(rule, condition)
    except ValueError as error:
        raise ValueError(f'in the rule "{_redact_line(line)}", {error}') from None
    return rule


def merge_targets(addressed_rules: Iterable[tuple[Rule, str, str]]) -> Mapping[str, Target]:
    """Return the targets by key.

    :arg addressed_rules: tuples of a rule, an address that it names, and the address without secrets.
    """
    targets: dict[str, Target] = {}
    for rule, address, shown in addressed_rules:
        key = hashlib.sha256(f"{rule.channel.value} {address}".encode()).hexdigest()[:32]
        target = targets.get(key)
        if target is None:
            targets[key] = Target(key, rule.channel, address, shown, (rule,))
        else:
            targets[key] = replace(target, rules=(*target.rules, rule))
    return targets


def redact_url(url: str) -> str:
    """Return ``url`` without the parts that may be secret: user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def addresses(text: str) -> list[tuple[int, str]]:
    """Return the lines of a file for Apprise that have an address, with their line numbers."""
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"the address is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(
            "the rule begins with an address like https://host/path (a comma in it is written %2C)"
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("the address must begin with https://; http:// is for this machine only")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _with_condition(rule: Rule, condition: str) -> Rule:
    name, equals, value = condition.partition("=")
    values = value.split("+")
    if condition == "offline":
        return replace(rule, only_offline=True)
    if name == "role" and equals:
        for each in values:
            if each not in ROLES:
                near = difflib.get_close_matches(each, ROLES, 1)
                advice = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(ROLES)}"
                raise ValueError(f'"{each}" is no role; {advice}')
        return replace(rule, roles=rule.roles | {Role(each) for each in values})
    if name == "type" and equals:
        for each in values:
            if each not in ("0", "1", "2"):
                raise ValueError(
                    f'"{each}" is no type; there are 0 (plain), 1 (appointment) and 2 (new conversation)'
                )
        return replace(rule, types=rule.types | {int(each) for each in values})
    raise ValueError(f'"{condition}" is unknown; a rule is like: {EXAMPLE}')


def _redact_line(line: str) -> str:
    return re.sub(r"//\S*@", "//", re.sub(r"[?#]\S*", "?…", line))
