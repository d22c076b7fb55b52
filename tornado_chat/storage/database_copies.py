"""Copies of a SQLite database that ``restore`` leaves beside it, and temporary folders of all commands.

Replaced databases and unfinished copies contain the data of people who are erased later, so they are named,
and removed after some days.

Strategy: a command that copies works in a temporary folder that it has locked. The lock ends with the
process, also by a kill, so a folder that can be locked has been left behind.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tornado_chat.storage.sqlite_files import SIDE_FILE_SUFFIXES, fsync_path

REPLACED_NAME = re.compile(r"\.replaced-(?P<time>\d{8}T\d{6}Z)(-\d{1,2})?(-wal|-shm|-journal)?")
"""The end of the name of a replaced database, or of its log, after the name of the database."""

TIME_FORMAT = "%Y%m%dT%H%M%SZ"
TEMPORARY_NAME = re.compile(r"\.(?P<target>.+)\.[a-z0-9_]{8}")
"""The name of a temporary folder, as ``tempfile.mkdtemp`` makes it."""


UNPACKED_EXPORT, PACKED_EXPORT = "person", "person.zip"
"""The names in the temporary folder of an export, until the export is complete."""


class DatabaseCopy(NamedTuple):
    """A file or temporary folder with a copy of a database.

    :ivar made: seconds since 1970.
    """

    path: Path
    made: float

    @property
    def bytes(self) -> int:
        files = self.path.iterdir() if self.path.is_dir() else (self.path,)
        return sum(each.stat().st_size for each in files)


def unused_replaced_name(database: Path) -> Path:
    """Return an unused name in the database's folder, for the replaced database."""
    stamp = f"{datetime.now(UTC):{TIME_FORMAT}}"
    names = (f"{database.name}.replaced-{stamp}{more}" for more in ("", *(f"-{n}" for n in range(1, 100))))
    return next(path for name in names if not os.path.lexists(path := database.with_name(name)))


def find_copies(database: Path) -> list[DatabaseCopy]:
    """Return the replaced databases beside ``database``, and what commands left that were killed."""
    found = [
        DatabaseCopy(path, path.stat().st_mtime)
        for path in _abandoned_folders(database.parent)
        if _target_of(path) == database.name
    ]
    for path in database.parent.glob(f"{_escaped(database.name)}.replaced-*"):
        match = REPLACED_NAME.fullmatch(path.name.removeprefix(database.name))
        if match is not None and path.is_file() and not path.is_symlink():
            with suppress(ValueError):  # digits that are no time
                made = datetime.strptime(match["time"], TIME_FORMAT).replace(tzinfo=UTC)
                found.append(DatabaseCopy(path, made.timestamp()))
    return sorted(found)


def remove(copy: DatabaseCopy) -> None:
    """Remove a copy. :raises OSError: it cannot be removed."""
    if copy.path.is_dir():
        shutil.rmtree(copy.path)
    else:
        copy.path.unlink(missing_ok=True)
    fsync_path(copy.path.parent)


def remove_abandoned(folder: Path) -> list[Path]:
    """Remove the temporary folders of killed commands in ``folder``, whatever they were going to write."""
    found = list(_abandoned_folders(folder))
    for path in found:
        shutil.rmtree(path)
    return found


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Yield a new, locked folder beside ``target`` (mode 0700), and remove it at the end.

    :raises OSError: it cannot be created.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield folder
    finally:
        shutil.rmtree(folder)
        os.close(descriptor)


def _abandoned_folders(parent: Path) -> Iterator[Path]:
    """Yield the temporary folders that hold what a command writes, and that no command is using.

    An empty folder is none: a command has perhaps created it just now, and not locked it yet.
    """
    for path in parent.iterdir():
        if TEMPORARY_NAME.fullmatch(path.name) and not path.is_symlink() and path.is_dir():
            target = _target_of(path)
            own = {target, *(target + end for end in SIDE_FILE_SUFFIXES), UNPACKED_EXPORT, PACKED_EXPORT}
            with suppress(OSError):  # removed meanwhile, or of another user
                names = {each.name for each in path.iterdir()}
                if names and names <= own and not _is_locked(path):
                    yield path


def _target_of(folder: Path) -> str:
    match = TEMPORARY_NAME.fullmatch(folder.name)
    assert match is not None
    return match["target"]


def _is_locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a folder until its descriptor is closed. Returns False if another process has it locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _escaped(name: str) -> str:
    """Return a pattern for ``Path.glob`` that matches the name only."""
    return re.sub(r"([*?[])", r"[\1]", name)
