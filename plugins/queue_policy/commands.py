"""The command ``tornado-chat queue explain``."""

from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import click

from tornado_chat.plugin_api import (
    DEFAULT_GROUP,
    MAX_PAGE_ITEMS,
    CommandContext,
    Conversation,
    ConversationState,
    Person,
    Role,
    ServerData,
    Ticket,
)

from .policy import MICROSECONDS_PER_SECOND, Policy, PolicyRules


def queue(rules: PolicyRules) -> click.Group:
    """Return the group of commands for a server with these rules."""

    @click.group("queue")
    def group() -> None:
        """Explain the support queue."""

    @group.command()
    @click.option("--user", help="Show only the conversations of the user with this id.")
    @click.option(
        "--last",
        default=20,
        show_default=True,
        type=click.IntRange(1, 10000),
        help="Show the matches of the last N conversations that had one.",
    )
    @click.pass_obj
    def explain(context: CommandContext, user: str | None, last: int) -> None:
        """Show the queue in its order, and the reasons of the order and of the last matches."""
        person = Person(Role.USER, user) if user else None
        zone = ZoneInfo(context.timezone) if context.timezone else None
        waiting = _explain_queue(context.data, rules)
        shown = [line for ticket, line in waiting if person is None or ticket.user == person]
        click.echo("the queue is empty" if not shown else "waiting, the next user first:")
        for line in shown:
            click.echo(f"  {line}")
        matches = _load_matches(context.data, person, last)
        click.echo("no match was made yet" if not matches else "\nmatches, the newest first:")
        for assigned, match in matches:
            waited = (assigned - match.created) / MICROSECONDS_PER_SECOND
            time = datetime.fromtimestamp(assigned / MICROSECONDS_PER_SECOND, zone)
            waiter = match.waiter.key if match.waiter else None
            click.echo(
                f"  {time:%Y-%m-%d %H:%M:%S}  conversation {match.id}: {match.user.key} to {waiter} "
                f"after {waited:.0f} s: {match.reason or 'no reason recorded'}"
            )

    return group


def _explain_queue(data: ServerData, rules: PolicyRules) -> list[tuple[Ticket, str]]:
    """Return the waiting users in the policy's order, each with a sentence.

    Without any feature the order is that of the server's default policy.
    """
    policy = Policy(rules, lambda: 0)
    lines = []
    positions: Counter[str] = Counter()  # by group
    waiting = {each.id: each for each in _waiting_conversations(data)}
    for ticket in sorted(map(_ticket, waiting.values()), key=policy.rank):
        positions[ticket.group] += 1
        position = positions[ticket.group]
        reasons = ["the waiter was lost, so this user goes first"] if ticket.returned else []
        if ticket.score:
            why = waiting[ticket.number].score_reason
            reasons.append(f"score {ticket.score}{f' ({why})' if why else ''}, before all lower ones")
        own = rules.of(ticket.group)
        priority = own.priority(ticket.claims)
        if priority:
            reasons.append(
                f"priority {priority}, "
                f"{priority * own.head_start_microseconds // MICROSECONDS_PER_SECOND} s ahead"
            )
        needed = own.skills(ticket.claims)
        if needed:
            reasons.append(f"needs {', '.join(sorted(needed))}")
        if own.sticky and ticket.last_waiter:
            reasons.append(f"had {ticket.last_waiter.key} the last time")
        if ticket.avoids:
            missed = ", ".join(waiter.key for waiter in ticket.avoids)
            reasons.append(f"{missed} did not answer and is the last choice")
        reasons_text = f": {'; '.join(reasons) or 'in the order of arrival'}"
        group = "" if ticket.group == DEFAULT_GROUP else f", group {ticket.group}"
        conversation = f"conversation {ticket.number}{group}"
        lines.append((ticket, f"{position}. {ticket.user.key} ({conversation}){reasons_text}"))
    return lines


def _waiting_conversations(data: ServerData) -> list[Conversation]:
    found: list[Conversation] = []
    following = None
    while True:
        page, following = data.conversations(
            states=[ConversationState.WAITING], after=following, limit=MAX_PAGE_ITEMS
        )
        found += page
        if following is None:
            return found


def _ticket(row: Conversation) -> Ticket:
    return Ticket(
        row.id,
        row.user,
        row.created,
        row.returned,
        row.claims,
        row.last_waiter,
        row.group,
        row.score,
        tuple(dict.fromkeys(row.missed_by)),
    )


def _load_matches(data: ServerData, user: Person | None, last: int) -> list[tuple[int, Conversation]]:
    """Return the newest ``last`` conversations that were assigned, each with the time, the latest first."""
    found: list[tuple[int, Conversation]] = []
    following = None
    while True:
        page, following = data.conversations(user=user, after=following, limit=MAX_PAGE_ITEMS)
        found += [(each.assigned, each) for each in page if each.assigned is not None]
        if following is None or len(found) >= last:
            return sorted(found[:last], key=lambda match: match[0], reverse=True)
