"""Files that commands write: which names they may take, and how a complete file gets its name.

Strategy: a command writes into a temporary folder beside the file, and renames the complete file. A name may
be taken if it is new, or, with permission, if it is a backup of tornado-chat. Nothing of a server is
replaced, however the command names it: not the database and the files beside it, nothing in the state
directory, no database in WAL mode (one that a server uses, or has used, also of another configuration), and
nothing that is no regular file. ``OutputFiles`` checks before the work, and again just before the rename.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from tornado_chat import config as configuration

FILE_TYPES = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class OutputFiles:
    """Checks and names the files that a command writes.

    :arg state_dir: the server's state directory.
    :arg database: the server's SQLite file; None if the database is another one.
    """

    state_dir: Path
    database: Path | None

    @classmethod
    def beside_server(cls, config: configuration.Config) -> "OutputFiles":
        """Return the rules for files beside the server with this configuration."""
        from tornado_chat.storage.database import SQLITE_SCHEME

        url = config.storage.url
        is_file = url.startswith(SQLITE_SCHEME)
        return cls(config.state_dir, Path(url.removeprefix(SQLITE_SCHEME)) if is_file else None)

    def check_new(self, target: Path) -> None:
        """Check that ``target`` is a new name that a command may take.

        :raises UsageError: the name exists, also as a link to nothing, or belongs to the server.
        """
        self._check_place(target)
        if os.path.lexists(target):
            raise click.UsageError(f"{target} already exists; use another name")

    def check_new_folder(self, target: Path) -> None:
        """Check that ``target`` is a new name or an empty folder. :raises UsageError: it is neither."""
        if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
            self._check_place(target)
        else:
            self.check_new(target)

    def check_backup(self, target: Path, *, force: bool) -> None:
        """Check that ``target`` is a new name, or, with ``force``, a backup that may be replaced.

        :raises ClickException: it is neither.
        """
        self._check_place(target)
        if not os.path.lexists(target):
            return
        require_regular(target, "use another name")
        if _is_inside(target, self.state_dir):
            raise click.ClickException(
                f"{target} is in the server's state directory, where nothing is replaced; use another folder"
            )
        if not _is_backup(target):
            raise click.ClickException(
                f"{target} already exists, and is not a backup that `tornado-chat backup` made; nothing else "
                "is replaced. Use another name"
            )
        if not force:
            raise click.ClickException(f"{target} already exists; --force replaces it")

    def publish_new(self, complete: Path, target: Path) -> None:
        """Give a complete file its new name. :raises ClickException: the name exists meanwhile."""
        from tornado_chat.storage.sqlite_files import fsync_path

        self.check_new(target)
        try:
            os.link(complete, target)
        except FileExistsError:
            raise click.ClickException(f"{target} already exists; use another name") from None
        except OSError:  # a file system without links
            complete.rename(target)
        fsync_path(target.absolute().parent)

    def publish_backup(self, complete: Path, target: Path, *, force: bool) -> None:
        """Give a backup its name. :raises ClickException: the name may not be taken meanwhile."""
        from tornado_chat.storage.sqlite_files import fsync_path

        self.check_backup(target, force=force)
        if os.path.lexists(target):
            complete.replace(target)
            fsync_path(target.absolute().parent)
        else:
            self.publish_new(complete, target)

    def _check_place(self, target: Path) -> None:
        """Check a name, whether it exists or not. :raises UsageError: it belongs to a server."""
        from tornado_chat.storage.sqlite_files import SIDE_FILE_SUFFIXES

        if self.database is not None and _is_same(target, self.database):
            raise click.UsageError(f"{target} is the server's database; use another name")
        for suffix in SIDE_FILE_SUFFIXES:
            base = target.with_name(target.name.removesuffix(suffix) or target.name)
            is_own = self.database is not None and _is_same(base, self.database)
            if base != target and (is_own or base.exists()):
                raise click.UsageError(f"SQLite uses the name {target} beside {base}; use another name")
            beside = target.with_name(target.name + suffix)
            if os.path.lexists(beside):  # SQLite would apply this log to the new file
                raise click.UsageError(f"{beside} belongs to a database {target}; use another name")
        if _is_same(target, self.state_dir) or _is_same(target.absolute().parent, self.state_dir):
            raise click.UsageError(
                f"{target} would be among the files of the server's state directory; use another folder"
            )


def require_regular(path: Path, advice: str) -> None:
    """Check that an existing path is a regular file, and no link to one.

    :arg advice: what the operator should do, as the end of the sentence.
    :raises ClickException: it is something else.
    """
    mode = path.lstat().st_mode
    for is_type, name in FILE_TYPES:
        if is_type(mode):
            raise click.ClickException(f"{path} is {name}; {advice}")


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``, for the file until it is complete.

    :raises ClickException: the folder cannot be created.
    """
    from tornado_chat.storage import database_copies

    with ExitStack() as stack:
        try:
            folder = stack.enter_context(database_copies.temporary_folder(target))
        except OSError as error:
            raise click.ClickException(
                f"{target.absolute().parent} cannot be written to: {error.strerror}"
            ) from error
        yield folder


def _is_backup(path: Path) -> bool:
    from tornado_chat.storage.schema import HISTORY_TABLE
    from tornado_chat.storage.sqlite_files import is_in_use, tables_of_closed_database

    try:
        return not is_in_use(path) and HISTORY_TABLE in tables_of_closed_database(path)
    except OSError:
        return False


def _is_same(one: Path, other: Path) -> bool:
    """Return True if both paths name one file, or would name it if it existed."""
    if _resolved(one) == _resolved(other):
        return True
    try:  # links and mounts have several paths
        return one.samefile(other)
    except OSError:
        return False


def _is_inside(path: Path, folder: Path) -> bool:
    """Return True if ``path`` is in ``folder`` or in a folder below it."""
    return any(_is_same(parent, folder) for parent in _resolved(path).parents)


def _resolved(path: Path) -> Path:
    """Return the path without links and dots, except for a link that the last component is."""
    path = path.absolute()
    return path.parent.resolve() / path.name
