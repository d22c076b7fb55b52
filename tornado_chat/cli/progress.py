"""How far something long has got, on standard error; nothing where nobody looks."""

import itertools
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

TICK_SECONDS = 0.1  # seconds between two signs of life


class Progress:
    """Tells how far one thing has got."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._told = 0.0

    def add(self, count: int = 1) -> None:
        """So much more is done."""
        self._bar.update(count)

    def set_done(self, done: int, total: int) -> None:
        """``done`` of ``total`` is done, whatever was said before."""
        self._bar.length = total
        self._bar.update(max(0, done - self._bar.pos))

    def tick(self) -> None:
        """It still goes on."""
        now = time.monotonic()
        if now - self._told >= TICK_SECONDS:
            self._told = now
            self._bar.update(1)


@contextmanager
def progress(label: str, length: int | None = None) -> Iterator[Progress]:
    """:arg length: how much there is to do; None if that cannot be known."""
    endless: Any = itertools.count() if length is None else None
    with click.progressbar(
        endless, length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        yield Progress(bar)


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, so that neither leaves anything half done."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
