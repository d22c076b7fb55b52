"""What a filter costs a message on its way to the writer."""

import asyncio
from collections.abc import Iterator, Sequence

from tornado_chat import Draft, Identity, Kind, Person, Plugin, PluginSettings, Role, Thread, hookimpl
from tornado_chat.bench.comparison import Candidate, compare_times
from tornado_chat.core.types import AppendResult
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.discovery import FoundPlugin, LoadedPlugin
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.services.messaging.filtering import FilterQueue, MessageFilter

ITERATIONS = 5000


class Plain(Plugin):
    @hookimpl
    def filter_message(self, draft: Draft) -> None:
        return None


class Waits(Plugin):
    @hookimpl
    async def filter_message(self, draft: Draft) -> None:
        return None


def prepare() -> Sequence[Sequence[Candidate]]:
    loop = asyncio.new_event_loop()
    draft = Draft(Thread(Kind.SESSION, 1), Identity(Person(Role.USER, "1")), "hello")
    stored: asyncio.Future[AppendResult] = loop.create_future()
    stored.set_result(AppendResult(1, 1))

    def candidate(name: str, *plugins: type[Plugin]) -> Candidate:
        loaded = [
            LoadedPlugin(FoundPlugin(f"p{n}", "", "", lambda: None), made(PluginSettings()))  # type: ignore[arg-type,return-value]
            for n, made in enumerate(plugins)
        ]
        filtering = MessageFilter(PluginManager(loaded, loop, Metrics()), loop)

        async def run() -> None:
            filter_queue = FilterQueue()
            for _ in range(ITERATIONS):
                filtering.submit(filter_queue, draft, lambda draft: stored)
            await filter_queue.wait_empty()

        return Candidate(name, lambda: loop.run_until_complete(run()), ITERATIONS)

    return [
        [
            candidate("no plugin"),
            candidate("one filter, def", Plain),
            candidate("three filters, def", type("A", (Plain,), {}), type("B", (Plain,), {}), Plain),
            candidate("one filter, async def", Waits),
        ]
    ]


def lines(rounds: int) -> Iterator[str]:
    return compare_times("hooks: filter_message on the way to the writer", prepare(), rounds)
