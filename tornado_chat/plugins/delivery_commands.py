"""The commands that list, retry and discard deliveries, of one plugin or of all."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.core.deliveries import MICROSECONDS_PER_SECOND, Delivery
from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.plain_text import escape_controls

if TYPE_CHECKING:
    import peewee

    from tornado_chat.plugins.context import CommandContext

NUMBER = click.IntRange(1, MAX_NUMBER)
HEADINGS = ("ID", "PLUGIN", "STATE", "SINCE / NEXT TRY", "TRIES", "ITEM", "FOR", "TO", "LAST ERROR")

dead_option = click.option("--dead", is_flag=True, help="Show only deliveries that were given up.")
last_option = click.option(
    "--last", default=100, show_default=True, type=NUMBER, help="Show the newest N deliveries."
)
ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1, type=NUMBER)


def delivery_commands(plugin: str, help: str) -> click.Group:
    """Return the command group of a plugin that has an outbox: ``PLUGIN list``, ``retry`` and ``discard``."""

    @click.group(plugin, help=help)
    def group() -> None: ...

    @group.command("list")
    @dead_option
    @last_option
    @click.pass_obj
    def list_(context: "CommandContext", dead: bool, last: int) -> None:
        """Show the deliveries that wait or were given up (dead), the oldest first."""
        show(context.database, context.timezone, plugin, dead, last, command=plugin)

    @group.command()
    @ids_argument
    @click.option("--all", "all_dead", is_flag=True, help="Retry all dead deliveries.")
    @click.pass_obj
    def retry(context: "CommandContext", ids: Sequence[int], all_dead: bool) -> None:
        """Make dead deliveries wait again, due at once. The exit code is 1 if a delivery is not dead."""
        retry_dead(context.database, plugin, ids, all_dead, command=plugin)

    @group.command()
    @ids_argument
    @click.option("--all", "all_dead", is_flag=True, help="Discard all dead deliveries.")
    @click.pass_obj
    def discard(context: "CommandContext", ids: Sequence[int], all_dead: bool) -> None:
        """Remove dead deliveries. The exit code is 1 if a delivery is not dead."""
        discard_dead(context.database, plugin, ids, all_dead, command=plugin)

    return group


def show(
    database: "peewee.Database", timezone: str, plugin: str | None, dead: bool, last: int, *, command: str
) -> None:
    """Print deliveries. :arg plugin: None for those of all plugins. :arg command: the name of the group."""
    from tornado_chat.storage import deliveries

    rows = deliveries.undelivered(database, plugin, dead, last)
    counts = deliveries.count_states(database, plugin)
    if rows:
        for line in _table(rows, timezone):
            click.echo(line)
        click.echo()
    waiting, given_up = counts[deliveries.WAITING], counts[deliveries.DEAD]
    click.echo(
        f"{waiting} waiting, {given_up} dead, {counts[deliveries.DELIVERED]} delivered in the last days"
    )
    total = given_up if dead else given_up + waiting
    if len(rows) < total:
        click.echo(f"{total - len(rows)} older deliveries are not shown; --last {total} shows all")
    if given_up:
        click.echo(
            "repair the cause of the dead deliveries, then try them again, or discard them:\n"
            f"    tornado-chat {command} retry ID…       or     tornado-chat {command} retry --all\n"
            f"    tornado-chat {command} discard ID…     or     tornado-chat {command} discard --all"
        )


def retry_dead(
    database: "peewee.Database", plugin: str | None, ids: Sequence[int], all_dead: bool, *, command: str
) -> None:
    """Make dead deliveries wait again. :raises ClickException: a delivery is not dead."""
    from tornado_chat.storage import deliveries

    now = now_microseconds()
    count, problems = _change(
        database, plugin, ids, all_dead, command, lambda id: deliveries.retry(database, plugin, now, id)
    )
    if count:
        noun = "1 delivery waits" if count == 1 else f"{count} deliveries wait"
        click.echo(f"{noun} again; a running server tries within 5 seconds, see: tornado-chat {command} list")
    _finish(count, problems, all_dead, "tried again")


def discard_dead(
    database: "peewee.Database", plugin: str | None, ids: Sequence[int], all_dead: bool, *, command: str
) -> None:
    """Remove dead deliveries. :raises ClickException: a delivery is not dead."""
    from tornado_chat.storage import deliveries

    count, problems = _change(
        database, plugin, ids, all_dead, command, lambda id: deliveries.discard(database, plugin, id)
    )
    if count:
        click.echo("1 delivery is discarded" if count == 1 else f"{count} deliveries are discarded")
    _finish(count, problems, all_dead, "discarded")


def _change(
    database: "peewee.Database",
    plugin: str | None,
    ids: Sequence[int],
    all_dead: bool,
    command: str,
    change: Callable[[int | None], int],
) -> tuple[int, list[str]]:
    """Call ``change`` for each id, or with None for all. Returns the changed rows, and texts on others."""
    from tornado_chat.storage import deliveries

    if bool(ids) == all_dead:
        raise click.UsageError(
            f"name the deliveries by their ID (`tornado-chat {command} list`), or use --all"
        )
    if all_dead:
        return change(None), []
    count, problems = 0, []
    for id in dict.fromkeys(ids):
        if change(id):
            count += 1
        else:
            state = deliveries.state_of(database, plugin, id)
            problems.append(f"{id} is {state}" if state else f"there is no delivery {id}")
    return count, problems


def _finish(count: int, problems: Sequence[str], all_dead: bool, participle: str) -> None:
    if all_dead and not count:
        click.echo("there is no dead delivery")
    if problems:
        raise click.ClickException(f"only dead deliveries can be {participle}: {', '.join(problems)}")


def _table(rows: Sequence[Delivery], timezone: str) -> list[str]:
    zone = ZoneInfo(timezone) if timezone else None
    cells = [HEADINGS]
    for row in rows:
        at = datetime.fromtimestamp(row.next_at / MICROSECONDS_PER_SECOND, zone)
        cells.append(
            (
                str(row.id),
                row.plugin,
                row.state,
                f"{at:%Y-%m-%d %H:%M:%S}",
                str(row.attempts),
                row.item,
                row.recipient,
                row.shown,
                # The text comes from another server, and must not contain control codes for the terminal.
                escape_controls(row.last_error),
            )
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
