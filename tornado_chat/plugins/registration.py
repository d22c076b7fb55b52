"""The registration hooks: their calls, and the checks of the results.

Strategy: the start of the server, ``check-config`` and the commands call these hooks here only, so they find
the same faults and say the same sentences. A fault does not end the checks: all faults are found together.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import peewee as pw

from tornado_chat.config.ini import ConfigError, Problem
from tornado_chat.plugins.data_keepers import OF_DELIVERIES, DataKeepers, PluginKeeper
from tornado_chat.plugins.discovery import LoadedPlugin
from tornado_chat.plugins.load_errors import CODE_ERRORS, describe_error
from tornado_chat.plugins.registered_objects import (
    class_fault,
    command_faults,
    describe_wrong,
    keeper_fault,
    policy_fault,
)
from tornado_chat.plugins.route_checks import RouteTable
from tornado_chat.storage import models as server_models
from tornado_chat.storage.migration_steps import STEP_TABLE
from tornado_chat.storage.schema import HISTORY_TABLE

if TYPE_CHECKING:
    from tornado_chat.domain.queue import QueuePolicy
    from tornado_chat.plugins.context import Context

SERVER_TABLES = (*(model._meta.table_name for model in server_models.TABLES), HISTORY_TABLE, STEP_TABLE)


class Fault(NamedTuple):
    """A fault of a plugin; ``text`` is a sentence with the hook, the fault and the remedy."""

    plugin: LoadedPlugin
    text: str

    @property
    def problem(self) -> Problem:
        return self.plugin.found.problem(self.text)


class Answer(NamedTuple):
    """The result of one plugin's registration hook."""

    plugin: LoadedPlugin
    hook: str
    value: Any

    def fault(self, text: str) -> Fault:
        return Fault(self.plugin, f"{self.hook}: {text}")


class ServerNames(NamedTuple):
    """The names that the server has itself.

    :ivar routes: the patterns of its routes.
    """

    commands: Collection[str]
    routes: Sequence[str]


class PluginPolicy(NamedTuple):
    """A queue policy with the plugin that registers it."""

    plugin: LoadedPlugin
    policy: "QueuePolicy"


class PluginCommand(NamedTuple):
    """A command with its name and the plugin that registers it."""

    name: str
    plugin: LoadedPlugin
    command: click.Command


class Registrations(NamedTuple):
    """The results of all registration hooks that the server uses, in the order of the plugins."""

    models: Sequence[type[pw.Model]]
    routes: Sequence[tuple[Any, ...]]
    keepers: DataKeepers
    policy: PluginPolicy | None


def register_all(
    loaded: Sequence[LoadedPlugin],
    contexts: "Mapping[str, Context]",
    state_dir: Path,
    server: ServerNames,
    faults: list[Fault],
) -> Registrations:
    """Call all registration hooks. Their faults are added to ``faults``, by plugin; what has one is left out.

    :arg contexts: by plugin.
    """
    models = register_models(loaded, faults)
    routes = register_routes(loaded, contexts, faults, server.routes)
    register_commands(loaded, faults, server.commands)
    keepers = DataKeepers([OF_DELIVERIES, *register_keepers(loaded, state_dir, faults)])
    policy = register_queue_policy(loaded, faults)
    faults.sort(key=lambda fault: loaded.index(fault.plugin))
    return Registrations(models, routes, keepers, policy)


def collect_models(loaded: Sequence[LoadedPlugin]) -> list[type[pw.Model]]:
    """Return the tables of the plugins, for a command. :raises ConfigError: they have faults."""
    faults: list[Fault] = []
    models = register_models(loaded, faults)
    raise_faults(faults)
    return models


def collect_commands(loaded: Sequence[LoadedPlugin]) -> list[PluginCommand]:
    """Return the commands of the plugins. :raises ConfigError: they have faults."""
    faults: list[Fault] = []
    commands = register_commands(loaded, faults)
    raise_faults(faults)
    return commands


def collect_keepers(loaded: Sequence[LoadedPlugin], state_dir: Path) -> DataKeepers:
    """Return the data keepers for a command. :raises ConfigError: the plugins have faults."""
    faults: list[Fault] = []
    keepers = register_keepers(loaded, state_dir, faults)
    raise_faults(faults)
    return DataKeepers([OF_DELIVERIES, *keepers])


def raise_faults(faults: Iterable[Fault]) -> None:
    """:raises ConfigError: there are faults."""
    problems = [fault.problem for fault in faults]
    if problems:
        raise ConfigError(problems)


# The hooks


def register_models(loaded: Sequence[LoadedPlugin], faults: list[Fault]) -> list[type[pw.Model]]:
    """Return the tables of the plugins. A database may not distinguish the case of their names."""
    owners: dict[str, LoadedPlugin | None] = {name.casefold(): None for name in SERVER_TABLES}
    models = []
    for answer in _call(loaded, "register_models", faults):
        for model in _items(answer, faults, "[Note], where Note extends peewee.Model"):
            if not (isinstance(model, type) and issubclass(model, pw.Model)):
                text = (
                    f"{describe_wrong(model)} is no table; return a list of classes that extend peewee.Model"
                )
                faults.append(answer.fault(text))
                continue
            table = model._meta.table_name
            if table.casefold() in owners:
                owner = _owner(owners[table.casefold()], answer)
                advice = f'write table_name = "{answer.plugin.name}_…" in the Meta of {model.__name__}'
                faults.append(answer.fault(f'{owner} has a table "{table}" already; {advice}'))
                continue
            owners[table.casefold()] = answer.plugin
            models.append(model)
    return models


def register_routes(
    loaded: Sequence[LoadedPlugin],
    contexts: "Mapping[str, Context]",
    faults: list[Fault],
    server_routes: Sequence[str],
) -> list[tuple[Any, ...]]:
    """Return the routes of the plugins, each as ``(pattern, handler class)`` or with the arguments."""
    table = RouteTable(server_routes)
    routes = []
    values = {each.name: {"context": contexts[each.name]} for each in loaded}
    for answer in _call(loaded, "register_handlers", faults, values):
        for route in _items(answer, faults, f'[("/{answer.plugin.name}", Page)]'):
            found = list(table.add(answer.plugin.name, route))
            faults += map(answer.fault, found)
            if not found:
                routes.append(tuple(route))
    return routes


def register_commands(
    loaded: Sequence[LoadedPlugin], faults: list[Fault], server_commands: Collection[str] = ()
) -> list[PluginCommand]:
    """Return the commands of the plugins."""
    owners: dict[str, LoadedPlugin | None] = dict.fromkeys(server_commands)
    commands = []
    for answer in _call(loaded, "register_commands", faults):
        for command in _items(answer, faults, "[command], with a function below @click.command()"):
            if not isinstance(command, click.Command):
                text = f"{describe_wrong(command)} is no command; write @click.command() above the function"
                faults.append(answer.fault(text))
                continue
            name = command.name or answer.plugin.name
            if name in owners:
                owner = _owner(owners[name], answer)
                advice = f'give it another name, such as "{answer.plugin.name}"'
                if name == answer.plugin.name:
                    advice = f'give it another name, such as "{answer.plugin.name}-commands"'
                faults.append(answer.fault(f'{owner} has a command "{name}" already; {advice}'))
                continue
            owners[name] = answer.plugin
            found = list(command_faults(name, command))
            faults += map(answer.fault, found)
            if not found:
                commands.append(PluginCommand(name, answer.plugin, command))
    return commands


def register_keepers(
    loaded: Sequence[LoadedPlugin], state_dir: Path, faults: list[Fault]
) -> list[PluginKeeper]:
    """Return the data keepers with the names of their plugins."""
    keepers = []
    values = {each.name: {"state_dir": state_dir} for each in loaded}
    for answer in _call(loaded, "register_keeper", faults, values):
        if answer.value is None:
            continue
        text = class_fault(answer.value) or keeper_fault(answer.value)
        if text:
            faults.append(answer.fault(text))
        else:
            keepers.append(PluginKeeper(answer.plugin.name, answer.value))
    return keepers


def register_queue_policy(loaded: Sequence[LoadedPlugin], faults: list[Fault]) -> PluginPolicy | None:
    """Return the queue policy, if a plugin has one: that of the first plugin."""
    first: PluginPolicy | None = None
    for answer in _call(loaded, "register_queue_policy", faults):
        if answer.value is None:
            continue
        text = class_fault(answer.value) or policy_fault(answer.value)
        if text:
            faults.append(answer.fault(text))
        else:
            first = first or PluginPolicy(answer.plugin, answer.value)
    return first


def find_unused_policies(loaded: Sequence[LoadedPlugin]) -> list[str]:
    """Return a sentence for each queue policy that is not used, as another plugin's comes first."""
    owners = [
        answer.plugin for answer in _call(loaded, "register_queue_policy", []) if answer.value is not None
    ]
    return [
        str(
            each.found.problem(
                f"its queue policy is not used, as {owners[0].name} has one and comes before it in "
                "[plugins] enabled; change the order to use this one"
            )
        )
        for each in owners[1:]
    ]


# The calls


def _call(
    loaded: Sequence[LoadedPlugin],
    hook: str,
    faults: list[Fault],
    values: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Answer]:
    """Yield the result of each plugin's implementation of ``hook``.

    :arg values: the hook's arguments by plugin.
    """
    for each in loaded:
        function = each.hook_methods.implementations.get(hook)
        if function is None:
            continue
        try:
            value = _call_with(function, values[each.name] if values else {})
        except CODE_ERRORS as error:
            faults.append(_failure(each, hook, error))
            continue
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            text = "the method returned an awaitable, and is called without await; write a plain `def`"
            faults.append(Fault(each, f"{hook}: {text}"))
            continue
        yield Answer(each, hook, value)


def _failure(plugin: LoadedPlugin, hook: str, error: BaseException) -> Fault:
    # A ValueError of a plugin is a sentence for operators.
    text = " ".join(str(error).split()) if type(error) is ValueError else ""
    text = text or f"{describe_error(error, plugin.found.place)}; correct it, or disable the plugin"
    return Fault(plugin, f"{hook} failed: {text}")


def _call_with(function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Call a hook with those of its arguments that the function takes."""
    return function(*(values[name] for name in inspect.signature(function).parameters if name in values))


def _items(answer: Answer, faults: list[Fault], example: str) -> list[Any]:
    """Return the items of a list that a hook has returned."""
    value = answer.value
    # A class may be a collection, too: that of a table iterates over its rows.
    if isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping | type):
        try:
            return list(value)
        except CODE_ERRORS as error:
            faults.append(_failure(answer.plugin, answer.hook, error))
            return []
    faults.append(answer.fault(f"it returned {describe_wrong(value)}; return a list, such as {example}"))
    return []


def _owner(owner: LoadedPlugin | None, answer: Answer) -> str:
    if owner is None:
        return "the server"
    return "this plugin" if owner.name == answer.plugin.name else f"the plugin {owner.name}"
