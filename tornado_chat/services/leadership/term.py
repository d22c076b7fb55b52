"""A term: the time in which this process coordinates."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Heard = TypeVar("Heard")


class Term(Generic[Heard]):
    """Begins by reading what is unfinished, then lets everybody say who is there; ends at any time, and may begin again.

    What is committed while the database is being read may be missing in its answer, so it is kept, and handed
    over by the end of the reading. What needs to know of everybody who is there waits while ``settle_seconds``.

    :arg settle_seconds: seconds from the begin of a term in which processes tell who is there. 0 if there is only one.
    :arg on_settled: called when they are over. Not if they are 0, nor if the term ends before.
    :ivar is_running: whether it has begun, and not ended.
    :ivar has_settled: whether it is running, and all processes have had the time to report.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, settle_seconds: float, on_settled: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._settle_seconds = settle_seconds
        self._on_settled = on_settled
        self._settle_timer: asyncio.TimerHandle | None = None
        self._buffered: list[Heard] | None = None  # while the database is being read
        self.is_running = False
        self.has_settled = False

    @property
    def is_settling(self) -> bool:
        """Whether it is not known yet of everybody who is there."""
        return self._settle_timer is not None

    @contextmanager
    def starting(self) -> Iterator[list[Heard]]:
        """Around the reading: what is overheard meanwhile. The term begins when it is done, unless it fails."""
        buffered: list[Heard] = []
        self._buffered = buffered
        try:
            yield buffered
        finally:
            self._buffered = None
        self.is_running = True
        if self._settle_seconds:
            self._settle_timer = self._loop.call_later(self._settle_seconds, self._finish_settling)
        else:
            self.has_settled = True

    def buffer(self, item: Heard) -> None:
        """Keep what was committed just now, if the database is being read."""
        if self._buffered is not None:
            self._buffered.append(item)

    def end(self) -> None:
        """One that has not begun may be ended, too."""
        self.is_running = self.has_settled = False
        if self._settle_timer is not None:
            self._settle_timer.cancel()
            self._settle_timer = None

    def _finish_settling(self) -> None:
        self._settle_timer = None
        self.has_settled = True
        self._on_settled()
