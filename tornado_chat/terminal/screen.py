"""Input and output of the terminal client: reads lines from a file descriptor, writes to a text file.

Strategy: the event loop reads the file descriptor directly. A thread that blocks in ``sys.stdin`` could not
be stopped, and a non-blocking ``sys.stdin`` would make ``sys.stdout`` non-blocking, too, as both are often
the same terminal.
"""

import asyncio
import codecs
import os
import time
import unicodedata
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import TextIO

from tornado_chat.client import ConnectionClosed
from tornado_chat.core.plain_text import indent_lines

DIM, RED, RESET = "\x1b[2m", "\x1b[31m", "\x1b[0m"
INDENT = " " * len("08:26:45 · ")


class Screen:
    """Writes lines with a time, a mark and a text.

    :arg out: the output file; colours and erasing are used only if it is a terminal.
    :arg echoes: whether the terminal echoes the input, because input and output are the same terminal.
    """

    def __init__(self, out: TextIO, echoes: bool) -> None:
        self._out = out
        has_escapes = out.isatty() and os.environ.get("TERM") != "dumb"
        self._has_colours = has_escapes and not os.environ.get("NO_COLOR")
        self._echoes = has_escapes and echoes
        self._is_lost = False
        self._was_connected = False

    def show_line(
        self, mark: str, text: str, time: str | None = None, *, dim: bool = False, red: bool = False
    ) -> None:
        """Write a line.

        :arg time: the server's time (ISO 8601), shown in the terminal's zone if it has an offset; None: the
            present time.
        """
        clock = _clock(time) if time is not None else _now()
        text = indent_lines(text, INDENT)
        if self._has_colours and red:
            text = f"{RED}{text}{RESET}"
        line = f"{clock} {mark} {text}"
        if self._has_colours:
            line = f"{DIM}{line}{RESET}" if dim else f"{DIM}{clock}{RESET}{line[len(clock) :]}"
        self._write(line + "\n")

    def erase_echo(self, line: str) -> None:
        """Erase the echo of an input line: the line is shown again, with its time, when it is stored."""
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)
        if self._echoes and width < os.get_terminal_size(self._out.fileno()).columns:
            self._write("\x1b[1A\x1b[2K")

    def on_change(self, lost: ConnectionClosed | None) -> None:
        """Show, once each, that the connection is lost and that the client is connected again.

        :arg lost: the reason of the loss; None: the client is connected.
        """
        if lost is not None and not self._is_lost:
            text = (
                "connection lost, reconnecting"
                if self._was_connected
                else "no answer from the server, trying again"
            )
            self.show_line("…", text, dim=True)
        elif lost is None and self._is_lost:
            self.show_line("…", "connected again", dim=True)
        self._is_lost = lost is not None
        self._was_connected = self._was_connected or lost is None

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()


async def read_lines(fd: int) -> AsyncGenerator[str, None]:
    """Yield the lines of a terminal, a pipe or a file, without blocking the event loop."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while chunk := await _read(fd):
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in lines:
            yield line.rstrip("\r")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


async def _read(fd: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(fd, readable.set)
    except PermissionError:
        pass  # a regular file: the event loop cannot watch it, and reading does not block
    else:
        try:
            await readable.wait()
        finally:
            loop.remove_reader(fd)
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""  # the terminal was closed


def _clock(time: str) -> str:
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return _now()
    return f"{moment if moment.tzinfo is None else moment.astimezone():%H:%M:%S}"


def _now() -> str:
    return time.strftime("%H:%M:%S")
