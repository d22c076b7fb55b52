"""Who is next in the waiting line, and who serves: priority, the last waiter, skills."""

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
    """Everything is off by default: then it is first come, first served, by the least loaded waiter."""

    priority: bool = option(False, "Let users with a priority in their token wait less.")
    priority_claim: str = option("priority", "The claim with it: a whole number, or true for 1.")
    head_start: Seconds = option(
        300.0, "So many seconds earlier than it did, a user counts as come, per priority."
    )
    highest_priority: Annotated[int, Meta(ge=1, le=100)] = option(3, "A higher one counts as this.")
    sticky: bool = option(False, "Give a user the waiter of its last conversation, if that one is free.")
    skills: bool = option(False, "Match what a user needs with what waiters can.")
    skills_claim: str = option(
        "skills", "The claim with it, of users and waiters: texts, or one text with commas."
    )
    skills_patience: Seconds = option(
        120.0, "After so many seconds without a waiter who can it all, any waiter will do; 0: never."
    )


class QueuePolicyPlugin(Plugin):
    """Makes the policy of its settings."""

    Settings = QueueSettings
    settings: QueueSettings

    @hookimpl
    def register_queue_policy(self) -> QueuePolicy:
        return Policy(make_rules(self.settings), lambda: time.time_ns() // 1000)

    @hookimpl
    def register_commands(self) -> Sequence[click.Command]:
        return [queue(make_rules(self.settings))]


def make_rules(settings: QueueSettings) -> PolicyRules:
    """What the settings ask for."""
    return PolicyRules(
        priority_claim=settings.priority_claim if settings.priority else None,
        head_start=round(settings.head_start * 1_000_000),
        highest_priority=settings.highest_priority,
        sticky=settings.sticky,
        skills_claim=settings.skills_claim if settings.skills else None,
        patience=round(settings.skills_patience * 1_000_000),
    )
