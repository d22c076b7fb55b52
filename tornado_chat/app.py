"""The composition root: builds everything, and owns the order of starting and stopping."""

import asyncio
import dataclasses
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import peewee as pw
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.web import Application, RequestHandler

from tornado_chat.cluster.bus import LocalBus, Subscriber
from tornado_chat.config import SECTIONS, Config, ConfigError
from tornado_chat.delivery.hub import Hub
from tornado_chat.domain.queue import FifoLeastLoaded, QueuePolicy
from tornado_chat.errors import ChatError
from tornado_chat.events import Event
from tornado_chat.logs import fields
from tornado_chat.loops import end
from tornado_chat.metrics import Metrics
from tornado_chat.plugins import finding
from tornado_chat.plugins.calling import Broken, Plugins
from tornado_chat.services.connections import Connections
from tornado_chat.services.container import Services
from tornado_chat.services.counselling import Counselling
from tornado_chat.services.dispatch import Dispatcher
from tornado_chat.services.filtering import Filtering
from tornado_chat.services.gate import Gate
from tornado_chat.services.guests import Guests
from tornado_chat.services.identity import build
from tornado_chat.services.notifications import Notifications
from tornado_chat.services.plugin_context import Behind, PluginContext
from tornado_chat.services.plugin_events import PluginEvents
from tornado_chat.services.presence import Presence
from tornado_chat.services.receipts import ReceiptBook
from tornado_chat.services.rooms import Rooms
from tornado_chat.services.secret import load_secret
from tornado_chat.services.sessions import Sessions
from tornado_chat.services.store import Store
from tornado_chat.services.support import Support
from tornado_chat.storage import health, schema
from tornado_chat.storage.database import open_database
from tornado_chat.types import Message, Notification
from tornado_chat.web import counselling, ops, pages, support, widget
from tornado_chat.web.api import people, sessions
from tornado_chat.web.api.base import NothingHere
from tornado_chat.web.origins import Origins
from tornado_chat.web.pages import Assets
from tornado_chat.web.socket import now
from tornado_chat.wire.counselling import CounsellingFrames
from tornado_chat.wire.times import LocalTimes

log = logging.getLogger(__name__)

BACKLOG = 4096  # connections that the kernel keeps until they are accepted
PROBE_TIMEOUT = 5.0  # seconds
FILTERING = 5.0  # seconds that messages get to pass the filters when the server stops
GOODBYE = 2.0  # seconds that closed sockets may take to say goodbye


class StartError(Exception):
    """Why the server cannot start, in a sentence that says what to do."""


class Server:
    """One server in this process. ``await start()`` … ``await stop()``, on one running loop.

    :arg more_pages: routes like those of ``web.pages``.
    :raises StartError: something in the configuration or the machine is not as it must be.
    """

    def __init__(self, config: Config, more_pages: Sequence[pages.Route] = ()) -> None:
        self._config = config
        self._pages = [*pages.ROUTES, *more_pages]
        self._loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        try:
            # Before anything is opened: a plugin with mistakes stops the start, and leaves no trace.
            self._plugins = Plugins(finding.load(config), self._loop, self.metrics)
        except ConfigError as error:
            raise StartError(str(error)) from error
        self._database = _open_checked(config)
        try:
            self.application = self._build()
        except (ValueError, Broken) as error:  # a key that cannot be used; the sentence says why
            raise StartError(str(error)) from error
        self._http = HTTPServer(self.application, max_body_size=config.limits.frame_bytes)
        self.url = ""

    def _build(self) -> Application:
        config, loop = self._config, self._loop
        plugins = self._plugins
        gate = Gate(build(config.auth, config.state_dir), plugins)
        guest_secret = load_secret(config.auth, config.state_dir) if config.auth.guests else None
        times = LocalTimes(config.server.timezone)
        bus = LocalBus()
        self._store = store = Store(self._database, self._committed, loop)
        self._bus = bus
        self._receipts = receipts = ReceiptBook(store, loop)
        self._hub = hub = Hub(
            loop,
            store.items_after,
            on_receipt=receipts.note,
            outgoing_limit=config.limits.outgoing_bytes,
            ping_interval=config.limits.ping_interval,
            ping_timeout=config.limits.ping_timeout,
        )
        presence = Presence(hub)
        self._plugin_events = PluginEvents(plugins, store, presence, loop)
        self._filtering = filtering = Filtering(plugins, loop)
        found = Rooms(store, plugins)
        self._connections = Connections(hub, config.limits.connections_per_identity, plugins)
        self._counselling = Counselling(
            config.counselling,
            store,
            hub,
            receipts,
            loop,
            bus.publish,
            clock=now,
            found=found,
            gate=gate,
            filtering=filtering,
            plugins=plugins,
        )
        self._dispatcher = Dispatcher(config.support, store, hub, receipts, loop, self._policy(), gate)
        notifications = Notifications(store, hub, receipts, plugins, config.server.language)
        behind = Behind(store, gate, found, notifications, presence)
        self._contexts = {
            each.name: PluginContext(
                each.name, plugins, behind, loop, config.server.language, config.state_dir
            )
            for each in plugins.loaded
        }

        bus.subscribe(cast(Subscriber, hub.offer), Message, Notification)
        bus.subscribe(self._counselling.on_event, *self._counselling.events)
        bus.subscribe(self._dispatcher.on_event, *self._dispatcher.events)
        services = Services(
            gate=gate,
            connections=self._connections,
            counselling=self._counselling,
            notifications=notifications,
            sessions=Sessions(store, notifications, self._counselling, found, gate, plugins),
            support=Support(self._dispatcher, store, bus.publish, filtering, config.support.capacity),
            guests=Guests(config.auth, guest_secret),
            frames=CounsellingFrames(config.server.language, times, config.counselling.legacy_system_key),
            times=times,
            limits=config.limits,
            support_settings=config.support,
            language=config.server.language,
        )
        return self._application(services)

    def _application(self, services: Services) -> Application:
        everybody: dict[str, Any] = {"services": services, "origins": Origins(self._config.web.origins)}
        operator = {
            "networks": self._config.web.ops_networks,
            "checks": self._problems,
            "metrics": self.metrics,
        }
        assets = {"assets": Assets(self._config.auth.role_claim)} if self._config.web.pages else {}
        framed = {**assets, **everybody, "id_claim": self._config.auth.id_claim}
        of_plugins = self._plugins.registered("register_handlers", self._contexts)
        return Application(
            [
                *((path, handler, everybody) for path, handler in counselling.ROUTES),
                *((path, handler, everybody) for path, handler in support.ROUTES),
                *((path, handler, {**everybody, **more}) for path, handler, more in sessions.ROUTES),
                *((path, handler, {**everybody, **more}) for path, handler, more in people.ROUTES),
                *((path, handler, operator) for path, handler in ops.ROUTES),
                *((path, page, {**assets, **more}) for path, page, more in self._pages if assets),
                *((path, page, {**framed, **more}) for path, page, more in widget.ROUTES if assets),
                *(route for _, routes in of_plugins for route in routes),
            ],
            default_handler_class=NothingHere,
            default_handler_args=everybody,
            log_function=_log_request,
            # A larger frame up to this is read and answered by a close frame; beyond, Tornado hangs up.
            websocket_max_message_size=max(4 * self._config.limits.frame_bytes, 1024 * 1024),
        )

    async def start(self) -> None:
        """Rebuild what was going on before the restart, then let people in."""
        try:
            await self._create_tables()
            await self._counselling.recover()
            await self._dispatcher.recover()
            await self._plugins.start(self._contexts)
            await self._plugin_events.start()
        except ChatError as error:
            raise StartError(f"the database cannot be used: {error.__cause__}") from error
        except Broken as error:
            raise StartError(str(error)) from error
        self._hub.start_sweeping()
        self.url = self._listen()
        log.info("ready", extra=fields(url=self.url, database=self._config.storage.url))

    async def stop(self) -> None:
        """Let nobody in, finish what is under way, send everybody away with 1012, close the database."""
        self._connections.stop_opening()
        self._http.stop()
        self._counselling.stop()
        self._dispatcher.stop()
        await self._filtering.finish(FILTERING)
        try:
            await self._store.write(lambda tx: None)  # everything before it is committed and told
        except ChatError as error:
            log.error("the last messages could not be stored: %s", error)
        await self._connections.drain(self._config.server.drain_seconds)
        until = self._loop.time() + GOODBYE
        while len(self._connections) and self._loop.time() < until:  # noqa: ASYNC110 - it is a count
            await asyncio.sleep(0.02)
        await self._http.close_all_connections()
        self._hub.stop_sweeping()
        await self._plugin_events.stop()
        for context in self._contexts.values():
            await context.stop()
        await self._plugins.stop()
        await self._receipts.flush()
        await self._loop.run_in_executor(None, self._store.close)
        log.info("stopped")

    async def reload(self, config: Config) -> None:
        """Take over what ``config`` has for plugins; say in the log what needs a restart.

        :raises ConfigError: plugins have mistakes in their sections; nothing has changed.
        """
        changed = await self._plugins.reload(config)
        self._dispatcher.set_policy(self._policy())
        waiting = list(_differences(self._config, config))
        log.info("reloaded", extra=fields(plugins=",".join(changed) or "unchanged"))
        if waiting:
            log.warning("these options have changed, and need a restart: %s", ", ".join(waiting))

    def _policy(self) -> QueuePolicy:
        """The first that a plugin has, else the default."""
        for _, policy in self._plugins.registered("register_queue_policy"):
            if policy is not None:
                return cast(QueuePolicy, policy)
        return FifoLeastLoaded()

    def _committed(self, event: Event) -> None:
        """What this process has committed: for everybody, and for the plugins of this process."""
        self._bus.publish(event)
        self._plugin_events.on_event(event)

    async def _create_tables(self) -> None:
        models = [model for _, several in self._plugins.registered("register_models") for model in several]
        if models:
            await self._store.write(lambda tx: schema.create_missing(tx.database, models))

    def _listen(self) -> str:
        """Open the port and the unix socket. Returns the URL of the port."""
        server = self._config.server
        try:
            sockets = bind_sockets(server.port, server.host or None, backlog=BACKLOG)
            if server.unix_socket:
                sockets.append(bind_unix_socket(server.unix_socket, mode=0o660, backlog=BACKLOG))
        except OSError as error:
            where = f"{server.host}:{server.port}"
            raise StartError(
                f"cannot listen on {where}: {error.strerror}. Is it in use? Another one is taken with "
                "--set server.port=9000 (0 takes a free one)"
            ) from error
        self._http.add_sockets(sockets)
        host = f"[{server.host}]" if ":" in server.host else server.host or "127.0.0.1"
        return f"http://{host}:{sockets[0].getsockname()[1]}"

    async def _problems(self) -> dict[str, str]:
        """What stands in the way of serving, for ``/readyz``."""
        problems = {}
        if self._connections.draining:
            problems["server"] = "about to stop"
        try:
            await asyncio.wait_for(self._store.write(health.probe), PROBE_TIMEOUT)
        except TimeoutError:
            problems["database"] = f"no answer within {PROBE_TIMEOUT:.0f} s"
        except ChatError as error:
            problems["database"] = str(error.__cause__ or error)
        return problems


def run(
    config: Config,
    welcome: Callable[[str], object] | None = None,
    reread: Callable[[], Config] | None = None,
    more_pages: Sequence[pages.Route] = (),
) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code.

    :arg welcome: called with the server's URL, on its loop, as soon as it listens.
    :arg reread: reads the configuration again, for SIGHUP.
    :arg more_pages: as ``Server``.
    """

    async def reload(server: Server) -> None:
        try:
            await server.reload(reread() if reread is not None else config)
        except ConfigError as error:
            log.error("not reloaded, the configuration has mistakes: %s", "; ".join(map(str, error.problems)))

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        server = Server(config, more_pages)
        reloading: set[asyncio.Task[None]] = set()
        loop.add_signal_handler(signal.SIGHUP, lambda: reloading.add(loop.create_task(reload(server))))
        await server.start()
        # Nearly everything that lives long is there now, and what a message makes is gone at once:
        # looking through all of it for cycles every 700 objects would only be a pause for everybody.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        if welcome is not None:
            welcome(server.url)
        await stop.wait()
        log.info("stopping")
        await server.stop()

    os.umask(0o077)  # whatever we write is nobody else's business
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main())
        code = 0
    except StartError as error:
        print(f"tornado-chat: {error}", file=sys.stderr)  # noqa: T201 - for the person who starts it
        code = 1
    end(loop, code)
    return code


def _open_checked(config: Config) -> pw.Database:
    """The database with the schema of this version.

    One that is empty, or the embedded default, is brought up to date by itself. Any other waits
    for the operator, who may want a backup first.
    """
    url = config.storage.url
    try:
        database = open_database(config.storage)
        tables = database.get_tables()
        missing = [name for name, applied in schema.status(database) if not applied]
        unknown = schema.unknown(database)
        if unknown:
            raise StartError(
                f"the database {url} comes from a newer version (it has {', '.join(unknown)}): "
                "install that version, or restore a backup"
            )
        if missing and (not tables or url == Config().kept_in(config.state_dir).storage.url):
            schema.upgrade(database)
        elif missing:
            raise StartError(
                f"the database {url} lacks {', '.join(missing)}: make a backup, then run "
                "`tornado-chat db upgrade` with the same configuration"
            )
        database.close()
    except (pw.PeeweeException, OSError) as error:
        raise StartError(f"cannot open the database {url}: {error}") from error
    return database


def _differences(before: Config, after: Config) -> Iterator[str]:
    """The options of the server itself that differ."""
    for section in SECTIONS:
        old, new = getattr(before, section), getattr(after, section)
        for option in dataclasses.fields(old):
            if getattr(old, option.name) != getattr(new, option.name):
                yield f"{section}.{option.name}"


def _log_request(handler: RequestHandler) -> None:
    """One line per request, without the query: it may hold a token."""
    request = handler.request
    log.debug(
        "request",
        extra=fields(
            method=request.method,
            path=request.path,
            status=handler.get_status(),
            ms=round(1000 * request.request_time(), 1),
        ),
    )
