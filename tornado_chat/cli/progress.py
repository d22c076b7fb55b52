"""Progress bars on standard error, shown on terminals only."""

import itertools
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

TICK_SECONDS = 0.1  # between two updates of a bar of unknown length


class Progress:
    """The progress of one operation."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._last_tick = 0.0

    def add(self, count: int = 1) -> None:
        """Report that ``count`` more units are done."""
        self._bar.update(count)

    def set_done(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` units are done; this replaces all earlier reports."""
        self._bar.length = total
        self._bar.update(max(0, done - self._bar.pos))

    def tick(self) -> None:
        """Report that the operation is still running."""
        now = time.monotonic()
        if now - self._last_tick >= TICK_SECONDS:
            self._last_tick = now
            self._bar.update(1)


@contextmanager
def progress(label: str, length: int | None = None) -> Iterator[Progress]:
    """Show a progress bar. :arg length: the number of units to do; None if it is unknown."""
    units: Any = itertools.count() if length is None else None
    with click.progressbar(
        units, length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        yield Progress(bar)


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C: the command cleans up and records its state before it ends."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous_handler = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous_handler)
