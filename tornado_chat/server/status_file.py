"""The status file that a running server keeps in its state directory, for commands like ``status``.

It tells more than a closed port does: whether the server is still starting, is about to stop, or listens
elsewhere than the present configuration says. A server that was killed leaves its status file behind;
``read`` detects that.
"""

import contextlib
import os
import time
from pathlib import Path

import msgspec

FILE_NAME = "running.json"

STARTING, SERVING, STOPPING = "starting", "serving", "stopping"


class ServerStatus(msgspec.Struct, frozen=True):
    """The content of the status file.

    :arg state: starting, serving or stopping.
    :arg since: the time of the last change of ``state``, in seconds since 1970.
    :arg url: the URL at which the server listens; empty before it does.
    :arg alive: whether the process exists. ``read`` finds that out; the value in the file means nothing.
    """

    pid: int
    state: str
    since: float
    url: str = ""
    alive: bool = True


def write(directory: Path, state: str, url: str = "") -> None:
    """Write that this process is in ``state``. A directory that cannot be written is no error.

    A process that starts does not overwrite the file of another living one: it may find the port in use.
    A worker writes nothing, as the file is its parent's.
    """
    other = read(directory)
    if other is not None and other.pid == os.getppid():
        return
    if state == STARTING and other is not None and other.alive and other.pid != os.getpid():
        return
    status = ServerStatus(os.getpid(), state, time.time(), url)
    path = directory / FILE_NAME
    new = path.with_suffix(f".{status.pid}")
    with contextlib.suppress(OSError):
        new.write_bytes(msgspec.json.encode(status))
        new.replace(path)


def remove(directory: Path) -> None:
    """Remove the status file of this process. The file of another process, which has taken over, stays."""
    status = read(directory)
    if status is not None and status.pid == os.getpid():
        with contextlib.suppress(OSError):
            (directory / FILE_NAME).unlink()


def read(directory: Path) -> ServerStatus | None:
    """Return the status of the server with this state directory; None without a readable status file."""
    try:
        status = msgspec.json.decode((directory / FILE_NAME).read_bytes(), type=ServerStatus)
    except (OSError, msgspec.DecodeError):
        return None
    return msgspec.structs.replace(status, alive=_is_server(status.pid))


def _is_server(pid: int) -> bool:
    """Return True if the process exists and is a Tornado server: the kernel reuses process ids."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False
    except OSError:  # the process is another user's, or the system is not Linux
        return True
    return b"tornado" in command or pid == os.getpid()
