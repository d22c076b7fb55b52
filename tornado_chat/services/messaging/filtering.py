"""Messages on their way through the filters of plugins, each sender's in order.

Strategy: a filter that does not wait costs a call. Behind one that waits, the messages of one seat
form a lane: the next is filtered when the one before has been handed to the writer. Different
seats do not wait for each other; the order of storage is the order of the conversation.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from tornado_chat.aio.deferred import Pending
from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import Draft, Identity, Stored
from tornado_chat.plugins.manager import Plugins
from tornado_chat.storage.messages import Append

Store = Callable[[str], Pending[Stored]]
"""Stores a message with the text that the filters have left of it."""


class Lane:
    """The messages of one seat that are being filtered."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[Draft | Awaitable[Draft], Store, Pending[Stored]]] = deque()
        self.task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self.task is not None and not self.task.done()

    async def empty(self) -> None:
        """Returns when everything said so far has been handed to the writer, or refused."""
        if self.task is not None and self.busy:
            await asyncio.wait({self.task})


class Filtering:
    """The chain ``filter_message`` in front of the writer."""

    def __init__(
        self,
        plugins: Plugins,
        append: Callable[[Append, float], Pending[Stored]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._plugins = plugins
        self._append = append
        self._loop = loop
        self._busy: set[asyncio.Task[None]] = set()

    def submit(self, lane: Lane, sender: Identity, message: Append, received: float) -> Pending[Stored]:
        """Filter ``message``, then store what became of it.

        :arg received: when its frame came, by the loop's clock.
        :raises ChatError: a filter refused it at once. That of one that waits comes with the result.
        """
        if not self._plugins.has("filter_message"):
            return self._append(message, received)

        def store(text: str) -> Pending[Stored]:
            return self._append(msgspec.structs.replace(message, text=text), received)

        draft = Draft(message.thread, sender, message.text, message.media)
        filtered: Draft | Awaitable[Draft] = draft
        if not lane.busy:
            filtered = self._plugins.filter("filter_message", draft)
            if isinstance(filtered, Draft):
                return store(filtered.text)
        result: Pending[Stored] = Pending()
        lane.waiting.append((filtered, store, result))
        if not lane.busy:
            lane.task = self._loop.create_task(self._work(lane))
            self._busy.add(lane.task)
            lane.task.add_done_callback(self._busy.discard)
        return result

    async def finish(self, timeout: float) -> None:
        """Let everything be filtered that was taken, for so many seconds at most."""
        if self._busy:
            await asyncio.wait(self._busy, timeout=timeout)

    async def _work(self, lane: Lane) -> None:
        while lane.waiting:
            draft, store, result = lane.waiting.popleft()
            try:
                if isinstance(draft, Draft):
                    draft = self._plugins.filter("filter_message", draft)
                stored = store((draft if isinstance(draft, Draft) else await draft).text)
            except ChatError as error:
                result.settle(error=error)
            else:
                # Not waited for: the next message may be part of the same commit.
                stored.then(partial(_pass_on, result))


def _pass_on(result: Pending[Stored], stored: Pending[Stored]) -> None:
    if stored.error is None:
        result.settle(stored.result)
    else:
        result.settle(error=stored.error)
