"""``tornado-chat audit``: commands to show the audit records, and to verify their chain."""

import sys
import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
import peewee

from tornado_chat.plugin_api import MAX_NUMBER, CommandContext, Kind, escape_controls

from . import chain, key_file, seen_heads, verification

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
    stored = None if head is None else seen_heads.parse_head(head.removeprefix("head "))
    if head is not None and stored is None:
        raise click.UsageError(
            f'"{escape_controls(head)}" is not a head: write NUMBER:CODE, as `audit verify` has printed it, '
            "a number and 64 hexadecimal digits"
        )
    database, key, seen = context.database, _load_right_key(context), _load_seen(context)
    with _progress_bar(database) as bar:
        fault = verification.missing_chain(database) or verification.verify(database, key, bar.update, seen)
    if fault is not None:
        before = "" if fault.number < 2 else ". All records before it are unchanged"
        raise click.ClickException(f"the audit log is broken: {fault.text}{before}")
    if stored is not None and chain.code_of(database, stored.number) != stored.code:
        raise click.ClickException(
            f"the audit log is consistent, but the head {stored.number}:{stored.code} is not in it: it is "
            "another log, or an older copy"
        )
    unrecorded = verification.unrecorded_operations(database)
    if unrecorded:
        raise click.ClickException(
            f"the audit log is incomplete: {verification.unrecorded_text(unrecorded)} not in it, so the "
            "plugin was switched off there. `tornado-chat db operations` shows the commands; find out who "
            "ran them, then `tornado-chat audit acknowledge` records them"
        )
    last, code = chain.head(database)
    click.echo(f"{last} records, all as they were written")
    click.echo(f"head {last}:{code}")


@audit.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def acknowledge(context: CommandContext, yes: bool) -> None:
    """Record that you know of breaks of the chain, and of commands that are not in it.

    The break stays in the log, with your name and the time. Afterwards the server and `verify` no longer
    report it. Records from a changed or missing one up to now can no longer be verified then.
    """
    database, key, seen = context.database, _load_right_key(context), _load_seen(context)
    with _progress_bar(database) as bar:
        changed = verification.find_changed_record(database, key, bar.update)
    fault = changed.text if changed is not None else chain.read_end(database, key, seen).fault
    breaks = verification.unacknowledged_breaks(database, key)
    unrecorded = verification.unrecorded_operations(database)
    if not fault and not breaks and not unrecorded:
        click.echo("there is nothing to acknowledge")
        return
    if changed is not None:
        click.echo(f"{fault}: from there on, the records up to now can then no longer be verified")
    elif fault:
        click.echo(fault)
    for number in breaks:
        click.echo(f"the chain was broken before record {number}")
    for row in unrecorded:
        click.echo(f"{row.action} {row.state} of {row.operator} was not recorded")
    _confirm("Acknowledge?", yes)
    with _transaction(database):
        now = _now()
        if fault:
            trusted = _head_before(database, changed.number) if changed is not None else None
            chain.write_break(database, key, now, seen, trusted)
        for number in verification.unacknowledged_breaks(database, key):
            entry = chain.AuditEntry(context.operator, chain.ACKNOWLEDGED, chain.CHAIN_KIND, 0, number)
            chain.append(database, key, entry, now, seen=seen)
        for row in unrecorded:
            action = f"late {row.action} {row.state}"[: chain.ACTION_CHARS]
            entry = chain.AuditEntry(context.operator, action, chain.OPERATION_KIND, row.id)
            chain.append(database, key, entry, now, f"of {row.operator}", seen)
    click.echo("acknowledged and recorded")


@audit.command("new-key")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def new_key(context: CommandContext, yes: bool) -> None:
    """Begin the chain anew after the loss of the key. Stop the server first.

    The earlier records stay, but cannot be verified any more: the log records a break, which `acknowledge`
    closes.
    """
    path, database, seen = context.state_dir / key_file.KEY_FILE, context.database, _load_seen(context)
    try:
        is_valid = not verification.is_other_key(database, key_file.load_key(path))
    except (FileNotFoundError, ValueError):
        is_valid = False
    except OSError as error:
        raise click.ClickException(f"the key {path} cannot be read: {error.strerror}") from error
    if is_valid:
        raise click.ClickException(f"{path} has a valid key: nothing was changed")
    _confirm("The earlier records can then no longer be verified. Make a new key?", yes)
    try:
        aside = key_file.set_aside(path)
        key_file.create_key(path)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
    with _transaction(database):
        chain.begin_with_new_key(database, key_file.load_key(path), _now(), seen)
    click.echo(f"{path} has a new key" + (f"; the former file is {aside}" if aside else ""))
    click.echo("`tornado-chat audit acknowledge` closes the break that the log has now")


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
    table, detail = chain.AuditRecord, chain.AuditDetail
    query = (
        table.select(table, detail.text)
        .left_outer_join(detail, on=(table.number == detail.number))
        .order_by(table.number.desc())
        .limit(last)
    )
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
        when = datetime.fromtimestamp(row["time"] / MICROSECONDS_PER_SECOND, zone)
        click.echo(
            f"{row['number']:>7}  {when:%Y-%m-%d %H:%M:%S}  {row['actor']:<{width}}  {_action_text(row)}"
        )


def _action_text(row: dict[str, Any]) -> str:
    """Describe the action of a record, for example ``posted message 1, session 4``."""
    kind, message = row["kind"], row["message"]
    action: str = row["action"]
    if kind == chain.CHAIN_KIND:
        return action if message is None else f"{action}, record {message}"
    if message:
        action += f" message {message}"
    if kind != chain.SERVER_KIND:
        action += f", {KIND_NAMES.get(kind, '?')} {row['thread_id']}"
    return action + (f": {escape_controls(row['text'])}" if row["text"] else "")


def _transaction(database: peewee.Database) -> Any:
    """Return a transaction that waits for SQLite's write lock at its beginning; later it could only fail."""
    return database.atomic(*(("IMMEDIATE",) if isinstance(database, peewee.SqliteDatabase) else ()))


def _confirm(question: str, yes: bool) -> None:
    """Ask for confirmation on the terminal, unless ``yes``. :raises Abort: the answer is no."""
    if yes:
        return
    try:
        is_confirmed = click.confirm(question)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("there is no terminal to confirm on: add --yes") from None
    if not is_confirmed:
        raise click.Abort


def _progress_bar(database: peewee.Database) -> Any:
    """Return a progress bar on the terminal, for the verification of all records."""
    total = chain.AuditRecord.select().count(database)
    return click.progressbar(length=total, label="verifying", file=sys.stderr, hidden=not sys.stderr.isatty())


def _head_before(database: peewee.Database, number: int) -> chain.Head:
    """Return the number and the code of the record before ``number``, which was verified."""
    code = chain.code_of(database, number - 1)
    assert code is not None
    return chain.Head(number - 1, code)


def _now() -> int:
    return int(time.time() * MICROSECONDS_PER_SECOND)


def _load_seen(context: CommandContext) -> chain.Head | None:
    """Return the newest head that the server has saved. :raises ClickException: the file is not valid."""
    path = context.state_dir / seen_heads.HEAD_FILE
    try:
        return seen_heads.load_head(path)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _load_right_key(context: CommandContext) -> bytes:
    """Return the key. :raises ClickException: there is none, or the log was written with another one."""
    key = _load_key(context)
    if verification.is_other_key(context.database, key):
        raise click.ClickException(key_file.other_text(context.state_dir / key_file.KEY_FILE))
    return key


def _load_key(context: CommandContext) -> bytes:
    """Return the key. :raises ClickException: there is none; the message says what to do."""
    path = context.state_dir / key_file.KEY_FILE
    try:
        return key_file.load_key(path)
    except FileNotFoundError as error:
        if chain.is_empty(context.database):
            text = f"the audit log has no key {path} yet: start the server with the plugin once"
        else:
            text = key_file.lost_text(path)
        raise click.ClickException(text) from error
    except OSError as error:
        raise click.ClickException(f"the key {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
