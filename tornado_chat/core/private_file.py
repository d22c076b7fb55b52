"""Creation of key and secret files."""

import os
import tempfile
from pathlib import Path


def create_private_file(path: Path, text: str) -> bool:
    """Create ``path`` with mode 0600, unless it exists. Return True if this call has created it.

    The text is written to a temporary file, which is then linked. So ``path`` is never seen incomplete, also
    after a crash, and of several processes that start at the same time the first one wins. A file that root
    creates, perhaps in a command, gets the owner of its folder, so that the server can read it.

    :raises OSError: the file cannot be written.
    """
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
        os.link(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def _sync_folder(folder: Path) -> None:
    """Make a new name in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
