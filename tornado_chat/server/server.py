"""The composition root: builds everything, and owns the order of starting and stopping."""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.aio.shared_load import Loads
from tornado_chat.cluster.bus import LocalBus, Subscriber
from tornado_chat.config.mysql_url import is_mysql
from tornado_chat.config.reload import Change, compare
from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import Event, Reached
from tornado_chat.core.types import Message, Notification
from tornado_chat.delivery.hub import Hub
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import Metrics
from tornado_chat.observability.metrics.history import History
from tornado_chat.plugins.manager import Broken
from tornado_chat.server import plugin_registration, status_file
from tornado_chat.server.bootstrap import StartError, prepare
from tornado_chat.server.cluster_mode import Nobody, Others
from tornado_chat.server.listen_sockets import listen
from tornado_chat.server.preflight import key_problem
from tornado_chat.services.auth.access import Gate
from tornado_chat.services.auth.accounts import Staff
from tornado_chat.services.auth.guests import Guests
from tornado_chat.services.auth.keys import Keys, load_keys
from tornado_chat.services.auth.login_throttle import Attempts
from tornado_chat.services.auth.passwords import Passwords
from tornado_chat.services.container import Services
from tornado_chat.services.coordinator.coordinator import Coordinator
from tornado_chat.services.coordinator.snapshot import Standing
from tornado_chat.services.counselling.room_lifecycle import RoomLife
from tornado_chat.services.counselling.room_lookup import Rooms
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.counselling.sessions_api import Sessions
from tornado_chat.services.housekeeping import Retention
from tornado_chat.services.leadership.db_lease import Turn
from tornado_chat.services.messaging.connections import Connections
from tornado_chat.services.messaging.event_log import Journal
from tornado_chat.services.messaging.filtering import Filtering
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.presence import Presence
from tornado_chat.services.messaging.receipts import ReceiptBook
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.monitoring.aggregate import Siblings
from tornado_chat.services.monitoring.overview import Overview
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.services.plugin_host.context import Behind, PluginContext
from tornado_chat.services.plugin_host.event_feed import PluginEvents
from tornado_chat.services.support.dispatcher import Dispatcher
from tornado_chat.services.support.history import SupportRecords
from tornado_chat.services.support.local_conversations import Floor
from tornado_chat.services.support.repository import StoredConversations
from tornado_chat.services.support.service import Support
from tornado_chat.storage.open import CannotOpen
from tornado_chat.web.application import ChatApplication
from tornado_chat.web.http.accept_balancing import Sharing
from tornado_chat.web.http.proxy_headers import Networks, ProxiedServer
from tornado_chat.web.pages import Route
from tornado_chat.wire.counselling import CounsellingFrames
from tornado_chat.wire.times import LocalTimes

log = logging.getLogger(__name__)

FILTERING = 5.0  # seconds that messages get to pass the filters when the server stops
GOODBYE = 2.0  # seconds that closed sockets may take to say goodbye
LATE = 0.5  # seconds that a connection has for its request, if it was accepted at the last moment


class Server:
    """One server in this process. ``await start()`` … ``await stop()``, on one running loop.

    :arg passed: listening sockets that are already there; then ``config`` has no say in that.
    :arg more_pages: routes like those of ``web.pages``.
    :arg process: which one of several on this machine it is; 0: the only one.
    :arg loads: how many connections each of these has.
    :raises StartError: something in the configuration or the machine is not as it must be.
    """

    def __init__(
        self,
        config: Config,
        passed: Sequence[socket.socket] = (),
        more_pages: Sequence[Route] = (),
        process: int = 0,
        loads: Loads | None = None,
    ) -> None:
        self._config = config
        self._process = process
        self._passed = passed
        self._more_pages = more_pages
        self._loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        self._plugins, keys, self._database = prepare(config, self._loop, self.metrics)
        try:
            self.application = self._build(keys)
        except Broken as error:
            raise StartError(str(error)) from error
        self._http = ProxiedServer(
            self.application,
            trusted=Networks(config.server.trusted_proxies),
            max_body_size=config.limits.frame_bytes,
        )
        if loads is not None:
            self._http.share(Sharing(loads, self._loop, lambda: self._http.held + self.connected))
        self.url = ""

    def _build(self, keys: Keys) -> ChatApplication:
        config, loop = self._config, self._loop
        plugins = self._plugins
        times = LocalTimes(config.server.timezone)
        self._others = others = Others(config.cluster, loop) if config.cluster.url else Nobody()
        self._bus = bus = others.bus
        self._store = store = Store(
            self._database, self._committed, loop, self.metrics, config.storage.patience
        )
        self._receipts = receipts = ReceiptBook(store, loop)
        self._hub = hub = Hub(
            loop,
            store.items_after,
            on_receipt=receipts.note,
            outgoing_limit=config.limits.outgoing_bytes,
            ping_interval=config.limits.ping_interval,
            ping_timeout=config.limits.ping_timeout,
            on_resent=self._resent,
            tune_in=bus.tune_in if others.there else None,
            tune_out=bus.tune_out,
        )
        presence = self._presence = Presence(hub, bus)
        self._plugin_events = PluginEvents(plugins, store, presence, loop, shared=others.there)
        self._filtering = filtering = Filtering(plugins, store.append, loop)
        found = Rooms(store, plugins)
        self._connections = Connections(
            hub, config.limits.connections_per_identity, plugins, loop, bus if others.there else None
        )
        self._staff = Staff(
            config.staff, config.auth, keys.own, store, self._connections, Passwords(), Attempts()
        )
        self._gate = gate = Gate(keys.authenticator, plugins, self._staff.require)
        self._room_life = RoomLife(
            config.counselling,
            store,
            loop,
            bus.publish,
            now_microseconds,
            sure=others.sure,
            settling=others.settling,
        )
        self._dispatcher = Dispatcher(
            config.support,
            StoredConversations(store),
            loop,
            bus.publish,
            plugin_registration.queue_policy(plugins),
            self.metrics.waited,
            sure=others.sure,
            settling=others.settling,
        )
        standing = Standing(self._dispatcher, self._room_life, times, loop)
        coordinator = Coordinator(self._dispatcher, self._room_life, standing)
        coordination = self._coordination = others.coordinate(coordinator, store)
        self._counselling = Counselling(
            config.counselling,
            store,
            hub,
            receipts,
            loop,
            bus.publish,
            found=found,
            gate=gate,
            filtering=filtering,
            plugins=plugins,
            coordination=coordination,
        )
        self._floor = Floor(config.support, store, hub, receipts, loop, bus, gate, coordination)
        others.look_again(hub, self._counselling, self._floor)
        self._retention = Retention(
            store,
            plugin_registration.keepers(plugins, config.state_dir),
            config.storage.retention_days,
            loop,
            clock=now_microseconds,
            turn=Turn("retention", store, loop, shared=others.there),
        )
        notifications = Notifications(store, hub, receipts, plugins, config.server.language)
        behind = Behind(store, gate, found, notifications, presence)
        self._contexts = {
            each.name: PluginContext(
                each.name, plugins, behind, loop, config.server.language, config.state_dir
            )
            for each in plugins.loaded
        }

        bus.subscribe(cast(Subscriber, hub.offer), Message, Notification)
        bus.subscribe(lambda event: hub.reached(event.thread, event.seq), Reached)  # type: ignore[union-attr]
        bus.subscribe(notifications.on_event, *notifications.events)
        bus.subscribe(self._counselling.on_event, *self._counselling.events)
        # The coordinator comes first: what people do when they hear of it may be asked of it at once.
        bus.subscribe(self._room_life.on_event, *self._room_life.events)
        bus.subscribe(self._dispatcher.on_event, *self._dispatcher.events)
        bus.subscribe(self._floor.on_event, *self._floor.events)
        self._own = own = LocalBus()
        own.subscribe(Journal().on_event, *Journal.events)
        own.subscribe(self._plugin_events.on_event, *PluginEvents.events)
        self._readiness = Readiness(store, loop, {"server": self._own_problem, **others.problems})
        self._history = History(self.metrics, loop, time.time)
        overview = Overview(
            hub=hub,
            standing=standing,
            coordination=coordination,
            store=store,
            readiness=self._readiness,
            plugins=plugins,
            metrics=self.metrics,
            recorded=self._history,
            times=times,
            database="mysql" if is_mysql(config.storage.url) else "sqlite",
            process=self._process,
        )
        self._siblings = Siblings(overview, self.metrics, self._process, config.state_dir)
        self.metrics.gauges = overview.gauges
        help_desk = Support(self._floor, coordination, store, bus.publish, filtering)
        self._guests = Guests(config.auth, keys.secret)
        self._services = services = Services(
            gate=gate,
            connections=self._connections,
            counselling=self._counselling,
            notifications=notifications,
            sessions=Sessions(store, notifications, self._counselling, found, gate, plugins),
            support=help_desk,
            support_records=SupportRecords(store, help_desk, gate, plugins),
            guests=self._guests,
            staff=self._staff,
            siblings=self._siblings,
            metrics=self.metrics,
            frames=CounsellingFrames(config.server.language, times, config.counselling.legacy_system_key),
            times=times,
            limits=config.limits,
            support_settings=config.support,
            language=config.server.language,
        )
        of_plugins = plugin_registration.routes(plugins, self._contexts)
        return ChatApplication(config, services, self._readiness, self._more_pages, of_plugins)

    async def start(self) -> None:
        """Rebuild what was going on before the restart, then let people in."""
        status_file.write(self._config.state_dir, status_file.STARTING)
        try:
            plugin_registration.create_tables(self._plugins, self._database, self._config.storage.url)
            await self._others.join()
            await self._plugins.start(self._contexts)
            await self._plugin_events.start()
        except ChatError as error:
            raise StartError(f"the database cannot be used: {error.__cause__}") from error
        except (Broken, CannotOpen) as error:
            raise StartError(str(error)) from error
        self._hub.start_sweeping()
        self._staff.start()
        self._history.start()
        await self._siblings.start()
        try:
            sockets, self.url = listen(self._config.server, self._passed)
        except ValueError as error:
            raise StartError(str(error)) from error
        self._http.add_sockets(sockets)
        self._retention.start()
        status_file.write(self._config.state_dir, status_file.SERVING, self.url)
        log.info("ready", extra=fields(url=self.url, database=self._config.storage.url))

    async def stop(self) -> None:
        """Let nobody in, finish what is under way, send everybody away with 1012, close the database."""
        status_file.write(self._config.state_dir, status_file.STOPPING, self.url)
        self._connections.stop_opening()
        self._http.stop()
        await self._http.hear_all(LATE)
        await self._retention.stop()
        self._counselling.stop()
        self._floor.stop()
        self._others.stop_deciding()
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
        await self._staff.stop()
        self._history.stop()
        await self._siblings.stop()
        await self._plugin_events.stop()
        for context in self._contexts.values():
            await context.stop()
        await self._plugins.stop()
        await self._receipts.flush()
        await self._others.leave()
        await self._loop.run_in_executor(None, self._store.close)
        status_file.remove(self._config.state_dir)
        log.info("stopped")

    async def reload(self, config: Config) -> Change:
        """Take over what ``config`` has for plugins, the keys anew, and every option that needs no restart.

        Sockets that are open stay so, also those of a token that would not be accepted any more.

        :raises ConfigError: plugins have mistakes in their sections, or keys cannot be used; nothing has
            changed.
        """
        change = compare(self._config, config)
        new, before = change.config, self._gate.authenticator
        try:
            keys = load_keys(new.auth, new.staff, new.state_dir, before)
        except ValueError as error:
            raise ConfigError([key_problem(error)]) from error
        plugins = await self._plugins.reload(config)
        # From here on nothing can fail.
        self._config = new
        self._gate.reconfigure(keys.authenticator)
        self._guests.reconfigure(new.auth, keys.secret)
        self._staff.reconfigure(new.auth, keys.own)
        self._hub.reconfigure(new.limits)
        self._connections.reconfigure(new.limits.connections_per_identity)
        self._counselling.reconfigure(new.counselling)
        self._room_life.reconfigure(new.counselling)
        self._floor.reconfigure(new.support)
        self._dispatcher.reconfigure(new.support, plugin_registration.queue_policy(self._plugins))
        self._services.reconfigure(new.limits, new.support)
        self._http.reconfigure(new.server.trusted_proxies, new.limits.frame_bytes)
        self.application.reconfigure(new)
        return replace(change, plugins=plugins, keys=keys.authenticator.keys_differ(before))

    @property
    def connected(self) -> int:
        """The number of sockets."""
        return len(self._connections)

    @property
    def waiting(self) -> int:
        """How many users wait for a waiter."""
        return len(self._dispatcher.desk)

    @property
    def drain_seconds(self) -> float:
        """How long ``stop`` may take to send everybody away."""
        return self._config.server.drain_seconds

    def _committed(self, event: Event) -> None:
        """What this process has committed: for everybody, and for the plugins of this process."""
        self._bus.publish(event)
        self._own.publish(event)

    def _own_problem(self) -> str:
        return "about to stop" if self._connections.draining else ""

    def _resent(self, count: int) -> None:
        self.metrics.resent += count
