"""The note that a running server keeps in its state directory, for the commands that ask after it.

It says what a closed port cannot: whether the server is still starting, about to stop, or listens elsewhere
than the configuration says by now. A server that was killed leaves its note behind; ``read`` sees that.
"""

import contextlib
import os
import time
from pathlib import Path

import msgspec

FILE_NAME = "running.json"

STARTING, SERVING, STOPPING = "starting", "serving", "stopping"


class ServerNote(msgspec.Struct, frozen=True):
    """What a server says of itself.

    :arg state: starting, serving or stopping.
    :arg since: when it got into this state, in seconds since 1970.
    :arg url: where it listens, once it does.
    :arg alive: whether its process is there; not written down, but found out by ``read``.
    """

    pid: int
    state: str
    since: float
    url: str = ""
    alive: bool = True


def write(directory: Path, state: str, url: str = "") -> None:
    """Say that this process is in ``state``. A directory that cannot be written is no reason to stop.

    One that only begins does not take the place of one that serves: it may find the port taken. The note of one
    of many processes is its parent's.
    """
    other = read(directory)
    if other is not None and other.pid == os.getppid():
        return
    if state == STARTING and other is not None and other.alive and other.pid != os.getpid():
        return
    note = ServerNote(os.getpid(), state, time.time(), url)
    path = directory / FILE_NAME
    new = path.with_suffix(f".{note.pid}")
    with contextlib.suppress(OSError):
        new.write_bytes(msgspec.json.encode(note))
        new.replace(path)


def remove(directory: Path) -> None:
    """This process ends. The note of another one, which has taken over, stays."""
    note = read(directory)
    if note is not None and note.pid == os.getpid():
        with contextlib.suppress(OSError):
            (directory / FILE_NAME).unlink()


def read(directory: Path) -> ServerNote | None:
    """The note of the server with this state directory; None if there is none that can be read."""
    try:
        note = msgspec.json.decode((directory / FILE_NAME).read_bytes(), type=ServerNote)
    except (OSError, msgspec.DecodeError):
        return None
    return msgspec.structs.replace(note, alive=_is_server(note.pid))


def _is_server(pid: int) -> bool:
    """Whether this process is there, and one of ours: numbers are used again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False
    except OSError:  # another user's, or no Linux
        return True
    return b"tornado" in command or pid == os.getpid()
