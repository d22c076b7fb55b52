"""The command ``tornado-chat queue explain``."""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
import peewee

from tornado_chat.plugin_api import CommandContext, ConversationState, Person, Ticket, models

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
        help="Show the last N matches.",
    )
    @click.pass_obj
    def explain(context: CommandContext, user: str | None, last: int) -> None:
        """Show the queue in its order, and the reasons of the order and of the last matches."""
        person = f"user:{user}" if user else None
        zone = ZoneInfo(context.timezone) if context.timezone else None
        waiting = _explain_queue(context.database, rules)
        shown = [line for ticket, line in waiting if person is None or ticket.user.key == person]
        click.echo("the queue is empty" if not shown else "waiting, the next user first:")
        for line in shown:
            click.echo(f"  {line}")
        matches = _load_matches(context.database, person, last)
        click.echo("no match was made yet" if not matches else "\nmatches, the newest first:")
        for row in matches:
            waited = (row["assigned"] - row["created"]) / MICROSECONDS_PER_SECOND
            time = datetime.fromtimestamp(row["assigned"] / MICROSECONDS_PER_SECOND, zone)
            click.echo(
                f"  {time:%Y-%m-%d %H:%M:%S}  conversation {row['id']}: {row['user']} to {row['waiter']} "
                f"after {waited:.0f} s: {row['reason'] or 'no reason recorded'}"
            )

    return group


def _explain_queue(database: peewee.Database, rules: PolicyRules) -> list[tuple[Ticket, str]]:
    """Return the waiting users in the policy's order, each with a sentence."""
    table = models.SupportConversation
    rows = table.select().where(table.state == ConversationState.WAITING.value).dicts().execute(database)
    policy = Policy(rules, lambda: 0)
    lines = []
    tickets = sorted((_ticket(row) for row in rows), key=policy.rank)
    for position, ticket in enumerate(tickets, 1):
        reasons = ["the waiter was lost, so this user goes first"] if ticket.returned else []
        priority = rules.priority(ticket.claims)
        if priority:
            reasons.append(
                f"priority {priority}, "
                f"{priority * rules.head_start_microseconds // MICROSECONDS_PER_SECOND} s ahead"
            )
        needed = rules.skills(ticket.claims)
        if needed:
            reasons.append(f"needs {', '.join(sorted(needed))}")
        if rules.sticky and ticket.last_waiter:
            reasons.append(f"had {ticket.last_waiter.key} the last time")
        reasons_text = f": {'; '.join(reasons)}" if reasons else ""
        lines.append((ticket, f"{position}. {ticket.user.key} (conversation {ticket.number}){reasons_text}"))
    return lines


def _ticket(row: dict[str, Any]) -> Ticket:
    return Ticket(
        row["id"],
        Person.from_key(row["user"]),
        row["created"],
        bool(row["returned"]),
        json.loads(row["claims"]) if row["claims"] else {},
        Person.from_key(row["last_waiter"]) if row["last_waiter"] else None,
    )


def _load_matches(database: peewee.Database, person: str | None, last: int) -> list[dict[str, Any]]:
    table = models.SupportConversation
    query = table.select().where(table.assigned.is_null(False))
    if person is not None:
        query = query.where(table.user == person)
    return list(query.order_by(table.assigned.desc()).limit(last).dicts().execute(database))
