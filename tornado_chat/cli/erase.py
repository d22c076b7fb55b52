"""``erase``: everything about one person."""

import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tornado_chat.cli.options import ConfigArguments, with_config
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

COMPACT_LIMIT_BYTES = 64 * 1024 * 1024
"""Bytes of a database that is written anew within a second or so, also while the server uses it."""

LOG_TIMEOUT_SECONDS = 30.0  # seconds to get a turn at emptying the log


@click.command()
@person_options
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--end-open", is_flag=True, help="End the person's conversations that are still open.")
@click.option(
    "--whole-conversations",
    is_flag=True,
    help="Remove the conversations altogether, with what the others said in them.",
)
@click.option(
    "--compact/--no-compact",
    default=None,
    help="Write the database anew afterwards, so that no fragment is left. Nobody can write meanwhile. "
    "Without either: if no server uses it, or it is small (64 MB).",
)
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here, as JSON."
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
    """Erase everything about one person.

    That is what they said, their names, and what was kept for them. Conversations stay for the others, with a note in the place of each erased message, and with
    somebody nameless in the person's place. The server may run meanwhile. What was done is reported and
    recorded. Take the person's access away first, in the system that makes the tokens.
    """
    from tornado_chat.core.texts import system_text
    from tornado_chat.data_management.erasure import Erasure
    from tornado_chat.data_management.operation_log import OperationRecorder
    from tornado_chat.storage import sqlite_files

    config = config_arguments.load()
    person = Person(Role(role), id)
    tombstone = system_text(config.server.language, "erased")
    path = sqlite_file(config, "") if config.storage.url.startswith("sqlite:") else None
    # Before it is opened here: to look at the locks lets go of one's own.
    served = path is None or sqlite_files.is_in_use(path)
    if report is not None and report.exists():
        raise click.UsageError(f"{report} is there already; name one that is not")
    if report is not None and not os.access(report.absolute().parent, os.W_OK):
        raise click.UsageError(f"{report} cannot be written; name another place")
    with open_person_data(config) as (database, keepers), sigterm_as_interrupt():
        require_known(database, keepers, person)
        rehearsal = Erasure(
            database, keepers, person, tombstone, whole_conversations=whole_conversations, dry_run=True
        )
        open = rehearsal.open()
        in_the_way = open if not end_open else [each for each in open if served and each.state != "ready"]
        if in_the_way and not dry_run:
            raise click.ClickException(_still_open(in_the_way, end_open))
        if dry_run or not yes:
            with progress("counting", 1) as bar:
                rehearsal.run(bar.set_done)
            click.echo(f"{role} {id}, to be erased:")
            _show(rehearsal)
        unknown = unknown_tables(database, config)
        remarks = _remarks(whole_conversations, unknown)
        if dry_run:
            if in_the_way:
                remarks.insert(0, _still_open(in_the_way, end_open))
            _show_remarks(remarks)
            click.echo("nothing was changed")
            _write_report(report, person, rehearsal, remarks, dry_run=True, by="")
            return
        confirm("Erase it for good?", yes)
        recorder = OperationRecorder(database, keepers, "erase", person)
        try:
            recorder.record_state("begun")
        except ValueError as error:
            raise click.ClickException(f"it cannot be recorded, so nothing was done: {error}") from error
        erasure = Erasure(database, keepers, person, tombstone, whole_conversations=whole_conversations)
        try:
            erasure.end(open)
            with progress("erasing", 1) as bar:
                erasure.run(bar.set_done)
        except KeyboardInterrupt:
            recorder.record_state("stopped", _by_table(erasure))
            raise click.ClickException(
                "stopped in the middle: what was erased stays erased; run the same command again for the rest"
            ) from None
        recorder.record_state("done", _by_table(erasure))
        complete = erasure.complete
    if path is not None:
        remarks += _clean(path, served, compact)
    if not complete:
        remarks.insert(0, "somebody used the person's access meanwhile: take it away, and run this again")
    if keepers.failed:
        remarks.insert(
            0, f"plugins failed, and may still keep something: {', '.join(sorted(keepers.failed))}"
        )
    click.echo(f"{role} {id} is erased:")
    _show(erasure)
    _show_remarks(remarks)
    _write_report(report, person, erasure, remarks, dry_run=False, by=recorder.operator)
    if keepers.failed or not complete:
        sys.exit(1)


def _still_open(open: Sequence["OpenConversation"], end_open: bool) -> str:
    from tornado_chat.core.types import Kind

    names = {Kind.SESSION: "session", Kind.RECORD: "supervision record", Kind.SUPPORT: "support conversation"}
    told = ", ".join(f"{names[each.thread.kind]} {each.thread.id} ({each.state})" for each in open)
    if end_open:
        return f"a server runs, and people may be in these: {told}. End them there, or stop the server first"
    return f"these are still open: {told}. End them first, or say --end-open"


def _by_table(erasure: "Erasure") -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for done, rows in erasure.counts.items():
        counts[done.table] = counts.get(done.table, 0) + rows
    return counts


def _show(erasure: "Erasure") -> None:
    from tornado_chat.cli.formatting import number, table

    rows = [(f"  {done.table}", number(count), done.what) for done, count in sorted(erasure.counts.items())]
    rows += [
        (f"  {name}", number(count), "kept by its plugin") for name, count in erasure.kept.items() if count
    ]
    for line in table(rows or [("  nothing", "", "")], right=(1,)):
        click.echo(line)


def _remarks(whole_conversations: bool, unknown: Sequence[str]) -> list[str]:
    said = [] if whole_conversations else ["what others said stays, also where they wrote the person's name"]
    said.append("backups from before still hold everything, until you remove them")
    said.append("that the person was erased is on record, with the id (`tornado-chat db operations`)")
    return [*said, *([unknown_tables_text(unknown)] if unknown else [])]


def _show_remarks(remarks: Sequence[str]) -> None:
    for remark in remarks:
        click.echo(f"- {remark}")


def _clean(path: Path, served: bool, compact: bool | None) -> list[str]:
    """See to it that the files do not hold what was erased any more. Returns what is still to be done."""
    from tornado_chat.storage import sqlite_files

    remarks = []
    if compact or (compact is None and (not served or path.stat().st_size <= COMPACT_LIMIT_BYTES)):
        try:
            with progress("compacting") as bar:
                sqlite_files.compact(path, bar.tick)
        except sqlite3.OperationalError as error:
            remarks.append(f"the database could not be written anew ({error}): run `tornado-chat db compact`")
    else:
        remarks.append(
            "fragments may be left in the free space of the database: run `tornado-chat db compact` when the "
            "server is stopped the next time"
        )
    if not sqlite_files.truncate_wal(path, LOG_TIMEOUT_SECONDS):
        remarks.append(
            "the write-ahead log was busy and may still hold it: it is emptied when the server stops"
        )
    return remarks


def _write_report(
    path: Path | None, person: Person, erasure: "Erasure", remarks: Sequence[str], *, dry_run: bool, by: str
) -> None:
    if path is None:
        return
    import msgspec

    document: dict[str, Any] = {
        "format": "tornado-chat-erasure",
        "version": 1,
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "person": {"role": person.role.value, "id": person.id},
        "by": by or None,
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
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
