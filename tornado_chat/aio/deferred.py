"""What will be known soon, told by a call in the same turn of the loop.

An asyncio future tells by way of the loop: a handle, a copy of the context and a turn for each. For each of
thousands of messages a second that costs more than to store it.
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Deferred(Generic[T]):
    """A result or an error of ``T`` to come; used on the loop only. It may be awaited, too.

    :ivar settled: whether it has come.
    :ivar error: why there is no result.
    """

    __slots__ = ("_callback", "_result", "error", "settled")

    def __init__(self) -> None:
        self._result: T | None = None
        self._callback: Callable[[Deferred[T]], object] | None = None
        self.error: Exception | None = None
        self.settled = False

    @property
    def result(self) -> T:
        """:raises Exception: there is none; it is ``error``."""
        if self.error is not None:
            raise self.error
        assert self.settled
        return self._result  # type: ignore[return-value]

    def set_callback(self, told: Callable[["Deferred[T]"], object]) -> None:
        """Call ``told`` when it is settled, at once if it is. There is one who is told."""
        assert self._callback is None, "somebody else is told"
        if self.settled:
            told(self)
        else:
            self._callback = told

    def settle(self, result: T | None = None, error: Exception | None = None) -> None:
        """This is it: tell whoever waits."""
        self._result, self.error, self.settled = result, error, True
        if self._callback is not None:
            self._callback(self)

    def __await__(self) -> Generator[Any, None, T]:
        if not self.settled:
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.set_callback(lambda pending: None if told.done() else told.set_result(None))
            yield from told.__await__()
        return self.result
