"""Message filtering by plugins, which keeps the order of each connection's messages.

Strategy: a filter that returns at once costs a call. Behind a filter that awaits something, the messages of
one connection form a queue: the next message is filtered when the one before has been passed to the writer.
Different connections do not wait for each other; the order in the database is the order of the conversation.

A filter that returns at once runs on the event loop. All messages of one person may use ``[limits]
filter_share`` of the loop's time for that, and ``BURST_SECONDS`` at once; then further messages of the person
wait in the queues of their connections. So a sender of texts that are expensive to filter slows down only
itself, and a neighbour waits for one message, not for thirty. Many senders could still use the loop together:
so all long texts, and all messages of people who have used half of their burst, have ``HEAVY_USE_FACTOR``
times the share of one person together. The other messages, which cost little, never wait for other senders.

A filter that fails for a message is not suspended, since one sender would then switch it off for all. Instead
the sender is slowed down: after ``FAILURES_BURST`` failures, one message in ``1 / FAILURES_PER_SECOND``
seconds. So a sender whose texts make a filter fail causes few failures, or calls that hang, and no other
sender waits. A shorter timeout after several that passed would be no bound, but a way around the filter: what
a filter does not answer in the shorter time would pass, also of the next text of the same sender.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from tornado_chat.aio.deferred import Deferred
from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import AppendResult, Draft, Identity
from tornado_chat.domain.throttle import RateLimit, RateLimiter
from tornado_chat.observability.logs import fields
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.storage.messages import AppendRequest

log = logging.getLogger(__name__)

BURST_SECONDS = 0.03
"""The time on the loop that the filters may use at once for the messages of one person."""

MAX_SENDERS = 10_000

LONG_TEXT_CHARS = 4096
HEAVY_USE_FACTOR = 3
_HEAVY_USE = "heavy use"
"""The only key of the limiter of all heavy use."""

UNLIMITED = 1e9
FAILURES_BURST = 5.0
FAILURES_PER_SECOND = 1.0
"""Messages of one person for which a filter may fail, at once and on average; further messages wait."""

LOG_INTERVAL_SECONDS = 60.0
"""The time between two lines about senders that are slowed down."""

Append = Callable[[AppendRequest, float], Deferred[AppendResult]]
"""Stores a message; the second argument is the arrival time of its frame, by the loop's clock."""

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
        append: Append,
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
        self._heavy_use = RateLimiter(_limit(share * HEAVY_USE_FACTOR), 1)
        self._failures = RateLimiter(RateLimit(FAILURES_PER_SECOND, FAILURES_BURST), MAX_SENDERS)
        self._logged_at: float | None = None

    def reconfigure(self, share: float) -> None:
        """Use another share of the loop's time from now on."""
        self._used_seconds.reconfigure(_limit(share))
        self._heavy_use.reconfigure(_limit(share * HEAVY_USE_FACTOR))

    def submit(
        self,
        filter_queue: FilterQueue,
        sender: Identity,
        message: AppendRequest,
        received: float,
        append: Append | None = None,
    ) -> Deferred[AppendResult]:
        """Filter ``message``, then store the filtered text.

        :arg received: the arrival time of its frame, by the loop's clock.
        :arg append: stores the message; None: as a message of its conversation.
        :raises ChatError: a filter refused it at once. The error of a filter that awaits something is the
            error of the result.
        """
        append = append or self._append
        if "filter_message" not in self._plugins.implemented_hooks:
            return append(message, received)

        def store(text: str) -> Deferred[AppendResult]:
            return append(msgspec.structs.replace(message, text=text), received)

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

        The share of a sender is the whole time from now on, as the server accepts no further messages, and no
        message waits because of failures.
        """
        self.reconfigure(1.0)
        self._failures.reconfigure(RateLimit(UNLIMITED, UNLIMITED))
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
            return self._plugins.filter("filter_message", draft, partial(self._count_failure, draft))
        finally:
            now = self._clock()
            is_heavy_use = self._is_heavy_use(draft, started)
            self._used_seconds.spend(draft.sender.person, now, now - started)
            if is_heavy_use:
                self._heavy_use.spend(_HEAVY_USE, now, now - started)

    def _count_failure(self, draft: Draft) -> None:
        """Count a message for which a filter failed, whether it passes or is refused."""
        person, now = draft.sender.person, self._clock()
        in_debt = self._failures.spend(person, now) > 0
        if in_debt and (self._logged_at is None or now - self._logged_at >= LOG_INTERVAL_SECONDS):
            self._logged_at = now
            log.warning(
                "filters fail again and again for messages of a person, who is slowed down (at most one such "
                "line a minute)",
                extra=fields(person=person.key, **draft.thread.named),
            )

    def _wait_seconds(self, draft: Draft) -> float:
        """Return the seconds until the filters may work for the message; 0 if they may now."""
        now, person = self._clock(), draft.sender.person
        wait = self._used_seconds.wait_seconds(person, now, 0.0)
        wait = max(wait, self._failures.wait_seconds(person, now, 0.0))
        if self._is_heavy_use(draft, now):
            wait = max(wait, self._heavy_use.wait_seconds(_HEAVY_USE, now, 0.0))
        return wait

    def _is_heavy_use(self, draft: Draft, now: float) -> bool:
        if len(draft.text) > LONG_TEXT_CHARS:
            return True
        return self._used_seconds.wait_seconds(draft.sender.person, now, BURST_SECONDS / 2) > 0


def _limit(share: float) -> RateLimit:
    return RateLimit(share, BURST_SECONDS)


def _copy_result(result: Deferred[AppendResult], stored: Deferred[AppendResult]) -> None:
    if stored.error is None:
        result.settle(stored.result)
    else:
        result.settle(error=stored.error)
