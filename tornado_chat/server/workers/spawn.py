"""Starting a process as systemd starts a service: with listening sockets and a notification socket."""

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from tornado_chat.server.systemd import FIRST_SOCKET_FD

EXEC_FAILED_EXIT_CODE = 127
"""The exit code of a child process whose exec failed; shells use the same."""


def own_command() -> list[str]:
    """Return the command line of this process. Started later, it may run a newer version of the program."""
    return [sys.executable, *sys.orig_argv[1:]]


def shared_memory_fd(sockets: Sequence[socket.socket]) -> int:
    """Return the descriptor of the shared memory in the process that is started."""
    return FIRST_SOCKET_FD + len(sockets)


def spawn(
    command: Sequence[str],
    environ: Mapping[str, str],
    sockets: Sequence[socket.socket],
    lifeline: int,
    memory: int,
) -> int:
    """Start ``command`` with ``sockets`` (sd_listen_fds(3)). Returns its process id; the caller waits for it.

    This uses fork and exec, as ``$LISTEN_PID`` is only known between the two.

    :arg lifeline: the descriptor that becomes its standard input.
    :arg memory: the descriptor of the shared memory, passed after the sockets (``shared_memory_fd``).
    """
    # Between fork and exec, a signal to the child would reach the loop of this process.
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
        os.setpgid(0, 0)  # Ctrl-C reaches the parent only, which then stops its workers
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(lifeline, 0)
        os.set_inheritable(0, True)  # dup2 does not set it if standard input was closed in this process
        # First copy all descriptors above the target numbers: one may have the target number of another.
        first_free = FIRST_SOCKET_FD + len(descriptors)
        copies = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, first_free) for each in descriptors]
        for target, descriptor in enumerate(copies, FIRST_SOCKET_FD):
            os.dup2(descriptor, target)
        passed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(descriptors) - 1)}
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(command[0], list(command), {**environ, **passed})  # noqa: S606 - no shell is wanted
    finally:
        os._exit(EXEC_FAILED_EXIT_CODE)
