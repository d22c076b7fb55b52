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

from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import AppendResult, Draft, Identity
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.storage.messages import AppendRequest

StoreText = Callable[[str], Deferred[AppendResult]]
"""Stores a message with the text that the filters have left of it."""


class FilterQueue:
    """The messages of one seat that are being filtered."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[Draft | Awaitable[Draft], StoreText, Deferred[AppendResult]]] = deque()
        self.task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        return self.task is not None and not self.task.done()

    async def wait_empty(self) -> None:
        """Returns when everything said so far has been handed to the writer, or refused."""
        if self.task is not None and self.is_busy:
            await asyncio.wait({self.task})


class MessageFilter:
    """The chain ``filter_message`` in front of the writer."""

    def __init__(
        self,
        plugins: PluginManager,
        append: Callable[[AppendRequest, float], Deferred[AppendResult]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._plugins = plugins
        self._append = append
        self._loop = loop
        self._running: set[asyncio.Task[None]] = set()

    def submit(
        self, filter_queue: FilterQueue, sender: Identity, message: AppendRequest, received: float
    ) -> Deferred[AppendResult]:
        """Filter ``message``, then store what became of it.

        :arg received: when its frame came, by the loop's clock.
        :raises ChatError: a filter refused it at once. That of one that waits comes with the result.
        """
        if "filter_message" not in self._plugins.implemented_hooks:
            return self._append(message, received)

        def store(text: str) -> Deferred[AppendResult]:
            return self._append(msgspec.structs.replace(message, text=text), received)

        draft = Draft(message.thread, sender, message.text, message.media)
        filtered: Draft | Awaitable[Draft] = draft
        if not filter_queue.is_busy:
            filtered = self._plugins.filter("filter_message", draft)
            if isinstance(filtered, Draft):
                return store(filtered.text)
        result: Deferred[AppendResult] = Deferred()
        filter_queue.waiting.append((filtered, store, result))
        if not filter_queue.is_busy:
            filter_queue.task = self._loop.create_task(self._run(filter_queue))
            self._running.add(filter_queue.task)
            filter_queue.task.add_done_callback(self._running.discard)
        return result

    async def finish(self, timeout: float) -> None:
        """Let everything be filtered that was taken, for so many seconds at most."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout)

    async def _run(self, filter_queue: FilterQueue) -> None:
        while filter_queue.waiting:
            draft, store, result = filter_queue.waiting.popleft()
            try:
                if isinstance(draft, Draft):
                    draft = self._plugins.filter("filter_message", draft)
                stored = store((draft if isinstance(draft, Draft) else await draft).text)
            except ChatError as error:
                result.settle(error=error)
            else:
                # Not waited for: the next message may be part of the same commit.
                stored.set_callback(partial(_copy_result, result))


def _copy_result(result: Deferred[AppendResult], stored: Deferred[AppendResult]) -> None:
    if stored.error is None:
        result.settle(stored.result)
    else:
        result.settle(error=stored.error)
