"""People who talk during the drills, and the check that nothing of theirs is lost or repeated."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from scripts.drills.server import DrillServer, stored_texts, token
from tornado_chat.client import ChatClient, MessageRefused, Options

PAIRS = 3
BATCH_MESSAGES = 4
PAUSE_SECONDS = 0.02  # between two batches of a pair
PROGRESS_TIMEOUT_SECONDS = 60.0


class Talk:
    """A session in which a visitor sends numbered messages.

    :ivar acknowledged: the numbers that the server has acknowledged.
    :ivar refused: how many messages were refused; they are not sent again.
    """

    def __init__(self, session: int) -> None:
        self.session = session
        self.sent = 0
        self.acknowledged: set[int] = set()
        self.refused = 0

    async def run(self, visitor: ChatClient) -> None:
        while True:
            batch = range(self.sent + 1, self.sent + BATCH_MESSAGES + 1)
            self.sent = batch[-1]
            await asyncio.gather(*(self._send(visitor, number) for number in batch))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _send(self, visitor: ChatClient, number: int) -> None:
        try:
            await visitor.send(self._text(number), id=str(number))
        except MessageRefused:
            self.refused += 1
        else:
            self.acknowledged.add(number)

    def _text(self, number: int) -> str:
        return f"message {number} of {self.session}"

    def faults(self, database: Path, acknowledged: set[int]) -> list[str]:
        """Return the faults of a database that has to contain the acknowledged messages once each."""
        found = Counter(stored_texts(database, self.session))
        lost = sum(1 for number in acknowledged if self._text(number) not in found)
        repeated = sum(1 for count in found.values() if count > 1)
        return [
            f"session {self.session}: {count} messages are {what}"
            for count, what in ((lost, "lost"), (repeated, "stored twice"))
            if count
        ]


class Traffic:
    """All talks of a server."""

    def __init__(self, talks: list[Talk]) -> None:
        self.talks = talks

    @property
    def total(self) -> int:
        """The number of acknowledged messages."""
        return sum(len(talk.acknowledged) for talk in self.talks)

    @property
    def refused(self) -> int:
        return sum(talk.refused for talk in self.talks)

    def acknowledged(self) -> dict[int, set[int]]:
        """Return the acknowledged numbers of now, by session."""
        return {talk.session: set(talk.acknowledged) for talk in self.talks}

    async def progress(self) -> None:
        """Wait until each talk has more acknowledged messages. :raises TimeoutError: one has not."""
        before = {talk.session: len(talk.acknowledged) for talk in self.talks}
        async with asyncio.timeout(PROGRESS_TIMEOUT_SECONDS):
            while any(len(talk.acknowledged) <= before[talk.session] for talk in self.talks):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def refusals(self) -> None:
        """Wait until messages are refused. :raises TimeoutError: none is."""
        before = self.refused
        async with asyncio.timeout(PROGRESS_TIMEOUT_SECONDS):
            while self.refused <= before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def faults(self, database: Path, acknowledged: dict[int, set[int]] | None = None) -> list[str]:
        """Return the faults of a database that has to contain the messages; those of now by default."""
        expected = self.acknowledged() if acknowledged is None else acknowledged
        return [fault for talk in self.talks for fault in talk.faults(database, expected[talk.session])]


@asynccontextmanager
async def talking(server: DrillServer, name: str) -> AsyncIterator[Traffic]:
    """Let pairs of people talk on the server meanwhile. :arg name: is in the ids of the people."""
    async with AsyncExitStack() as stack:
        talks, tasks = [], []
        for number in range(PAIRS):
            user, consultant = f"drill-{name}-user-{number}", f"drill-{name}-consultant-{number}"
            session = await server.open_session(user, consultant)
            url = server.url.replace("http:", "ws:")
            await stack.enter_async_context(
                ChatClient(url, token("consultant", consultant), session, options=Options())
            )
            visitor = await stack.enter_async_context(
                ChatClient(url, token("user", user), session, options=Options())
            )
            talks.append(Talk(session))
            tasks.append(asyncio.create_task(talks[-1].run(visitor)))
        traffic = Traffic(talks)
        try:
            await traffic.progress()
            yield traffic
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
