"""The plugin manager: calls the hooks of all plugins by the rules of each hook's kind (``HOOK_KINDS``)."""

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import pluggy

from tornado_chat.config.ini import ConfigError, Problem
from tornado_chat.config.sections import Config
from tornado_chat.core.errors import Unavailable
from tornado_chat.core.types import Activity
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.context import Context
from tornado_chat.plugins.discovery import LoadedPlugin, read_settings
from tornado_chat.plugins.health import FIRST_SUSPENSION_SECONDS, PluginHealth
from tornado_chat.plugins.hookspecs import HOOK_KINDS, PROJECT, HookKind, Hooks
from tornado_chat.plugins.runner import HookCall, HookCallFailed, PluginRunner

D = TypeVar("D")

log = logging.getLogger(__name__)

START_TIMEOUT_SECONDS = 60.0  # for ``startup`` and ``reload``
STOP_TIMEOUT_SECONDS = 5.0  # for the queued events at the end, and for ``shutdown``
EVENT_KINDS = (HookKind.EVENT, HookKind.STORED_EVENT)


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
        self._not_started = {runner for runner, _ in self._calls["startup"]}
        self.implemented_hooks = frozenset(hook for hook, calls in self._calls.items() if calls)

    # --- lifecycle ---

    def collect(
        self, hook: str, contexts: Mapping[str, Context] | None = None, **values: Any
    ) -> list[tuple[str, Any]]:
        """Call a registration hook. Returns the name and the result of each plugin.

        :arg contexts: contexts by plugin, for hooks that take one.
        :arg values: the hook's other arguments.
        :raises PluginError: a plugin failed.
        """
        answers = []
        for runner, call in self._calls[hook]:
            name = runner.loaded.name
            try:
                answers.append((name, call({**values, "context": contexts[name]} if contexts else values)))
            except Exception as error:
                raise _plugin_error(runner, hook, error) from error
        return answers

    async def start(self, contexts: Mapping[str, Context]) -> None:
        """Call ``startup`` of all plugins. :raises PluginError: a plugin failed."""
        for runner, call in self._calls["startup"]:
            context = contexts[runner.loaded.name]
            try:
                await runner.call(call, {"context": context}, timeout=START_TIMEOUT_SECONDS)
            except Exception as error:
                raise _plugin_error(runner, "startup", error.__cause__ or error) from error
            self._not_started.discard(runner)

    async def stop(self) -> None:
        """Wait until the queued events are processed, then call ``shutdown`` of the started plugins."""
        await asyncio.gather(*(runner.finish(STOP_TIMEOUT_SECONDS) for runner in self._runners.values()))
        for runner, call in self._calls["shutdown"]:
            if runner not in self._not_started:
                await self._call_and_log(runner, call, {}, STOP_TIMEOUT_SECONDS)

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
                settings[each.name] = await asyncio.to_thread(
                    read_settings, config, each.name, type(each.plugin), problems
                )
            except Exception as error:
                self.record_failure(each.name, "check", error)
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
            plugin, before = runner.loaded.plugin, runner.settings
            plugin.settings = settings[name]
            if name in reloads and not await self._call_and_log(
                runner, reloads[name], {}, START_TIMEOUT_SECONDS
            ):
                plugin.settings = before
                failed.append(name)
                log.error("plugin %s keeps its previous settings, because its reload failed", name)
            elif before != plugin.settings:
                changed.append(name)
        return PluginReload(changed, failed)

    # --- decisions and chains ---

    async def decide(self, hook: str, **values: Any) -> Any:
        """Ask the plugins in order. Returns the first answer that is not None, or None.

        :raises ChatError: a plugin refuses; ``Unavailable`` if a plugin failed.
        """
        for runner, call in self._calls[hook]:
            try:
                answer = await runner.call(call, values, suspend=False)
            except HookCallFailed as error:
                raise Unavailable("not_checked") from error
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

    def filter(self, hook: str, draft: D) -> D | Awaitable[D]:
        """Pass ``draft`` through the chain of plugins.

        Returns the filtered draft, or an awaitable of it from the first ``async def`` implementation on.

        :raises ChatError: here or when the result is awaited: a plugin refused the draft, or failed and
            has ``on_error = reject``.
        """
        for position, (runner, call) in enumerate(self._calls[hook]):
            if call.is_async:
                return self._filter_from(hook, draft, position)
            if self._is_suspended(runner, hook):
                continue
            try:
                answer = runner.call_sync(call, {"draft": draft})
            except HookCallFailed:
                self._raise_if_required(runner)
            else:
                draft = self._checked_draft(runner, hook, draft, answer)
        return draft

    async def _filter_from(self, hook: str, draft: D, position: int) -> D:
        for runner, call in self._calls[hook][position:]:
            if self._is_suspended(runner, hook):
                continue
            try:
                answer = await runner.call(call, {"draft": draft})
            except HookCallFailed:
                self._raise_if_required(runner)
            else:
                draft = self._checked_draft(runner, hook, draft, answer)
        return draft

    def _is_suspended(self, runner: PluginRunner, hook: str) -> bool:
        """Return True if the plugin has to be skipped. :raises Unavailable: it has ``on_error = reject``."""
        if not runner.health.suspended_for:
            return False
        runner.health.record_skip(hook)
        self._raise_if_required(runner)
        return True

    def _raise_if_required(self, runner: PluginRunner) -> None:
        if runner.settings.on_error == "reject":
            wait = max(1, math.ceil(runner.health.suspended_for))
            raise Unavailable("not_checked", retry_after=wait)

    def _checked_draft(self, runner: PluginRunner, hook: str, draft: D, answer: Any) -> D:
        if answer is None:
            return draft
        if type(answer) is not type(draft):
            wrong = TypeError(f"{hook} returned {type(answer).__name__}, not {type(draft).__name__} or None")
            runner.health.record_failure(hook, "error", wrong, suspend=True)
            self._raise_if_required(runner)
            return draft
        return answer

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

    def report_problem(self, name: str, text: str | None) -> None:
        """Set the problem that a plugin reports; None: it has none any more."""
        self._runners[name].health.report_problem(text)

    def problems(self) -> dict[str, Callable[[], str]]:
        """Return a function for each plugin, by the name of the part, that returns the problem it reports."""

        def find(runner: PluginRunner) -> Callable[[], str]:
            return lambda: runner.health.problem

        return {f"plugin {name}": find(runner) for name, runner in self._runners.items()}

    def record_failure(self, name: str, what: str, error: BaseException) -> None:
        """Record the failure of a plugin's own activity ``what``, for example a background task."""
        self._runners[name].health.record_failure(what, "error", error, suspend=False)

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
    return HookCall(hook, found.function, found.argnames, threaded)


def _plugin_error(runner: PluginRunner, hook: str, error: BaseException) -> PluginError:
    name = runner.loaded.name
    return PluginError(f"plugin {name} ({runner.loaded.found.source}) failed in {hook}: {error!r}", name)
