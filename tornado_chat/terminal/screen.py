"""The two ends of a terminal: lines come in from a file descriptor, and go out to a text file.

Strategy: the loop reads the bare file descriptor. A thread that blocks in ``sys.stdin`` could
not be stopped, and a non-blocking ``sys.stdin`` would make ``sys.stdout`` non-blocking too, as
the two are often one terminal.
"""

import asyncio
import codecs
import os
import time
import unicodedata
from collections.abc import AsyncGenerator
from typing import TextIO

from tornado_chat.client import Closed

DIM, RED, RESET = "\x1b[2m", "\x1b[31m", "\x1b[0m"
INDENT = " " * len("08:26:45 · ")


class Screen:
    """Where lines appear: a time, a mark, a text.

    :arg echoes: whether what is typed appears by itself, because input and output are one terminal.
    """

    def __init__(self, out: TextIO, echoes: bool) -> None:
        self._out = out
        self._smart = out.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self._smart and not os.environ.get("NO_COLOR")
        self._echoes = self._smart and echoes
        self._lost = False
        self._was_there = False

    def say(
        self, mark: str, text: str, time: str | None = None, *, dim: bool = False, red: bool = False
    ) -> None:
        """Show a line. ``time`` is the server's (ISO 8601), now if there is none."""
        clock = time[11:19] if time is not None and len(time) >= 19 else _now()
        text = printable(text).replace("\n", "\n" + INDENT)
        if self._colour and red:
            text = f"{RED}{text}{RESET}"
        line = f"{clock} {mark} {text}"
        if self._colour:
            line = f"{DIM}{line}{RESET}" if dim else f"{DIM}{clock}{RESET}{line[len(clock) :]}"
        self._write(line + "\n")

    def erase_echo(self, typed: str) -> None:
        """Remove the line that the terminal echoed: it is shown again, with its time, when it is stored."""
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in typed)
        if self._echoes and width < os.get_terminal_size(self._out.fileno()).columns:
            self._write("\x1b[1A\x1b[2K")

    def on_change(self, lost: Closed | None) -> None:
        """Tell, once each time, that the connection is lost and that it is back."""
        if lost is not None and not self._lost:
            what = (
                "connection lost, trying again"
                if self._was_there
                else "no answer from the server, trying again"
            )
            self.say("…", what, dim=True)
        elif lost is None and self._lost:
            self.say("…", "back", dim=True)
        self._lost = lost is not None
        self._was_there = self._was_there or lost is None

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()


async def read_lines(fd: int) -> AsyncGenerator[str, None]:
    """The lines of a terminal, a pipe or a file, without blocking the loop."""
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
        pass  # a regular file: it cannot be waited for, and need not be
    else:
        try:
            await readable.wait()
        finally:
            loop.remove_reader(fd)
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""  # the terminal is gone


def printable(text: str) -> str:
    """``text`` without control characters: what others write must not command this terminal."""
    return "".join(
        c if c == "\n" or unicodedata.category(c) != "Cc" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _now() -> str:
    return time.strftime("%H:%M:%S")
