"""Creation of key and secret files."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def create_private_file(path: Path, text: str) -> bool:
    """Create ``path`` with mode 0600, unless it exists. Return True if this call has created it.

    The text is written to a temporary file, which is then linked. So ``path`` is never seen incomplete, also
    after a crash, and of several processes that start at the same time the first one wins. A file that root
    creates, perhaps in a command, gets the owner of its folder, so that the server can read it.

    :raises OSError: the file cannot be written.
    """
    with _complete_file(path, text) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        _sync_folder(path.parent)
    return True


def replace_private_file(path: Path, text: str) -> None:
    """Give ``path`` a new content, as ``create_private_file`` does; it may exist.

    :raises OSError: the file cannot be written; the former content stays.
    """
    with _complete_file(path, text) as temporary:
        os.replace(temporary, path)
        _sync_folder(path.parent)


@contextmanager
def _complete_file(path: Path, text: str) -> Iterator[str]:
    """Yield the name of a temporary file with the text beside ``path``, and remove that name at the end."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # O_EXCL, mode 0600
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        yield temporary
    finally:
        with suppress(FileNotFoundError):  # it was renamed
            os.unlink(temporary)


def _sync_folder(folder: Path) -> None:
    """Make a new name in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
