"""The command ``staff``: accounts of people that sign in at the server itself."""

import getpass
import re
import sys
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cli.options import ConfigArguments, current_database, refuse_common_options, with_config
from tornado_chat.cli.person_data import confirm
from tornado_chat.cli.recording import run_recorded
from tornado_chat.core.types import DEFAULT_GROUP, Person, Role, StaffAccount

if TYPE_CHECKING:
    from collections.abc import Callable

    import peewee

    from tornado_chat.config import Config
    from tornado_chat.storage.writer import Transaction

ROLES = (Role.CONSULTANT, Role.SUPERVISOR, Role.WAITER, Role.ADMIN)
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,57}")
MAX_TEXT_CHARACTERS = 64
ID_PREFIX = "staff-"
"""The prefix of generated ids, so that they differ from the host system's ids, which are mostly numbers."""


def _parse_name(context: click.Context, parameter: click.Parameter, text: str) -> str:
    name = text.strip().lower()
    if not NAME.fullmatch(name):
        raise click.BadParameter(
            f'"{text}" is not a valid name to sign in with: use 2 to 58 letters a-z, digits and . _ @ + -, '
            "beginning with a letter or a digit. The name that others see is --display-name"
        )
    return name


def _parse_text(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Check an id or a display name by the rules for tokens."""
    if text is None:
        return None
    if not 0 < len(text.strip()) <= MAX_TEXT_CHARACTERS or not text.isprintable():
        raise click.BadParameter(f'"{text}" is not 1 to {MAX_TEXT_CHARACTERS} printable characters')
    return text.strip()


def _parse_groups(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(name for each in text.split(",") if (name := each.strip()))


name_argument = click.argument("name", callback=_parse_name)
password_stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)
generate_option = click.option("--generate", is_flag=True, help="Generate a strong password, and print it.")


@refuse_common_options
@click.group()
def staff() -> None:
    """Manage the accounts of people that sign in here.

    They are for sites without a host system that issues tokens. With at least one account the server has a
    page /signin. The server may be running during all these commands.
    """


@staff.command()
@name_argument
@click.option(
    "--role", required=True, type=click.Choice([role.value for role in ROLES]), help="The person's role."
)
@click.option("--display-name", callback=_parse_text, help="The name that others see. Default: NAME.")
@click.option("--id", "id", callback=_parse_text, help="The person's id. Default: staff-NAME.")
@click.option(
    "--groups",
    default="",
    callback=_parse_groups,
    help="The groups that the person serves, separated by commas. Default: those without members.",
)
@click.option(
    "--trainee", is_flag=True, help="Hold each message of the person until a supervisor approves it."
)
@password_stdin_option
@generate_option
@with_config
def add(
    config_arguments: ConfigArguments,
    name: str,
    role: str,
    display_name: str | None,
    id: str | None,
    groups: tuple[str, ...],
    trainee: bool,
    password_stdin: bool,
    generate: bool,
) -> None:
    """Create an account.

    A person is identified by role and id. With --id the account can belong to a person of the host system.
    """
    with current_database(config_arguments, or_demo=True) as (config, database):
        from tornado_chat.storage import staff as accounts

        _require_groups(config, groups)
        person = Person(Role(role), id or ID_PREFIX + name)
        _require_no_account(database, name, person, chosen=id is not None)
        password = _read_password(name, display_name, password_stdin, generate)
        account = StaffAccount(name, display_name, person, now_microseconds(), groups=groups, trainee=trainee)
        hash = _hash(password)

        def work(tx: "Transaction") -> None:
            _require_no_account(tx.database, name, person, chosen=id is not None)
            accounts.add(tx.database, account, hash)

        run_recorded(config, database, "staff add", person, work)
        click.echo(f"{name} is {'an' if role == Role.ADMIN else 'a'} {role} with the id {person.id}")
        _print_generated(password, generate)
        if not config.staff.enabled:
            click.echo("warning: signing in is disabled: [staff] enabled is off")


@staff.command("list")
@with_config
def list_(config_arguments: ConfigArguments) -> None:
    """List the accounts."""
    from tornado_chat.cli.formatting import table

    with current_database(config_arguments, or_demo=True) as (config, database):
        from tornado_chat.storage import staff as accounts

        found = accounts.accounts(database)
        zone = ZoneInfo(config.server.timezone) if config.server.timezone else None
    if not found:
        click.echo("there is no account: create one with `tornado-chat staff add NAME --role ROLE`")
        return
    rows = [("NAME", "ROLE", "ID", "DISPLAY NAME", "STATE", "LAST SIGNED IN", "GROUPS", "TRAINEE")]
    rows += [
        (
            each.name,
            each.person.role.value,
            each.person.id,
            each.display_name or "",
            "disabled" if each.disabled else "enabled",
            _format_time(each.signed_in, zone),
            ", ".join(each.groups),
            "yes" if each.trainee else "",
        )
        for each in found
    ]
    for line in table(rows):
        click.echo(line)


@staff.command()
@name_argument
@password_stdin_option
@generate_option
@with_config
def password(config_arguments: ConfigArguments, name: str, password_stdin: bool, generate: bool) -> None:
    """Set a new password, and sign the account out everywhere."""
    with current_database(config_arguments, or_demo=True) as (config, database):
        from tornado_chat.storage import staff as accounts

        found = accounts.find_account(database, name)
        if found is None:
            raise _unknown_account(name)
        new = _read_password(name, found[0].display_name, password_stdin, generate)
        hash = _hash(new)
        _change(
            config, database, name, "staff passwd", lambda tx: accounts.set_password(tx.database, name, hash)
        )
    click.echo(f"{name} has a new password, and is signed out")
    _print_generated(new, generate)


@staff.command()
@name_argument
@click.argument("groups", callback=_parse_groups)
@with_config
def groups(config_arguments: ConfigArguments, name: str, groups: tuple[str, ...]) -> None:
    """Set the groups that a person serves, and sign the account out everywhere.

    GROUPS are names of sections [group:NAME], separated by commas. With an empty text, "", the person serves
    all groups of its role that have no members.
    """
    with current_database(config_arguments, or_demo=True) as (config, database):
        from tornado_chat.storage import staff as accounts

        _require_groups(config, groups)
        _change(
            config, database, name, "staff groups", lambda tx: accounts.set_groups(tx.database, name, groups)
        )
    click.echo(f"{name} serves {', '.join(groups) or 'the groups of its role'}, and is signed out")


@staff.command()
@name_argument
@click.argument("state", type=click.Choice(["on", "off"]))
@with_config
def trainee(config_arguments: ConfigArguments, name: str, state: str) -> None:
    """Hold each message of a person until a supervisor approves it, or end that; and sign the account out."""
    with current_database(config_arguments, or_demo=True) as (config, database):
        from tornado_chat.storage import staff as accounts

        is_on = state == "on"
        _change(
            config,
            database,
            name,
            f"trainee {state}",
            lambda tx: accounts.set_trainee(tx.database, name, is_on),
        )
    click.echo(f"{name} is {'a' if is_on else 'no'} trainee, and is signed out")


@staff.command()
@name_argument
@with_config
def disable(config_arguments: ConfigArguments, name: str) -> None:
    """Disable an account, and sign it out everywhere."""
    _set_disabled(config_arguments, name, True)
    click.echo(f"{name} is disabled, and signed out")


@staff.command()
@name_argument
@with_config
def enable(config_arguments: ConfigArguments, name: str) -> None:
    """Enable a disabled account."""
    _set_disabled(config_arguments, name, False)
    click.echo(f"{name} is enabled, and can sign in")


@staff.command()
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_config
def remove(config_arguments: ConfigArguments, name: str, yes: bool) -> None:
    """Remove an account. The person's messages are kept."""
    with current_database(config_arguments, or_demo=True) as (config, database):
        from tornado_chat.storage import staff as accounts

        _require_account(accounts.find_account(database, name) is not None, name)
        confirm(f"Remove the account {name}?", yes)
        _change(config, database, name, "staff remove", lambda tx: accounts.remove(tx.database, name, tx.now))
    click.echo(f"{name} is removed, and signed out")


def _set_disabled(config_arguments: ConfigArguments, name: str, disabled: bool) -> None:
    with current_database(config_arguments, or_demo=True) as (config, database):
        from tornado_chat.storage import staff as accounts

        action = "staff off" if disabled else "staff on"
        _change(config, database, name, action, lambda tx: accounts.set_disabled(tx.database, name, disabled))


def _change(
    config: "Config",
    database: "peewee.Database",
    name: str,
    action: str,
    change: "Callable[[Transaction], bool]",
) -> None:
    """Change an account, and record that.

    :arg change: returns False if there is no such account.
    :raises ClickException: there is no such account, or the change cannot be recorded.
    """
    from tornado_chat.storage import staff as accounts

    found = accounts.find_account(database, name)
    if found is None:
        raise _unknown_account(name)
    run_recorded(config, database, action, found[0].person, lambda tx: _require_account(change(tx), name))


def _require_groups(config: "Config", groups: tuple[str, ...]) -> None:
    """:raises ClickException: a group is not in the configuration."""
    known = {DEFAULT_GROUP: None, **config.groups}
    for name in groups:
        if name not in known:
            raise click.ClickException(
                f"there is no group {name}: the configuration has {', '.join(known)}; add [group:{name}]"
            )


def _require_no_account(database: "peewee.Database", name: str, person: Person, *, chosen: bool) -> None:
    """Check that neither the name nor the person has an account.

    :arg chosen: the id was given with --id; then it may be that of a removed account.
    :raises ClickException: the name or the person is taken.
    """
    from tornado_chat.storage import staff as accounts

    if accounts.find_account(database, name) is not None:
        raise click.ClickException(f"the account {name} already exists")
    other = accounts.account_name_of(database, person)
    if other is not None:
        raise click.ClickException(
            f"the {person.role} {person.id} already has the account {other}: use another --id"
        )
    if not chosen and accounts.removed_person(database, name) == person:
        raise click.ClickException(
            f"a removed account {name} belonged to the {person.role} {person.id}, whose conversations are "
            f"kept. For the same person add --id {person.id}; for another person use another --id or another "
            "name"
        )


def _read_password(name: str, display_name: str | None, stdin: bool, generate: bool) -> str:
    from tornado_chat.services.auth import passwords

    if stdin and generate:
        raise click.UsageError("use only one of --password-stdin and --generate")
    if generate:
        return passwords.generate()
    password = sys.stdin.readline().rstrip("\r\n") if stdin else _prompt()
    try:
        passwords.check_strength(password, name, display_name)
    except passwords.WeakPassword as error:
        raise click.ClickException(str(error)) from error
    return str(password)


def _prompt() -> str:
    """Ask for a password twice. :raises UsageError: there is no terminal that can hide the input."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return str(click.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password"))
        except getpass.GetPassWarning:
            raise click.UsageError(
                "there is no terminal to ask for the password on: add --password-stdin or --generate"
            ) from None


def _hash(password: str) -> str:
    from tornado_chat.services.auth.passwords import Passwords

    return Passwords().hash_blocking(password)


def _print_generated(password: str, is_generated: bool) -> None:
    if is_generated:
        click.echo(f"password: {password}")


def _require_account(found: bool, name: str) -> None:
    if not found:
        raise _unknown_account(name)


def _unknown_account(name: str) -> click.ClickException:
    return click.ClickException(f"there is no account {name}; `tornado-chat staff list` lists all accounts")


def _format_time(time: int | None, zone: ZoneInfo | None) -> str:
    if time is None:
        return "never"
    return datetime.fromtimestamp(time / 1_000_000, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M")
