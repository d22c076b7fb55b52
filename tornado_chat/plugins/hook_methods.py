"""The methods of a plugin that implement hooks, and the faults of those that would never be called rightly.

Strategy: pluggy calls only the methods that are marked ``@hookimpl``, and passes only arguments without a
default. A method that looks like a hook and is not called would be a filter that does not filter, without a
word in the log. So each such method is a fault, which stops the start.
"""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MethodType
from typing import Any, NamedTuple

from tornado_chat.plugins.hookspecs import HOOK_KINDS, PROJECT, HookKind, Hooks

NEARLY_EQUAL = 0.9  # ratio of ``difflib`` above which a name is probably a misspelt one

MARK_SUFFIX = "_impl"
"""The end of the name of the attribute that ``pluggy.HookimplMarker(PROJECT)`` gives to a function."""


class HookMethods(NamedTuple):
    """The hooks of one plugin.

    :ivar implementations: the bound methods without faults by hook, in the order of ``hookspecs``.
    :ivar faults: a sentence for each fault, with the method, the fault and the remedy.
    """

    implementations: Mapping[str, Callable[..., Any]]
    faults: Sequence[str]


def find_hook_methods(plugin: object) -> HookMethods:
    """Return the methods of ``plugin`` that implement hooks, and the faults of all that look like it."""
    found: dict[str, Callable[..., Any]] = {}
    faults: list[str] = []
    for name in dir(plugin):
        attribute = inspect.getattr_static(plugin, name, None)
        options = _options(attribute)
        hook = (options or {}).get("specname") or name
        if hook not in HOOK_KINDS:
            if options is not None and not options.get("optionalhook"):
                faults.append(f'there is no hook "{hook}"; {_advice_for(hook)}')
            continue
        if not _is_like_a_method(attribute):
            continue
        # pluggy calls a function of the object itself, not of its class, without self.
        is_bound = isinstance(attribute, MethodType) or name in getattr(plugin, "__dict__", {})
        of_method = [f"{name}: {fault}" for fault in _method_faults(hook, attribute, options, is_bound)]
        faults += of_method
        if not of_method:
            found[hook] = getattr(plugin, name)
    return HookMethods({hook: found[hook] for hook in HOOK_KINDS if hook in found}, faults)


def find_doubtful_methods(plugin: object) -> Iterator[str]:
    """Yield a sentence for each method that is not marked, and has nearly the name of a hook."""
    for name in dir(type(plugin)):
        attribute = inspect.getattr_static(type(plugin), name)
        if name in HOOK_KINDS or not inspect.isfunction(attribute) or _options(attribute) is not None:
            continue
        for near in difflib.get_close_matches(name, HOOK_KINDS, 1, NEARLY_EQUAL):
            yield (
                f'{name}: this method is never called as a hook; if you mean the hook "{near}", give it that '
                "name and write @hookimpl above it"
            )


def _options(attribute: object) -> Mapping[str, Any] | None:
    """Return the options of ``@hookimpl``; None if the attribute is not marked."""
    for holder in (attribute, getattr(attribute, "__func__", None)):
        options = getattr(holder, PROJECT + MARK_SUFFIX, None)
        if isinstance(options, dict):
            return options
    return None


def _advice_for(hook: str) -> str:
    near = difflib.get_close_matches(hook, HOOK_KINDS, 1)
    return f'did you mean "{near[0]}"?' if near else "docs/plugins.md lists all hooks"


def _is_like_a_method(attribute: object) -> bool:
    """Return False for data, such as a flag ``reload = False``, or None for a hook that a base class has."""
    return callable(attribute) or isinstance(
        attribute, staticmethod | classmethod | property | cached_property
    )


def _method_faults(
    hook: str, attribute: Any, options: Mapping[str, Any] | None, is_bound: bool
) -> Iterator[str]:
    if isinstance(attribute, staticmethod | classmethod):
        kind = type(attribute).__name__
        yield f"a hook is a method of the plugin's object; remove @{kind}, and take self"
        return
    if not (inspect.isfunction(attribute) or isinstance(attribute, MethodType)):
        kind = type(attribute).__name__
        yield f"an object of the type {kind} is never called as a hook; write a method `def {hook}`"
        return
    if options is None:
        yield _describe_missing_mark(attribute)
    elif options.get("wrapper") or options.get("hookwrapper"):
        yield "wrappers of hooks are not called; write a method without `wrapper`, which does not yield"
        return
    yield from _body_faults(hook, attribute)
    yield from _argument_faults(hook, attribute, is_bound)


def _describe_missing_mark(function: Any) -> str:
    others = [
        name.removesuffix(MARK_SUFFIX)
        for name, value in vars(inspect.unwrap(function)).items()
        if name.endswith(MARK_SUFFIX) and isinstance(value, dict)
    ]
    if others:
        return (
            f'this method is marked with the hookimpl of the project "{others[0]}", so it is never called; '
            "import hookimpl from tornado_chat.plugin_api"
        )
    return (
        "this method has the name of a hook, but is not marked, so it is never called; write @hookimpl above "
        "it, or give it another name"
    )


def _body_faults(hook: str, function: Any) -> Iterator[str]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield "this method has a `yield`, so it does nothing when it is called; return the result instead"
    elif HOOK_KINDS[hook] is HookKind.REGISTRATION and inspect.iscoroutinefunction(function):
        yield "this hook is called without await; write `def` instead of `async def`"


def _argument_faults(hook: str, function: Any, is_bound: bool) -> Iterator[str]:
    known = list(inspect.signature(getattr(Hooks, hook)).parameters)[1:]
    parameters = list(inspect.signature(function).parameters.values())
    if not is_bound:
        if not parameters or parameters[0].name in known:
            yield "this method does not take self; write self as its first argument"
            return
        if parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            del parameters[0]
    for each in parameters:
        has_default = each.default is not each.empty
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            if known and not any(other.name in known for other in parameters):
                stars = "*" if each.kind is each.VAR_POSITIONAL else "**"
                yield (
                    f"arguments are passed by name, so {stars}{each.name} gets none; write the names of "
                    f"those that the method needs: {', '.join(known)}"
                )
        elif each.name not in known:
            if not has_default:
                yield f'the hook has no argument "{each.name}"; {_advice_for_argument(each.name, known)}'
        elif has_default:
            yield f'the argument "{each.name}" has a default, so it never gets a value; remove the default'
        elif each.kind is each.KEYWORD_ONLY:
            yield f'the argument "{each.name}" comes after *, so it never gets a value; remove the *'


def _advice_for_argument(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"it has {', '.join(known)}" if known else "remove it"
