"""Runs the drills on a throw-away server, with people who talk meanwhile, and prints a table.

The server is a process of this tree with its own folder, database, port and secret; no other server is
touched. With ``--backup`` it begins with a copy of that backup, so that the operator's own data are
rehearsed. The folder is removed at the end. The last line is the result; a drill that is impossible on this
machine is named as not run, and does not count. The exit code is 1 if a drill has failed.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from scripts.drills import report
from scripts.drills.drill import FAILED, NOT_RUN, PASSED, Drill, DrillFailed, NotRun, Outcome, Rehearsal
from scripts.drills.kinds import AUDIT_KEY, DRILLS, open_person
from scripts.drills.pager import Pager
from scripts.drills.server import SECRET, DrillServer
from scripts.drills.traffic import talking


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/drill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backup", type=Path, metavar="FILE", help="begin with a copy of this backup")
    parser.add_argument(
        "--audit-key", type=Path, metavar="FILE", help="the key of the audit records in the backup"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="make the temporary folder in this one (default: TMPDIR)",
    )
    names = [drill.name for drill in DRILLS]
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=names, help="run this drill only; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the drills")
    arguments = parser.parse_args()
    if arguments.list:
        for drill in DRILLS:
            print(f"{drill.name:<16} {drill.text}")
        return 0
    if arguments.audit_key and not arguments.backup:
        parser.error("--audit-key requires --backup")
    for path in filter(None, (arguments.backup, arguments.audit_key)):
        if not path.is_file():
            parser.error(f"{path} is not a file")
    # asyncio cancels the drill on SIGINT, so that the server ends and the small disk is unmounted.
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    chosen = [drill for drill in DRILLS if not arguments.only or drill.name in arguments.only]
    with tempfile.TemporaryDirectory(prefix="tornado-chat-drill-", dir=arguments.directory) as directory:
        try:
            outcomes = asyncio.run(rehearse(Path(directory), chosen, arguments.backup, arguments.audit_key))
        except DrillFailed as error:
            print(f"no drill could begin: {error}", file=sys.stderr)
            return 1
    for line in report.last_lines(outcomes):
        print(line)
    return 1 if any(outcome.state == FAILED for outcome in outcomes) else 0


async def rehearse(
    directory: Path, drills: list[Drill], backup: Path | None, audit_key: Path | None
) -> list[Outcome]:
    """Run the drills one after the other, and print a line for each.

    :raises DrillFailed: the server does not start, or the backup cannot be restored.
    """
    pager = Pager()
    await pager.start()
    has_audit = audit_key is not None or backup is None or not _has_audit_records(backup)
    (directory / "webhook-secret").write_bytes(SECRET)
    (directory / "webhook-secret").chmod(0o600)
    server = DrillServer(
        directory / "server",
        [
            f"plugins.enabled={'audit, ' if has_audit else ''}notify",
            f"plugin:notify.webhook_secret_file={directory / 'webhook-secret'}",
            "plugin:notify.webhook_timeout=2",
            "plugin:notify.retry_after=1",
            f"plugin:notify.webhooks={pager.url}/duty role=supervisor, {pager.url}/office role=supervisor",
        ],
    )
    if backup is not None:
        restored = await server.command("restore", str(backup), "--yes")
        if restored.code:
            raise DrillFailed(f"{backup} cannot be restored: {restored.last_line}")
    if audit_key is not None:
        shutil.copy(audit_key, server.state_dir / AUDIT_KEY)
    try:
        await server.start()
    except (RuntimeError, TimeoutError) as error:
        await server.stop()
        raise DrillFailed(str(error)) from error
    outcomes = []
    try:
        await open_person(server)
        async with talking(server, "main") as traffic:
            rehearsal = Rehearsal(directory, server, traffic, pager, has_audit)
            print(report.heading())
            for drill in drills:
                outcomes.append(await run(drill, rehearsal))
                print(report.line(outcomes[-1]), flush=True)
    finally:
        await server.stop()
        await pager.stop()
    return outcomes


async def run(drill: Drill, rehearsal: Rehearsal) -> Outcome:
    """Run one drill. An error of it is its failure, so that the others run, too."""
    started = time.monotonic()
    try:
        state, text = PASSED, await drill.run(rehearsal)
    except NotRun as error:
        state, text = NOT_RUN, str(error)
    except DrillFailed as error:
        state, text = FAILED, str(error)
    except Exception as error:
        state, text = FAILED, f"{type(error).__name__}: {error}"
    return Outcome(drill, state, time.monotonic() - started, text)


def _has_audit_records(backup: Path) -> bool:
    with contextlib.closing(sqlite3.connect(f"file:{backup.absolute()}?mode=ro", uri=True)) as database:
        try:
            return database.execute("SELECT 1 FROM audit_record LIMIT 1").fetchone() is not None
        except sqlite3.DatabaseError:  # no such table; or no database, which restore reports
            return False


if __name__ == "__main__":
    raise SystemExit(main())
