"""The plugin manager: calls the hooks of all plugins by the rules of each hook's kind (``HOOK_KINDS``)."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import pluggy

from tornado_chat.config.ini import ConfigError, Problem
from tornado_chat.config.sections import Config, Limits
from tornado_chat.core.errors import ChatError, InternalError, Unavailable
from tornado_chat.core.types import Activity
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.answers import (
    WrongAnswer,
    WrongReplacement,
    checked_decision,
    checked_draft,
    decision_refusal,
)
from tornado_chat.plugins.base import PluginSettings
from tornado_chat.plugins.containment import UncaughtExit, contain
from tornado_chat.plugins.context import Context
from tornado_chat.plugins.discovery import LoadedPlugin, read_settings
from tornado_chat.plugins.faults import CHECK
from tornado_chat.plugins.health import FIRST_SUSPENSION_SECONDS, PluginHealth
from tornado_chat.plugins.hookspecs import HOOK_KINDS, PROJECT, HookKind, Hooks
from tornado_chat.plugins.origins import find_origin, top_module
from tornado_chat.plugins.queue_policy import GuardedPolicy
from tornado_chat.plugins.runner import HookCall, HookCallFailed, PluginRunner, failure_text

D = TypeVar("D")

log = logging.getLogger(__name__)

START_TIMEOUT_SECONDS = 60.0  # for ``startup`` and ``reload``, while ``timeout`` has its default
STOP_TIMEOUT_SECONDS = 5.0  # the same for ``shutdown``, and for the queued events at the end
DEFAULT_TIMEOUT_SECONDS = PluginSettings().timeout
DEFAULT_MAX_TEXT_BYTES = Limits().frame_bytes
EVENT_KINDS = (HookKind.EVENT, HookKind.STORED_EVENT, HookKind.DELIVERY)


class PluginError(Exception):
    """A plugin failed in a hook that stops the start. The message names the plugin and the hook.

    :ivar plugin: the name of the plugin.
    """

    def __init__(self, message: str, plugin: str = "") -> None:
        super().__init__(message)
        self.plugin = plugin


class PluginReload(NamedTuple):
    """The names of the plugins whose settings have changed, and of those that failed and keep theirs."""

    changed: Sequence[str]
    failed: Sequence[str]


class _Implementation(NamedTuple):
    runner: PluginRunner
    call: HookCall


class PluginManager:
    """The plugins of one server, in the order of ``[plugins] enabled``.

    :arg first_suspension: seconds of a plugin's first suspension.
    :ivar implemented_hooks: the hooks that at least one plugin implements.
    :ivar on_policy_switched: called when the plugin with the queue policy was suspended, or is called again.
    :ivar max_text_bytes: the size of the longest text that a filter may return, ``[limits] frame_bytes``.
    """

    def __init__(
        self,
        loaded: Sequence[LoadedPlugin],
        loop: asyncio.AbstractEventLoop,
        metrics: Metrics,
        *,
        first_suspension: float = FIRST_SUSPENSION_SECONDS,
    ) -> None:
        self.loaded = loaded
        self._runners = {
            each.name: PluginRunner(each, PluginHealth(each.name, metrics, loop.time, first_suspension), loop)
            for each in loaded
        }
        self._calls = _implementations(loaded, self._runners)
        self._names_by_module = {top_module(type(each.plugin)): each.name for each in loaded}
        self.max_text_bytes = DEFAULT_MAX_TEXT_BYTES
        self.on_policy_switched: Callable[[], None] = lambda: None
        self._not_started = {runner for runner, _ in self._calls["startup"]}
        self.implemented_hooks = frozenset(hook for hook, calls in self._calls.items() if calls)

    # --- lifecycle ---

    def guard_policy(self, name: str, policy: Any) -> GuardedPolicy:
        """Return a plugin's queue policy, isolated from the server.

        :raises PluginError: it has not the methods of a ``QueuePolicy``.
        """
        runner = self._runners[name]
        try:
            return GuardedPolicy(policy, runner, lambda: self.on_policy_switched())
        except TypeError as error:
            raise _plugin_error(runner, "register_queue_policy", error) from error

    async def start(self, contexts: Mapping[str, Context]) -> None:
        """Call ``startup`` of all plugins. :raises PluginError: a plugin failed."""
        for runner, call in self._calls["startup"]:
            context = contexts[runner.loaded.name]
            try:
                await runner.call(
                    call,
                    {"context": context},
                    timeout=_patience(runner, START_TIMEOUT_SECONDS),
                    suspend=False,
                )
            except Exception as error:
                raise _plugin_error(runner, "startup", error) from error
            self._not_started.discard(runner)

    async def stop(self) -> None:
        """Wait until the queued events are processed, then call ``shutdown`` of the started plugins."""
        await asyncio.gather(*(runner.finish(STOP_TIMEOUT_SECONDS) for runner in self._runners.values()))
        for runner, call in self._calls["shutdown"]:
            if runner not in self._not_started:
                await self._call_and_log(runner, call, {}, _patience(runner, STOP_TIMEOUT_SECONDS))

    async def wait_until_idle(self) -> None:
        """Wait until no plugin has a queued event."""
        await asyncio.gather(*(runner.wait_until_idle() for runner in self._runners.values()))

    async def read_settings(self, config: Config) -> dict[str, Any]:
        """Return the settings of all plugins in ``config``, by name, for ``reload``.

        A plugin that fails to check its settings has none. The checks run in a thread, as they may read large
        files.

        :raises ConfigError: the settings have mistakes.
        """
        problems: list[Problem] = []
        settings = {}
        for each in self.loaded:
            try:
                async with asyncio.timeout(_patience(self._runners[each.name], START_TIMEOUT_SECONDS)):
                    settings[each.name] = await asyncio.to_thread(
                        contain, read_settings, config, each.name, type(each.plugin), problems
                    )
            except Exception as error:
                self.record_failure(each.name, CHECK, error)
            else:
                self._runners[each.name].health.record_success(CHECK)
        if problems:
            raise ConfigError(problems)
        return settings

    async def reload(self, settings: Mapping[str, Any]) -> PluginReload:
        """Replace the settings of all plugins, and call their ``reload``.

        A plugin whose ``reload`` fails keeps its settings; the others go on.

        :arg settings: of ``read_settings``.
        """
        reloads = {runner.loaded.name: call for runner, call in self._calls["reload"]}
        changed, failed = [], []
        for name, runner in self._runners.items():
            if name not in settings:
                failed.append(name)
                log.error("plugin %s keeps its previous settings, because it could not check them", name)
                continue
            before = runner.settings
            runner.change_settings(settings[name])
            if name in reloads and not await self._call_and_log(
                runner, reloads[name], {}, _patience(runner, START_TIMEOUT_SECONDS)
            ):
                runner.change_settings(before)
                failed.append(name)
                log.error("plugin %s keeps its previous settings, because its reload failed", name)
            elif before != runner.settings:
                changed.append(name)
        return PluginReload(changed, failed)

    # --- decisions and chains ---

    def declares(self, hook: str, argument: str) -> bool:
        """Return True if an implementation of ``hook`` takes the argument."""
        return any(argument in call.arguments for _, call in self._calls[hook])

    async def decide(self, hook: str, *, declaring: str = "", **values: Any) -> Any:
        """Ask the plugins in order. Returns the first answer that is not None, or None.

        :arg declaring: ask only implementations that take this argument; empty: all.
        :raises ChatError: a plugin refuses; or failed, see ``decision_refusal``.
        """
        for runner, call in self._calls[hook]:
            if declaring and declaring not in call.arguments:
                continue
            try:
                answer = await runner.call(call, values, suspend=False, check=partial(checked_decision, hook))
            except HookCallFailed as failure:
                raise decision_refusal(hook, failure.__cause__) from failure
            if answer is not None:
                return answer
        return None

    async def check(self, hook: str, **values: Any) -> None:
        """Call all plugins in order, before an action.

        :raises ChatError: a plugin refuses the action; ``Unavailable`` if a plugin failed.
        """
        for runner, call in self._calls[hook]:
            try:
                await runner.call(call, values, suspend=False)
            except HookCallFailed as error:
                raise Unavailable("not_checked") from error

    def filter(self, hook: str, draft: D, on_failed: Callable[[], object] = lambda: None) -> D | Awaitable[D]:
        """Pass ``draft`` through the chain of plugins.

        A plugin is never suspended here: it would let the drafts of all people pass because of one.

        Returns the filtered draft, or an awaitable of it from the first ``async def`` implementation on.

        :arg on_failed: called when a plugin fails, whether the draft passes or not.
        :raises ChatError: here or when the result is awaited: a plugin refused the draft, or failed and
            has ``on_error = reject``, or has replaced a text by one that cannot be stored.
        """
        for position, (runner, call) in enumerate(self._calls[hook]):
            if call.is_async:
                return self._filter_from(hook, draft, position, on_failed)
            try:
                draft = runner.call_sync(
                    call, {"draft": draft}, suspend=False, check=self._draft_check(hook, draft)
                )
            except HookCallFailed as failure:
                on_failed()
                _raise_if_required(runner, failure)
        return draft

    async def _filter_from(self, hook: str, draft: D, position: int, on_failed: Callable[[], object]) -> D:
        for runner, call in self._calls[hook][position:]:
            try:
                draft = await runner.call(
                    call, {"draft": draft}, suspend=False, check=self._draft_check(hook, draft)
                )
            except HookCallFailed as failure:
                on_failed()
                _raise_if_required(runner, failure)
        return draft

    def _draft_check(self, hook: str, before: D) -> Callable[[Any], D]:
        return partial(checked_draft, hook, before, max_bytes=self.max_text_bytes)

    # --- events ---

    def emit(self, hook: str, **values: Any) -> None:
        """Queue an event for the plugins, without waiting for them."""
        for runner, call in self._calls[hook]:
            runner.enqueue(call, values)

    def report_action(self, activity: Activity) -> None:
        """Queue the event ``action_taken``."""
        self.emit("action_taken", activity=activity)

    def plugins_with_hooks(self, *hooks: str) -> list[str]:
        """The names of the plugins that implement any of ``hooks``."""
        return [
            name
            for name, runner in self._runners.items()
            if any(each.runner is runner for hook in hooks for each in self._calls[hook])
        ]

    def suspended_for(self, name: str) -> float:
        """Return the seconds until the plugin's suspension ends; 0 if it is not suspended."""
        return self._runners[name].health.suspended_for

    async def deliver(self, name: str, hook: str, **values: Any) -> None:
        """Call one plugin with an event, and wait until the call has ended or failed."""
        for runner, call in self._calls[hook]:
            if runner.loaded.name == name:
                await runner.deliver(call, values)

    async def attempt(self, name: str, hook: str, **values: Any) -> None:
        """Call one plugin with a delivery. :raises DeliveryError: it has failed, and is to be repeated."""
        for runner, call in self._calls[hook]:
            if runner.loaded.name == name:
                await runner.attempt(call, values)

    def report_problem(self, name: str, text: str | None) -> None:
        """Set the problem that a plugin reports; None: it has none any more."""
        self._runners[name].health.report_problem(text)

    def problems(self) -> dict[str, Callable[[], str]]:
        """Return a function for each plugin, by the name of the part, that returns its problem.

        This is the problem that the plugin reports, and the hooks that fail.
        """

        def find(runner: PluginRunner) -> Callable[[], str]:
            return lambda: runner.health.problem(runner.settings.on_error)

        return {f"plugin {name}": find(runner) for name, runner in self._runners.items()}

    def refresh_health(self) -> None:
        """End the suspensions and the faults whose time is over, for the metrics."""
        for runner in self._runners.values():
            runner.health.refresh()

    def record_failure(self, name: str, what: str, error: BaseException) -> None:
        """Record the failure of a plugin's own activity ``what``, for example a background task."""
        if isinstance(error, UncaughtExit) and error.__cause__:
            error = error.__cause__
        self._runners[name].health.record_failure(what, "error", error, suspend=False)

    def record_stray_failure(self, what: str, error: BaseException) -> bool:
        """Record an error that left the plugin's own code, as ``record_failure``.

        Return False if no line of code of a plugin was involved; then nothing is recorded.
        """
        name = find_origin(error, self._names_by_module)
        if name is not None:
            self.record_failure(name, what, error)
        return name is not None

    async def _call_and_log(
        self, runner: PluginRunner, call: HookCall, values: Mapping[str, Any], timeout: float
    ) -> bool:
        try:
            await runner.call(call, values, timeout=timeout, suspend=False)
        except HookCallFailed:
            return False
        except Exception as error:
            runner.health.record_failure(call.hook, "error", error, suspend=False)
            return False
        return True


def _implementations(
    loaded: Sequence[LoadedPlugin], runners: Mapping[str, PluginRunner]
) -> dict[str, list[_Implementation]]:
    """Return the implementations of each hook, in the order of the plugins."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    for each in reversed(loaded):  # pluggy calls the last one first
        manager.register(each.plugin, each.name)
    manager.check_pending()
    return {
        hook: [
            _Implementation(runners[found.plugin_name], _call(hook, kind, found))
            for found in reversed(getattr(manager.hook, hook).get_hookimpls())
        ]
        for hook, kind in HOOK_KINDS.items()
    }


def _call(hook: str, kind: HookKind, found: pluggy.HookImpl) -> HookCall:
    threaded = kind in EVENT_KINDS and not inspect.iscoroutinefunction(found.function)
    # The events count together, as they share a queue. A call of another kind says nothing about them.
    group = "" if kind in EVENT_KINDS else hook
    return HookCall(hook, found.function, found.argnames, threaded, group)


def _patience(runner: PluginRunner, default: float) -> float:
    """Return the seconds that a hook of the lifecycle may take: the plugin's ``timeout`` if it was chosen."""
    timeout: float = runner.settings.timeout
    return default if timeout == DEFAULT_TIMEOUT_SECONDS else timeout


def _raise_if_required(runner: PluginRunner, failure: HookCallFailed) -> None:
    """Raise the refusal of a draft for which a filter failed.

    A text that was replaced by a wrong one is refused in any case: the filter did not want the original.
    """
    is_replaced = isinstance(failure.__cause__, WrongReplacement)
    if runner.settings.on_error == "reject" or is_replaced:
        error: ChatError = InternalError("check_failed")
        if failure.is_temporary:
            error = Unavailable("not_checked")
        raise error from failure


def _plugin_error(runner: PluginRunner, hook: str, error: BaseException) -> PluginError:
    name = runner.loaded.name
    raised = error.__cause__ if isinstance(error, UncaughtExit) and error.__cause__ else error
    text = str(raised) if isinstance(raised, HookCallFailed | WrongAnswer) else failure_text(raised)
    return PluginError(f"plugin {name} ({runner.loaded.found.source}) failed in {hook}: {text}", name)
