"""The methods of a plugin that implement hooks, and those that look like it and would never be called."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pluggy
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tests.services.plugins import StubPlugin
from tornado_chat.plugin_api import hookimpl
from tornado_chat.plugins.hook_methods import find_doubtful_methods, find_hook_methods
from tornado_chat.plugins.hookspecs import PROJECT, Hooks

other_project = pluggy.HookimplMarker("datasette")


def faults_of(**attributes: Any) -> list[str]:
    """Return the faults of a plugin with these attributes of its class."""
    plugin = type("Own", (StubPlugin,), attributes)()
    return list(find_hook_methods(plugin).faults)


def unmarked(self: object, message: object) -> None: ...


@other_project
def marked_for_another_project(self: object, message: object) -> None: ...


@hookimpl
def misspelt_argument(self: object, mesage: object) -> None: ...


@hookimpl
def foreign_argument(self: object, message: object, loop: object) -> None: ...


@hookimpl
def argument_of_a_hook_without_any(self: object, context: object) -> None: ...


@hookimpl
def with_default(self: object, message: object = None) -> None: ...


@hookimpl
def keyword_only(self: object, *, message: object) -> None: ...


@hookimpl
def all_arguments(self: object, **named: object) -> None: ...


@hookimpl
def without_self(message: object) -> None: ...


@hookimpl
def generator(self: object, message: object) -> Any:
    yield message


@hookimpl
async def async_generator(self: object, message: object) -> Any:
    yield message


@hookimpl
async def async_registration(self: object) -> list[object]:
    return []


@hookimpl(wrapper=True)
def wrapper(self: object, message: object) -> Any:
    return (yield)


class CallableObject:
    def __call__(self, message: object) -> None: ...


@pytest.mark.parametrize(
    ("hook", "attribute", "expected"),
    [
        (
            "message_posted",
            unmarked,
            "this method has the name of a hook, but is not marked, so it is never called; write @hookimpl "
            "above it, or give it another name",
        ),
        (
            "message_posted",
            marked_for_another_project,
            'this method is marked with the hookimpl of the project "datasette", so it is never called; '
            "import hookimpl from tornado_chat.plugin_api",
        ),
        ("message_posted", misspelt_argument, 'the hook has no argument "mesage"; did you mean "message"?'),
        ("message_posted", foreign_argument, 'the hook has no argument "loop"; it has message'),
        ("shutdown", argument_of_a_hook_without_any, 'the hook has no argument "context"; remove it'),
        (
            "message_posted",
            with_default,
            'the argument "message" has a default, so it never gets a value; remove the default',
        ),
        (
            "message_posted",
            keyword_only,
            'the argument "message" comes after *, so it never gets a value; remove the *',
        ),
        (
            "message_posted",
            all_arguments,
            "arguments are passed by name, so **named gets none; write the names of those that the method "
            "needs: message",
        ),
        (
            "message_posted",
            without_self,
            "this method does not take self; write self as its first argument",
        ),
        (
            "message_posted",
            generator,
            "this method has a `yield`, so it does nothing when it is called; return the result instead",
        ),
        (
            "message_posted",
            async_generator,
            "this method has a `yield`, so it does nothing when it is called; return the result instead",
        ),
        (
            "register_models",
            async_registration,
            "this hook is called without await; write `def` instead of `async def`",
        ),
        (
            "message_posted",
            wrapper,
            "wrappers of hooks are not called; write a method without `wrapper`, which does not yield",
        ),
        (
            "message_posted",
            staticmethod(unmarked),
            "a hook is a method of the plugin's object; remove @staticmethod, and take self",
        ),
        (
            "message_posted",
            hookimpl(classmethod(unmarked)),
            "a hook is a method of the plugin's object; remove @classmethod, and take self",
        ),
        (
            "message_posted",
            hookimpl(CallableObject()),
            "an object of the type CallableObject is never called as a hook; write a method "
            "`def message_posted`",
        ),
        (
            "message_posted",
            functools.partial(unmarked, None),
            "an object of the type partial is never called as a hook; write a method `def message_posted`",
        ),
        (
            "message_posted",
            property(lambda self: unmarked),
            "an object of the type property is never called as a hook; write a method `def message_posted`",
        ),
    ],
)
def test_a_method_that_would_not_be_called_rightly_is_a_fault(
    hook: str, attribute: Any, expected: str
) -> None:
    assert faults_of(**{hook: attribute}) == [f"{hook}: {expected}"]


def test_all_faults_of_all_methods_are_found_together() -> None:
    @hookimpl
    async def models(self: object, loop: object) -> None: ...

    found = faults_of(register_models=models, message_posted=unmarked, shutdwon=hookimpl(lambda self: None))
    assert found == [
        "message_posted: this method has the name of a hook, but is not marked, so it is never called; write "
        "@hookimpl above it, or give it another name",
        "register_models: this hook is called without await; write `def` instead of `async def`",
        'register_models: the hook has no argument "loop"; remove it',
        'there is no hook "shutdwon"; did you mean "shutdown"?',
    ]


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*args: Any) -> Any:
        return function(*args)

    return wrapped


def test_methods_that_pluggy_calls_are_no_faults() -> None:
    class Base(StubPlugin):
        def __init__(self) -> None:
            super().__init__()
            self.message_posted = hookimpl(lambda message: None)

        @hookimpl
        def filter_message(self, draft: object) -> None: ...

    class Own(Base):
        filter_message = None  # type: ignore[assignment]  # not for this plugin
        reload = False

        @hookimpl(specname="session_ended")
        def remember(self, room: object) -> None: ...

        @hookimpl(tryfirst=True)
        @decorated
        def authorize(self, identity: object, _cache: object = None) -> None: ...

        @hookimpl(optionalhook=True)
        def message_edited(self, message: object) -> None: ...

        @hookimpl
        async def shutdown(self) -> None: ...

        @hookimpl
        def find_record(this, record_id: int, **later: object) -> None: ...  # noqa: N805

        @other_project
        def publish(self, everything: object) -> None: ...

        def helper(self) -> None: ...

    methods = find_hook_methods(Own())
    assert methods.faults == []
    expected = ["shutdown", "authorize", "find_record", "message_posted", "session_ended"]
    assert list(methods.implementations) == expected


def test_a_name_that_is_nearly_a_hook_is_doubtful() -> None:
    class Own(StubPlugin):
        def filter_mesage(self, draft: object) -> None: ...

        def filter(self, draft: object) -> None: ...

        def message_posted(self, message: object) -> None: ...

        @hookimpl
        def startup(self) -> None: ...

    assert list(find_doubtful_methods(Own())) == [
        'filter_mesage: this method is never called as a hook; if you mean the hook "filter_message", give '
        "it that name and write @hookimpl above it"
    ]


def passes(function: Callable[..., Any], pluggy_names: Sequence[str], known: Sequence[str]) -> bool:
    """Return True if a bound method gets a value for each argument that has the name of one of the hook."""
    parameters = inspect.signature(function).parameters
    try:
        bound = inspect.signature(function).bind(*pluggy_names)
    except TypeError:
        return False
    return all(bound.arguments.get(name) == name for name in known if name in parameters)


PARAMETERS = st.lists(
    st.tuples(
        st.sampled_from(["thread", "identity", "other"]),
        st.sampled_from(
            [
                inspect.Parameter.POSITIONAL_ONLY,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                inspect.Parameter.KEYWORD_ONLY,
            ]
        ),
        st.booleans(),
    ),
    unique_by=lambda each: each[0],
)


@given(PARAMETERS)
def test_a_method_without_faults_gets_all_arguments_that_it_names(
    parameters: list[tuple[str, Any, bool]],
) -> None:
    """``pluggy`` calls a method with the arguments that it finds; the server does the same."""
    try:
        signature = inspect.Signature(
            [
                inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
                *(
                    inspect.Parameter(name, kind, default=None if has_default else inspect.Parameter.empty)
                    for name, kind, has_default in parameters
                ),
            ]
        )
    except ValueError:  # parameters in an order that Python does not have
        reject()
    namespace: dict[str, Any] = {}
    exec(f"def participant_joined{signature}: ...", namespace)
    plugin = type("Own", (StubPlugin,), {"participant_joined": hookimpl(namespace["participant_joined"])})()
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    try:
        manager.register(plugin)
    except pluggy.PluginValidationError:
        is_called = False
    else:
        [found] = manager.hook.participant_joined.get_hookimpls()
        is_called = passes(found.function, found.argnames, ["thread", "identity"])
    assert (find_hook_methods(plugin).faults == []) == is_called
