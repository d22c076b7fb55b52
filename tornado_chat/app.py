"""The composition root: builds everything, and owns the order of starting and stopping."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import peewee as pw
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.web import Application, RequestHandler

from tornado_chat.cluster.bus import LocalBus
from tornado_chat.config import Config
from tornado_chat.delivery.hub import Hub
from tornado_chat.domain.queue import FifoLeastLoaded
from tornado_chat.errors import ChatError
from tornado_chat.events import Event
from tornado_chat.logs import fields
from tornado_chat.services.connections import Connections
from tornado_chat.services.container import Services
from tornado_chat.services.counselling import Counselling
from tornado_chat.services.dispatch import Dispatcher
from tornado_chat.services.guests import Guests
from tornado_chat.services.identity import build
from tornado_chat.services.notifications import Notifications
from tornado_chat.services.receipts import ReceiptBook
from tornado_chat.services.secret import load_secret
from tornado_chat.services.sessions import Sessions
from tornado_chat.services.store import Store
from tornado_chat.services.support import Support
from tornado_chat.storage import health, schema
from tornado_chat.storage.database import open_database
from tornado_chat.types import Message, Notification
from tornado_chat.web import counselling, ops, support
from tornado_chat.web.api import people, sessions
from tornado_chat.web.api.base import NothingHere
from tornado_chat.web.origins import Origins
from tornado_chat.web.socket import now
from tornado_chat.wire.counselling import CounsellingFrames
from tornado_chat.wire.times import LocalTimes

log = logging.getLogger(__name__)

BACKLOG = 4096  # connections that the kernel keeps until they are accepted
PROBE_TIMEOUT = 5.0  # seconds
GOODBYE = 2.0  # seconds that closed sockets may take to say goodbye


class StartError(Exception):
    """Why the server cannot start, in a sentence that says what to do."""


class Server:
    """One server in this process. ``await start()`` … ``await stop()``, on one running loop.

    :raises StartError: something in the configuration or the machine is not as it must be.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._database = _open_checked(config)
        try:
            self.application = self._build()
        except ValueError as error:  # a key that cannot be used; the sentence says why
            raise StartError(str(error)) from error
        self._http = HTTPServer(self.application, max_body_size=config.limits.frame_bytes)
        self.url = ""

    def _build(self) -> Application:
        config, loop = self._config, self._loop
        authenticator = build(config.auth, config.state_dir)
        guest_secret = load_secret(config.auth, config.state_dir) if config.auth.guests else None
        times = LocalTimes(config.server.timezone)
        bus = LocalBus()
        self._store = store = Store(self._database, bus.publish, loop)
        self._receipts = receipts = ReceiptBook(store, loop)
        self._hub = hub = Hub(
            loop,
            store.items_after,
            on_receipt=receipts.note,
            outgoing_limit=config.limits.outgoing_bytes,
            ping_interval=config.limits.ping_interval,
            ping_timeout=config.limits.ping_timeout,
        )
        self._connections = Connections(hub, config.limits.connections_per_identity)
        self._counselling = Counselling(
            config.counselling, store, hub, receipts, loop, bus.publish, clock=now
        )
        self._dispatcher = Dispatcher(config.support, store, hub, receipts, loop, FifoLeastLoaded())
        notifications = Notifications(store, hub, receipts, config.server.language)

        def offer(event: Event) -> None:
            if isinstance(event, Message | Notification):
                hub.offer(event)

        for subscriber in (offer, self._counselling.on_event, self._dispatcher.on_event):
            bus.subscribe(subscriber)
        services = Services(
            authenticator=authenticator,
            connections=self._connections,
            counselling=self._counselling,
            notifications=notifications,
            sessions=Sessions(store, notifications, self._counselling),
            support=Support(self._dispatcher, store, bus.publish, config.support.capacity),
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
        operator = {"networks": self._config.web.ops_networks, "checks": self._problems}
        return Application(
            [
                *((path, handler, everybody) for path, handler in counselling.ROUTES),
                *((path, handler, everybody) for path, handler in support.ROUTES),
                *((path, handler, {**everybody, **more}) for path, handler, more in sessions.ROUTES),
                *((path, handler, {**everybody, **more}) for path, handler, more in people.ROUTES),
                *((path, handler, operator) for path, handler in ops.ROUTES),
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
            await self._counselling.recover()
            await self._dispatcher.recover()
        except ChatError as error:
            raise StartError(f"the database cannot be read: {error.__cause__}") from error
        self._hub.start_sweeping()
        self.url = self._listen()
        log.info("ready", extra=fields(url=self.url, database=self._config.storage.url))

    async def stop(self) -> None:
        """Let nobody in, finish what is under way, send everybody away with 1012, close the database."""
        self._connections.stop_opening()
        self._http.stop()
        self._counselling.stop()
        self._dispatcher.stop()
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
        await self._receipts.flush()
        await self._loop.run_in_executor(None, self._store.close)
        log.info("stopped")

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


def run(config: Config, welcome: Callable[[str], object] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code.

    :arg welcome: called with the server's URL, on its loop, as soon as it listens.
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        server = Server(config)
        await server.start()
        if welcome is not None:
            welcome(server.url)
        await stop.wait()
        log.info("stopping")
        await server.stop()

    os.umask(0o077)  # whatever we write is nobody else's business
    try:
        asyncio.run(main())
    except StartError as error:
        print(f"tornado-chat: {error}", file=sys.stderr)  # noqa: T201 - for the person who starts it
        return 1
    return 0


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
