"""A SQLite database as a file: copying it while it is in use, looking whether it is sound, replacing and
compacting it. Nothing here is for any other kind of database.
"""

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

COPY_STEP_PAGES = 1024  # copied in one step, 4 MiB
COPY_PAUSE_SECONDS = 0.002  # seconds between steps, for the server's share of the disk
PROGRESS_INSTRUCTIONS = 100_000  # instructions of SQLite's machine between two signs of life

# File format of SQLite, "Locking And Concurrency": whoever has a database open in WAL mode holds
# one of these bytes.
SHARED_LOCK_START, SHARED_LOCK_BYTES = 0x40000002, 510

SIDE_FILE_SUFFIXES = ("-wal", "-shm", "-journal")
"""The files that SQLite has beside a database that is in use, or was when it crashed."""

PageProgress = Callable[[int, int], object]
"""Told how many pages are done, and of how many."""

ProgressCallback = Callable[[], object]
"""Called now and then while something goes on that has no measure."""


class CorruptDatabase(Exception):
    """A file is no sound database; the sentence says why."""


class DatabaseInUse(Exception):
    """Somebody has the database open."""


def is_in_use(path: Path) -> bool:
    """Whether another process has the database open. For a file that this process has not open itself:
    looking at a lock lets go of the own ones.
    """
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_LOCK_BYTES, SHARED_LOCK_START)
        except (BlockingIOError, PermissionError):
            return True
    return False


def copy_database(source: Path, target: Path, steps: PageProgress) -> None:
    """Copy a database, in use or not, as it is at this moment. The copy has nothing beside it.

    One read transaction holds the state that is copied, so the copy need not begin again when somebody
    writes meanwhile, and nobody has to wait for it.

    :raises CorruptDatabase: the source is no database, or damaged.
    :raises OSError: no place for the copy.
    """
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(descriptor)

    def step(status: int, remaining: int, total: int) -> None:
        steps(total - remaining, total)
        time.sleep(COPY_PAUSE_SECONDS)

    with _connect(source, "rw") as reader, _connect(target, "rw") as writer:
        try:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            reader.backup(writer, pages=COPY_STEP_PAGES, progress=step)
            writer.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.DatabaseError as error:
            if "full" in str(error):
                raise OSError(None, "the disk is full") from error
            raise CorruptDatabase(f"{source} cannot be copied: {error}") from error
    fsync_path(target)


def check_integrity(path: Path, tick: ProgressCallback) -> None:
    """Look at every page and reference of a database. :raises CorruptDatabase: it is damaged."""
    try:
        with _connect(path, "ro") as database, _reporting_progress(database, tick):
            said = [row[0] for row in database.execute("PRAGMA integrity_check(5)")]
            broken = database.execute("PRAGMA foreign_key_check").fetchone() if said == ["ok"] else None
    except sqlite3.DatabaseError as error:
        raise CorruptDatabase(f"{path} is damaged: {error}") from error
    if said != ["ok"]:
        raise CorruptDatabase(f"{path} is damaged: {'; '.join(said)}")
    if broken is not None:
        raise CorruptDatabase(
            f"{path} is damaged: row {broken[1]} of {broken[0]} refers to one that is not there"
        )


def replace_database(new: Path, path: Path, old_copy: Path) -> bool:
    """Make ``new`` the database ``path``; what was there is kept as ``old_copy``. False if nothing was.

    Whatever happens in between, ``path`` is the whole old database or the whole new one, and no log
    of the old one is beside the new one, which SQLite would write into it.

    :raises DatabaseInUse: somebody has it open.
    """
    there = path.exists()
    if there:
        _merge_wal(path)
        os.link(path, old_copy)
    for side in SIDE_FILE_SUFFIXES:
        left = path.with_name(path.name + side)
        if left.exists():  # of a database that is damaged, or gone
            left.rename(old_copy.with_name(old_copy.name + side))
    new.replace(path)
    fsync_path(path.parent)
    return there


def compact(path: Path, tick: ProgressCallback) -> None:
    """Write the database anew, without free space and what may be left in it of deleted rows.

    Nobody else can write meanwhile.
    """
    with _connect(path, "rw") as database, _reporting_progress(database, tick):
        database.execute("PRAGMA busy_timeout = 60000")
        database.execute("VACUUM")


def truncate_wal(path: Path, timeout_seconds: float) -> bool:
    """Bring everything from the write-ahead log into the database, and empty the log.

    False if others have needed it for so many seconds.
    """
    until = time.monotonic() + timeout_seconds
    with _connect(path, "rw") as database:
        database.execute("PRAGMA busy_timeout = 1000")
        while True:
            busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
            if time.monotonic() > until:
                return False


def fsync_path(path: Path) -> None:
    """Have a file or folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _merge_wal(path: Path) -> None:
    """Make one file of a database and its log, if it is sound enough for that. :raises DatabaseInUse: it is open."""
    if is_in_use(path):
        raise DatabaseInUse
    try:
        with _connect(path, "ro") as database:  # which changes nothing of one that is damaged
            database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        with _connect(path, "rw") as database:
            database.execute("PRAGMA busy_timeout = 0")
            database.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise DatabaseInUse from error
    except CorruptDatabase:
        pass


@contextlib.contextmanager
def _connect(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        database = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, isolation_level=None, timeout=5
        )
    except sqlite3.OperationalError as error:
        raise CorruptDatabase(f"{path} cannot be opened: {error}") from error
    with contextlib.closing(database):
        yield database


@contextlib.contextmanager
def _reporting_progress(database: sqlite3.Connection, tick: ProgressCallback) -> Iterator[None]:
    """Call ``tick`` while statements run; an interrupt comes out of it as what it is."""
    stopped: list[BaseException] = []

    def handle() -> int:
        try:
            tick()
        except BaseException as error:
            stopped.append(error)
            return 1
        return 0

    database.set_progress_handler(handle, PROGRESS_INSTRUCTIONS)
    try:
        yield
    except sqlite3.OperationalError:
        if stopped:
            raise stopped[0] from None
        raise
    finally:
        database.set_progress_handler(None, 0)
