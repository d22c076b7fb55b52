"""How the commands that deal with people's data get at the database."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from tornado_chat import config as configuration
from tornado_chat.cli.options import database_session, load_plugins, missing_database_text
from tornado_chat.core.types import Person, Role

if TYPE_CHECKING:
    import peewee

    from tornado_chat.plugins.data_keepers import DataKeepers


@contextmanager
def open_person_data(config: configuration.Config) -> Iterator[tuple["peewee.Database", "DataKeepers"]]:
    """The database, up to date and with the tables of plugins, and what plugins do with theirs."""
    from tornado_chat.observability import logs
    from tornado_chat.plugins.data_keepers import collect_keepers
    from tornado_chat.storage.exclusive_lock import raise_lock_timeout

    missing = missing_database_text(config)
    if missing:
        raise click.ClickException(missing)
    if not sys.stderr.isatty():  # a timer's: what is done belongs into its log
        logs.configure(config.logging)
    loaded = load_plugins(config)
    with database_session(config) as (database, schema):
        lacking = [name for name, applied in schema.migration_status(database) if not applied]
        if lacking:
            raise click.ClickException(
                f"the database lacks {', '.join(lacking)}: make a backup, then run `tornado-chat db upgrade`"
            )
        raise_lock_timeout(database)
        for each in loaded:
            register = getattr(each.plugin, "register_models", None)
            schema.create_missing_tables(database, list(register()) if register is not None else [])
        yield database, collect_keepers(loaded, config.state_dir)


def confirm(question: str, yes: bool) -> None:
    """Go on only if somebody says so, on the terminal or by ``--yes``."""
    if yes:
        return
    try:
        agreed = click.confirm(question)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("nobody is there to be asked; say --yes") from None
    if not agreed:
        raise click.Abort


def sqlite_file(config: configuration.Config, instead: str) -> Path:
    """The file of the configured database.

    :arg instead: what to do with a database that is no file, in a sentence.
    """
    from tornado_chat.storage.database import SQLITE_SCHEME

    url = config.storage.url
    if not url.startswith(SQLITE_SCHEME):
        raise click.ClickException(f"the database is no SQLite file. {instead}")
    return Path(url.removeprefix(SQLITE_SCHEME))


def mysql_arguments(url: str) -> str:
    """How the clients of MySQL and MariaDB are told of this database; never its password."""
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
    """Tables with something in them that neither the server nor a running plugin knows."""
    from tornado_chat.storage import facts

    known = set()
    for each in load_plugins(config):
        register = getattr(each.plugin, "register_models", None)
        known |= {model._meta.table_name for model in (register() if register is not None else ())}
    found = facts.describe(database).other_rows
    return [name for name, rows in found.items() if rows and name not in known]


def unknown_tables_text(tables: Sequence[str]) -> str:
    """What to do about them, in a sentence."""
    return (
        f"these tables are of plugins that do not run, and were left out: {', '.join(tables)}; "
        "name the plugins in [plugins] enabled and run this again"
    )


def person_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--user`` and ``--role``; it gets them as ``id`` and ``role``."""
    role = click.option(
        "--role",
        type=click.Choice([role.value for role in Role]),
        default=Role.USER.value,
        show_default=True,
        help="Ids are unique within a role only.",
    )
    return click.option("--user", "id", required=True, metavar="ID", help="The person's id.")(role(command))


def require_known(database: "peewee.Database", keepers: "DataKeepers", person: Person) -> None:
    """:raises ClickException: nothing is stored about the person."""
    from tornado_chat.storage import person_data

    if person_data.is_known(database, person) or keepers.of_person(database, person):
        return
    others = [role.value for role in person_data.known_roles(database, person.id)]
    hint = f"; there is a {' and a '.join(others)} with this id: say --role" if others else ""
    raise click.ClickException(f"nothing is stored about {person.role.value} {person.id}{hint}")
