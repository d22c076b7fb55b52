"""Runs the hooks of one plugin, isolated from other plugins and the server.

Strategy: an ``async def`` runs as a task. After its timeout the task is cancelled but not awaited, as it may
ignore the cancellation. A ``def`` of an event runs in a thread of the plugin, and is not awaited after its
timeout either. Any other ``def`` runs on the loop; a call that takes long can only be counted and logged.

A hook may raise anything. ``SystemExit``, ``KeyboardInterrupt`` and ``asyncio.CancelledError`` would end the
server, or the task of the caller, so they never leave this module: they are failures like all others.
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
from typing import Any, NamedTuple, NoReturn

from tornado_chat.core.deliveries import DeliveryError
from tornado_chat.core.errors import ChatError
from tornado_chat.observability.logs import described, safe_repr
from tornado_chat.plugins.answers import WrongAnswer, is_presentable, require_no_awaitable
from tornado_chat.plugins.containment import UncaughtExit, contain, step_by_step
from tornado_chat.plugins.discovery import LoadedPlugin
from tornado_chat.plugins.faults import CHOOSE, RANK
from tornado_chat.plugins.health import ASYNC_ADVICE, BLOCKING_ADVICE, POLICY_ADVICE, PluginHealth
from tornado_chat.plugins.hookspecs import HOOK_KINDS, HookKind

log = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 10_000
"""Length of a plugin's event queue; further events are dropped."""

SLOW_CALL_SECONDS = 0.1
"""Time for which a call may block the loop before it is logged."""


SLOW_STEP_SECONDS = 0.25
"""The same for one step of an ``async def``. More, as a busy machine may hold up any step."""

MAX_ABANDONED_CALLS = 1000
"""The number of a plugin's calls that still run after their timeout, at which further calls fail at once.

It limits the memory that a plugin takes that ignores cancellations.
"""

ANSWER_ERRORS: Mapping[HookKind, type[Exception]] = {
    HookKind.DECISION: ChatError,
    HookKind.CHECK: ChatError,
    HookKind.CHAIN: ChatError,
    HookKind.DELIVERY: DeliveryError,
}
"""The errors that are an answer, by the kind of the hook. All errors of an event are failures."""


class HookCallFailed(Exception):
    """A call failed; the failure is logged and counted already. The text is a sentence for operators.

    :ivar is_temporary: True if the same call may succeed later: there was no answer in time, or a connection
        or a file failed.
    """

    def __init__(self, reason: str, *, is_temporary: bool) -> None:
        super().__init__(reason)
        self.is_temporary = is_temporary


class HookCall(NamedTuple):
    """An implementation of a hook.

    :ivar group: the calls of the plugin whose failures in a row count together: another call that succeeds in
        between does not help.
    """

    hook: str
    function: Callable[..., Any]
    arguments: Sequence[str]
    runs_in_thread: bool
    group: str = ""

    def __call__(self, values: Mapping[str, Any]) -> Any:
        return self.function(*[values[name] for name in self.arguments])

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)


def _accept(result: Any) -> Any:
    return result


class PluginRunner:
    """Runs one plugin's hooks, with its health, its event queue and its thread.

    :ivar settings: the plugin's, which it cannot take away: ``plugin.settings`` is in its hands.
    """

    def __init__(self, loaded: LoadedPlugin, health: PluginHealth, loop: asyncio.AbstractEventLoop) -> None:
        self.loaded = loaded
        self.health = health
        self._loop = loop
        self._events: deque[tuple[HookCall, Mapping[str, Any]]] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._full = False
        self._thread = _Thread(f"plugin-{loaded.name}", loop)
        self._abandoned_calls = 0
        self.settings: Any = loaded.plugin.settings

    def change_settings(self, settings: Any) -> None:
        """Let the plugin use other settings from now on."""
        self.settings = self.loaded.plugin.settings = settings

    # --- one call ---

    async def call(
        self,
        call: HookCall,
        values: Mapping[str, Any],
        *,
        timeout: float | None = None,
        suspend: bool = True,
        check: Callable[[Any], Any] = _accept,
    ) -> Any:
        """Call an implementation and return its result.

        :arg timeout: seconds; None for the plugin's own ``timeout``.
        :arg suspend: True if a failure counts towards a suspension.
        :arg check: returns the result to use; a ``WrongAnswer`` that it raises is a failure.
        :raises HookCallFailed: the implementation raised, or did not return in time.
        :raises ChatError: the implementation refuses (``ANSWER_ERRORS``); the error is meant for the client.
        """
        seconds = self.settings.timeout if timeout is None else timeout
        try:
            if self._abandoned_calls >= MAX_ABANDONED_CALLS:
                raise _CallTimedOut
            result = (
                self._thread.run(call, values) if call.runs_in_thread else self._call_on_loop(call, values)
            )
            if inspect.isawaitable(result):
                result = await self._wait_for_result(call, result, seconds)
            require_no_awaitable(call.hook, result)  # a thread cannot await it
            result = check(result)
        except _CallTimedOut:
            text = f"no answer within {seconds:g} s, see `timeout` in [plugin:{self.loaded.name}]"
            if self._abandoned_calls >= MAX_ABANDONED_CALLS:
                text = f"{self._abandoned_calls} calls still run although they were cancelled"
            self.health.record_failure(
                call.hook, "timeout", None, suspend=suspend, group=call.group, reason=text
            )
            raise HookCallFailed(text, is_temporary=True) from None
        except Exception as error:
            self._raise_refusal_or_failure(call, error, suspend)
        self.health.record_success(call.hook, call.group)
        return result

    def call_sync(
        self,
        call: HookCall,
        values: Mapping[str, Any],
        *,
        suspend: bool = True,
        check: Callable[[Any], Any] = _accept,
    ) -> Any:
        """Call a ``def`` implementation on the loop; results and errors as ``call``."""
        try:
            result = self._call_on_loop(call, values)
            require_no_awaitable(call.hook, result)
            result = check(result)
        except Exception as error:
            self._raise_refusal_or_failure(call, error, suspend)
        self.health.record_success(call.hook, call.group)
        return result

    def _raise_refusal_or_failure(self, call: HookCall, error: Exception, suspend: bool) -> NoReturn:
        if _is_answer(call, error):
            self.health.record_success(call.hook, call.group)
            raise error
        raised = error.__cause__ if isinstance(error, UncaughtExit) and error.__cause__ else error
        wrong = str(raised) if isinstance(raised, WrongAnswer) else ""
        self.health.record_failure(
            call.hook, "error", raised, suspend=suspend, group=call.group, reason=wrong
        )
        raise HookCallFailed(
            wrong or failure_text(raised), is_temporary=isinstance(raised, OSError)
        ) from raised

    def _call_on_loop(self, call: HookCall, values: Mapping[str, Any]) -> Any:
        if call.is_async:
            return contain(call.__call__, values)
        started = time.perf_counter()
        try:
            return contain(call.__call__, values)
        finally:
            taken = time.perf_counter() - started
            self.health.record_call(taken)
            if taken > SLOW_CALL_SECONDS:
                advice = POLICY_ADVICE if call.hook in (RANK, CHOOSE) else ASYNC_ADVICE
                self.health.record_slow_call(call.hook, taken, advice)

    async def _wait_for_result(self, call: HookCall, awaitable: Awaitable[Any], timeout: float) -> Any:
        def measure(seconds: float) -> None:
            if seconds > SLOW_STEP_SECONDS and HOOK_KINDS.get(call.hook) is not HookKind.LIFECYCLE:
                self.health.record_slow_call(call.hook, seconds, BLOCKING_ADVICE)

        task = asyncio.ensure_future(step_by_step(awaitable, measure))
        started = time.perf_counter()
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:  # of the caller
            task.cancel()
            task.add_done_callback(_retrieve_exception)
            raise
        finally:
            self.health.record_call(time.perf_counter() - started)
        if not done:
            self._abandoned_calls += 1
            task.cancel()
            task.add_done_callback(self._on_abandoned_end)
            raise _CallTimedOut
        if task.cancelled():  # by the plugin, as the caller was not
            raise UncaughtExit from asyncio.CancelledError()
        error = task.exception()
        if isinstance(error, Exception):
            raise error
        if error is not None:
            raise UncaughtExit from error
        return task.result()

    def _on_abandoned_end(self, task: asyncio.Future[Any]) -> None:
        self._abandoned_calls -= 1
        _retrieve_exception(task)

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
        with contextlib.suppress(HookCallFailed):
            await self.call(call, values)

    async def wait_until_idle(self) -> None:
        """Wait until the event queue is empty."""
        if self._draining is not None:
            await asyncio.wait({self._draining})

    async def attempt(self, call: HookCall, values: Mapping[str, Any]) -> None:
        """Call the plugin with a delivery, which is repeated later if this raises.

        A failure is recorded, and does not count towards a suspension: the delay between the attempts grows.

        :raises DeliveryError: the delivery has failed.
        """
        try:
            await self.call(call, values, suspend=False)
        except HookCallFailed as failed:
            # Not the text of the exception, which may quote the notification: this is logged.
            error = failed.__cause__
            raise DeliveryError(str(failed) if error is None else described(error)) from failed

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
                result = contain(call.__call__, values)
            except Exception as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                self._loop.call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _is_answer(call: HookCall, error: Exception) -> bool:
    kind = HOOK_KINDS.get(call.hook)
    return (
        kind is not None
        and kind in ANSWER_ERRORS
        and isinstance(error, ANSWER_ERRORS[kind])
        and (not isinstance(error, ChatError) or is_presentable(error))
    )


def failure_text(error: BaseException) -> str:
    """Return the reason of a failure. A ValueError of a plugin is a sentence for operators."""
    if type(error) is ValueError and len(error.args) == 1 and type(error.args[0]) is str and error.args[0]:
        return error.args[0]
    return safe_repr(error)


def _retrieve_exception(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
