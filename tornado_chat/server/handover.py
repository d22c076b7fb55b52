"""Handing over open sockets to the next program, so that a restart disconnects no client.

Strategy: the descriptors of the sockets outlive this program, because it replaces itself by ``exec``
(SIGUSR2). Their states are in a memory file that is passed in the same way. What the clients send meanwhile
waits in the kernel. A state that the next program cannot read, or a socket that it cannot continue, is
closed: a client then connects again, as after any other restart.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple

import msgspec

from tornado_chat.core.handed_over import FORMAT, SocketState

log = logging.getLogger(__name__)

VARIABLE = "TORNADO_CHAT_HANDOVER"
"""The environment variable with the descriptor of the memory file."""

CHECK_TIMEOUT_SECONDS = 60.0  # for the installed program to check its configuration
MAX_PROBLEM_CHARS = 1000  # of what it says about it

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class _Header(msgspec.Struct, frozen=True):
    """The begin of the memory file. Its form does not change, so that each version can close the descriptors.

    :ivar format: ``FORMAT`` of the states that follow, in the order of ``sockets``.
    :ivar listening: the descriptors of the listening sockets, and ``sockets`` those of the clients.
    """

    format: int
    listening: list[int]
    sockets: list[int]
    states: msgspec.Raw


class HandedOver(NamedTuple):
    """What the program before has handed over.

    :ivar listening: the listening sockets.
    :ivar sockets: the clients' sockets: the state of each, and its descriptor.
    """

    listening: Sequence[socket.socket]
    sockets: Sequence[tuple[SocketState, int]]


NOTHING = HandedOver((), ())


def write_states(listening: Sequence[int], sockets: Sequence[tuple[SocketState, int]]) -> int:
    """Return the descriptor of a sealed memory file with the states. All descriptors become inheritable.

    :raises OSError: there is no memory, or no descriptor left.
    """
    states = msgspec.msgpack.encode([state for state, _ in sockets])
    header = _Header(FORMAT, list(listening), [fd for _, fd in sockets], msgspec.Raw(states))
    memory = os.memfd_create("tornado-chat-sockets", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with os.fdopen(os.dup(memory), "wb") as file:
        file.write(msgspec.msgpack.encode(header))
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
    for descriptor in (memory, *header.listening, *header.sockets):
        os.set_inheritable(descriptor, True)
    return memory


def take_over(environ: MutableMapping[str, str]) -> HandedOver:
    """Return what the program before has handed over; ``NOTHING`` if there was none.

    The variable is removed from ``environ``. Sockets whose states cannot be read are closed.
    """
    value = environ.pop(VARIABLE, "")
    if not value:
        return NOTHING
    memory = int(value)
    with os.fdopen(memory, "rb", closefd=True) as file:
        file.seek(0)
        data = file.read()
    header = msgspec.msgpack.decode(data, type=_Header)
    for descriptor in (*header.listening, *header.sockets):
        os.set_inheritable(descriptor, False)
    listening = [socket.socket(fileno=each) for each in header.listening]
    for each in listening:
        each.setblocking(False)
    try:
        if header.format != FORMAT:
            raise ValueError(f"their format is {header.format}, and this version reads {FORMAT}")
        states = msgspec.msgpack.decode(header.states, type=list[SocketState])
    except ValueError as error:  # msgspec's errors are of this class
        log.warning("the sockets of the program before are closed, as their states cannot be read: %s", error)
        for descriptor in header.sockets:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        return HandedOver(listening, ())
    return HandedOver(listening, list(zip(states, header.sockets, strict=True)))


async def find_problem(command: Sequence[str]) -> str:
    """Let the installed program check its configuration, and return why it cannot start; empty if it can.

    :arg command: the command line of this process.
    """
    checking = ["check-config" if each == "serve" else each for each in command]
    try:
        process = await asyncio.create_subprocess_exec(
            *checking, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, start_new_session=True
        )
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            _, told = await process.communicate()
    except (OSError, TimeoutError) as error:
        return str(error) or f"it did not answer within {CHECK_TIMEOUT_SECONDS:g} s"
    if process.returncode == 0:
        return ""
    lines = filter(None, map(str.strip, told.decode(errors="replace").split("\n")))
    return "; ".join(lines)[-MAX_PROBLEM_CHARS:] or f"exit code {process.returncode}"


def replace_program(command: Sequence[str], environ: Mapping[str, str], memory: int) -> None:
    """Replace this program by ``command``, which takes over. Does not return.

    :raises OSError: the program cannot be started.
    """
    os.execve(command[0], list(command), {**environ, VARIABLE: f"{memory}"})  # noqa: S606 - no shell is wanted
