"""``db prune``, ``db compact`` and ``db operations``."""

import click

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cli.options import ConfigArguments, missing_database_text, with_config
from tornado_chat.cli.person_data import confirm, open_person_data, sqlite_file
from tornado_chat.cli.progress import progress, sigterm_as_interrupt

MICROSECONDS_PER_DAY = 86_400_000_000  # microseconds


@click.command()
@click.option(
    "--older-than",
    "days",
    metavar="DAYS",
    type=click.IntRange(0),
    help="Instead of [storage] retention_days.",
)
@click.option("--dry-run", is_flag=True, help="Only tell how much it would be.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
def prune(config_arguments: ConfigArguments, days: int | None, dry_run: bool, yes: bool) -> None:
    """Remove conversations that ended so long ago, with all that belongs to them.

    Open ones stay, however old they are, and notifications that have not arrived. The server may run
    meanwhile. It does the same every day if [storage] retention_days says so.
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
            raise click.UsageError("[storage] retention_days keeps everything; say --older-than DAYS")
    with open_person_data(config) as (database, keepers):
        before = now_microseconds() - days * MICROSECONDS_PER_DAY
        old = count_expired(database, before)
        conversations = ", ".join(
            count_text(old.conversations[kind], name)
            for kind, name in (
                (Kind.SESSION, "session"),
                (Kind.RECORD, "supervision record"),
                (Kind.SUPPORT, "support conversation"),
            )
        )
        click.echo(
            f"older than {count_text(days, 'day')}: {conversations}, with {count_text(old.messages, 'message')}; "
            f"{count_text(old.notifications, 'notification')}"
        )
        if dry_run:
            click.echo("nothing was changed")
            return
        confirm("Remove them for good?", yes)
        recorder = OperationRecorder(database, keepers, "prune")
        try:
            recorder.record_state("begun")
        except ValueError as error:
            raise click.ClickException(f"it cannot be recorded, so nothing was done: {error}") from error
        try:
            with sigterm_as_interrupt(), progress("removing") as bar:
                counts = remove(database, keepers, before, bar.tick)
        except KeyboardInterrupt:
            recorder.record_state("stopped")
            raise click.ClickException(
                "stopped in the middle: what was removed stays removed; run the same command again for the rest"
            ) from None
        recorder.record_state("done", counts)
    for table, rows in sorted(counts.items()):
        click.echo(f"{number(rows):>12}  {table}")
    click.echo("removed. New rows take the free space; `tornado-chat db compact` makes the file smaller")
    if keepers.failed:
        raise click.ClickException(
            f"plugins failed, and may still keep what belonged to it: {', '.join(sorted(keepers.failed))}"
        )


@click.command()
@with_config
def compact(config_arguments: ConfigArguments) -> None:
    """Write the database anew, without free space. Stop the server first.

    That also removes what SQLite may have left of deleted rows in the free space of its pages.
    """
    from tornado_chat.cli.formatting import size
    from tornado_chat.storage import sqlite_files

    config = config_arguments.load()
    path = sqlite_file(config, "OPTIMIZE TABLE does the same there.")
    missing = missing_database_text(config)
    if missing:
        raise click.ClickException(missing)
    if sqlite_files.is_in_use(path):
        raise click.ClickException(
            f"{path} is in use, and nobody could write for as long as this takes: stop the server first"
        )
    before = path.stat().st_size
    try:
        with sigterm_as_interrupt(), progress("compacting") as bar:
            sqlite_files.compact(path, bar.tick)
            sqlite_files.truncate_wal(path, timeout_seconds=5)
    except sqlite_files.CorruptDatabase as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{path} had {size(before)}, and has {size(path.stat().st_size)} now")


@click.command()
@click.option(
    "--last", default=50, show_default=True, type=click.IntRange(1), help="How many, the newest ones."
)
@with_config
def operations(config_arguments: ConfigArguments, last: int) -> None:
    """Show who has exported, erased and pruned what, the oldest first."""
    from tornado_chat.cli.formatting import format_time, table
    from tornado_chat.storage import operations as stored

    config = config_arguments.load()
    with open_person_data(config) as (database, _):
        found = stored.latest(database, last)
    if not found:
        click.echo("there is none")
        return
    rows = [("ID", "TIME", "BY", "WHAT", "WHOM", "ROWS")]
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
