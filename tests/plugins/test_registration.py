"""The results of registration hooks: faults are found together, and each sentence says what to do."""

from asyncio import CancelledError
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import peewee as pw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tornado.web import Application, RequestHandler, StaticFileHandler

from tests.services.plugins import StubPlugin
from tornado_chat.cli import main
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.plugin_api import Keeper, Plugin, hookimpl
from tornado_chat.plugins.data_keepers import OF_DELIVERIES
from tornado_chat.plugins.discovery import FoundPlugin, LoadedPlugin
from tornado_chat.plugins.registration import (
    Fault,
    Registrations,
    ServerNames,
    find_unused_policies,
    register_all,
    register_queue_policy,
)
from tornado_chat.plugins.route_checks import RouteTable
from tornado_chat.plugins.unconnected_context import unconnected_context
from tornado_chat.server.plugin_registration import COMMANDS
from tornado_chat.web.application import own_patterns

SERVER = ServerNames(COMMANDS, own_patterns(with_pages=True))


def load(**classes: type[Plugin]) -> list[LoadedPlugin]:
    """Return loaded plugins by name, as from files of a folder."""
    return [
        LoadedPlugin(FoundPlugin(name, f"/p/{name}.py", "1", lambda: None, True), made())  # type: ignore[arg-type,call-arg,return-value]
        for name, made in classes.items()
    ]


def plugin(hook: str, result: Callable[[], Any]) -> type[Plugin]:
    """Return the class of a plugin with one hook, which returns ``result()``."""

    def implementation(self: object) -> Any:
        return result()

    return type("Own", (StubPlugin,), {hook: hookimpl(implementation)})


def register(**classes: type[Plugin]) -> tuple[Registrations, list[str]]:
    """Register plugins. Returns the results and the problems."""
    loaded = load(**classes)
    contexts = {each.name: unconnected_context("en", Path("state")) for each in loaded}
    faults: list[Fault] = []
    found = register_all(loaded, contexts, Path("state"), SERVER, faults)
    return found, [str(fault.problem) for fault in faults]


def faults_of(hook: str, *results: Callable[[], Any]) -> list[str]:
    """Return the problems of plugins named a, b, … whose hooks return these results."""
    names = "abcdef"
    return register(**{name: plugin(hook, result) for name, result in zip(names, results, strict=False)})[1]


def table(name: str) -> type[pw.Model]:
    meta = type("Meta", (), {"table_name": name})
    return type("Note", (pw.Model,), {"Meta": meta})


class Page(RequestHandler):
    def initialize(self, context: object) -> None: ...


class Plain(RequestHandler): ...


# The calls


async def _coroutine() -> list[object]:
    return []


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    "hook",
    ["register_models", "register_handlers", "register_commands", "register_keeper", "register_queue_policy"],
)
def test_each_hook_may_fail(hook: str) -> None:
    [told] = faults_of(hook, lambda: _raise(KeyError("x")))
    assert told.startswith(f"/p/a.py: {hook} failed: KeyError: 'x' ({__file__}, line ")
    assert told.endswith("); correct it, or disable the plugin")
    assert faults_of(hook, lambda: _raise(ValueError("the list is empty;\n name a word"))) == [
        f"/p/a.py: {hook} failed: the list is empty; name a word"
    ]
    [told] = faults_of(hook, lambda: _raise(SystemExit(3)))
    assert f"{hook} failed: SystemExit: 3" in told
    [told] = faults_of(hook, lambda: _raise(CancelledError()))
    assert f"{hook} failed: asyncio.exceptions.CancelledError" in told
    assert faults_of(hook, _coroutine) == [
        f"/p/a.py: {hook}: the method returned an awaitable, and is called without await; write a plain `def`"
    ]


class UnreadableList(list[object]):
    def __iter__(self) -> Any:
        raise LookupError("x")


def test_a_list_that_cannot_be_read() -> None:
    [told] = faults_of("register_models", UnreadableList)
    assert told.startswith(f"/p/a.py: register_models failed: LookupError: x ({__file__}, line ")


def test_no_result_where_a_list_is_expected() -> None:
    assert faults_of("register_handlers", lambda: None, lambda: {"/b": Plain}, lambda: "/c") == [
        '/p/a.py: register_handlers: it returned None; return a list, such as [("/a", Page)]',
        "/p/b.py: register_handlers: it returned an object of the type dict; return a list, such as "
        '[("/b", Page)]',
        "/p/c.py: register_handlers: it returned an object of the type str; return a list, such as "
        '[("/c", Page)]',
    ]
    assert faults_of("register_models", lambda: table("a_note")) == [
        "/p/a.py: register_models: it returned the class Note; return a list, such as [Note], where Note "
        "extends peewee.Model"
    ]
    assert faults_of("register_commands", lambda: (each for each in ())) == [
        "/p/a.py: register_commands: it returned an object of the type generator; return a list, such as "
        "[command], with a function below @click.command()"
    ]


def test_the_context_is_only_kept() -> None:
    class Reads(StubPlugin):
        @hookimpl
        def register_handlers(self, context: Any) -> list[Any]:
            self.known = (context.language, context.state_dir, context.now())
            context.spawn(context.notify(None, "never"))
            context.problem("never")
            context.write(lambda tx: None)
            return []

    [told] = register(reads=Reads)[1]
    assert told.startswith(
        "/p/reads.py: register_handlers failed: RuntimeError: a hook that registers only keeps the context; "
        "use it from startup on ("
    )


# Tables


def test_tables_with_one_name() -> None:
    assert faults_of(
        "register_models",
        lambda: [table("Message"), table("schema_migration"), table("a_note")],
        lambda: [table("A_NOTE"), table("b_note"), table("b_note")],
        lambda: [table("c_note"), 7, RequestHandler],
    ) == [
        '/p/a.py: register_models: the server has a table "Message" already; write table_name = "a_…" in the '
        "Meta of Note",
        '/p/a.py: register_models: the server has a table "schema_migration" already; write table_name = '
        '"a_…" in the Meta of Note',
        '/p/b.py: register_models: the plugin a has a table "A_NOTE" already; write table_name = "b_…" in '
        "the Meta of Note",
        '/p/b.py: register_models: this plugin has a table "b_note" already; write table_name = "b_…" in the '
        "Meta of Note",
        "/p/c.py: register_models: an object of the type int is no table; return a list of classes that "
        "extend peewee.Model",
        "/p/c.py: register_models: the class RequestHandler is no table; return a list of classes that "
        "extend peewee.Model",
    ]


# Routes


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (
            "/shop",
            "'/shop' is no route; write (pattern, handler class) or (pattern, handler class, arguments)",
        ),
        (
            ("/shop",),
            "('/shop',) is no route; write (pattern, handler class) or (pattern, handler class, arguments)",
        ),
        ((7, Plain), 'the pattern 7 is no text; write one such as r"/shop/([0-9]+)"'),
        (
            ("/shop/(", Plain),
            'the pattern "/shop/(" is no regular expression for a route: missing ), unterminated subpattern '
            "at position 6; correct it",
        ),
        (
            ("shop", Plain),
            'the pattern "shop" matches no path, as a path begins with a slash; write "/shop"',
        ),
        (
            ("/shop", StubPlugin),
            'the handler of the route "/shop", StubPlugin, is no class that extends '
            "tornado.web.RequestHandler; extend it",
        ),
        (
            ("/shop", lambda: None),
            'the handler of the route "/shop", function, is no class that extends '
            "tornado.web.RequestHandler; extend it",
        ),
        (
            ("/shop", Page, [1]),
            'the arguments of the route "/shop" are no dict; write one such as {"context": context}',
        ),
        (
            ("/shop", Page),
            'the initialize of Page does not take the arguments of the route "/shop" (missing a required '
            "argument: 'context'); write the same names in both",
        ),
        (
            ("/shop", Plain, {"context": 1}),
            'the initialize of Plain does not take the arguments of the route "/shop" (got an unexpected '
            "keyword argument 'context'); write the same names in both",
        ),
    ],
)
def test_a_bad_route(route: Any, expected: str) -> None:
    assert list(RouteTable(SERVER.routes).add("shop", route)) == [expected]


@pytest.mark.parametrize(
    "pattern",
    ["/room", "/room$", "/chat", "/api/v1/sessions", "/api/v1/sessions/7", "/static/own.css", "/", "/docs/"],
)
def test_a_route_that_the_server_has(pattern: str) -> None:
    assert list(RouteTable(SERVER.routes).add("shop", (pattern, Plain))) == [
        f'the server has the route "{pattern}" itself, and answers first; begin it with the name of the '
        "plugin, such as /shop"
    ]


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/(.*)", "/chat"),
        ("/api/v1/(.*)", "/api/v1/sessions"),
        (r"/api/v1/sessions/(\w+)", "/api/v1/sessions/1"),
    ],
)
def test_a_route_that_shadows_routes_of_the_server(pattern: str, path: str) -> None:
    assert list(RouteTable(SERVER.routes).add("shop", (pattern, Plain))) == [
        f'the route "{pattern}" matches {path} too, which the server answers first; begin it with the name '
        "of the plugin, such as /shop"
    ]


@given(
    st.lists(
        st.text()
        | st.from_regex(r"[/a-z0-9.*+?(){}\[\]|\\^$,-]{0,12}", fullmatch=True)
        | st.just("/(?P<a>.)(b)")
    )
)
@example(["/[[a]"])  # a FutureWarning
def test_each_pattern_is_a_route_or_has_a_fault(patterns: list[str]) -> None:
    routes = RouteTable(SERVER.routes)
    accepted = [(each, Plain) for each in patterns if list(routes.add("shop", (each, Plain))) == []]
    Application([*((each, Plain) for each in SERVER.routes), *accepted])


def test_routes_that_hide_each_other() -> None:
    routes = RouteTable(SERVER.routes)
    for pattern in (r"/a/([0-9]+)", r"/a/(\w+)", r"/a/x/(.*)", "/shop", "/api/v1/a"):
        assert list(routes.add("a", (pattern, Plain))) == []
    assert list(routes.add("static", (r"/static\.files/(.*)", StaticFileHandler, {"path": "/p"}))) == []
    advice = "begin it with the name of the plugin, such as"
    assert list(routes.add("a", ("/a/7", Plain))) == [
        f'the route "/a/7" is never reached, as this plugin has "/a/([0-9]+)" before; {advice} /a'
    ]
    assert list(routes.add("b", ("/shop", Plain))) == [
        f'the route "/shop" is never reached, as the plugin a has "/shop" before; {advice} /b'
    ]
    assert list(routes.add("b", ("^/a/x/y.html$", Plain))) == [
        f'the route "^/a/x/y.html$" is never reached, as the plugin a has "/a/x/(.*)" before; {advice} /b'
    ]


# Commands


@click.command("serve")
def serve() -> None: ...


@click.group("shop")
def shop() -> None: ...


@shop.command("list")
@click.option("--config")
@click.option("--on/--set")
def list_(config: str, on: bool) -> None: ...


def test_commands_with_one_name() -> None:
    assert faults_of(
        "register_commands",
        lambda: [serve, click.Command("a"), print],
        lambda: [click.Command("a", callback=print), shop],
        lambda: [click.Command("a", callback=print), click.Command(None, callback=print)],
        lambda: [click.Command("d", callback=print), click.Command("d", callback=print)],
    ) == [
        '/p/a.py: register_commands: the server has a command "serve" already; give it another name, such as '
        '"a"',
        '/p/a.py: register_commands: the command "a" has no function; write @click.command() above one',
        "/p/a.py: register_commands: an object of the type builtin_function_or_method is no command; write "
        "@click.command() above the function",
        '/p/b.py: register_commands: the plugin a has a command "a" already; give it another name, such '
        'as "b"',
        '/p/b.py: register_commands: the command "shop list" has the option --config, which the server adds; '
        "rename it",
        '/p/b.py: register_commands: the command "shop list" has the option --set, which the server adds; '
        "rename it",
        '/p/c.py: register_commands: the plugin a has a command "a" already; give it another name, such '
        'as "c"',
        '/p/d.py: register_commands: this plugin has a command "d" already; give it another name, such as '
        '"d-commands"',
    ]


# Data keepers and queue policies


class AsyncKeeper(Keeper):
    async def of_person(self, database: Any, person: Any) -> Any: ...  # type: ignore[override]


class HalfKeeper:
    def of_person(self, database: Any, person: Any) -> Any: ...


def test_data_keepers() -> None:
    assert faults_of(
        "register_keeper", lambda: Keeper, HalfKeeper, AsyncKeeper, lambda: None, lambda: Keeper()
    ) == [
        "/p/a.py: register_keeper: it returned the class Keeper; return an object of it: Keeper()",
        "/p/b.py: register_keeper: an object of the type HalfKeeper is no data keeper, as it has no "
        "erase_person; extend Keeper",
        "/p/c.py: register_keeper: AsyncKeeper.of_person is `async def`; write `def`, as it runs on a "
        "database thread",
    ]


class WithoutChoose:
    def rank(self, ticket: Any) -> Any: ...


class AsyncPolicy(FifoLeastLoaded):
    async def choose(self, ticket: Any, pool: Any) -> Any: ...  # type: ignore[override]


class OtherArguments(FifoLeastLoaded):
    def choose(self, ticket: Any) -> Any: ...  # type: ignore[override]


def test_queue_policies() -> None:
    methods = "a queue policy has `def rank(self, ticket)` and `def choose(self, ticket, pool)`"
    assert faults_of(
        "register_queue_policy",
        lambda: FifoLeastLoaded,
        WithoutChoose,
        AsyncPolicy,
        OtherArguments,
        FifoLeastLoaded,
        FifoLeastLoaded,
    ) == [
        "/p/a.py: register_queue_policy: it returned the class FifoLeastLoaded; return an object of it: "
        "FifoLeastLoaded()",
        f"/p/b.py: register_queue_policy: WithoutChoose has no method choose(ticket, pool); {methods}",
        f"/p/c.py: register_queue_policy: AsyncPolicy.choose is `async def`, and has to be `def`; {methods}",
        "/p/d.py: register_queue_policy: OtherArguments.choose takes other arguments; write "
        "`def choose(self, ticket, pool)`",
    ]


def test_the_first_queue_policy_is_used() -> None:
    loaded = load(**{name: plugin("register_queue_policy", FifoLeastLoaded) for name in "ab"})
    faults: list[Fault] = []
    found = register_queue_policy(loaded, faults)
    assert found is not None
    assert (found.plugin.name, faults) == ("a", [])
    assert find_unused_policies(loaded) == [
        "/p/b.py: its queue policy is not used, as a has one and comes before it in [plugins] enabled; "
        "change the order to use this one"
    ]


# The results, and the names of the server


def test_the_results_without_faults() -> None:
    note, policy, keeper = table("own_note"), FifoLeastLoaded(), Keeper()

    class Own(StubPlugin):
        @hookimpl
        def register_models(self) -> Any:
            return (note,)

        @hookimpl
        def register_handlers(self, context: Any) -> Any:
            named = ("/own/plain", Plain, None, "plain")
            return [["/own", Page, {"context": context}], named]

        @hookimpl
        def register_commands(self) -> Any:
            return {"a": click.Command("own", callback=print)}.values()

        @hookimpl
        def register_keeper(self, state_dir: Path) -> Any:
            assert state_dir == Path("state")
            return keeper

        @hookimpl
        def register_queue_policy(self) -> Any:
            return policy

    found, told = register(own=Own)
    assert told == []
    assert found.models == [note]
    assert [route[:2] for route in found.routes] == [("/own", Page), ("/own/plain", Plain)]
    assert found.keepers._keepers == [OF_DELIVERIES, ("own", keeper)]
    assert found.policy is not None
    assert (found.policy.plugin.name, found.policy.policy) == ("own", policy)


def test_the_commands_of_the_server_are_known() -> None:
    assert sorted(COMMANDS) == sorted(main.commands)
