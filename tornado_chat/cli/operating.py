"""``token``, ``check-config`` and ``db``."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from tornado_chat.cli.options import Given, Misconfigured, configured
from tornado_chat.types import Role

if TYPE_CHECKING:
    import peewee

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(context: click.Context, parameter: click.Parameter, text: str) -> float:
    match = re.fullmatch(r"(\d{1,9})([smhd])", text, re.ASCII)
    if match is None or not int(match[1]):
        raise click.BadParameter(f'"{text}" is not a time like 90s, 30m, 12h or 7d')
    return float(int(match[1]) * UNITS[match[2]])


@click.command()
@click.option("--id", required=True, help="Who it is for. Digits become a number.")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option("--name", help="The display name.")
@click.option(
    "--expires", callback=_seconds, default="12h", show_default=True, help="As 90s, 30m, 12h or 7d."
)
@configured
def token(given: Given, id: str, role: str, name: str | None, expires: float) -> None:
    """Print a token (JWT).

    It is signed with the configured secret, or with the generated one, which the server uses too.
    """
    config = given.load()
    from tornado_chat.services.identity import mint
    from tornado_chat.services.secret import load_secret

    if not any(algorithm.startswith("HS") for algorithm in config.auth.algorithms):
        accepted = ", ".join(config.auth.algorithms)
        raise click.ClickException(
            f"only the issuer can make tokens here: [auth] algorithms accepts {accepted}, whose private key "
            "it keeps. Tokens can be made with a shared secret, as of HS256"
        )
    # 007 is not the number 7, and ids beyond 64 bits are texts to everybody else.
    number = re.fullmatch(r"0|[1-9]\d{0,17}", id, re.ASCII) is not None
    try:
        secret = load_secret(config.auth, config.state_dir)
        text = mint(
            config.auth,
            secret,
            id=int(id) if number else id,
            role=Role(role),
            name=name,
            lifetime=expires,
            now=time.time(),
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(text)


@click.command("check-config")
@configured
def check_config(given: Given) -> None:
    """Tell every mistake in the configuration."""
    config = given.load()
    from tornado_chat.config import ConfigError
    from tornado_chat.plugins import finding
    from tornado_chat.services.identity import build

    try:
        finding.load(config)
    except ConfigError as error:
        raise Misconfigured(error.problems) from error
    # Not if it would make the secret: a check changes nothing.
    generates = not config.auth.secret_file and any(name.startswith("HS") for name in config.auth.algorithms)
    if not generates or os.path.exists(config.state_dir / "secret"):
        try:
            build(config.auth, config.state_dir)
        except ValueError as error:
            raise Misconfigured([error]) from error
    click.echo("configuration OK")
    for path in given.sources():
        click.echo(f"read {path}")
    if not given.sources():
        click.echo("no file was read: there is none in /etc/tornado-chat, so the defaults count")


@click.group()
def db() -> None:
    """The database's schema."""


@db.command("status")
@configured
def db_status(given: Given) -> None:
    """Tell which migrations the database has."""
    url = given.load().storage.url
    from tornado_chat.storage.database import SQLITE_SCHEME

    if not os.path.exists(url.removeprefix(SQLITE_SCHEME)):  # looking would make it
        click.echo(f"{url} does not exist yet: the server makes it when it starts")
        return
    with _database(given) as (database, schema):
        found = schema.status(database)
        unknown = schema.unknown(database)
    for name, applied in found:
        click.echo(f"{name}  {'applied' if applied else 'missing'}")
    for name in unknown:
        click.echo(f"{name}  of a newer version")
    missing = sum(not applied for _, applied in found)
    if unknown:
        click.echo(f"{url} comes from a newer version than this")
    elif missing:
        click.echo(f"{url} lacks {missing}: make a backup, then run `tornado-chat db upgrade`")
    else:
        click.echo(f"{url} is up to date")


@db.command("upgrade")
@configured
def db_upgrade(given: Given) -> None:
    """Bring the database up to date. Stop the server, and make a backup first."""
    with _database(given) as (database, schema):
        unknown = schema.unknown(database)
        if unknown:
            raise click.ClickException(
                f"the database comes from a newer version: it has {', '.join(unknown)}"
            )
        for name in schema.upgrade(database):
            click.echo(f"{name}  applied")
    click.echo(f"{given.load().storage.url} is up to date")


@contextmanager
def _database(given: Given) -> Iterator[tuple["peewee.Database", Any]]:
    """The configured database and the ``schema`` module; what they raise becomes a sentence."""
    config = given.load()
    import peewee

    from tornado_chat.storage import schema
    from tornado_chat.storage.database import open_database

    try:
        database = open_database(config.storage)
        try:
            yield database, schema
        finally:
            database.close()
    except (peewee.PeeweeException, OSError) as error:
        raise click.ClickException(f"the database {config.storage.url} cannot be used: {error}") from error
