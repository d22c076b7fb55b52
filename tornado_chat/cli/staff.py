"""``staff``: accounts of people who sign in at the server itself."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cli.options import ConfigArguments, database_session, missing_database_text, with_config
from tornado_chat.config.sections import Config
from tornado_chat.core.types import Person, Role, StaffAccount

if TYPE_CHECKING:
    import peewee

ROLES = (Role.CONSULTANT, Role.SUPERVISOR, Role.WAITER, Role.ADMIN)
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,57}")
MAX_TEXT_CHARACTERS = 64
PREFIX = "staff-"
"""Of the ids that we make, so that they are not a host's, which are mostly numbers."""


def _name(context: click.Context, parameter: click.Parameter, text: str) -> str:
    name = text.strip().lower()
    if not NAME.fullmatch(name):
        raise click.BadParameter(
            f'"{text}" is no name to sign in with: 2 to 58 of the letters a to z, digits and . _ @ + -, '
            "beginning with a letter or a digit. What others see is --display-name"
        )
    return name


def _text(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """What a token takes for an id or a name."""
    if text is None:
        return None
    if not 0 < len(text.strip()) <= MAX_TEXT_CHARACTERS or not text.isprintable():
        raise click.BadParameter(f'"{text}" is not 1 to {MAX_TEXT_CHARACTERS} printable characters')
    return text.strip()


named = click.argument("name", callback=_name)
from_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
generated = click.option("--generate", is_flag=True, help="Make a strong password, and print it.")


@click.group()
def staff() -> None:
    """People who sign in here, in a place without a system of its own.

    With at least one account there is a page /signin. The server may be running meanwhile.
    """


@staff.command()
@named
@click.option("--role", required=True, type=click.Choice([role.value for role in ROLES]))
@click.option("--display-name", callback=_text, help="What others see; the name, if it is missing.")
@click.option("--id", "id", callback=_text, help="The person's id; staff-NAME, if it is missing.")
@from_stdin
@generated
@with_config
def add(
    config_arguments: ConfigArguments,
    name: str,
    role: str,
    display_name: str | None,
    id: str | None,
    password_stdin: bool,
    generate: bool,
) -> None:
    """Make an account.

    A person is a role and an id. With --id an account can be somebody whom the host system knows too.
    """
    with _accounts(config_arguments) as (config, database):
        from tornado_chat.storage import staff as accounts

        person = Person(Role(role), id or PREFIX + name)
        _require_free(database, name, person, chosen=id is not None)
        password = _password(name, display_name, password_stdin, generate)
        account = StaffAccount(name, display_name, person, now_microseconds())
        with database.atomic():
            _require_free(database, name, person, chosen=id is not None)
            accounts.add(database, account, _hash(password))
        click.echo(f"{name} is a {role} with the id {person.id}")
        _tell(password, generate)
        if not config.staff.enabled:
            click.echo("nobody can sign in yet: [staff] enabled is off")


@staff.command("list")
@with_config
def list_(config_arguments: ConfigArguments) -> None:
    """Show the accounts."""
    with _accounts(config_arguments) as (config, database):
        from tornado_chat.storage import staff as accounts

        found = accounts.accounts(database)
        zone = ZoneInfo(config.server.timezone) if config.server.timezone else None
    if not found:
        click.echo("there is no account: make one with `tornado-chat staff add NAME --role ROLE`")
        return
    head = ("NAME", "ROLE", "ID", "DISPLAY NAME", "STATE", "LAST SIGNED IN")
    rows = [
        (
            each.name,
            each.person.role.value,
            each.person.id,
            each.display_name or "",
            "disabled" if each.disabled else "enabled",
            _time(each.signed_in, zone),
        )
        for each in found
    ]
    widths = [max(map(_width, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@staff.command()
@named
@from_stdin
@generated
@with_config
def password(config_arguments: ConfigArguments, name: str, password_stdin: bool, generate: bool) -> None:
    """Give an account another password, and sign it out everywhere."""
    with _accounts(config_arguments) as (_, database):
        from tornado_chat.storage import staff as accounts

        found = accounts.find_account(database, name)
        if found is None:
            raise _nobody(name)
        new = _password(name, found[0].display_name, password_stdin, generate)
        with database.atomic():
            _require(accounts.set_password(database, name, _hash(new)), name)
    click.echo(f"{name} has a new password, and is signed out")
    _tell(new, generate)


@staff.command()
@named
@with_config
def disable(config_arguments: ConfigArguments, name: str) -> None:
    """Let an account sign in no more, and sign it out everywhere."""
    _set_disabled(config_arguments, name, True)
    click.echo(f"{name} is disabled, and signed out")


@staff.command()
@named
@with_config
def enable(config_arguments: ConfigArguments, name: str) -> None:
    """Let an account sign in again."""
    _set_disabled(config_arguments, name, False)
    click.echo(f"{name} may sign in")


@staff.command()
@named
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
def remove(config_arguments: ConfigArguments, name: str, yes: bool) -> None:
    """Remove an account. What it said stays."""
    with _accounts(config_arguments) as (_, database):
        from tornado_chat.storage import staff as accounts

        _require(accounts.find_account(database, name) is not None, name)
        if not yes:
            click.confirm(f"Remove the account {name}?", abort=True)
        with database.atomic():
            _require(accounts.remove(database, name, now_microseconds()), name)
    click.echo(f"{name} is removed, and signed out")


def _set_disabled(config_arguments: ConfigArguments, name: str, disabled: bool) -> None:
    with _accounts(config_arguments) as (_, database):
        from tornado_chat.storage import staff as accounts

        with database.atomic():
            _require(accounts.set_disabled(database, name, disabled), name)


@contextmanager
def _accounts(config_arguments: ConfigArguments) -> Iterator[tuple[Config, "peewee.Database"]]:
    """The database, if it is there and has the tables."""
    config = config_arguments.load()
    missing = missing_database_text(config)
    if missing:
        raise click.ClickException(missing)
    with database_session(config) as (database, schema):
        if not all(applied for _, applied in schema.migration_status(database)):
            raise click.ClickException(
                f"the database {config.storage.url} is of an older version: make a backup, then run "
                "`tornado-chat db upgrade` with the same configuration"
            )
        yield config, database


def _require_free(database: "peewee.Database", name: str, person: Person, *, chosen: bool) -> None:
    """Nobody else is called so, or is the same person.

    :arg chosen: the id was given: whoever gives it knows whose it is.
    """
    from tornado_chat.storage import staff as accounts

    if accounts.find_account(database, name) is not None:
        raise click.ClickException(f"there is an account {name} already")
    other = accounts.account_name_of(database, person)
    if other is not None:
        raise click.ClickException(f"the {person.role} {person.id} is {other} already: take another --id")
    if not chosen and accounts.removed_person(database, name) == person:
        raise click.ClickException(
            f"there was an account {name}, now removed: the {person.role} {person.id}, whose conversations are "
            f"kept. For the same person, add --id {person.id}; for somebody else, another --id, or take another name"
        )


def _password(name: str, display_name: str | None, stdin: bool, generate: bool) -> str:
    from tornado_chat.services.auth import passwords

    if stdin and generate:
        raise click.UsageError("take one of --password-stdin and --generate")
    if generate:
        return passwords.generate()
    if stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt="The same again")
    try:
        passwords.check_strength(password, name, display_name)
    except passwords.WeakPassword as error:
        raise click.ClickException(str(error)) from error
    return str(password)


def _hash(password: str) -> str:
    from tornado_chat.services.auth.passwords import Passwords

    return Passwords().hash_blocking(password)


def _tell(password: str, generated: bool) -> None:
    if generated:
        click.echo(f"password: {password}")


def _require(found: bool, name: str) -> None:
    if not found:
        raise _nobody(name)


def _nobody(name: str) -> click.ClickException:
    return click.ClickException(f"there is no account {name}; `tornado-chat staff list` shows all")


def _time(time: int | None, zone: ZoneInfo | None) -> str:
    if time is None:
        return "never"
    return datetime.fromtimestamp(time / 1_000_000, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _width(text: str) -> int:
    """Columns in a terminal, where Chinese characters take two."""
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)
