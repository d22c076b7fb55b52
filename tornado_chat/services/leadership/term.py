"""A term: the time in which this process coordinates."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Heard = TypeVar("Heard")


class Term(Generic[Heard]):
    """Begins by reading what is unfinished, then lets everybody say who is there; ends at any time, and may begin again.

    What is committed while the database is being read may be missing in its answer, so it is kept, and handed
    over by the end of the reading. What needs to know of everybody who is there waits while ``settling``.

    :arg settling: seconds from the begin of a term in which processes tell who is there. 0 if there is only one.
    :arg settled: called when they are over. Not if they are 0, nor if the term ends before.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, settling: float, settled: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = settling
        self._settled = settled
        self._settles: asyncio.TimerHandle | None = None
        self._overheard: list[Heard] | None = None  # while the database is being read
        self._running = False

    @property
    def running(self) -> bool:
        """Whether it has begun, and not ended."""
        return self._running

    @property
    def settling(self) -> bool:
        """Whether it is not known yet of everybody who is there."""
        return self._settles is not None

    @contextmanager
    def beginning(self) -> Iterator[list[Heard]]:
        """Around the reading: what is overheard meanwhile. The term begins when it is done, unless it fails."""
        overheard: list[Heard] = []
        self._overheard = overheard
        try:
            yield overheard
        finally:
            self._overheard = None
        self._running = True
        if self._seconds:
            self._settles = self._loop.call_later(self._seconds, self._has_settled)

    def overhear(self, heard: Heard) -> None:
        """Keep what was committed just now, if the database is being read."""
        if self._overheard is not None:
            self._overheard.append(heard)

    def end(self) -> None:
        """One that has not begun may be ended, too."""
        self._running = False
        if self._settles is not None:
            self._settles.cancel()
            self._settles = None

    def _has_settled(self) -> None:
        self._settles = None
        self._settled()
