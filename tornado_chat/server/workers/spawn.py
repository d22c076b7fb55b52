"""Starting a process as systemd starts a service: with listening sockets and with somebody to tell."""

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from tornado_chat.server.systemd import FIRST_SOCKET_FD

EXEC_FAILED_EXIT_CODE = 127
"""The exit code of a child that could not become the program, as of a shell."""


def own_command() -> list[str]:
    """The command line of this process, to be started again: by then the program may be a newer one."""
    return [sys.executable, *sys.orig_argv[1:]]


def shared_memory_fd(sockets: Sequence[socket.socket]) -> int:
    """The descriptor that has the memory in the process that is started."""
    return FIRST_SOCKET_FD + len(sockets)


def spawn(
    command: Sequence[str],
    environ: Mapping[str, str],
    sockets: Sequence[socket.socket],
    lifeline: int,
    memory: int,
) -> int:
    """Start ``command`` with ``sockets`` (sd_listen_fds(3)). Returns its process id; somebody has to wait for it.

    Forked by hand, as ``$LISTEN_PID`` can only be known between fork and exec.

    :arg lifeline: a descriptor that becomes its standard input.
    :arg memory: one that is passed behind the sockets, see ``shared_memory_fd``.
    """
    # A signal that came in between would be told to this process's loop.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _exec(command, environ, [*(each.fileno() for each in sockets), memory], lifeline)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _exec(
    command: Sequence[str], environ: Mapping[str, str], descriptors: Sequence[int], lifeline: int
) -> NoReturn:
    try:
        os.setpgid(0, 0)  # Ctrl-C is for the parent, which then says so
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(lifeline, 0)
        os.set_inheritable(0, True)  # which dup2 leaves as it is, if our own standard input was closed
        # Out of the way first: one of them may be where another has to go.
        free = FIRST_SOCKET_FD + len(descriptors)
        aside = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, free) for each in descriptors]
        for place, descriptor in enumerate(aside, FIRST_SOCKET_FD):
            os.dup2(descriptor, place)
        passed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(descriptors) - 1)}
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(command[0], list(command), {**environ, **passed})  # noqa: S606 - that is the point
    finally:
        os._exit(EXEC_FAILED_EXIT_CODE)
