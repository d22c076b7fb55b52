"""Background tasks: tasks whose result no caller awaits."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class BackgroundTasks:
    """A set of background tasks.

    The set keeps each task alive until the task ends, because the loop only holds weak references to tasks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
