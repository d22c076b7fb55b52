"""An event loop with virtual time: the clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class NothingScheduled(RuntimeError):
    """A task waits, but no timer is left that could wake it."""


class _JumpingSelector(selectors.BaseSelector):
    """A selector without sockets that advances the clock by the timeout instead of waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)  # the loop's own wake-up pipe, unused here

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        raise KeyError(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingScheduled
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that runs timers in order without waiting between them; for work in memory only."""

    def __init__(self) -> None:
        self._selector_clock = _JumpingSelector()
        super().__init__(self._selector_clock)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._selector_clock.now
