"""All running plugins, as the server calls them. The kinds of hooks are ``hookspecs.KINDS``."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import pluggy

from tornado_chat.config.ini import ConfigError, Problem
from tornado_chat.config.sections import Config
from tornado_chat.core.errors import Unavailable
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.context import Context
from tornado_chat.plugins.discovery import Loaded, read_settings
from tornado_chat.plugins.health import PAUSE, Health
from tornado_chat.plugins.hookspecs import KINDS, PROJECT, Hooks, Kind
from tornado_chat.plugins.runner import Call, Failed, Runner

D = TypeVar("D")

log = logging.getLogger(__name__)

STARTING = 60.0  # seconds for startup and reload
STOPPING = 5.0  # seconds for what is queued at the end, and for shutdown
EVENTS = (Kind.EVENT, Kind.STORED_EVENT)


class Broken(Exception):
    """A plugin that failed where that stops the start; the sentence says which and where."""


class _Implementation(NamedTuple):
    runner: Runner
    call: Call


class Plugins:
    """The plugins of one server, in the order of ``[plugins] enabled``.

    :arg pause: seconds of a plugin's first suspension.
    """

    def __init__(
        self,
        loaded: Sequence[Loaded],
        loop: asyncio.AbstractEventLoop,
        metrics: Metrics,
        *,
        pause: float = PAUSE,
    ) -> None:
        self.loaded = loaded
        self._runners = {
            each.name: Runner(each, Health(each.name, metrics, loop.time, pause), loop) for each in loaded
        }
        self._calls = _implementations(loaded, self._runners)

    def has(self, hook: str) -> bool:
        """Whether any plugin implements ``hook``."""
        return bool(self._calls[hook])

    # --- lifecycle ---

    def registered(
        self, hook: str, contexts: Mapping[str, Context] | None = None, **values: Any
    ) -> list[tuple[str, Any]]:
        """What each plugin registers, with its name.

        :arg contexts: by plugin, for hooks that take one.
        :arg values: what else the hook takes.
        :raises Broken: one of them failed.
        """
        answers = []
        for runner, call in self._calls[hook]:
            name = runner.loaded.name
            try:
                answers.append((name, call({**values, "context": contexts[name]} if contexts else values)))
            except Exception as error:
                raise _broken(runner, hook, error) from error
        return answers

    async def start(self, contexts: Mapping[str, Context]) -> None:
        """:raises Broken: a plugin's ``startup`` failed."""
        for runner, call in self._calls["startup"]:
            context = contexts[runner.loaded.name]
            try:
                await runner.call(call, {"context": context}, timeout=STARTING)
            except Exception as error:
                raise _broken(runner, "startup", error.__cause__ or error) from error

    async def stop(self) -> None:
        """Let events that wait be dealt with, then call ``shutdown``."""
        await asyncio.gather(*(runner.finish(STOPPING) for runner in self._runners.values()))
        for runner, call in self._calls["shutdown"]:
            await self._quietly(runner, call, {}, STOPPING)

    async def reload(self, config: Config) -> list[str]:
        """Give all plugins the settings that ``config`` has for them.

        Returns the names of those whose settings have changed.

        :raises ConfigError: there are mistakes; nothing has changed.
        """
        problems: list[Problem] = []
        settings = {
            each.name: read_settings(config, each.name, type(each.plugin), problems) for each in self.loaded
        }
        if problems:
            raise ConfigError(problems)
        reloads = {runner.loaded.name: call for runner, call in self._calls["reload"]}
        changed = []
        for name, runner in self._runners.items():
            plugin, before = runner.loaded.plugin, runner.settings
            plugin.settings = settings[name]
            if name in reloads and not await self._quietly(runner, reloads[name], {}, STARTING):
                plugin.settings = before
                log.error("plugin %s goes on with the settings it had", name)
            elif before != plugin.settings:
                changed.append(name)
        return changed

    # --- decisions and chains ---

    async def decide(self, hook: str, **values: Any) -> Any:
        """The first answer that is not None, or None.

        :raises ChatError: a plugin says no; ``Unavailable`` if one failed.
        """
        for runner, call in self._calls[hook]:
            try:
                answer = await runner.call(call, values, suspend=False)
            except Failed as error:
                raise Unavailable("not_checked") from error
            if answer is not None:
                return answer
        return None

    def filter(self, hook: str, draft: D) -> D | Awaitable[D]:
        """Send ``draft`` through the chain. What none of the plugins has to wait for is done at once.

        :raises ChatError: as what is returned may, when it is awaited: a plugin refused the draft, or
            failed and has ``on_error = reject``.
        """
        for position, (runner, call) in enumerate(self._calls[hook]):
            if call.waits:
                return self._filter_on(hook, draft, position)
            if self._is_out(runner, hook):
                continue
            try:
                answer = runner.call_now(call, {"draft": draft})
            except Failed:
                self._after_failure(runner)
            else:
                draft = self._next(runner, hook, draft, answer)
        return draft

    async def _filter_on(self, hook: str, draft: D, position: int) -> D:
        for runner, call in self._calls[hook][position:]:
            if self._is_out(runner, hook):
                continue
            try:
                answer = await runner.call(call, {"draft": draft})
            except Failed:
                self._after_failure(runner)
            else:
                draft = self._next(runner, hook, draft, answer)
        return draft

    def _is_out(self, runner: Runner, hook: str) -> bool:
        """Whether to pass the plugin over. :raises Unavailable: it is one that must have its say."""
        if not runner.health.suspended_for:
            return False
        runner.health.skipped(hook)
        self._after_failure(runner)
        return True

    def _after_failure(self, runner: Runner) -> None:
        if runner.settings.on_error == "reject":
            raise Unavailable("not_checked")

    def _next(self, runner: Runner, hook: str, draft: D, answer: Any) -> D:
        if answer is None:
            return draft
        if type(answer) is not type(draft):
            wrong = TypeError(f"{hook} returned {type(answer).__name__}, not {type(draft).__name__} or None")
            runner.health.failed(hook, "error", wrong, suspend=True)
            self._after_failure(runner)
            return draft
        return answer

    # --- events ---

    def emit(self, hook: str, **values: Any) -> None:
        """Something has happened; nobody waits for what plugins do about it."""
        for runner, call in self._calls[hook]:
            runner.post(call, values)

    def listeners(self, *hooks: str) -> list[str]:
        """The names of the plugins that implement any of ``hooks``."""
        return [
            name
            for name, runner in self._runners.items()
            if any(each.runner is runner for hook in hooks for each in self._calls[hook])
        ]

    def suspended_for(self, name: str) -> float:
        """Seconds until the plugin is called again; 0 if it is."""
        return self._runners[name].health.suspended_for

    async def tell(self, name: str, hook: str, **values: Any) -> None:
        """Give one plugin an event and wait until it has dealt with it, or failed to."""
        for runner, call in self._calls[hook]:
            if runner.loaded.name == name:
                await runner.told(call, values)

    def note_failure(self, name: str, what: str, error: BaseException) -> None:
        """Something that a plugin does by itself failed."""
        self._runners[name].health.failed(what, "error", error, suspend=False)

    async def _quietly(self, runner: Runner, call: Call, values: Mapping[str, Any], timeout: float) -> bool:
        try:
            await runner.call(call, values, timeout=timeout, suspend=False)
        except Failed:
            return False
        except Exception as error:
            runner.health.failed(call.hook, "error", error, suspend=False)
            return False
        return True


def _implementations(
    loaded: Sequence[Loaded], runners: Mapping[str, Runner]
) -> dict[str, list[_Implementation]]:
    """Of each hook, in the order of the plugins."""
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
        for hook, kind in KINDS.items()
    }


def _call(hook: str, kind: Kind, found: pluggy.HookImpl) -> Call:
    threaded = kind in EVENTS and not inspect.iscoroutinefunction(found.function)
    return Call(hook, found.function, found.argnames, threaded)


def _broken(runner: Runner, hook: str, error: BaseException) -> Broken:
    return Broken(f"plugin {runner.loaded.name} ({runner.loaded.found.source}) failed in {hook}: {error!r}")
