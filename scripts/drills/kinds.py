"""The drills, in the order in which they run."""

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from scripts.drills.drill import (
    Drill,
    NotRun,
    Rehearsal,
    require,
    require_no_faults,
    require_success,
)
from scripts.drills.server import DrillServer, row_counts, token
from scripts.drills.traffic import talking
from tornado_chat.client import ChatClient, Options

PERSON, COUNSELLOR = "drill-person", "drill-counsellor"
WORDS = ("only-this-person-says-so", "只有这个人这样说")
"""Words in the person's messages, name and notifications. No other file of the machine has them."""

DISK_BYTES = 24 * 2**20
NOTIFICATIONS = 12  # more than the webhooks that are sent at once
AUDIT_KEY = "audit.key"


async def open_person(server: DrillServer) -> None:
    """Let the person who is erased later talk, and be notified."""
    session = await server.open_session(PERSON, COUNSELLOR, user_name=f"{WORDS[0]} {WORDS[1]}")
    url = server.url.replace("http:", "ws:")
    async with (
        ChatClient(url, token("consultant", COUNSELLOR), session, options=Options()),
        ChatClient(url, token("user", PERSON), session, options=Options()) as visitor,
    ):
        for number in range(50):
            await visitor.send(f"{WORDS[number % 2]} {number} " + "long " * number, id=f"{WORDS[0]}-{number}")
    note = {"role": "user", "id": PERSON, "type": 0, "msg": f"{WORDS[0]} {WORDS[1]}"}
    await server.api("POST", "/notifications", token("service", "drill"), note)
    await server.api("POST", f"/sessions/{session}/end", token("service", "drill"))


async def back_up(rehearsal: Rehearsal) -> str:
    """Make a backup while people talk: it has every message that was acknowledged before."""
    target = rehearsal.directory / "backups" / "drill.sqlite3"
    target.parent.mkdir(mode=0o700)
    await rehearsal.traffic.progress()
    expected = rehearsal.traffic.acknowledged()
    started = time.monotonic()
    require_success(await rehearsal.server.command("backup", str(target)), "backup")
    seconds = time.monotonic() - started
    await rehearsal.traffic.progress()  # the server goes on
    require_no_faults(rehearsal.traffic.faults(target, expected))
    result = await rehearsal.server.command("backup", str(rehearsal.server.database), "--force")
    require(result.code != 0, "`tornado-chat backup --force` replaced the database of the server")
    rehearsal.backup, rehearsal.expected = target, expected
    count = sum(map(len, expected.values()))
    return f"{target.stat().st_size / 2**20:.1f} MiB in {seconds:.1f} s, all {count} acknowledged messages"


async def restore_elsewhere(rehearsal: Rehearsal) -> str:
    """Restore the backup into another folder, and serve it."""
    backup = rehearsal.require_backup()
    other = DrillServer(rehearsal.directory / "elsewhere", _plugins(rehearsal))
    if rehearsal.has_audit:
        shutil.copy(rehearsal.server.state_dir / AUDIT_KEY, other.state_dir)
    started = time.monotonic()
    require_success(await other.command("restore", str(backup), "--yes"), "restore")
    counts = row_counts(backup)
    require(row_counts(other.database) == counts, "the numbers of rows differ from the backup's")
    require_no_faults(rehearsal.traffic.faults(other.database, rehearsal.expected))
    await other.start()
    try:
        seconds = time.monotonic() - started
        talk = rehearsal.traffic.talks[0]
        answer = await other.api(
            "GET", f"/sessions/{talk.session}/messages?limit=5", token("service", "drill")
        )
        require(len(answer["items"]) == 5, "the restored server does not serve a transcript")
        await _verify_audit(rehearsal, other)
        async with talking(other, "elsewhere"):
            pass
    finally:
        await other.stop()
    require_no_faults(other.problems())
    return f"{sum(counts.values())} rows, serving {seconds:.1f} s after the command"


async def verify_audit(rehearsal: Rehearsal) -> str:
    """Verify the chain of the audit while people talk."""
    if not rehearsal.has_audit:
        raise NotRun("the backup has audit records, and --audit-key does not name their key")
    await rehearsal.traffic.progress()
    return await _verify_audit(rehearsal, rehearsal.server)


async def kill(rehearsal: Rehearsal) -> str:
    """Kill the server while people talk: they come back, and nothing acknowledged is lost."""
    server = rehearsal.server
    await rehearsal.traffic.progress()
    await server.stop(signal.SIGKILL)
    expected = rehearsal.traffic.acknowledged()
    started = time.monotonic()
    await server.start()
    ready = time.monotonic() - started
    await rehearsal.traffic.progress()
    back = time.monotonic() - started
    require_no_faults(rehearsal.traffic.faults(server.database, expected))
    await _verify_audit(rehearsal, server)
    return f"ready after {ready:.1f} s, all people talk after {back:.1f} s"


async def erase(rehearsal: Rehearsal) -> str:
    """Erase a person while others talk, and look for the person's words in all files."""
    server = rehearsal.server
    require(_files_with_words([server.state_dir]), "the person's words are not found before the erasure")
    started = time.monotonic()
    require_success(await server.command("erase", "--user", PERSON, "--yes"), "erase")
    seconds = time.monotonic() - started
    _require_no_words([server.state_dir, server.log_path])
    new = rehearsal.directory / "backups" / "after-erasure.sqlite3"
    require_success(await server.command("backup", str(new)), "backup")
    _require_no_words([new])
    await rehearsal.traffic.progress()
    await _verify_audit(rehearsal, server)
    return f"{seconds:.1f} s; the words are in no file of the server, in no log, in no new backup"


async def restore_after_erasure(rehearsal: Rehearsal) -> str:
    """Restore the older backup: the erased person is named, erased again, and the replaced copy removed."""
    backup = rehearsal.require_backup()
    other = DrillServer(rehearsal.directory / "again", _plugins(rehearsal))
    if rehearsal.has_audit:
        shutil.copy(rehearsal.server.state_dir / AUDIT_KEY, other.state_dir)
    started = time.monotonic()
    require_success(await other.command("restore", str(backup), "--yes"), "restore")
    require_success(await other.command("erase", "--user", PERSON, "--yes"), "erase")
    _require_no_words([other.state_dir])
    restored = require_success(await other.command("restore", str(backup), "--yes"), "restore")
    require(
        f"tornado-chat erase --role user --user {PERSON}" in restored.output,
        "`tornado-chat restore` does not name the person who has to be erased again",
    )
    again = require_success(await other.command("erase", "--user", PERSON, "--yes"), "erase")
    require(".replaced-" in again.output, "`tornado-chat erase` does not name the replaced database")
    require_success(await other.command("restore", "--discard", "--yes"), "restore --discard")
    require(not list(other.state_dir.glob("*.replaced-*")), "a replaced database is left")
    _require_no_words([other.state_dir])
    return f"{time.monotonic() - started:.1f} s; named, erased again, the replaced database removed"


async def hang_pager(rehearsal: Rehearsal) -> str:
    """Let the pager of the duty hang: people and other receivers notice nothing, and the duty hears later."""
    pager, server = rehearsal.pager, rehearsal.server
    before = len(pager.heard["/office"]), len(pager.heard["/duty"])
    pager.hang()
    started = time.monotonic()
    try:
        for number in range(NOTIFICATIONS):
            note = {"role": "supervisor", "id": "drill-duty", "type": 0, "msg": f"call {number}"}
            await server.api("POST", "/notifications", token("service", "drill"), note)
        await pager.wait(lambda: pager.hanging > 0)
        await pager.wait(lambda: len(pager.heard["/office"]) >= before[0] + NOTIFICATIONS)
        office = time.monotonic() - started
        await rehearsal.traffic.progress()
    finally:
        pager.answer()
    answered = time.monotonic()
    await pager.wait(lambda: len(pager.heard["/duty"]) >= before[1] + NOTIFICATIONS)
    duty = time.monotonic() - answered
    require_success(await server.command("notify", "list"), "notify list")
    return (
        f"{NOTIFICATIONS} calls; the other receiver had all after {office:.1f} s, the duty {duty:.1f} s "
        "after its pager answered again"
    )


async def fill_disk(rehearsal: Rehearsal) -> str:
    """Fill the disk: messages are refused, not lost, and accepted again as soon as there is space."""
    async with _small_disk(rehearsal.directory / "small-disk") as disk:
        server = DrillServer(rehearsal.directory / "full", _plugins(rehearsal), disk / "state")
        await server.start()
        try:
            async with talking(server, "full") as traffic:
                filler = disk / "filler"
                _fill(filler)
                started = time.monotonic()
                await traffic.refusals()
                noticed = time.monotonic() - started
                result = await server.command("backup", str(disk / "b.sqlite3"))
                require(result.code == 1, f"a backup onto a full disk ended with {result.code}")
                left = sorted(path.name for path in disk.iterdir())
                require(left == ["filler", "state"], f"a backup onto a full disk left {left}")
                filler.unlink()
                freed = time.monotonic()
                await traffic.progress()
                recovered = time.monotonic() - freed
                require_no_faults(traffic.faults(server.database))
            await _verify_audit(rehearsal, server)
        finally:
            await server.stop()
        with contextlib.closing(sqlite3.connect(server.database)) as database:
            (checked,) = database.execute("PRAGMA integrity_check").fetchone()
        require(checked == "ok", f"the database is damaged: {checked}")
    return f"refused after {noticed:.1f} s, accepted {recovered:.1f} s after there was space, nothing lost"


DRILLS = (
    Drill("backup", "a backup under traffic", back_up),
    Drill("restore", "restore elsewhere", restore_elsewhere),
    Drill("audit", "the chain of the audit", verify_audit),
    Drill("kill", "kill -9 under traffic", kill),
    Drill("erase", "erase a person", erase),
    Drill("restore-erased", "restore after an erasure", restore_after_erasure),
    Drill("pager", "the duty's pager hangs", hang_pager),
    Drill("disk", "a full disk", fill_disk),
)


def _plugins(rehearsal: Rehearsal) -> list[str]:
    """Return the options of a second server: no notify, as it would repeat the deliveries of the first."""
    return ["plugins.enabled=audit"] if rehearsal.has_audit else []


async def _verify_audit(rehearsal: Rehearsal, server: DrillServer) -> str:
    """Verify the audit's chain in a copy of one moment, and return the command's first line.

    :raises DrillFailed: the chain is broken.
    """
    if not rehearsal.has_audit:
        return ""
    copy = DrillServer(Path(tempfile.mkdtemp(prefix="audit-", dir=rehearsal.directory)), _plugins(rehearsal))
    try:
        shutil.copy(server.state_dir / AUDIT_KEY, copy.state_dir)
        require_success(await server.command("backup", str(copy.directory / "copy")), "backup")
        (copy.directory / "copy").rename(copy.database)
        result = require_success(await copy.command("audit", "verify"), "audit verify")
    finally:
        shutil.rmtree(copy.directory)
    return result.output.partition("\n")[0]


def _files_with_words(places: Iterable[Path]) -> list[str]:
    """Return the files that contain one of the words, in the given files and below the given folders."""
    found = []
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and any(word.encode() in path.read_bytes() for word in WORDS):
                found.append(str(path))
    return found


def _require_no_words(places: Iterable[Path]) -> None:
    found = _files_with_words(places)
    require(not found, f"the person's words are in {', '.join(found)}")


def _fill(path: Path) -> None:
    """Write a file until the disk has no space."""
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


@asynccontextmanager
async def _small_disk(mountpoint: Path) -> AsyncIterator[Path]:
    """Mount a small disk in memory. :raises NotRun: this user or machine cannot mount."""
    if os.geteuid() != 0:
        raise NotRun("only root can mount a small disk")
    await asyncio.to_thread(mountpoint.mkdir, mode=0o700)
    options = f"size={DISK_BYTES},mode=700"
    mounted = await asyncio.to_thread(
        subprocess.run,
        ["mount", "-t", "tmpfs", "-o", options, "tornado-chat-drill", str(mountpoint)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        raise NotRun(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield mountpoint
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", str(mountpoint)], check=True)
