"""A queue policy with priorities, sticky waiters and skills."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import click
from msgspec import Meta

from tornado_chat.plugin_api import Plugin, PluginSettings, QueuePolicy, hookimpl, option

from .commands import queue
from .policy import Policy, PolicyRules

Seconds = Annotated[float, Meta(ge=0, le=86400 * 7)]


@dataclass(frozen=True)
class QueueSettings(PluginSettings):
    """The settings. All features are off by default: first come, first served by the least loaded waiter."""

    priority: bool = option(False, "Let users with a priority in their token wait less.")
    priority_claim: str = option("priority", "The claim with the priority: a whole number, or true for 1.")
    head_start: Seconds = option(
        300.0, "Seconds by which a user counts as having come earlier, per step of priority."
    )
    highest_priority: Annotated[int, Meta(ge=1, le=100)] = option(
        3, "The highest priority; a higher value counts as this one."
    )
    sticky: bool = option(False, "Give users the waiter of their last conversation, if that waiter is free.")
    skills: bool = option(False, "Match the skills that a user needs with the skills of the waiters.")
    skills_claim: str = option(
        "skills",
        "The claim with the skills, of users and of waiters: a list of texts, or one text with commas.",
    )
    skills_patience: Seconds = option(
        120.0,
        "Seconds after which a user for whom no waiter has all the skills gets any waiter; 0: never.",
    )
    groups: tuple[str, ...] = option(
        (), "The groups, [group:NAME], that these settings are for; empty: all groups."
    )


class QueuePolicyPlugin(Plugin):
    """Registers the queue policy of the settings and its command."""

    Settings = QueueSettings
    settings: QueueSettings

    @hookimpl
    def register_queue_policy(self) -> QueuePolicy:
        return Policy(make_rules(self.settings), lambda: time.time_ns() // 1000)

    @hookimpl
    def register_commands(self) -> Sequence[click.Command]:
        return [queue(make_rules(self.settings))]


def make_rules(settings: QueueSettings) -> PolicyRules:
    """Return the rules of the settings."""
    return PolicyRules(
        priority_claim=settings.priority_claim if settings.priority else None,
        head_start_microseconds=round(settings.head_start * 1_000_000),
        highest_priority=settings.highest_priority,
        sticky=settings.sticky,
        skills_claim=settings.skills_claim if settings.skills else None,
        skills_timeout_microseconds=round(settings.skills_patience * 1_000_000),
        groups=frozenset(settings.groups),
    )
