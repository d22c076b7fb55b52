"""Readiness: whether this process can serve clients, the problems if it cannot, and what is degraded."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType

from tornado_chat.core.errors import ChatError
from tornado_chat.services.messaging.store import Store
from tornado_chat.storage import health

DATABASE_TIMEOUT_SECONDS = 5.0


class Readiness:
    """Collects the problems of the parts of the server.

    Strategy: only a write shows whether the database takes writes. Callers share the running probe, so that a
    database that hangs does not get another probe with every call.

    :arg parts: functions by part that return the part's problem, or an empty text; no client is served while
        one has a problem.
    :arg optional_parts: the same for parts without which clients are served, with less than usual: the link
        to the other processes, which a load balancer must not take for the failure of all of them.
    """

    def __init__(
        self,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        parts: Mapping[str, Callable[[], str]],
        optional_parts: Mapping[str, Callable[[], str]] = MappingProxyType({}),
    ) -> None:
        self._store = store
        self._loop = loop
        self._parts = parts
        self._optional_parts = optional_parts
        self._probe_task: asyncio.Task[str] | None = None
        self._probe_started_at = 0.0
        self._database = ""

    async def problems(self, timeout_seconds: float = DATABASE_TIMEOUT_SECONDS) -> dict[str, str]:
        """Return the problems by part that prevent serving; empty if the server is ready.

        :arg timeout_seconds: how long to wait for the database.
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
    def degraded(self) -> dict[str, str]:
        """The problems by part that do not prevent serving."""
        return {part: problem for part, problem in self._optional_problems().items() if problem}

    @property
    def ready(self) -> dict[str, bool]:
        """The readiness of each part; that of the database is from the last probe."""
        return {part: not problem for part, problem in self._problems_by_part().items()}

    @property
    def is_degraded(self) -> dict[str, bool]:
        """Whether each optional part fails."""
        return {part: bool(problem) for part, problem in self._optional_problems().items()}

    def _optional_problems(self) -> dict[str, str]:
        return {part: find_problem() for part, find_problem in self._optional_parts.items()}

    def _problems_by_part(self) -> dict[str, str]:
        return {
            "database": self._database,
            **{part: find_problem() for part, find_problem in self._parts.items()},
        }

    async def _probe_database(self) -> str:
        try:
            await self._store.write(health.probe_write)
        except ChatError as error:
            return str(error.__cause__ or error)
        return ""
