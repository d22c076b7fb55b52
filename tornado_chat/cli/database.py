"""The commands ``db status`` and ``db upgrade``, and the group ``db``."""

import click

from tornado_chat.cli.options import (
    ConfigArguments,
    database_error,
    database_session,
    missing_database_text,
    refuse_common_options,
    with_config,
)
from tornado_chat.config.mysql_url import is_mysql
from tornado_chat.config.sections import Config


def check_mysql_server(config: Config) -> list[str]:
    """Check the configured MySQL server, and return warnings; none if the database is SQLite.

    :raises ClickException: the server cannot be used.
    """
    if not is_mysql(config.storage.url):
        return []
    from tornado_chat.storage.open import check_server

    with database_session(config) as (database, _):
        faults, warnings = check_server(database, config.storage, config.limits.frame_bytes)
    if faults:
        raise database_error(config, "; ".join(faults))
    return warnings


@refuse_common_options
@click.group()
def db() -> None:
    """Manage the database: schema, contents, retention."""


@db.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@with_config
def db_status(config_arguments: ConfigArguments, as_json: bool) -> None:
    """Show the migrations and the contents of the database."""
    config = config_arguments.load()
    url = config.storage.url
    not_created = missing_database_text(config)
    if not_created:
        if as_json:
            raise click.ClickException(not_created)
        click.echo(not_created)
        return
    import msgspec

    from tornado_chat.cli.formatting import count_text, database_summary, size
    from tornado_chat.storage import database_info

    with database_session(config) as (database, _):
        info = database_info.describe(database)
    if as_json:
        click.echo(msgspec.json.encode(info))
        return
    for name in info.migrations:
        click.echo(f"{name}  applied")
    for name in info.missing:
        click.echo(f"{name}  missing")
    for name in info.unknown:
        click.echo(f"{name}  of a newer version")
    lines = [("kind", info.kind)]
    if info.file is not None:
        lines.append(
            (
                "size",
                f"{size(info.file.size)}, {size(info.file.free)} of it free for new rows; "
                f"write-ahead log {size(info.file.log)}; journal mode {info.file.journal_mode}",
            )
        )
    lines += database_summary(info, config.server.timezone)
    lines.append(("rows", ", ".join(f"{name} {count:,}" for name, count in info.rows.items())))
    for label, text in lines:
        click.echo(f"{label:<14} {text}")
    if info.unknown:
        click.echo(f"{url} comes from a newer version")
    elif info.missing:
        missing = count_text(len(info.missing), "migration")
        click.echo(f"{url} lacks {missing}: make a backup, then run `tornado-chat db upgrade`")
    else:
        click.echo(f"{url} is up to date")


@db.command("upgrade")
@with_config
def db_upgrade(config_arguments: ConfigArguments) -> None:
    """Upgrade the schema. Stop the server and make a backup first."""
    from tornado_chat.cli.progress import progress, sigterm_as_interrupt

    check_mysql_server(config_arguments.load())
    with database_session(config_arguments.load()) as (database, schema):
        unknown = schema.unknown_migrations(database)
        if unknown:
            raise click.ClickException(
                f"the database comes from a newer version: it has {', '.join(unknown)}"
            )
        missing = sum(not applied for _, applied in schema.migration_status(database))
        # Each migration is a transaction: an interrupted one changes nothing.
        with sigterm_as_interrupt(), progress("upgrading", missing) as bar:
            applied = schema.upgrade(database, lambda name: bar.add())
        for name in applied:
            click.echo(f"{name}  applied")
    click.echo(f"{config_arguments.load().storage.url} is up to date")
