"""The newest head that this server has seen: in memory, and in a file beside the key.

The file is outside of the database, so an attacker who can only write to the database cannot put it back.
"""

import logging
import re
import threading
from pathlib import Path

from tornado_chat.plugin_api import MAX_NUMBER, replace_private_file

from .chain import Head

log = logging.getLogger(__name__)

HEAD_FILE = "audit.head"
"""The file in the server's state directory, with one line ``NUMBER:CODE``."""

_HEAD = re.compile(r"(?P<number>[0-9]{1,19}):(?P<code>[0-9a-f]{64})")


def parse_head(text: str) -> Head | None:
    """Return the head of a text ``NUMBER:CODE``, as `audit verify` prints it; None if it is none."""
    match = _HEAD.fullmatch(text.strip())
    if match is None or int(match["number"]) > MAX_NUMBER:
        return None
    return Head(int(match["number"]), match["code"])


def load_head(path: Path) -> Head | None:
    """Return the head in the file; None if the file is missing.

    :raises OSError: the file cannot be read.
    :raises ValueError: the file has no head. The message says what to do.
    """
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None
    found = parse_head(text)
    if found is None:
        raise ValueError(
            f"{path} has no head NUMBER:CODE: restore it from its backup, or remove it; without it an older "
            "copy of the audit log is not recognised"
        )
    return found


class SeenHeads:
    """Remembers the newest head, and saves it now and then.

    :arg path: the file.
    :ivar newest: None if no head was seen yet.
    :raises OSError: the file cannot be read.
    :raises ValueError: the file has no head. The message says what to do.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saving = threading.Lock()
        self._saved = load_head(path)
        self.newest = self._saved

    def note(self, head: Head | None) -> None:
        """Remember a head of the committed chain, if it is newer than the newest one."""
        if head is not None and (self.newest is None or head.number > self.newest.number):
            self.newest = head

    def save(self) -> None:
        """Write the newest head into the file. Waits for the disk. A failure is logged."""
        with self._saving:  # of two threads, the later one must not write the older head
            newest = self.newest
            if newest is None or newest == self._saved:
                return
            try:
                replace_private_file(self._path, f"{newest.number}:{newest.code}\n")
            except OSError as error:
                log.warning("the head of the audit log cannot be saved in %s: %s", self._path, error.strerror)
            else:
                self._saved = newest
