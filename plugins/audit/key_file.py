"""The key of the chain: a file in the server's state directory."""

import os
import time
from pathlib import Path

from tornado_chat.plugin_api import create_private_file

KEY_FILE = "audit.key"
"""The file with the key, in the server's state directory."""

KEY_BYTES = 32
REMEDY = (
    "restore it from its backup, or copy it from another machine of the cluster; if there is none, "
    "`tornado-chat audit new-key` makes a new key, and the "
    "earlier records can no longer be verified"
)


def create_key(path: Path) -> bool:
    """Create the file with a new key, unless it exists. Return True if this call has created it.

    :raises OSError: the file cannot be written.
    """
    return create_private_file(path, os.urandom(KEY_BYTES).hex() + "\n")


def load_key(path: Path) -> bytes:
    """Return the key of the chain.

    :raises FileNotFoundError: the file is missing.
    :raises OSError: the file cannot be read.
    :raises ValueError: the file has no valid key. The message says what to do.
    """
    text = path.read_bytes().strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        state = "has no key of 32 bytes in hexadecimal digits" if text else "is empty"
        raise ValueError(f"the key of the audit log {path} {state}: {REMEDY}")
    return key


def foreign_owner_text(path: Path) -> str:
    """Return a sentence if only another user than the owner of the folder can read the file, else nothing.

    Root has perhaps copied it back; the server, which has the folder, could not read it.
    """
    file, folder = path.stat(), path.parent.stat()
    if file.st_uid == folder.st_uid or file.st_mode & 0o044:
        return ""
    return (
        f"the key of the audit log {path} belongs to another user than its folder, so the server cannot read "
        f"it: chown --reference={path.parent} {path}"
    )


def made(path: Path) -> int:
    """Return the time at which the key was made (µs since 1970 UTC): the file never changes."""
    return path.stat().st_mtime_ns // 1000


def set_aside(path: Path) -> Path | None:
    """Rename a key file that is not valid. Return its new name, or None if there was no file."""
    aside = path.with_name(f"{path.name}.invalid-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return None
    return aside


def other_text(path: Path) -> str:
    """Return the sentence about a key with which the log was not written."""
    return f"the audit log was not written with the key {path}, but with another one: {REMEDY}"


def lost_text(path: Path) -> str:
    """Return the sentence about a missing key of a log that has records."""
    return f"the key of the audit log {path} is missing, and the log has records: {REMEDY}"
