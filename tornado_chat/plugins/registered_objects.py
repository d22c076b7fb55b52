"""The checks of the objects that registration hooks return: data keepers, queue policies, commands.

A check returns a sentence with the fault and the remedy, or an empty text.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import click

from tornado_chat.plugins.data_keeper import Keeper
from tornado_chat.plugins.queue_policy import check_methods

KEEPER_METHODS = tuple(
    name for name, value in vars(Keeper).items() if inspect.isfunction(value) and not name.startswith("_")
)
COMMON_OPTIONS = ("--config", "--set")
"""The options that the server adds to each command of a plugin."""


def describe_wrong(value: object) -> str:
    """Name a value that has the wrong type."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"an object of the type {type(value).__name__}"


def class_fault(value: Any) -> str:
    """Check that a value is no class."""
    if not isinstance(value, type):
        return ""
    return f"it returned the class {value.__name__}; return an object of it: {value.__name__}()"


def keeper_fault(keeper: Any) -> str:
    """Check that an object has the methods of a ``Keeper``, as plain ``def``."""
    missing = [name for name in KEEPER_METHODS if not callable(getattr(keeper, name, None))]
    if missing:
        return f"{describe_wrong(keeper)} is no data keeper, as it has no {missing[0]}; extend Keeper"
    for name in KEEPER_METHODS:
        if inspect.iscoroutinefunction(getattr(keeper, name)):
            return (
                f"{type(keeper).__name__}.{name} is `async def`; write `def`, as it runs on a database thread"
            )
    return ""


def policy_fault(policy: Any) -> str:
    """Check that an object has the methods of a ``QueuePolicy``, with its arguments."""
    try:
        check_methods(policy)
    except TypeError as error:
        return f"{error}; a queue policy has `def rank(self, ticket)` and `def choose(self, ticket, pool)`"
    for name, arguments in (("rank", ("ticket",)), ("choose", ("ticket", "pool"))):
        if not _takes(getattr(policy, name), len(arguments)):
            listed = ", ".join(("self", *arguments))
            return f"{type(policy).__name__}.{name} takes other arguments; write `def {name}({listed})`"
    return ""


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Return True if a function can be called with ``count`` arguments, or if its signature is unknown."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function that is not written in Python
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def command_faults(name: str, command: click.Command) -> Iterator[str]:
    """Yield the faults of a command and, if it is a group, of the commands in it."""
    if isinstance(command, click.Group):
        for below, each in command.commands.items():
            yield from command_faults(f"{name} {below}", each)
        return
    if command.callback is None:
        yield f'the command "{name}" has no function; write @click.command() above one'
    for parameter in command.params:
        for option in COMMON_OPTIONS:
            if option in (*parameter.opts, *parameter.secondary_opts):
                yield f'the command "{name}" has the option {option}, which the server adds; rename it'
