"""The server of a test, with functions for all that a test does to it."""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import peewee
from click.testing import CliRunner, Result

from tornado_chat.cli.options import database_session
from tornado_chat.client import ChatClient, NotifyClient, ObserveClient, UserClient, WaiterClient
from tornado_chat.config.ini import ConfigError
from tornado_chat.config.sections import Config
from tornado_chat.core.types import Notification, Role
from tornado_chat.plugin_api import CommandContext, Plugin, Transaction
from tornado_chat.server.bootstrap import StartError
from tornado_chat.server.server import Server
from tornado_chat.services.auth.secret import load_secret
from tornado_chat.testing import recorder
from tornado_chat.testing.clients import Api, Chat, Notified, Observer, User, Waiter
from tornado_chat.testing.configuration import make_config
from tornado_chat.testing.failures import PluginFailure
from tornado_chat.testing.plugins_under_test import PluginSource, collect, found_class
from tornado_chat.testing.recorder import HookEvent, Recorder
from tornado_chat.testing.server_thread import Part, ServerThread
from tornado_chat.testing.tokens import make_token

__tracebackhide__ = True  # pytest shows the line of the test instead

T = TypeVar("T")

TOKEN_LIFETIME_SECONDS = 30 * 86400.0
"""The default lifetime of a token: a test that moves the clock on does not have to think of its end."""

CLIENT_FEATURES = ("ack", "seq")


class ChatServer:
    """A real server on a free port, with a SQLite database of its own in ``folder``.

    Its methods wait until they are done; call them from the test, not from the plugin.

    :arg folder: for the state and the database.
    :arg plugins: see ``plugins_under_test.collect``.
    :arg sections: options by section, by the name of the plugin for its own. Values are as in the plugin's
        settings: texts, numbers, True, lists.
    :raises StartError: the configuration or a plugin does not allow the server to run.
    """

    def __init__(
        self,
        thread: ServerThread,
        folder: Path,
        plugins: Sequence[PluginSource] | Mapping[str, PluginSource] = (),
        sections: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._thread = thread
        self._folder = folder
        self._plugins = collect(plugins)
        self._sections = dict(sections or {})
        self._server: Server | None = None
        self._flushes = 0
        self.clock = Clock(thread)
        thread.add(Part(self._flush, self._stop))
        self._start()

    # --- the server ---

    @property
    def url(self) -> str:
        """The address, for example ``http://127.0.0.1:43210``."""
        return self._running.url

    @property
    def config(self) -> Config:
        """The configuration in use."""
        return self._running.config

    def plugin(self, name: str) -> Any:
        """Return the instance of a plugin. It belongs to the thread of the server: see ``run``."""
        return self._find(name)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop, for example a method of the plugin, and return its result."""
        return self._thread.call(coroutine, "the coroutine does not end")

    def settle(self) -> None:
        """Wait until all requests are processed, and the plugins have got all events of that."""
        self._thread.call(self._thread.settle(), "the server does not come to rest")

    def restart(self) -> None:
        """Stop the server as by SIGTERM, and start it again with the same database and port.

        The plugins get new instances; clients with features reconnect by themselves.
        """
        port = self.url.rpartition(":")[2]
        self._thread.call(self._stop(), "the server does not stop", watches=False)
        self._sections["server"] = {**self._sections.get("server", {}), "port": port}
        self._start()

    def reload(self, **sections: Mapping[str, Any]) -> None:
        """Change options as by SIGHUP, and wait until the server uses them.

        :arg sections: options by section, as for the start; all others stay.
        :raises ConfigError: the options have mistakes, and nothing has changed.
        """
        changed: dict[str, Mapping[str, Any]] = {
            name: {**self._sections.get(name, {}), **sections.get(name, {})}
            for name in {**self._sections, **sections}
        }
        config = make_config(self._folder, self._plugins, changed)
        self._thread.call(self._running.reload(config), "the server does not reload")
        self._sections = changed

    @property
    def failures(self) -> list[PluginFailure]:
        """The failures of plugins so far, in all servers of the test; of several equal ones the first."""
        return list(self._thread.failures.failures)

    # --- people ---

    def token(
        self,
        role: Role | str,
        id: int | str,
        name: str | None = None,
        *,
        lifetime: float = TOKEN_LIFETIME_SECONDS,
        **claims: Any,
    ) -> str:
        """Return a token of a person.

        :arg lifetime: seconds; the moved clock ends it, too.
        :arg claims: further claims, for plugins that use them.
        """
        auth = self.config.auth
        return make_token(
            load_secret(auth, self.config.state_dir), role, id, name, lifetime=lifetime, auth=auth, **claims
        )

    def visitor(
        self,
        session: int,
        id: int | str = 1,
        name: str | None = None,
        *,
        features: Iterable[str] = CLIENT_FEATURES,
        **claims: Any,
    ) -> Chat:
        """Let a visitor enter a session.

        :arg features: of the protocol; an empty sequence makes a client of the published protocol alone.
        """
        return self._chat(Role.USER, id, name, session, 0, features, claims)

    def counsellor(
        self,
        session: int,
        id: int | str = 2,
        name: str | None = None,
        *,
        type: int = 0,
        features: Iterable[str] = CLIENT_FEATURES,
        **claims: Any,
    ) -> Chat:
        """Let a consultant enter a session, or with ``type=1`` a supervision record."""
        return self._chat(Role.CONSULTANT, id, name, session, type, features, claims)

    def supervisor(
        self,
        record: int,
        id: int | str = 3,
        name: str | None = None,
        *,
        features: Iterable[str] = CLIENT_FEATURES,
        **claims: Any,
    ) -> Chat:
        """Let a supervisor enter a supervision record."""
        return self._chat(Role.SUPERVISOR, id, name, record, 1, features, claims)

    def _chat(
        self,
        role: Role,
        id: int | str,
        name: str | None,
        session: int,
        type: int,
        features: Iterable[str],
        claims: Mapping[str, Any],
    ) -> Chat:
        url, token = self.url, self.token(role, id, name, **claims)
        return Chat(self._thread, lambda: ChatClient(url, token, session, type, features), f"{role} {id}")

    def observe(
        self, session: int, id: int | str = 3, role: Role | str = Role.SUPERVISOR, **claims: Any
    ) -> Observer:
        """Let a supervisor, or a person of another role, observe a session."""
        url, token = self.url, self.token(role, id, **claims)
        return Observer(self._thread, lambda: ObserveClient(url, token, session), f"observing {role} {id}")

    def notify(self, role: Role | str, id: int | str, **claims: Any) -> Notified:
        """Open ``/notify`` for a person: what was not delivered yet is received first."""
        url, token = self.url, self.token(role, id, **claims)
        return Notified(self._thread, lambda: NotifyClient(url, token), f"{role} {id} at /notify")

    def user(
        self,
        id: int | str = 1,
        name: str | None = None,
        *,
        features: Iterable[str] = CLIENT_FEATURES,
        **claims: Any,
    ) -> User:
        """Let a user of the support dialect sign in and join the queue."""
        url, token = self.url, self.token(Role.USER, id, name, **claims)
        return User(self._thread, lambda: UserClient(url, token, features), f"user {id}")

    def waiter(
        self,
        id: int | str = 7,
        name: str | None = None,
        *,
        features: Iterable[str] = CLIENT_FEATURES,
        **claims: Any,
    ) -> Waiter:
        """Let a waiter of the support dialect sign in and be ready."""
        url, token = self.url, self.token(Role.WAITER, id, name, **claims)
        return Waiter(self._thread, lambda: WaiterClient(url, token, features), f"waiter {id}")

    def api(self, role: Role | str | None = Role.SERVICE, id: int | str = "host", **claims: Any) -> Api:
        """Return the HTTP API for a person, by default for the host system; None: without a token."""
        token = None if role is None else self.token(role, id, **claims)
        return Api(self._thread, self.url, token)

    # --- conversations ---

    def session(self, user: int | str = 1, consultant: int | str = 2, **more: Any) -> int:
        """Open a session, as a host system does, and return its number.

        :arg more: further keys of the body of ``POST /api/v1/sessions``.
        """
        body = {"user_id": user, "consultant_id": consultant, **more}
        return self._create("/api/v1/sessions", body, "session_id")

    def record(self, session: int, supervisor: int | str = 3) -> int:
        """Ask for the supervision of a session, and return the number of the record."""
        return self._create(
            f"/api/v1/sessions/{session}/supervision", {"supervisor_id": supervisor}, "record_id"
        )

    def _create(self, path: str, body: Mapping[str, Any], key: str) -> int:
        answer = self.api().post(path, body)
        assert answer.status in (200, 201), answer
        return int(answer.json[key])

    # --- what plugins see and do ---

    @property
    def events(self) -> list[HookEvent]:
        """All events so far, as a plugin with all hooks gets them."""
        return list(self._recorder.events)

    def event(self, hook: str) -> Mapping[str, Any]:
        """Wait for the next event of a hook, and return the values of its arguments by name.

        Each event is returned once. The plugins under test may get an event a moment later: see ``settle``.
        """
        waiting = self._recorder.unread.get(lambda event: event.hook == hook)
        return self._thread.call(waiting, f"there was no event {hook}").values

    @property
    def notifications(self) -> list[Notification]:
        """All notifications so far, those to people without a socket included."""
        return [event.values["notification"] for event in self.events if event.hook == "notification_created"]

    def problem(self, name: str) -> str:
        """Return the lasting problem that a plugin reports; empty if there is none."""
        return self._running.plugins.problems()[f"plugin {name}"]()

    def read(self, query: Callable[[peewee.Database], T]) -> T:
        """Run a query, as ``Context.read``: for the plugin's own tables."""
        return self._thread.call(self._recorder.context.read(query), "the database does not answer")

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a transaction, as ``Context.write``."""

        async def write() -> T:
            return await self._recorder.context.write(work)

        return self._thread.call(write(), "the database does not answer")

    def command(self, name: str, *arguments: str) -> Result:
        """Run a command that a plugin registers, beside the server, and return Click's result.

        :raises Exception: the command has raised it.
        """
        for loaded in self._running.plugins.loaded:
            register = getattr(loaded.plugin, "register_commands", None)
            commands: Sequence[click.Command] = register() if register is not None else ()
            for command in commands:
                if (command.name or loaded.name) == name:
                    return self._run_command(command, loaded.plugin, arguments)
        raise LookupError(f"no plugin of this server registers a command {name!r}")

    def _run_command(self, command: click.Command, plugin: Plugin, arguments: Sequence[str]) -> Result:
        server = self.config.server
        with database_session(self.config) as (database, _):
            context = CommandContext(
                plugin.settings, database, server.language, server.timezone, self.config.state_dir, "test"
            )
            return CliRunner().invoke(command, arguments, obj=context, catch_exceptions=False)

    # --- private ---

    def _start(self) -> None:
        try:
            self._thread.call(self._start_server(), "the server does not start", watches=False)
        except StartError:
            self._thread.failures.forget()  # the caller gets the reason
            raise

    async def _start_server(self) -> None:
        try:
            config = make_config(self._folder, self._plugins, self._sections)
        except ConfigError as error:
            raise StartError(str(error), 2) from error
        server = Server(config, more_plugins=[*self._plugins.given, found_class(recorder.NAME, Recorder)])
        await server.start()
        self._server, self._flushes = server, 0

    async def _stop(self) -> None:
        """Stop the server; the plugins get the events that are left."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def _flush(self) -> object:
        """Wait for the plugins and the writer. Returns the numbers of their calls and jobs so far."""
        server = self._server
        if server is None:
            return None
        await server.settle()
        self._flushes += 1
        calls = {name: meter.calls for name, meter in server.metrics.plugins.items()}
        return calls, server.metrics.storage.batches.sum - self._flushes  # each flush is a job, too

    @property
    def _running(self) -> Server:
        assert self._server is not None, "the server was stopped"
        return self._server

    @property
    def _recorder(self) -> Recorder:
        found = self._find(recorder.NAME)
        assert isinstance(found, Recorder)
        return found

    def _find(self, name: str) -> Plugin:
        loaded = {each.name: each.plugin for each in self._running.plugins.loaded}
        return loaded[name]


class Clock:
    """The clock of the servers of a test.

    It moves what the server and its plugins see of the time: timers and timeouts (``asyncio.sleep``,
    ``loop.call_later``), ``context.now()``, ``time.time`` and ``time.time_ns``. The test's own timeouts, and
    ``datetime.now``, stay.
    """

    def __init__(self, thread: ServerThread) -> None:
        self._thread = thread

    def advance(self, seconds: float) -> None:
        """Move the clock on, and return when all that was due has happened.

        Timers run in their order. Those that are less than a two-hundredth of ``seconds`` apart run
        together: a job that runs each second runs two hundred times in an hour that is skipped at once.
        """
        self._thread.call(self._thread.advance(seconds), "the server does not come to rest")
