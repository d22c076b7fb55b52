"""Message filtering by plugins, which keeps the order of each connection's messages.

Strategy: a filter that returns at once costs a call. Behind a filter that awaits something, the messages of
one connection form a queue: the next message is filtered when the one before has been passed to the writer.
Different connections do not wait for each other; the order in the database is the order of the conversation.

A filter that returns at once runs on the event loop. All messages of one person may use ``[limits]
filter_share`` of the loop's time for that, and ``BURST_SECONDS`` at once; then further messages of the person
wait in the queues of their connections. So a sender of texts that are expensive to filter slows down only
itself, and a neighbour waits for one message, not for thirty. Many senders could still use the loop together:
the long texts of all people have ``LONG_TEXTS_FACTOR`` times the share of one, while short texts, which cost
little, never wait for other senders.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import AppendResult, Draft, Identity
from tornado_chat.domain.throttle import RateLimit, RateLimiter
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.storage.messages import AppendRequest

BURST_SECONDS = 0.1
"""The time on the loop that the filters may use at once for the messages of one person."""

MAX_SENDERS = 10_000

LONG_TEXT_CHARS = 4096
LONG_TEXTS_FACTOR = 3
_LONG_TEXTS = "long texts"
"""The only key of the limiter of all long texts."""

StoreText = Callable[[str], Deferred[AppendResult]]
"""Stores a message with the text that the filters have returned."""


class FilterQueue:
    """The messages of one connection that wait for the filters."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[Draft | Awaitable[Draft], StoreText, Deferred[AppendResult]]] = deque()
        self.task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        return self.task is not None and not self.task.done()

    async def wait_empty(self) -> None:
        """Wait until every message submitted so far has been passed to the writer, or refused."""
        if self.task is not None and self.is_busy:
            await asyncio.wait({self.task})


class MessageFilter:
    """Runs the filters of the hook ``filter_message`` before a message goes to the writer.

    :arg share: ``[limits] filter_share``.
    :arg clock: measures the time that the filters take, in seconds.
    """

    def __init__(
        self,
        plugins: PluginManager,
        append: Callable[[AppendRequest, float], Deferred[AppendResult]],
        loop: asyncio.AbstractEventLoop,
        share: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._plugins = plugins
        self._append = append
        self._loop = loop
        self._clock = clock
        self._running: set[asyncio.Task[None]] = set()
        self._used_seconds = RateLimiter(_limit(share), MAX_SENDERS)
        self._used_by_long_texts = RateLimiter(_limit(share * LONG_TEXTS_FACTOR), 1)

    def reconfigure(self, share: float) -> None:
        """Use another share of the loop's time from now on."""
        self._used_seconds.reconfigure(_limit(share))
        self._used_by_long_texts.reconfigure(_limit(share * LONG_TEXTS_FACTOR))

    def submit(
        self, filter_queue: FilterQueue, sender: Identity, message: AppendRequest, received: float
    ) -> Deferred[AppendResult]:
        """Filter ``message``, then store the filtered text.

        :arg received: the arrival time of its frame, by the loop's clock.
        :raises ChatError: a filter refused it at once. The error of a filter that awaits something is the
            error of the result.
        """
        if "filter_message" not in self._plugins.implemented_hooks:
            return self._append(message, received)

        def store(text: str) -> Deferred[AppendResult]:
            return self._append(msgspec.structs.replace(message, text=text), received)

        draft = Draft(message.thread, sender, message.text, message.media)
        filtered: Draft | Awaitable[Draft] = draft
        if not filter_queue.is_busy and not self._wait_seconds(draft):
            filtered = self._filter(draft)
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
        """Wait until all submitted messages are filtered, at most ``timeout`` seconds.

        The share of a sender is the whole time from now on, as the server accepts no further messages.
        """
        self.reconfigure(1.0)
        if self._running:
            await asyncio.wait(self._running, timeout=timeout)

    async def _run(self, filter_queue: FilterQueue) -> None:
        while filter_queue.waiting:
            draft, store, result = filter_queue.waiting.popleft()
            try:
                if isinstance(draft, Draft):
                    while wait := self._wait_seconds(draft):  # noqa: ASYNC110 - a time, not an event
                        await asyncio.sleep(wait)
                    draft = self._filter(draft)
                stored = store((draft if isinstance(draft, Draft) else await draft).text)
            except ChatError as error:
                result.settle(error=error)
            else:
                # The commit is not awaited, as the next message may be part of the same commit.
                stored.set_callback(partial(_copy_result, result))

    def _filter(self, draft: Draft) -> Draft | Awaitable[Draft]:
        started = self._clock()
        try:
            return self._plugins.filter("filter_message", draft)
        finally:
            now = self._clock()
            self._used_seconds.spend(draft.sender.person, now, now - started)
            if len(draft.text) > LONG_TEXT_CHARS:
                self._used_by_long_texts.spend(_LONG_TEXTS, now, now - started)

    def _wait_seconds(self, draft: Draft) -> float:
        """Return the seconds until the filters may work for the message; 0 if they may now."""
        now = self._clock()
        wait = self._used_seconds.wait_seconds(draft.sender.person, now, 0.0)
        if len(draft.text) > LONG_TEXT_CHARS:
            wait = max(wait, self._used_by_long_texts.wait_seconds(_LONG_TEXTS, now, 0.0))
        return wait


def _limit(share: float) -> RateLimit:
    return RateLimit(share, BURST_SECONDS)


def _copy_result(result: Deferred[AppendResult], stored: Deferred[AppendResult]) -> None:
    if stored.error is None:
        result.settle(stored.result)
    else:
        result.settle(error=stored.error)
