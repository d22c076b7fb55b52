"""The commands ``db prune``, ``db compact`` and ``db operations``."""

import sys
from typing import TYPE_CHECKING

import click

from tornado_chat import config as configuration
from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cli.options import ConfigArguments, missing_database_text, with_config
from tornado_chat.cli.person_data import confirm, open_person_data, sqlite_file
from tornado_chat.cli.progress import progress, sigterm_as_interrupt
from tornado_chat.core.numbers import MAX_NUMBER

if TYPE_CHECKING:
    import peewee

MICROSECONDS_PER_DAY = 86_400_000_000
WAL_TIMEOUT_SECONDS = 30.0  # to get exclusive access to the write-ahead log
MAX_RETENTION_DAYS = 36500  # as of ``[storage] retention_days``


@click.command()
@click.option(
    "--older-than",
    "days",
    metavar="DAYS",
    type=click.IntRange(0, MAX_RETENTION_DAYS),
    help="Use this instead of [storage] retention_days.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_config
def prune(config_arguments: ConfigArguments, days: int | None, dry_run: bool, yes: bool) -> None:
    """Remove old conversations with all their data.

    These are the conversations that ended more than [storage] retention_days ago. Open conversations and
    undelivered notifications are kept. The server may be running; if retention_days is set, it prunes every
    day by itself.
    """
    from tornado_chat.cli.formatting import count_text, number
    from tornado_chat.core.types import Kind
    from tornado_chat.data_management.operation_log import OperationRecorder
    from tornado_chat.data_management.pruning import prune as remove
    from tornado_chat.storage.retention import count_expired

    config = config_arguments.load()
    if days is None:
        days = config.storage.retention_days
        if not days:
            raise click.UsageError("[storage] retention_days is not set: add --older-than DAYS")
    with open_person_data(config) as (database, keepers):
        before = now_microseconds() - days * MICROSECONDS_PER_DAY
        expired = count_expired(database, before)
        conversations = ", ".join(
            count_text(expired.conversations[kind], name)
            for kind, name in (
                (Kind.SESSION, "session"),
                (Kind.RECORD, "supervision record"),
                (Kind.SUPPORT, "support conversation"),
            )
        )
        click.echo(
            f"older than {count_text(days, 'day')}: {conversations}, with "
            f"{count_text(expired.messages, 'message')}; {count_text(expired.notifications, 'notification')}"
        )
        if dry_run:
            click.echo("nothing was changed")
            return
        confirm("Remove them permanently?", yes)
        recorder = OperationRecorder(database, keepers, "prune")
        try:
            recorder.record_state("begun")
        except ValueError as error:
            raise click.ClickException(
                f"nothing was removed: the operation cannot be recorded: {error}"
            ) from error
        try:
            with sigterm_as_interrupt(), progress("removing") as bar:
                counts = remove(database, keepers, before, bar.tick)
        except KeyboardInterrupt:
            recorder.record_state("stopped")
            raise click.ClickException(
                "interrupted: some conversations are removed; run the same command again to remove the rest"
            ) from None
        recorder.record_state("done", counts)
        is_log_empty = _empty_log(config, database)
    for table, rows in sorted(counts.items()):
        click.echo(f"{number(rows):>12}  {table}")
    click.echo(
        "removed; new rows will use the free space, or run `tornado-chat db compact` to shrink the file"
    )
    if keepers.failed:
        raise click.ClickException(
            "these plugins failed, and may still hold data of these conversations: "
            f"{', '.join(sorted(keepers.failed))}"
        )
    if not is_log_empty:
        click.echo(
            "the write-ahead log was in use and may still contain the data: run the same command again, or "
            "stop the server, which empties the log"
        )
        sys.exit(1)


def _empty_log(config: configuration.Config, database: "peewee.Database") -> bool:
    """Empty the write-ahead log, which still has the removed rows. Return False if it was in use."""
    from tornado_chat.storage import sqlite_files

    if not config.storage.url.startswith("sqlite:"):
        return True
    database.close()  # a read in this connection would keep the log
    return sqlite_files.truncate_wal(sqlite_file(config, ""), WAL_TIMEOUT_SECONDS)


@click.command()
@with_config
def compact(config_arguments: ConfigArguments) -> None:
    """Rewrite the database file without free space.

    Stop the server first. This also removes the remains of deleted rows in the free space of SQLite's pages.
    """
    from tornado_chat.cli.formatting import size
    from tornado_chat.storage import sqlite_files

    config = config_arguments.load()
    path = sqlite_file(config, "Use OPTIMIZE TABLE there.")
    missing = missing_database_text(config)
    if missing:
        raise click.ClickException(missing)
    if sqlite_files.is_in_use(path):
        raise click.ClickException(
            f"{path} is in use, and compacting would block all writes: stop the server first"
        )
    before = path.stat().st_size
    try:
        with sigterm_as_interrupt(), progress("compacting") as bar:
            sqlite_files.compact(path, bar.tick)
            sqlite_files.truncate_wal(path, timeout_seconds=5)
    except sqlite_files.CorruptDatabase as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{path} is compacted, from {size(before)} to {size(path.stat().st_size)}")


@click.command()
@click.option(
    "--last",
    default=50,
    show_default=True,
    type=click.IntRange(1, MAX_NUMBER),
    help="Show the newest N entries.",
)
@with_config
def operations(config_arguments: ConfigArguments, last: int) -> None:
    """List the recorded commands that concern data, accounts or access, oldest first."""
    from tornado_chat.cli.formatting import format_time, table
    from tornado_chat.storage.operations import latest

    config = config_arguments.load()
    with open_person_data(config) as (database, _):
        found = latest(database, last)
    if not found:
        click.echo("no operation is recorded")
        return
    rows = [("ID", "TIME", "OPERATOR", "OPERATION", "PERSON", "ROWS")]
    rows += [
        (
            str(each.id),
            format_time(each.time, config.server.timezone),
            each.operator,
            f"{each.action} {each.state}",
            each.person or "-",
            each.counts or "",
        )
        for each in found
    ]
    for line in table(rows):
        click.echo(line)
