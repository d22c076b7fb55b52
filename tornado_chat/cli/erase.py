"""The command ``erase``: removes all data of one person."""

import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tornado_chat.cli.options import ConfigArguments, with_config
from tornado_chat.cli.output_files import OutputFiles, temporary_folder
from tornado_chat.cli.person_data import (
    confirm,
    open_person_data,
    person_options,
    require_known,
    sqlite_file,
    unknown_tables,
    unknown_tables_text,
)
from tornado_chat.cli.progress import progress, sigterm_as_interrupt
from tornado_chat.core.types import Person, Role

if TYPE_CHECKING:
    from tornado_chat.data_management.erasure import Erasure, OpenConversation
    from tornado_chat.data_management.operation_log import OperationRecorder

COMPACT_LIMIT_BYTES = 64 * 1024 * 1024
"""The size up to which the database is compacted within about a second, also while the server uses it."""

WAL_TIMEOUT_SECONDS = 30.0  # to get exclusive access to the write-ahead log


@click.command()
@person_options
@click.option("--dry-run", is_flag=True, help="Show what would be erased, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--end-open", is_flag=True, help="End the person's open conversations first.")
@click.option(
    "--whole-conversations",
    is_flag=True,
    help="Remove whole conversations, including the messages of the other participants.",
)
@click.option(
    "--compact/--no-compact",
    default=None,
    help="Rewrite the database afterwards, so that no fragments remain in it. Writes wait meanwhile. "
    "Default: only if no server uses the database, or it is at most 64 MiB.",
)
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a JSON report to this file."
)
@with_config
def erase(
    config_arguments: ConfigArguments,
    id: str,
    role: str,
    dry_run: bool,
    yes: bool,
    end_open: bool,
    whole_conversations: bool,
    compact: bool | None,
    report: Path | None,
) -> None:
    """Erase all data of one person.

    This removes the person's messages, names, notifications and other data. Conversations stay for the other
    participants: a note replaces each erased message, and an anonymous participant replaces the person. The
    server may be running. The result is printed and recorded. First revoke the person's access, in the
    system that issues the tokens.
    """
    from tornado_chat.cli.formatting import format_time
    from tornado_chat.core.texts import system_text
    from tornado_chat.data_management.erasure import Erasure
    from tornado_chat.data_management.operation_log import OperationRecorder
    from tornado_chat.storage import operations, sqlite_files
    from tornado_chat.storage.exclusive_lock import raise_lock_timeout

    config = config_arguments.load()
    person = Person(Role(role), id)
    tombstone = system_text(config.server.language, "erased")
    path = sqlite_file(config, "") if config.storage.url.startswith("sqlite:") else None
    # Before the database is opened here: checking the locks would release those of this process.
    is_in_use = path is None or sqlite_files.is_in_use(path)
    outputs = OutputFiles.beside_server(config)
    if report is not None:
        outputs.check_new(report)
    if report is not None and not os.access(report.absolute().parent, os.W_OK):
        raise click.UsageError(f"{report} cannot be written; use another folder")
    with open_person_data(config) as (database, keepers), sigterm_as_interrupt():
        begun = operations.unfinished_erasure(database, person)
        if begun is None:
            require_known(database, keepers, person)
        else:
            click.echo(
                f"an erasure of {role} {id} by {begun.operator}, begun "
                f"{format_time(begun.time, config.server.timezone)}, was not completed: this one completes it"
            )
        dry_erasure = Erasure(
            database, keepers, person, tombstone, whole_conversations=whole_conversations, dry_run=True
        )
        open_conversations = dry_erasure.open()
        blocking = (
            [each for each in open_conversations if is_in_use and each.state != "ready"]
            if end_open
            else open_conversations
        )
        if blocking and not dry_run:
            raise click.ClickException(_open_conversations_text(blocking, end_open))
        if dry_run or not yes:
            with progress("counting", 1) as bar:
                dry_erasure.run(bar.set_done)
            click.echo(f"{role} {id}, to be erased:")
            _print_counts(dry_erasure)
        unknown = unknown_tables(database, config)
        remarks = [*_copies_text(path), *_remarks(whole_conversations, unknown)]
        if dry_run:
            if blocking:
                remarks.insert(0, _open_conversations_text(blocking, end_open))
            _print_remarks(remarks)
            click.echo("nothing was changed")
            _write_report(outputs, report, person, dry_erasure, remarks, dry_run=True, operator="")
            return
        confirm("Erase these data permanently?", yes)
        recorder = OperationRecorder(database, keepers, "erase", person)
        try:
            recorder.record_state("begun")
        except ValueError as error:
            raise click.ClickException(
                f"nothing was erased: the operation cannot be recorded: {error}"
            ) from error
        erasure = Erasure(
            database,
            keepers,
            person,
            tombstone,
            whole_conversations=whole_conversations,
            keeps_progress=True,
        )
        try:
            erasure.end(open_conversations)
            with progress("erasing", 1) as bar:
                erasure.run(bar.set_done)
            complete = erasure.complete
            is_log_empty = True
            if path is not None:
                database.close()  # a read in this connection would keep the files from being rewritten
                file_remarks, is_log_empty = _remove_fragments(path, is_in_use, compact)
                remarks += file_remarks
                database.connect()
                raise_lock_timeout(database)
        except KeyboardInterrupt:
            _record(recorder, "stopped", erasure)
            raise click.ClickException(
                "interrupted: some data are erased; run the same command again to erase the rest"
            ) from None
        _record(recorder, "done" if is_log_empty else "stopped", erasure)
    if not complete:
        remarks.insert(0, "the person's access was used meanwhile: revoke it, and run the command again")
    if keepers.failed:
        remarks.insert(
            0, f"these plugins failed, and may still hold data: {', '.join(sorted(keepers.failed))}"
        )
    click.echo(f"{role} {id} is erased:" if is_log_empty else f"{role} {id} is not erased completely:")
    _print_counts(erasure)
    _print_remarks(remarks)
    _write_report(outputs, report, person, erasure, remarks, dry_run=False, operator=recorder.operator)
    if keepers.failed or not complete or not is_log_empty:
        sys.exit(1)


def _record(recorder: "OperationRecorder", state: str, erasure: "Erasure") -> None:
    """Record the end of a run. :raises ClickException: a plugin cannot record it."""
    try:
        recorder.record_state(state, _counts_by_table(erasure))
    except ValueError as error:
        raise click.ClickException(
            f"the data are erased, but that cannot be recorded: {error}. Run the same command again when "
            "that is solved"
        ) from error


def _open_conversations_text(conversations: Sequence["OpenConversation"], end_open: bool) -> str:
    from tornado_chat.core.types import Kind

    names = {Kind.SESSION: "session", Kind.RECORD: "supervision record", Kind.SUPPORT: "support conversation"}
    listed = ", ".join(f"{names[each.thread.kind]} {each.thread.id} ({each.state})" for each in conversations)
    if end_open:
        return (
            f"the server is running, so these conversations may be in use: {listed}. End them in the "
            "server, or stop the server"
        )
    return f"these conversations are open: {listed}. End them first, or use --end-open"


def _counts_by_table(erasure: "Erasure") -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for done, rows in erasure.counts.items():
        counts[done.table] = counts.get(done.table, 0) + rows
    return counts


def _print_counts(erasure: "Erasure") -> None:
    from tornado_chat.cli.formatting import number, table

    rows = [(f"  {done.table}", number(count), done.what) for done, count in sorted(erasure.counts.items())]
    rows += [
        (f"  {name}", number(count), "kept by the plugin") for name, count in erasure.kept.items() if count
    ]
    for line in table(rows or [("  nothing", "", "")], right=(1,)):
        click.echo(line)


def _remarks(whole_conversations: bool, unknown: Sequence[str]) -> list[str]:
    remarks = (
        [] if whole_conversations else ["messages of others stay, also those that contain the person's name"]
    )
    remarks.append("earlier backups still contain all data, until you remove them")
    remarks.append("the erasure is recorded with the person's id (see `tornado-chat db operations`)")
    return [*remarks, *([unknown_tables_text(unknown)] if unknown else [])]


def _copies_text(path: Path | None) -> list[str]:
    """Return a remark about the copies of the database that still contain all data."""
    from tornado_chat.storage.database_copies import find_copies

    copies = find_copies(path) if path is not None else []
    if not copies:
        return []
    names = ", ".join(str(copy.path) for copy in copies)
    return [
        f"these copies of the database still contain all data: {names}; remove them by `tornado-chat restore "
        "--discard`"
    ]


def _print_remarks(remarks: Sequence[str]) -> None:
    for remark in remarks:
        click.echo(f"- {remark}")


def _remove_fragments(path: Path, is_in_use: bool, compact: bool | None) -> tuple[list[str], bool]:
    """Remove the erased data from the free space of the files.

    :return: remarks about the remaining steps, and whether the write-ahead log is empty.
    """
    from tornado_chat.storage import sqlite_files

    remarks = []
    if compact or (compact is None and (not is_in_use or path.stat().st_size <= COMPACT_LIMIT_BYTES)):
        try:
            with progress("compacting") as bar:
                sqlite_files.compact(path, bar.tick)
        except sqlite3.OperationalError as error:
            remarks.append(f"the database could not be compacted ({error}): run `tornado-chat db compact`")
    else:
        remarks.append(
            "fragments may remain in the free space of the database: run `tornado-chat db compact` when the "
            "server is stopped the next time"
        )
    is_log_empty = sqlite_files.truncate_wal(path, WAL_TIMEOUT_SECONDS)
    if not is_log_empty:
        remarks.append(
            "the write-ahead log was in use and may still contain the data: run the same command again, or "
            "stop the server, which empties the log, and then run the command again"
        )
    return remarks, is_log_empty


def _write_report(
    outputs: OutputFiles,
    path: Path | None,
    person: Person,
    erasure: "Erasure",
    remarks: Sequence[str],
    *,
    dry_run: bool,
    operator: str,
) -> None:
    if path is None:
        return
    import msgspec

    document: dict[str, Any] = {
        "format": "tornado-chat-erasure",
        "version": 1,
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "person": {"role": person.role.value, "id": person.id},
        "by": operator or None,
        "dry_run": dry_run,
        "done": [
            {"table": done.table, "what": done.what, "rows": count}
            for done, count in sorted(erasure.counts.items())
        ],
        "kept": dict(erasure.kept),
        "remarks": list(remarks),
    }
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    try:
        with temporary_folder(path) as folder:
            new = folder / path.name
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            outputs.publish_new(new, path)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
