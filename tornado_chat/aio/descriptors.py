"""The file descriptors of this process: how many there may be, and whether there is room for more.

Strategy: the process stops accepting connections while some descriptors are still free, so that everything
else goes on working: reading the database, taking over a socket after its handshake, writing the status file,
reconnecting to the database server. The kernel gives out the lowest free descriptor, so the number of a new
one tells how many are in use, without counting them.
"""

import contextlib
import fcntl
import os
import resource

MAX_RESERVED = 64
RESERVED_DIVISOR = 8
MIN_RESERVED = 8


def raise_limit() -> None:
    """Raise the soft limit of this process, which its children inherit, to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # the kernel's own maximum is lower
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit() -> int:
    """Return the number of descriptors that this process may have."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def highest_limit() -> int:
    """Return the number of descriptors that a process may have after ``raise_limit``."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def reserved(of: int | None = None) -> int:
    """Return the number of descriptors that connections do not use.

    :arg of: the limit; None: the present limit of this process.
    """
    return max(MIN_RESERVED, min(MAX_RESERVED, (limit() if of is None else of) // RESERVED_DIVISOR))


def open_count() -> int | None:
    """Return the number of open descriptors, None if the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd")) - 1  # one is the folder that is listed
    except OSError:
        return None


def room() -> int | None:
    """Return how many more connections can be accepted, None if the system does not tell."""
    used = open_count()
    return None if used is None else max(0, limit() - reserved() - used)


def _finite(limit: int) -> int:
    return 2**31 - 1 if limit == resource.RLIM_INFINITY else limit


def has_room(descriptor: int) -> bool:
    """Return True if a connection can be accepted, and the reserved descriptors stay free.

    :arg descriptor: any open descriptor.
    """
    try:
        lowest_free = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 0)
    except OSError:
        return False
    os.close(lowest_free)
    return lowest_free < limit() - reserved()
