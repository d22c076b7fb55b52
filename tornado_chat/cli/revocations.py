"""The commands ``revoke``, ``unrevoke`` and ``revocations``: shut a person out, with open sockets."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cli.options import ConfigArguments, current_database, parse_duration_option, with_config
from tornado_chat.cli.recording import run_recorded
from tornado_chat.core.types import TOKEN_ROLES, Person, Role

if TYPE_CHECKING:
    from tornado_chat.storage.writer import Transaction


def person_of_token(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options ``--id`` and ``--role`` to a command."""
    role = click.option(
        "--role",
        required=True,
        type=click.Choice([role.value for role in TOKEN_ROLES]),
        help="The person's role, as in its tokens.",
    )
    return click.option("--id", required=True, help="The person's id, as in its tokens.")(role(command))


@click.command()
@person_of_token
@click.option(
    "--for",
    "seconds",
    callback=parse_duration_option,
    default="30d",
    show_default=True,
    help="How long, such as 12h or 30d: at least as long as the host's tokens are valid.",
)
@click.option("--all-tokens", is_flag=True, help="Refuse tokens that are issued from now on, too.")
@with_config
def revoke(config_arguments: ConfigArguments, id: str, role: str, seconds: float, all_tokens: bool) -> None:
    """Refuse the tokens of one person, and close the person's sockets.

    The tokens that were issued before now are refused, and those that do not say when (claim `iat`). A token
    that is issued later is accepted, unless --all-tokens is given: so let the host stop issuing them first.
    Running servers act within seconds. `unrevoke` undoes it.
    """
    from tornado_chat.cli.formatting import format_time
    from tornado_chat.data_management.operation_log import current_operator
    from tornado_chat.storage import revocations, staff

    person = Person(Role(role), id)
    with current_database(config_arguments) as (config, database):
        now = now_microseconds()
        until = now + int(seconds * 1_000_000)

        def work(tx: "Transaction") -> None:
            added = revocations.add(tx.database, person, now, until, all_tokens, current_operator())
            if added is None:
                raise click.ClickException(
                    f"there are {revocations.MAX_REVOCATIONS} revocations already: undo some with `unrevoke`"
                )

        run_recorded(config, database, "revoke", person, work)
        account = staff.account_name_of(database, person)
    which = "all tokens" if all_tokens else "the tokens issued before now"
    click.echo(f"{which} of {role} {id} are refused until {format_time(until, config.server.timezone)}")
    if account is not None and not all_tokens:
        click.echo(
            f"the account {account} is signed out, and can sign in again: "
            f"`tornado-chat staff disable {account}` prevents that"
        )


@click.command()
@person_of_token
@with_config
def unrevoke(config_arguments: ConfigArguments, id: str, role: str) -> None:
    """Accept the tokens of a person again."""
    from tornado_chat.storage import revocations

    person = Person(Role(role), id)

    def work(tx: "Transaction") -> None:
        if not revocations.remove(tx.database, person):
            raise click.ClickException(f"there is no revocation of {role} {id}")

    with current_database(config_arguments) as (config, database):
        run_recorded(config, database, "unrevoke", person, work)
    click.echo(f"the tokens of {role} {id} are accepted again")


@click.command("revocations")
@with_config
def list_revocations(config_arguments: ConfigArguments) -> None:
    """List the persons whose tokens are refused."""
    from tornado_chat.cli.formatting import format_time, table
    from tornado_chat.storage import revocations

    with current_database(config_arguments) as (config, database):
        now = now_microseconds()
        found = [each for each in revocations.after(database, 0) if each.until > now]
    if not found:
        click.echo("there is no revocation")
        return
    rows = [("ROLE", "ID", "REFUSED TOKENS", "UNTIL", "BY")]
    for each in found:
        since = format_time(each.since, config.server.timezone)
        rows.append(
            (
                each.person.role.value,
                each.person.id,
                "all" if each.all_tokens else f"before {since}",
                format_time(each.until, config.server.timezone),
                each.made_by,
            )
        )
    for line in table(rows):
        click.echo(line)
