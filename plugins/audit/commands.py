"""``tornado-chat audit``: commands to show the audit records, and to verify their chain."""

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from tornado_chat.plugin_api import MAX_NUMBER, CommandContext, Kind

from . import chain

KEY_FILE = "audit.key"
"""The file with the key, in the server's state directory."""

MICROSECONDS_PER_SECOND = 1_000_000
NUMBER = click.IntRange(1, MAX_NUMBER)
KIND_NAMES = {
    Kind.SESSION: "session",
    Kind.RECORD: "record",
    Kind.SUPPORT: "conversation",
    chain.OPERATION_KIND: "operation",
}


@click.group()
def audit() -> None:
    """Show and verify the log of actions in sessions and conversations."""


@audit.command()
@click.option(
    "--head",
    metavar="NUMBER:CODE",
    help="Check that a head, printed by an earlier `verify`, is in the chain.",
)
@click.pass_obj
def verify(context: CommandContext, head: str | None) -> None:
    """Check the records for edits, deletions and reordering. Exit code 1 if there are any."""
    key = _load_key(context.state_dir)
    total = chain.AuditRecord.select().count(context.database)
    with click.progressbar(
        length=total, label="verifying", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        fault = chain.verify(context.database, key, bar.update)
    if fault is not None:
        raise click.ClickException(
            f"the audit log is broken: {fault.text}. All records before it are unchanged"
        )
    if head is not None:
        number, _, code = head.partition(":")
        if not _is_number(number) or chain.code_of(context.database, int(number)) != code:
            raise click.ClickException(
                f"the audit log is consistent, but the head {head} is not in it: it is another log, or an "
                "older copy"
            )
    last, code = chain.head(context.database)
    click.echo(f"{last} records, all as they were written")
    click.echo(f"head {last}:{code}")


@audit.command()
@click.option("--session", type=NUMBER, help="Only records about this session.")
@click.option("--record", type=NUMBER, help="Only records about this supervision record.")
@click.option("--conversation", type=NUMBER, help="Only records about this support conversation.")
@click.option("--person", metavar="ROLE:ID", help="Only records of this person, for example supervisor:3.")
@click.option("--last", default=100, show_default=True, type=NUMBER, help="Show the newest N records.")
@click.pass_obj
def show(
    context: CommandContext,
    session: int | None,
    record: int | None,
    conversation: int | None,
    person: str | None,
    last: int,
) -> None:
    """Show audit records, the oldest first."""
    table = chain.AuditRecord
    query = table.select().order_by(table.number.desc()).limit(last)
    for kind, thread_id in (
        (Kind.SESSION, session),
        (Kind.RECORD, record),
        (Kind.SUPPORT, conversation),
    ):
        if thread_id is not None:
            query = query.where((table.kind == kind.value) & (table.thread_id == thread_id))
    if person is not None:
        query = query.where(table.actor == person)
    rows: list[dict[str, Any]] = list(query.dicts().execute(context.database))[::-1]
    zone = ZoneInfo(context.timezone) if context.timezone else None
    if not rows:
        click.echo("there is no such record")
    width = max((len(row["actor"]) for row in rows), default=0)
    for row in rows:
        time = datetime.fromtimestamp(row["time"] / MICROSECONDS_PER_SECOND, zone)
        action = row["action"] + (f" message {row['message']}" if row["message"] else "")
        thread = f"{KIND_NAMES.get(row['kind'], '?')} {row['thread_id']}"
        click.echo(
            f"{row['number']:>7}  {time:%Y-%m-%d %H:%M:%S}  {row['actor']:<{width}}  {action}, {thread}"
        )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,19}", text) is not None and int(text) <= MAX_NUMBER


def _load_key(state_dir: Path) -> bytes:
    try:
        return chain.load_key(state_dir / KEY_FILE, create=False)
    except (OSError, ValueError) as error:
        raise click.ClickException(
            f"the key {state_dir / KEY_FILE} cannot be read ({error}); without it nothing can be verified"
        ) from error
