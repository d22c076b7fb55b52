"""A term: the time in which this process is the coordinator."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Term(Generic[Item]):
    """The state of a term, which may end at any time and start again.

    A term starts by reading the unfinished conversations from the database. Commits during that reading may
    be missing in its result, so they are buffered and handed over at its end. Then the processes report their
    presence facts for ``settle_seconds``; decisions that need the facts of all processes wait until then.

    :arg settle_seconds: the seconds in which the processes report; 0 if there is only one process.
    :arg on_settled: called at the end of these seconds; not if they are 0, nor if the term ends before.
    :ivar number: changes when a term ends, so that decisions of an earlier term are recognised.
    :ivar is_running: whether the term has started and not ended.
    :ivar has_settled: whether it is running, and the time in which the processes report is over.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, settle_seconds: float, on_settled: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._settle_seconds = settle_seconds
        self._on_settled = on_settled
        self._settle_timer: asyncio.TimerHandle | None = None
        self._buffered: list[Item] | None = None  # only while the database is being read
        self.number = 0
        self.is_running = False
        self.has_settled = False

    @property
    def is_settling(self) -> bool:
        """Whether processes may still have to report their presence facts."""
        return self._settle_timer is not None

    @contextmanager
    def starting(self) -> Iterator[list[Item]]:
        """Return a context for the reading, with the list of the items that are buffered meanwhile.

        The term starts when the context ends, unless the reading fails.
        """
        buffered: list[Item] = []
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

    def buffer(self, item: Item) -> None:
        """Buffer an item that was just committed, if the database is being read."""
        if self._buffered is not None:
            self._buffered.append(item)

    def end(self) -> None:
        """End the term. A term that has not started may be ended, too."""
        self.number += 1
        self.is_running = self.has_settled = False
        if self._settle_timer is not None:
            self._settle_timer.cancel()
            self._settle_timer = None

    def _finish_settling(self) -> None:
        self._settle_timer = None
        self.has_settled = True
        self._on_settled()
