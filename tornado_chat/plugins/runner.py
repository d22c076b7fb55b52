"""Running one plugin's hooks so that nobody else is hurt.

Strategy: an ``async def`` runs as a task that is left behind when its time is over: cancelled, but not
waited for, as it may ignore that. A ``def`` of an event runs in a thread of the plugin, which is
left behind in the same way. Any other ``def`` runs right here; that it takes long can only be noted.
"""

import asyncio
import contextlib
import inspect
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tornado_chat.core.errors import ChatError
from tornado_chat.plugins.discovery import Loaded
from tornado_chat.plugins.health import Health

log = logging.getLogger(__name__)

LARGEST_QUEUE = 10_000
"""Events that wait for one plugin. More are not kept."""

SLOW = 0.1
"""Seconds that a call may hold up the loop before it is noted."""


class Failed(Exception):
    """A call failed; it is logged and counted already."""


class Call(NamedTuple):
    """An implementation of a hook."""

    hook: str
    function: Callable[..., Any]
    arguments: Sequence[str]
    threaded: bool

    def __call__(self, values: Mapping[str, Any]) -> Any:
        return self.function(*[values[name] for name in self.arguments])

    @property
    def waits(self) -> bool:
        return inspect.iscoroutinefunction(self.function)


class Runner:
    """One plugin, with its health, its queue of events and its thread."""

    def __init__(self, loaded: Loaded, health: Health, loop: asyncio.AbstractEventLoop) -> None:
        self.loaded = loaded
        self.health = health
        self._loop = loop
        self._events: deque[tuple[Call, Mapping[str, Any]]] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._full = False
        self._thread = _Thread(f"plugin-{loaded.name}", loop)

    @property
    def settings(self) -> Any:
        return self.loaded.plugin.settings

    # --- one call ---

    async def call(
        self, call: Call, values: Mapping[str, Any], *, timeout: float | None = None, suspend: bool = True
    ) -> Any:
        """:raises Failed: it raised, or did not answer in time.
        :raises ChatError: it says no, in a way that is for the other side."""
        try:
            result = self._thread.run(call, values) if call.threaded else self._call_here(call, values)
            if inspect.isawaitable(result):
                result = await self._within(result, self.settings.timeout if timeout is None else timeout)
        except ChatError:
            self.health.succeeded()
            raise
        except _TooSlow:
            self.health.failed(call.hook, "timeout", None, suspend=suspend)
            raise Failed from None
        except (Exception, SystemExit) as error:
            self.health.failed(call.hook, "error", error, suspend=suspend)
            raise Failed from error
        self.health.succeeded()
        return result

    def call_now(self, call: Call, values: Mapping[str, Any]) -> Any:
        """The same for an implementation that does not wait."""
        try:
            result = self._call_here(call, values)
        except ChatError:
            self.health.succeeded()
            raise
        except (Exception, SystemExit) as error:
            self.health.failed(call.hook, "error", error, suspend=True)
            raise Failed from error
        self.health.succeeded()
        return result

    def _call_here(self, call: Call, values: Mapping[str, Any]) -> Any:
        if call.waits:
            return call(values)
        started = time.perf_counter()
        try:
            return call(values)
        finally:
            taken = time.perf_counter() - started
            self.health.called(taken)
            if taken > SLOW:
                self.health.slow(call.hook, taken)

    async def _within(self, awaitable: Awaitable[Any], timeout: float) -> Any:
        task = asyncio.ensure_future(_without_exit(awaitable))
        started = time.perf_counter()
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            self.health.called(time.perf_counter() - started)
        if not done:
            task.cancel()
            task.add_done_callback(_look_at)
            raise _TooSlow
        return task.result()

    # --- events ---

    def post(self, call: Call, values: Mapping[str, Any]) -> None:
        """Queue an event. The plugin gets it when it has dealt with those before."""
        if len(self._events) >= LARGEST_QUEUE:
            self.health.skipped(call.hook)
            if not self._full:
                log.error("plugin %s is too slow: events are passed over (counted)", self.loaded.name)
                self._full = True
            return
        self._events.append((call, values))
        if self._draining is None or self._draining.done():
            self._draining = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        while self._events:
            call, values = self._events.popleft()
            if self.health.suspended_for:
                self.health.skipped(call.hook)
                continue
            await self.told(call, values)
        self._full = False

    async def told(self, call: Call, values: Mapping[str, Any]) -> None:
        """Give the plugin one event; what goes wrong is noted, no more."""
        try:
            await self.call(call, values)
        except Failed:
            pass
        except ChatError as error:  # an event is no question that could be refused
            self.health.failed(call.hook, "error", error, suspend=True)

    async def finish(self, timeout: float) -> None:
        """Let the queue become empty, for so many seconds at most."""
        if self._draining is not None:
            await asyncio.wait({self._draining}, timeout=timeout)
            self._draining.cancel()


class _TooSlow(Exception):
    pass


class _Thread:
    """A daemon thread: a call that never ends does not keep the process from ending."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._loop = loop
        self._calls: queue.SimpleQueue[tuple[Call, Mapping[str, Any], asyncio.Future[Any]]] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    def run(self, call: Call, values: Mapping[str, Any]) -> asyncio.Future[Any]:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._calls.put((call, values, future))
        return future

    def _work(self) -> None:
        while True:
            call, values, future = self._calls.get()
            if future.cancelled():  # its time was over before it began
                continue
            result, error = None, None
            try:
                result = call(values)
            except BaseException as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                self._loop.call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))


async def _without_exit(awaitable: Awaitable[Any]) -> Any:
    """A plugin must not end the server by ``sys.exit()``."""
    try:
        return await awaitable
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(repr(error)) from error


def _look_at(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
