"""Database access and options of the commands that export, erase and prune people's data."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from tornado_chat import config as configuration
from tornado_chat.cli.options import (
    database_session,
    is_accessible,
    load_plugins,
    missing_database_text,
    plugin_faults,
)
from tornado_chat.core.types import TOKEN_ROLES, Person, Role

if TYPE_CHECKING:
    import peewee

    from tornado_chat.plugins.data_keepers import DataKeepers


@contextmanager
def open_person_data(config: configuration.Config) -> Iterator[tuple["peewee.Database", "DataKeepers"]]:
    """Open the database, with the tables of plugins, and yield it with the plugins' data keepers.

    :raises ClickException: the database does not exist, or its schema is not up to date.
    """
    from tornado_chat.observability import logs
    from tornado_chat.storage.exclusive_lock import raise_lock_timeout

    missing = missing_database_text(config)
    if missing:
        raise click.ClickException(missing)
    if not sys.stderr.isatty():  # started by a timer: record the operation in its log
        logs.configure(config.logging)
    load_plugins(config)  # their mistakes are reported before the database is opened
    with database_session(config) as (database, schema):
        missing_migrations = [name for name, applied in schema.migration_status(database) if not applied]
        if missing_migrations:
            raise click.ClickException(
                f"the database lacks {', '.join(missing_migrations)}: make a backup, then run "
                "`tornado-chat db upgrade`"
            )
        raise_lock_timeout(database)
        yield database, open_keepers(config, database)


def open_keepers(config: configuration.Config, database: "peewee.Database") -> "DataKeepers":
    """Return the data keepers of the enabled plugins, whose missing tables are created."""
    from tornado_chat.plugins.registration import collect_keepers, collect_models
    from tornado_chat.storage import schema

    loaded = load_plugins(config)
    with plugin_faults():
        schema.create_missing_tables(database, collect_models(loaded))
        return collect_keepers(loaded, config.state_dir)


def confirm(question: str, yes: bool) -> None:
    """Ask for confirmation on the terminal, unless ``yes``. :raises Abort: the answer is no."""
    if yes:
        return
    try:
        confirmed = click.confirm(question)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("there is no terminal to confirm on: add --yes") from None
    if not confirmed:
        raise click.Abort


def sqlite_file(config: configuration.Config, alternative: str) -> Path:
    """Return the file of the configured SQLite database.

    :arg alternative: the advice for another database system, as a sentence.
    :raises ClickException: the database is not SQLite, or this user may not use it.
    """
    from tornado_chat.storage.database import SQLITE_SCHEME

    url = config.storage.url
    if not url.startswith(SQLITE_SCHEME):
        raise click.ClickException(f"the database is not a SQLite file. {alternative}")
    path = Path(url.removeprefix(SQLITE_SCHEME))
    is_accessible(path)
    return path


def mysql_arguments(url: str) -> str:
    """Return the command-line arguments that name this database to MySQL's clients, without the password."""
    try:
        parts = urlsplit(url)
        port, user, host = parts.port, parts.username, parts.hostname
    except ValueError:
        return "DATABASE"
    words = [
        *(["--host", host] if host else []),
        *(["--port", str(port)] if port else []),
        *(["--user", user, "--password"] if user else []),
        parts.path.strip("/") or "DATABASE",
    ]
    return " ".join(words)


def unknown_tables(database: "peewee.Database", config: configuration.Config) -> list[str]:
    """Return the tables that have rows and belong neither to the server nor to an enabled plugin."""
    from tornado_chat.plugins.registration import collect_models
    from tornado_chat.storage import database_info

    with plugin_faults():
        known = {model._meta.table_name for model in collect_models(load_plugins(config))}
    found = database_info.describe(database).other_rows
    return [name for name, rows in found.items() if rows and name not in known]


def unknown_tables_text(tables: Sequence[str]) -> str:
    """Return a remark about tables of disabled plugins."""
    return (
        f"these tables belong to plugins that are not enabled, and were left out: {', '.join(tables)}; "
        "add the plugins to [plugins] enabled and run the command again"
    )


def person_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options ``--user`` and ``--role`` to a command, which gets them as ``id`` and ``role``."""
    role = click.option(
        "--role",
        type=click.Choice([role.value for role in TOKEN_ROLES]),
        default=Role.USER.value,
        show_default=True,
        help="The person's role: an id is unique within its role only.",
    )
    return click.option("--user", "id", required=True, metavar="ID", help="The person's id.")(role(command))


def require_known(database: "peewee.Database", keepers: "DataKeepers", person: Person) -> None:
    """Check that data of the person are stored. :raises ClickException: there are none."""
    from tornado_chat.storage import person_data

    if person_data.is_known(database, person) or keepers.of_person(database, person):
        return
    others = [role.value for role in person_data.known_roles(database, person.id)]
    hint = f"; there is a {' and a '.join(others)} with this id: use --role" if others else ""
    raise click.ClickException(f"no data are stored about {person.role.value} {person.id}{hint}")
