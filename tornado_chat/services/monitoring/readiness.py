"""Whether people can be served, and if not, why."""

import asyncio
from collections.abc import Callable, Mapping

from tornado_chat.core.errors import ChatError
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import health

PATIENCE = 5.0  # seconds


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
        self._probe: asyncio.Task[str] | None = None
        self._asked_at = 0.0
        self._database = ""

    async def problems(self, patience: float = PATIENCE) -> dict[str, str]:
        """What stands in the way of serving, by part; empty if nothing does.

        :arg patience: seconds that the database gets to answer.
        """
        if self._probe is None or self._probe.done():
            self._asked_at = self._loop.time()
            self._probe = self._loop.create_task(self._ask())
        done, _ = await asyncio.wait({self._probe}, timeout=patience)
        if done:
            self._database = self._probe.result()
        else:
            self._database = f"no answer within {self._loop.time() - self._asked_at:.0f} s"
        return {part: problem for part, problem in self._told().items() if problem}

    @property
    def ready(self) -> dict[str, bool]:
        """Of each part, whether it was well when it was asked the last time."""
        return {part: not problem for part, problem in self._told().items()}

    def _told(self) -> dict[str, str]:
        return {"database": self._database, **{part: ask() for part, ask in self._parts.items()}}

    async def _ask(self) -> str:
        try:
            await self._store.write(health.probe)
        except ChatError as error:
            return str(error.__cause__ or error)
        return ""
