"""Questions to the coordinator, on both sides of the way."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tornado_chat.cluster.codec import as_error, failure
from tornado_chat.cluster.facts import Coordinator, Question
from tornado_chat.cluster.messages import Answered, Asked
from tornado_chat.core.errors import ChatError, Unavailable

log = logging.getLogger(__name__)


class Questions:
    """Those of this process that wait for an answer.

    :arg say: sends one on its way.
    """

    def __init__(self, say: Callable[[Asked], None]) -> None:
        self._say = say
        self._count = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def ask(self, question: Question) -> Any:
        """:raises ChatError: that of the other side. :raises: what ``give_up`` was given."""
        self._count += 1
        id = self._count
        future = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            self._say(Asked(id, question))
            return await future
        finally:
            del self._waiting[id]

    def answered(self, process: str, answered: Answered) -> None:
        future = self._waiting.get(answered.id)
        if future is None or future.done():
            return
        if answered.failure is not None:
            future.set_exception(as_error(answered.failure))
        else:
            future.set_result(answered.value)

    def give_up(self, error: Callable[[], Exception]) -> None:
        """End all that wait, each with an error of its own."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error())


async def answer(coordinator: Coordinator, asked: Asked) -> Answered:
    try:
        return Answered(asked.id, await coordinator.answer(asked.question))
    except ChatError as error:
        return Answered(asked.id, failure=failure(error))
    except Exception:
        log.exception("the coordinator failed on %s", type(asked.question).__name__)
        return Answered(asked.id, failure=failure(Unavailable("no_coordinator")))
