"""``Deferred``: a future result that is passed to a callback immediately, without a turn of the event loop.

An asyncio future calls its callbacks through the loop, which takes a handle, a copy of the context and a turn
of the loop for each. For thousands of messages per second that costs more than storing the messages.
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Deferred(Generic[T]):
    """A result of type ``T`` or an error that is set later. It can be awaited. For the loop's thread only.

    :ivar settled: True if the result or the error is set.
    :ivar error: the error, or None.
    """

    __slots__ = ("_callback", "_result", "error", "settled")

    def __init__(self) -> None:
        self._result: T | None = None
        self._callback: Callable[[Deferred[T]], object] | None = None
        self.error: Exception | None = None
        self.settled = False

    @property
    def result(self) -> T:
        """The result.

        :raises Exception: ``error``, if there is one.
        """
        if self.error is not None:
            raise self.error
        assert self.settled
        return self._result  # type: ignore[return-value]

    def set_callback(self, callback: Callable[["Deferred[T]"], object]) -> None:
        """Call ``callback`` when the result or error is set; immediately if it is already set.

        A ``Deferred`` has at most one callback.
        """
        assert self._callback is None, "this Deferred has a callback already"
        if self.settled:
            callback(self)
        else:
            self._callback = callback

    def settle(self, result: T | None = None, error: Exception | None = None) -> None:
        """Set the result or the error, and call the callback."""
        self._result, self.error, self.settled = result, error, True
        if self._callback is not None:
            self._callback(self)

    def __await__(self) -> Generator[Any, None, T]:
        if not self.settled:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.set_callback(lambda deferred: None if future.done() else future.set_result(None))
            yield from future.__await__()
        return self.result
