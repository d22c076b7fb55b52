"""Whether people can be served, and if not, why."""

import asyncio
from collections.abc import Callable, Mapping

from tornado_chat.core.errors import ChatError
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import health

DATABASE_TIMEOUT_SECONDS = 5.0  # seconds


class Readiness:
    """Asks the parts of the server.

    Strategy: only writing shows whether the database takes writes. The probe that is under way is shared by all
    who ask, so that a database which hangs does not get one more with every question.

    :arg parts: by name, what is wrong with a part that knows by itself; an empty text if nothing is.
    """

    def __init__(
        self, store: Store, loop: asyncio.AbstractEventLoop, parts: Mapping[str, Callable[[], str]]
    ) -> None:
        self._store = store
        self._loop = loop
        self._parts = parts
        self._probe_task: asyncio.Task[str] | None = None
        self._probe_started_at = 0.0
        self._database = ""

    async def problems(self, timeout_seconds: float = DATABASE_TIMEOUT_SECONDS) -> dict[str, str]:
        """What stands in the way of serving, by part; empty if nothing does.

        :arg timeout_seconds: seconds that the database gets to answer.
        """
        if self._probe_task is None or self._probe_task.done():
            self._probe_started_at = self._loop.time()
            self._probe_task = self._loop.create_task(self._probe_database())
        done, _ = await asyncio.wait({self._probe_task}, timeout=timeout_seconds)
        if done:
            self._database = self._probe_task.result()
        else:
            self._database = f"no answer within {self._loop.time() - self._probe_started_at:.0f} s"
        return {part: problem for part, problem in self._problems_by_part().items() if problem}

    @property
    def ready(self) -> dict[str, bool]:
        """Of each part, whether it was well when it was asked the last time."""
        return {part: not problem for part, problem in self._problems_by_part().items()}

    def _problems_by_part(self) -> dict[str, str]:
        return {"database": self._database, **{part: ask() for part, ask in self._parts.items()}}

    async def _probe_database(self) -> str:
        try:
            await self._store.write(health.probe_write)
        except ChatError as error:
            return str(error.__cause__ or error)
        return ""
