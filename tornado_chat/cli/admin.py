"""The commands ``token``, ``check-config``, ``samples``, ``db status`` and ``db upgrade``."""

import re
import time
from importlib.util import find_spec
from pathlib import Path

import click

from tornado_chat.cli.options import (
    ConfigArguments,
    Misconfigured,
    database_error,
    database_session,
    missing_database_text,
    with_config,
)
from tornado_chat.config.mysql_url import is_mysql
from tornado_chat.config.sections import Config
from tornado_chat.core.types import Role

SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _parse_duration(context: click.Context, parameter: click.Parameter, text: str) -> float:
    match = re.fullmatch(r"(\d{1,9})([smhd])", text, re.ASCII)
    if match is None or not int(match[1]):
        raise click.BadParameter(f'"{text}" is not a duration such as 90s, 30m, 12h or 7d')
    return float(int(match[1]) * SECONDS_PER_UNIT[match[2]])


@click.command()
@click.option("--id", required=True, help="The person's id; digits become a number.")
@click.option(
    "--role", required=True, type=click.Choice([role.value for role in Role]), help="The person's role."
)
@click.option("--name", help="The display name.")
@click.option(
    "--expires",
    callback=_parse_duration,
    default="12h",
    show_default=True,
    help="How long the token is valid, such as 90s, 30m, 12h or 7d.",
)
@with_config
def token(config_arguments: ConfigArguments, id: str, role: str, name: str | None, expires: float) -> None:
    """Print a token (JWT) for one person.

    The token is signed with the server's secret: the configured one, else the generated one.
    """
    config = config_arguments.load()
    from tornado_chat.services.auth.secret import load_secret
    from tornado_chat.services.auth.tokens import mint_token

    if not any(algorithm.startswith("HS") for algorithm in config.auth.algorithms):
        accepted = ", ".join(config.auth.algorithms)
        raise click.ClickException(
            f"this server cannot make tokens: [auth] algorithms accepts only {accepted}, and the private key "
            "is at the issuer. Making tokens requires a shared secret, as for HS256"
        )
    # 007 is not the number 7, and other programs cannot read integers of more than 64 bits.
    number = re.fullmatch(r"0|[1-9]\d{0,17}", id, re.ASCII) is not None
    try:
        secret = load_secret(config.auth, config.state_dir)
        text = mint_token(
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
@with_config
def check_config(config_arguments: ConfigArguments) -> None:
    """Check the configuration, and print every mistake."""
    from tornado_chat.server.preflight import find_problems

    found = find_problems(config_arguments.read)
    if found:
        raise Misconfigured(found)
    config = config_arguments.load()
    warnings = [*config.warnings, *_check_mysql_server(config)]
    click.echo("configuration OK")
    for warning in warnings:
        click.echo(f"warning: {warning}")
    for path in config_arguments.sources():
        click.echo(f"read {path}")
    if not config_arguments.sources():
        click.echo("no file was read: /etc/tornado-chat has none, so the defaults apply")


@click.command()
@with_config
def samples(config_arguments: ConfigArguments) -> None:
    """List sample files: configuration, systemd, nginx."""
    spec = find_spec("tornado_chat_samples")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                click.echo(path)


def _check_mysql_server(config: Config) -> list[str]:
    """Check the MySQL server, if one is configured. Returns warnings. :raises ClickException: unusable."""
    if not is_mysql(config.storage.url):
        return []
    from tornado_chat.storage.open import check_server

    with database_session(config) as (database, _):
        faults, warnings = check_server(database, config.storage, config.limits.frame_bytes)
    if faults:
        raise database_error(config, "; ".join(faults))
    return warnings


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
        found = database_info.describe(database)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for name in found.migrations:
        click.echo(f"{name}  applied")
    for name in found.missing:
        click.echo(f"{name}  missing")
    for name in found.unknown:
        click.echo(f"{name}  of a newer version")
    lines = [("kind", found.kind)]
    if found.file is not None:
        lines.append(
            (
                "size",
                f"{size(found.file.size)}, {size(found.file.free)} of it free for new rows; "
                f"log {size(found.file.log)}; journal mode {found.file.journal_mode}",
            )
        )
    lines += database_summary(found, config.server.timezone)
    lines.append(("rows", ", ".join(f"{name} {count:,}" for name, count in found.rows.items())))
    for label, text in lines:
        click.echo(f"{label:<14} {text}")
    if found.unknown:
        click.echo(f"{url} comes from a newer version")
    elif found.missing:
        missing = count_text(len(found.missing), "migration")
        click.echo(f"{url} lacks {missing}: make a backup, then run `tornado-chat db upgrade`")
    else:
        click.echo(f"{url} is up to date")


@db.command("upgrade")
@with_config
def db_upgrade(config_arguments: ConfigArguments) -> None:
    """Upgrade the schema. Stop the server and make a backup first."""
    from tornado_chat.cli.progress import progress, sigterm_as_interrupt

    _check_mysql_server(config_arguments.load())
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
