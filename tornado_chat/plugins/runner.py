"""Runs the hooks of one plugin, isolated from other plugins and the server.

Strategy: an ``async def`` runs as a task. After its timeout the task is cancelled but not awaited, as it may
ignore the cancellation. A ``def`` of an event runs in a thread of the plugin, and is not awaited after its
timeout either. Any other ``def`` runs on the loop; a call that takes long can only be counted and logged.
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
from tornado_chat.plugins.discovery import LoadedPlugin
from tornado_chat.plugins.health import PluginHealth

log = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 10_000
"""Length of a plugin's event queue; further events are dropped."""

SLOW_CALL_SECONDS = 0.1
"""Time for which a call may block the loop before it is logged."""


class HookCallFailed(Exception):
    """A call failed; the failure is logged and counted already."""


class HookCall(NamedTuple):
    """An implementation of a hook."""

    hook: str
    function: Callable[..., Any]
    arguments: Sequence[str]
    runs_in_thread: bool

    def __call__(self, values: Mapping[str, Any]) -> Any:
        return self.function(*[values[name] for name in self.arguments])

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)


class PluginRunner:
    """Runs one plugin's hooks, with its health, its event queue and its thread."""

    def __init__(self, loaded: LoadedPlugin, health: PluginHealth, loop: asyncio.AbstractEventLoop) -> None:
        self.loaded = loaded
        self.health = health
        self._loop = loop
        self._events: deque[tuple[HookCall, Mapping[str, Any]]] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._full = False
        self._thread = _Thread(f"plugin-{loaded.name}", loop)

    @property
    def settings(self) -> Any:
        return self.loaded.plugin.settings

    # --- one call ---

    async def call(
        self, call: HookCall, values: Mapping[str, Any], *, timeout: float | None = None, suspend: bool = True
    ) -> Any:
        """Call an implementation and return its result.

        :arg timeout: seconds; None for the plugin's own ``timeout``.
        :arg suspend: True if a failure counts towards a suspension.
        :raises HookCallFailed: the implementation raised, or did not return in time.
        :raises ChatError: the implementation refuses; the error is meant for the client.
        """
        try:
            result = (
                self._thread.run(call, values) if call.runs_in_thread else self._call_on_loop(call, values)
            )
            if inspect.isawaitable(result):
                result = await self._wait_for_result(
                    result, self.settings.timeout if timeout is None else timeout
                )
        except ChatError:
            self.health.record_success()
            raise
        except _CallTimedOut:
            self.health.record_failure(call.hook, "timeout", None, suspend=suspend)
            raise HookCallFailed from None
        except (Exception, SystemExit) as error:
            self.health.record_failure(call.hook, "error", error, suspend=suspend)
            raise HookCallFailed from error
        self.health.record_success()
        return result

    def call_sync(self, call: HookCall, values: Mapping[str, Any]) -> Any:
        """Call a ``def`` implementation on the loop; results and errors as ``call``."""
        try:
            result = self._call_on_loop(call, values)
        except ChatError:
            self.health.record_success()
            raise
        except (Exception, SystemExit) as error:
            self.health.record_failure(call.hook, "error", error, suspend=True)
            raise HookCallFailed from error
        self.health.record_success()
        return result

    def _call_on_loop(self, call: HookCall, values: Mapping[str, Any]) -> Any:
        if call.is_async:
            return call(values)
        started = time.perf_counter()
        try:
            return call(values)
        finally:
            taken = time.perf_counter() - started
            self.health.record_call(taken)
            if taken > SLOW_CALL_SECONDS:
                self.health.record_slow_call(call.hook, taken)

    async def _wait_for_result(self, awaitable: Awaitable[Any], timeout: float) -> Any:
        task = asyncio.ensure_future(_convert_exit(awaitable))
        started = time.perf_counter()
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            self.health.record_call(time.perf_counter() - started)
        if not done:
            task.cancel()
            task.add_done_callback(_retrieve_exception)
            raise _CallTimedOut
        return task.result()

    # --- events ---

    def enqueue(self, call: HookCall, values: Mapping[str, Any]) -> None:
        """Queue an event. The plugin gets it after the events before it."""
        if len(self._events) >= MAX_QUEUED_EVENTS:
            self.health.record_skip(call.hook)
            if not self._full:
                log.error(
                    "plugin %s is too slow: its event queue is full, events are skipped (counted)",
                    self.loaded.name,
                )
                self._full = True
            return
        self._events.append((call, values))
        if self._draining is None or self._draining.done():
            self._draining = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        while self._events:
            call, values = self._events.popleft()
            if self.health.suspended_for:
                self.health.record_skip(call.hook)
                continue
            await self.deliver(call, values)
        self._full = False

    async def deliver(self, call: HookCall, values: Mapping[str, Any]) -> None:
        """Call the plugin with one event; a failure is only recorded."""
        try:
            await self.call(call, values)
        except HookCallFailed:
            pass
        except ChatError as error:  # an event cannot be refused, so this is a failure too
            self.health.record_failure(call.hook, "error", error, suspend=True)

    async def finish(self, timeout: float) -> None:
        """Wait until the event queue is empty, for at most ``timeout`` seconds."""
        if self._draining is not None:
            await asyncio.wait({self._draining}, timeout=timeout)
            self._draining.cancel()


class _CallTimedOut(Exception):
    pass


class _Thread:
    """A daemon thread for calls: a call that never ends does not prevent the end of the process."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._loop = loop
        self._calls: queue.SimpleQueue[tuple[HookCall, Mapping[str, Any], asyncio.Future[Any]]] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    def run(self, call: HookCall, values: Mapping[str, Any]) -> asyncio.Future[Any]:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._calls.put((call, values, future))
        return future

    def _run(self) -> None:
        while True:
            call, values, future = self._calls.get()
            if future.cancelled():  # the timeout was over before the call began
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


async def _convert_exit(awaitable: Awaitable[Any]) -> Any:
    """Convert ``SystemExit`` to ``RuntimeError``: a plugin must not end the server by ``sys.exit()``."""
    try:
        return await awaitable
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(repr(error)) from error


def _retrieve_exception(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
