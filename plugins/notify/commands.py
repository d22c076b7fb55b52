"""``tornado-chat notify``: commands to list waiting and dead deliveries, and to retry dead ones."""

import time
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import click

from tornado_chat.plugin_api import MAX_NUMBER, CommandContext, escape_controls

from . import outbox
from .outbox import DEAD, DELIVERED, WAITING, NotifyDelivery

MICROSECONDS_PER_SECOND = 1_000_000
NUMBER = click.IntRange(1, MAX_NUMBER)
HEADINGS = ("ID", "STATE", "SINCE / NEXT TRY", "TRIES", "NOTIFICATION", "FOR", "TO", "LAST ERROR")


@click.group()
def notify() -> None:
    """Show and retry deliveries of notifications by webhooks, mail and messengers."""


@notify.command("list")
@click.option("--dead", is_flag=True, help="Show only deliveries that were given up.")
@click.option("--last", default=100, show_default=True, type=NUMBER, help="Show the newest N deliveries.")
@click.pass_obj
def list_(context: CommandContext, dead: bool, last: int) -> None:
    """Show the deliveries that wait or were given up (dead), the oldest first."""
    rows = outbox.undelivered(context.database, dead, last)
    counts = outbox.counts(context.database)
    if rows:
        for line in _table(rows, context.timezone):
            click.echo(line)
        click.echo()
    click.echo(
        f"{counts[WAITING]} waiting, {counts[DEAD]} dead, {counts[DELIVERED]} delivered in the last days"
    )
    total = counts[DEAD] if dead else counts[DEAD] + counts[WAITING]
    if len(rows) < total:
        click.echo(f"{total - len(rows)} older deliveries are not shown; --last {total} shows all")
    if counts[DEAD]:
        click.echo(
            "repair the cause of the dead deliveries, then try them again:\n"
            "    tornado-chat notify retry ID…     or     tornado-chat notify retry --all"
        )


@notify.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=NUMBER)
@click.option("--all", "all_dead", is_flag=True, help="Retry all dead deliveries.")
@click.pass_obj
def retry(context: CommandContext, ids: Sequence[int], all_dead: bool) -> None:
    """Make dead deliveries wait again, due at once. The exit code is 1 if a delivery is not dead."""
    if bool(ids) == all_dead:
        raise click.UsageError("name the deliveries by their ID (`tornado-chat notify list`), or use --all")
    now = time.time_ns() // 1000
    problems = []
    if all_dead:
        count = outbox.retry(context.database, now)
    else:
        count = 0
        for id in dict.fromkeys(ids):
            if outbox.retry(context.database, now, id):
                count += 1
            else:
                state = outbox.state_of(context.database, id)
                problems.append(f"{id} is {state}" if state else f"there is no delivery {id}")
    if count:
        noun = "1 delivery waits" if count == 1 else f"{count} deliveries wait"
        click.echo(f"{noun} again; a running server tries within 5 seconds, see: tornado-chat notify list")
    elif all_dead:
        click.echo("there is no dead delivery")
    if problems:
        raise click.ClickException(f"only dead deliveries can be tried again: {', '.join(problems)}")


def _table(rows: Sequence[NotifyDelivery], timezone: str) -> list[str]:
    zone = ZoneInfo(timezone) if timezone else None
    cells = [HEADINGS]
    for row in rows:
        at = datetime.fromtimestamp(row.next_at / MICROSECONDS_PER_SECOND, zone)
        cells.append(
            (
                str(row.id),
                row.state,
                f"{at:%Y-%m-%d %H:%M:%S}",
                str(row.attempts),
                str(row.notification),
                row.recipient,
                row.shown,
                # The text comes from another server, and must not contain control codes for the terminal.
                escape_controls(row.last_error or ""),
            )
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
