"""A context without a server, for the checks of registration hooks."""

import inspect
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.plugins.context import Context

NOT_CONNECTED = "a hook that registers only keeps the context; use it from startup on"


class _UnconnectedContext(Context):
    """Has the values of a context; its methods raise ``RuntimeError``, or do nothing."""

    def __init__(self, language: str, state_dir: Path) -> None:
        self.language = language
        self.state_dir = state_dir

    def now(self) -> int:
        return now_microseconds()

    def problem(self, text: str | None) -> None:
        pass

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        coroutine.close()


def _refuse(self: Context, *args: Any, **named: Any) -> Any:
    raise RuntimeError(NOT_CONNECTED)


async def _refuse_async(self: Context, *args: Any, **named: Any) -> Any:
    raise RuntimeError(NOT_CONNECTED)


def unconnected_context(language: str, state_dir: Path) -> Context:
    """Return a context without a server."""
    methods = {
        name: _refuse_async if inspect.iscoroutinefunction(getattr(Context, name)) else _refuse
        for name in _UnconnectedContext.__abstractmethods__
    }
    context: Context = type("UnconnectedContext", (_UnconnectedContext,), methods)(language, state_dir)
    return context
