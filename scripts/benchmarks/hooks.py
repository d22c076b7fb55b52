"""The cost of message filters, per message, on the way to the writer."""

import asyncio
from collections.abc import Iterator, Sequence

from tornado_chat import Draft, Identity, Kind, Person, Plugin, PluginSettings, Role, Thread, hookimpl
from tornado_chat.aio.deferred import Deferred
from tornado_chat.bench.comparison import Candidate, compare_times
from tornado_chat.core.types import AppendResult
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.discovery import FoundPlugin, LoadedPlugin
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.filtering import FilterQueue, MessageFilter
from tornado_chat.storage.messages import AppendRequest

ITERATIONS = 5000


class SynchronousFilter(Plugin):
    @hookimpl
    def filter_message(self, draft: Draft) -> None:
        return None


class AsynchronousFilter(Plugin):
    @hookimpl
    async def filter_message(self, draft: Draft) -> None:
        return None


def prepare() -> Sequence[Sequence[Candidate]]:
    loop = asyncio.new_event_loop()
    sender = Identity(Person(Role.USER, "1"))
    message = AppendRequest(Thread(Kind.SESSION, 1), sender.person, "hello")

    def append(message: AppendRequest, received: float) -> Deferred[AppendResult]:
        stored: Deferred[AppendResult] = Deferred()
        stored.settle(AppendResult(1, 1))
        return stored

    def candidate(name: str, *plugins: type[Plugin]) -> Candidate:
        loaded = [
            LoadedPlugin(FoundPlugin(f"p{n}", "", "", lambda: None), made(PluginSettings()))  # type: ignore[arg-type,return-value]
            for n, made in enumerate(plugins)
        ]
        message_filter = MessageFilter(PluginManager(loaded, loop, Metrics()), append, loop)

        async def run() -> None:
            filter_queue = FilterQueue()
            for _ in range(ITERATIONS):
                message_filter.submit(filter_queue, sender, message, 0.0)
            await filter_queue.wait_empty()

        return Candidate(name, lambda: loop.run_until_complete(run()), ITERATIONS)

    return [
        [
            candidate("no plugin"),
            candidate("one filter, def", SynchronousFilter),
            candidate(
                "three filters, def",
                type("A", (SynchronousFilter,), {}),
                type("B", (SynchronousFilter,), {}),
                SynchronousFilter,
            ),
            candidate("one filter, async def", AsynchronousFilter),
        ]
    ]


def measure(rounds: int) -> Iterator[str]:
    return compare_times("hooks: filter_message on the way to the writer", prepare(), rounds)
