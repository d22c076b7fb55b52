"""The commands ``token``, ``check-config`` and ``samples``."""

import re
import time
from importlib.util import find_spec
from pathlib import Path

import click

from tornado_chat.aio import descriptors
from tornado_chat.cli.database import check_mysql_server
from tornado_chat.cli.options import ConfigArguments, Misconfigured, parse_duration_option, with_config
from tornado_chat.cli.plugins import plugin_findings
from tornado_chat.cli.recording import record_if_possible
from tornado_chat.core.numbers import MAX_NUMBER
from tornado_chat.core.types import TOKEN_ROLES, Person, Role

MIN_DESCRIPTORS = 1024  # below it, check-config warns
OWN_DESCRIPTORS = 40  # of a server without connections, roughly


@click.command()
@click.option("--id", required=True, help="The person's id; digits become a number.")
@click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in TOKEN_ROLES]),
    help="The person's role.",
)
@click.option("--name", help="The display name.")
@click.option(
    "--expires",
    callback=parse_duration_option,
    default="12h",
    show_default=True,
    help="How long the token is valid, such as 90s, 30m, 12h or 7d.",
)
@with_config
def token(config_arguments: ConfigArguments, id: str, role: str, name: str | None, expires: float) -> None:
    """Print a token (JWT) for one person.

    The token is signed with the server's secret: the configured one, else the generated one. Without a
    configuration, it is a token for the demo, if one is running.
    """
    config = config_arguments.load_or_find_demo()
    from tornado_chat.services.auth.secret import load_secret
    from tornado_chat.services.auth.tokens import mint_token

    if not any(algorithm.startswith("HS") for algorithm in config.auth.algorithms):
        accepted = ", ".join(config.auth.algorithms)
        raise click.ClickException(
            f"this server cannot make tokens: [auth] algorithms accepts only {accepted}, and the private key "
            "is at the issuer. Making tokens requires a shared secret, as for HS256"
        )
    # 007 is not the number 7, and other programs cannot read integers of more than 64 bits.
    is_number = re.fullmatch(r"0|[1-9]\d{0,18}", id, re.ASCII) is not None and int(id) <= MAX_NUMBER
    try:
        secret = load_secret(config.auth, config.state_dir)
        text = mint_token(
            config.auth,
            secret,
            id=int(id) if is_number else id,
            role=Role(role),
            name=name,
            lifetime=expires,
            now=time.time(),
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    record_if_possible(config, "token", Person(Role(role), id), required=True)
    click.echo(text)


@click.command("check-config")
@with_config
def check_config(config_arguments: ConfigArguments) -> None:
    """Check the configuration, and print every mistake."""
    from tornado_chat.server.preflight import find_problems

    problems = find_problems(config_arguments.read)
    if problems:
        raise Misconfigured(problems)
    config = config_arguments.load()
    plugin_problems, plugin_warnings = plugin_findings(config)
    if plugin_problems:
        raise Misconfigured(plugin_problems)
    warnings = [*config.warnings, *check_mysql_server(config), *plugin_warnings]
    click.echo("configuration OK")
    limit = descriptors.highest_limit()
    room = max(0, limit - descriptors.reserved(limit) - OWN_DESCRIPTORS)
    if limit < MIN_DESCRIPTORS:
        warnings.append(
            f"few file descriptors: above {room} connections, new ones wait. Raise the hard limit "
            "(ulimit -Hn)"
        )
    for warning in warnings:
        click.echo(f"warning: {warning}")
    for path in config_arguments.sources():
        click.echo(f"read {path}")
    if not config_arguments.sources():
        click.echo("no file was read: /etc/tornado-chat has none, so the defaults apply")
    click.echo(
        f"file descriptors: up to {limit}, room for about {room} connections in each process. This is the "
        "limit of this shell; a service has that of its unit, LimitNOFILE="
    )


@click.command()
@with_config
def samples(config_arguments: ConfigArguments) -> None:
    """List sample files: configuration, systemd, nginx."""
    spec = find_spec("tornado_chat_samples")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                click.echo(path)
