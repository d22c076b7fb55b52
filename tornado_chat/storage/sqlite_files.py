"""Operations on a SQLite database file: copy (also while it is in use), integrity check, replace, compact."""

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

COPY_STEP_PAGES = 1024  # pages copied in one step, 4 MiB
COPY_PAUSE_SECONDS = 0.002  # pause between steps, so that the server can use the disk
PROGRESS_INSTRUCTIONS = 100_000  # instructions of SQLite's virtual machine between two progress callbacks

# File format of SQLite, "Locking And Concurrency": a process that has a database open in WAL mode holds a
# lock on one of these bytes.
SHARED_LOCK_START, SHARED_LOCK_BYTES = 0x40000002, 510

# File format of SQLite, "The Database Header": the first 16 bytes, and the bytes 18 and 19, which are 2 and 2
# in WAL mode.
SQLITE_MAGIC, ROLLBACK_MODE_VERSIONS = b"SQLite format 3\0", b"\1\1"

SIDE_FILE_SUFFIXES = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite has beside a database that is in use, or was in use at a crash."""

PageProgress = Callable[[int, int], object]
"""Called with the number of pages that are done and the total number of pages."""

ProgressCallback = Callable[[], object]
"""Called from time to time during an operation whose length is unknown."""


class CorruptDatabase(Exception):
    """A file is not a valid database. The argument is a sentence with the reason."""


class DatabaseInUse(Exception):
    """Another process has the database open."""


def is_in_use(path: Path) -> bool:
    """Return True if another process has the database open.

    This process must not have the file open: closing a file after testing a lock releases the locks that this
    process itself has on it (POSIX advisory locks).
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


def tables_of_closed_database(path: Path) -> set[str]:
    """Return the tables of a database file that is not in WAL mode, as copies are and a server's is not.

    :return: no table if the file is something else.
    :raises OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(20)
    if header[:16] != SQLITE_MAGIC or header[18:20] != ROLLBACK_MODE_VERSIONS:
        return set()
    try:
        with _connect(path, "ro") as database:
            return {
                name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            }
    except (sqlite3.DatabaseError, CorruptDatabase):
        return set()


def copy_database(source: Path, target: Path, on_pages: PageProgress) -> None:
    """Copy a database, in use or not, as of one moment. The copy has no write-ahead log beside it.

    One read transaction holds the state that is copied, so the copy need not begin again when another
    process writes meanwhile, and no other process has to wait for it.

    :raises CorruptDatabase: the source is no database, or damaged.
    :raises OSError: the disk has no space for the copy.
    """
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(descriptor)

    def step(status: int, remaining: int, total: int) -> None:
        on_pages(total - remaining, total)
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


def check_integrity(path: Path, on_progress: ProgressCallback) -> None:
    """Check every page and foreign key of a database. :raises CorruptDatabase: the database is damaged."""
    try:
        with _connect(path, "ro") as database, _reporting_progress(database, on_progress):
            result = [row[0] for row in database.execute("PRAGMA integrity_check(5)")]
            broken = database.execute("PRAGMA foreign_key_check").fetchone() if result == ["ok"] else None
    except sqlite3.DatabaseError as error:
        raise CorruptDatabase(f"{path} is damaged: {error}") from error
    if result != ["ok"]:
        raise CorruptDatabase(f"{path} is damaged: {'; '.join(result)}")
    if broken is not None:
        raise CorruptDatabase(
            f"{path} is damaged: row {broken[1]} of {broken[0]} refers to a row that does not exist"
        )


def replace_database(new: Path, path: Path, old_copy: Path) -> bool:
    """Make ``new`` the database ``path`` and keep the old database as ``old_copy``.

    If the process is stopped in between, ``path`` is the complete old database or the complete new one. No
    log of the old database stays beside the new one: SQLite would apply that log to the new database.

    :return: False if there was no database at ``path``.
    :raises DatabaseInUse: another process has the database open.
    """
    existed = path.exists()
    if existed:
        _merge_wal(path)
        os.link(path, old_copy)
    for side in SIDE_FILE_SUFFIXES:
        left = path.with_name(path.name + side)
        if left.exists():  # of a database that is damaged, or was deleted
            left.rename(old_copy.with_name(old_copy.name + side))
    new.replace(path)
    fsync_path(path.parent)
    return existed


def compact(path: Path, on_progress: ProgressCallback) -> None:
    """Rewrite the database without free space and without remains of deleted rows.

    Other processes cannot write meanwhile.
    """
    with _connect(path, "rw") as database, _reporting_progress(database, on_progress):
        database.execute("PRAGMA busy_timeout = 60000")
        database.execute("VACUUM")


def truncate_wal(path: Path, timeout_seconds: float) -> bool:
    """Move the contents of the write-ahead log into the database, and empty the log.

    :return: False if other processes used the log for the whole ``timeout_seconds``.
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
    """Wait until a file or folder is written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _merge_wal(path: Path) -> None:
    """Merge the write-ahead log into the database file; a damaged database stays as it is.

    :raises DatabaseInUse: another process has the database open.
    """
    if is_in_use(path):
        raise DatabaseInUse
    try:
        with _connect(path, "ro") as database:  # a read-only check does not change a damaged database
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
        uri = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
        database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)
    except sqlite3.OperationalError as error:
        raise CorruptDatabase(f"{path} cannot be opened: {error}") from error
    with contextlib.closing(database):
        yield database


@contextlib.contextmanager
def _reporting_progress(database: sqlite3.Connection, on_progress: ProgressCallback) -> Iterator[None]:
    """Call ``on_progress`` while statements run. An exception of it stops the statement and is raised."""
    stopped: list[BaseException] = []

    def handle() -> int:
        try:
            on_progress()
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
