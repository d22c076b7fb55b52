"""The composition root: builds everything, and owns the order of starting and stopping."""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.aio.shared_load import SharedLoads
from tornado_chat.cluster.bus import EventHandler, LocalBus
from tornado_chat.config.mysql_url import is_mysql
from tornado_chat.config.reload import ConfigChange, merge_reloadable
from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.core.errors import ChatError
from tornado_chat.core.events import DuplicateMessage, Event
from tornado_chat.core.types import Message, Notification
from tornado_chat.delivery.hub import Hub
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import Metrics
from tornado_chat.observability.metrics.history import MetricsHistory
from tornado_chat.plugins.manager import PluginError
from tornado_chat.server import plugin_registration, status_file
from tornado_chat.server.bootstrap import StartError, bootstrap
from tornado_chat.server.cluster_mode import Clustered, Standalone
from tornado_chat.server.listen_sockets import open_listen_sockets
from tornado_chat.server.preflight import make_key_problem
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.auth.accounts import Staff
from tornado_chat.services.auth.guests import Guests
from tornado_chat.services.auth.keys import TokenKeys, load_keys
from tornado_chat.services.auth.login_throttle import LoginThrottle
from tornado_chat.services.auth.passwords import Passwords
from tornado_chat.services.container import Services
from tornado_chat.services.coordinator.coordinator import Coordinator
from tornado_chat.services.coordinator.snapshot import CoordinatorSnapshot
from tornado_chat.services.counselling.room_lifecycle import RoomLifecycle
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.counselling.sessions_api import Sessions
from tornado_chat.services.housekeeping import Retention
from tornado_chat.services.leadership.db_lease import DatabaseLease
from tornado_chat.services.messaging.connections import Connections
from tornado_chat.services.messaging.event_log import EventLog
from tornado_chat.services.messaging.filtering import MessageFilter
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.presence import PresenceLookup
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.monitoring.aggregate import StatusAggregator
from tornado_chat.services.monitoring.overview import StatusReporter
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.services.plugin_host.context import ContextServices, PluginContext
from tornado_chat.services.plugin_host.event_feed import PluginEventFeed
from tornado_chat.services.support.dispatcher import Dispatcher
from tornado_chat.services.support.history import SupportHistory
from tornado_chat.services.support.local_conversations import LocalConversations
from tornado_chat.services.support.repository import ConversationRepository
from tornado_chat.services.support.service import Support
from tornado_chat.storage.open import DatabaseOpenError
from tornado_chat.web.application import ChatApplication
from tornado_chat.web.http.accept_balancing import AcceptBalancer
from tornado_chat.web.http.proxy_headers import Networks, ProxyAwareServer
from tornado_chat.web.pages import Route
from tornado_chat.wire.counselling import CounsellingEncoders
from tornado_chat.wire.times import LocalTimes

log = logging.getLogger(__name__)

FILTER_TIMEOUT_SECONDS = 5.0  # seconds that messages get to pass the filters when the server stops
CLOSE_TIMEOUT_SECONDS = 2.0  # seconds that closed sockets may take to say goodbye
LATE_REQUEST_SECONDS = (
    0.5  # seconds that a connection has for its request, if it was accepted at the last moment
)


class Server:
    """One server in this process. ``await start()`` … ``await stop()``, on one running loop.

    :arg passed_sockets: listening sockets that are already there; then ``config`` has no say in that.
    :arg more_pages: routes like those of ``web.pages``.
    :arg process: which one of several on this machine it is; 0: the only one.
    :arg loads: how many connections each of these has.
    :raises StartError: something in the configuration or the machine is not as it must be.
    """

    def __init__(
        self,
        config: Config,
        passed_sockets: Sequence[socket.socket] = (),
        more_pages: Sequence[Route] = (),
        process: int = 0,
        loads: SharedLoads | None = None,
    ) -> None:
        self._config = config
        self._process = process
        self._passed_sockets = passed_sockets
        self._more_pages = more_pages
        self._loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        self._plugins, keys, self._database = bootstrap(config, self._loop, self.metrics)
        try:
            self.application = self._build(keys)
        except PluginError as error:
            raise StartError(str(error)) from error
        self._http = ProxyAwareServer(
            self.application,
            trusted=Networks(config.server.trusted_proxies),
            max_body_size=config.limits.frame_bytes,
        )
        if loads is not None:
            self._http.balance_accepts(
                AcceptBalancer(loads, self._loop, lambda: self._http.http_connection_count + self.connected)
            )
        self.url = ""

    def _build(self, keys: TokenKeys) -> ChatApplication:
        config, loop = self._config, self._loop
        plugins = self._plugins
        times = LocalTimes(config.server.timezone)
        self._cluster_mode = others = Clustered(config.cluster, loop) if config.cluster.url else Standalone()
        self._bus = bus = others.bus
        self._store = store = Store(
            self._database, self._on_committed, loop, self.metrics, config.storage.patience
        )
        self._receipts = receipts = ReceiptStore(store, loop)
        self._hub = hub = Hub(
            loop,
            store.items_after,
            on_receipt=receipts.record,
            outgoing_limit=config.limits.outgoing_bytes,
            ping_interval=config.limits.ping_interval,
            ping_timeout=config.limits.ping_timeout,
            on_resent=self._on_resent,
            subscribe=bus.subscribe if others.is_clustered else None,
            unsubscribe=bus.unsubscribe,
        )
        presence = self._presence = PresenceLookup(hub, bus)
        self._plugin_event_feed = PluginEventFeed(plugins, store, presence, loop, shared=others.is_clustered)
        self._filtering = filtering = MessageFilter(plugins, store.append, loop)
        found = RoomLookup(store, plugins)
        self._connections = Connections(
            hub, config.limits.connections_per_identity, plugins, loop, bus if others.is_clustered else None
        )
        self._accounts = Staff(
            config.staff,
            config.auth,
            keys.account_key,
            store,
            self._connections,
            Passwords(),
            LoginThrottle(),
        )
        self._access_control = gate = AccessControl(
            keys.authenticator, plugins, self._accounts.require_session
        )
        self._room_lifecycle = RoomLifecycle(
            config.counselling,
            store,
            loop,
            bus.publish,
            now_microseconds,
            is_certain=others.is_certain,
            settle_seconds=others.settle_seconds,
        )
        repository = ConversationRepository(store)
        self._dispatcher = Dispatcher(
            config.support,
            repository,
            loop,
            bus.publish,
            plugin_registration.queue_policy(plugins),
            self.metrics.queue_wait,
            is_certain=others.is_certain,
            settle_seconds=others.settle_seconds,
        )
        snapshot = CoordinatorSnapshot(self._dispatcher, self._room_lifecycle, times, loop)
        coordinator = Coordinator(self._dispatcher, self._room_lifecycle, snapshot)
        coordinator_client = self._coordinator_client = others.connect_coordinator(coordinator, store)
        self._counselling = Counselling(
            config.counselling,
            store,
            hub,
            receipts,
            loop,
            bus.publish,
            found=found,
            access_control=gate,
            filtering=filtering,
            plugins=plugins,
            coordinator_client=coordinator_client,
        )
        self._local_conversations = LocalConversations(
            config.support, store, repository, hub, receipts, loop, bus, gate, coordinator_client
        )
        others.resync(hub, self._counselling, self._local_conversations)
        self._retention = Retention(
            store,
            plugin_registration.keepers(plugins, config.state_dir),
            config.storage.retention_days,
            loop,
            clock=now_microseconds,
            lease=DatabaseLease("retention", store, loop, shared=others.is_clustered),
        )
        notifications = Notifications(store, hub, receipts, plugins, config.server.language)
        behind = ContextServices(store, gate, found, notifications, presence)
        self._contexts = {
            each.name: PluginContext(
                each.name, plugins, behind, loop, config.server.language, config.state_dir
            )
            for each in plugins.loaded
        }

        bus.add_handler(cast(EventHandler, hub.deliver), Message, Notification)
        bus.add_handler(lambda event: hub.catch_up_to(event.thread, event.seq), DuplicateMessage)  # type: ignore[union-attr]
        bus.add_handler(notifications.on_event, *notifications.events)
        bus.add_handler(self._counselling.on_event, *self._counselling.events)
        # The coordinator comes first: what people do when they hear of it may be asked of it at once.
        bus.add_handler(self._room_lifecycle.on_event, *self._room_lifecycle.events)
        bus.add_handler(self._dispatcher.on_event, *self._dispatcher.events)
        bus.add_handler(self._local_conversations.on_event, *self._local_conversations.events)
        self._plugin_bus = own = LocalBus()
        own.add_handler(EventLog().on_event, *EventLog.events)
        own.add_handler(self._plugin_event_feed.on_event, *self._plugin_event_feed.needed_events)
        self._readiness = Readiness(store, loop, {"server": self._server_problem, **others.problems})
        self._history = MetricsHistory(self.metrics, loop, time.time)
        overview = StatusReporter(
            hub=hub,
            snapshot=snapshot,
            coordinator_client=coordinator_client,
            store=store,
            readiness=self._readiness,
            plugins=plugins,
            metrics=self.metrics,
            metrics_history=self._history,
            times=times,
            database="mysql" if is_mysql(config.storage.url) else "sqlite",
            process=self._process,
        )
        self._status_aggregator = StatusAggregator(overview, self.metrics, self._process, config.state_dir)
        self.metrics.gauges = overview.gauges
        support = Support(self._local_conversations, coordinator_client, store, bus.publish, filtering)
        self._guests = Guests(config.auth, keys.secret)
        self._services = services = Services(
            access_control=gate,
            connections=self._connections,
            counselling=self._counselling,
            notifications=notifications,
            sessions=Sessions(store, notifications, self._counselling, found, gate, plugins),
            local_conversations=self._local_conversations,
            support=support,
            support_history=SupportHistory(store, support, gate, plugins),
            guests=self._guests,
            staff=self._accounts,
            status_aggregator=self._status_aggregator,
            metrics=self.metrics,
            frames=CounsellingEncoders(config.server.language, times, config.counselling.legacy_system_key),
            times=times,
            limits=config.limits,
            support_settings=config.support,
            language=config.server.language,
        )
        plugin_routes = plugin_registration.collect_routes(plugins, self._contexts)
        return ChatApplication(config, services, self._readiness, self._more_pages, plugin_routes)

    async def start(self) -> None:
        """Rebuild what was going on before the restart, then let people in."""
        status_file.write(self._config.state_dir, status_file.STARTING)
        try:
            plugin_registration.create_tables(self._plugins, self._database, self._config.storage.url)
            await self._cluster_mode.join()
            await self._plugins.start(self._contexts)
            await self._plugin_event_feed.start()
        except ChatError as error:
            raise StartError(f"the database cannot be used: {error.__cause__}") from error
        except (PluginError, DatabaseOpenError) as error:
            raise StartError(str(error)) from error
        self._hub.start_sweeping()
        self._accounts.start()
        self._history.start()
        await self._status_aggregator.start()
        try:
            sockets, self.url = open_listen_sockets(self._config.server, self._passed_sockets)
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
        await self._http.wait_for_requests(LATE_REQUEST_SECONDS)
        await self._retention.stop()
        self._counselling.stop()
        self._local_conversations.stop()
        self._cluster_mode.stop_deciding()
        await self._filtering.finish(FILTER_TIMEOUT_SECONDS)
        try:
            await self._store.write(lambda tx: None)  # everything before it is committed and told
        except ChatError as error:
            log.error("the last messages could not be stored: %s", error)
        await self._connections.drain(self._config.server.drain_seconds)
        deadline = self._loop.time() + CLOSE_TIMEOUT_SECONDS
        while len(self._connections) and self._loop.time() < deadline:  # noqa: ASYNC110 - it is a count
            await asyncio.sleep(0.02)
        await self._http.close_all_connections()
        self._hub.stop_sweeping()
        await self._accounts.stop()
        self._history.stop()
        await self._status_aggregator.stop()
        await self._plugin_event_feed.stop()
        for context in self._contexts.values():
            await context.stop()
        await self._plugins.stop()
        await self._receipts.flush()
        await self._cluster_mode.leave()
        await self._loop.run_in_executor(None, self._store.close)
        status_file.remove(self._config.state_dir)
        log.info("stopped")

    async def reload(self, config: Config) -> ConfigChange:
        """Take over what ``config`` has for plugins, the keys anew, and every option that needs no restart.

        Sockets that are open stay so, also those of a token that would not be accepted any more.

        :raises ConfigError: plugins have mistakes in their sections, or keys cannot be used; nothing has
            changed.
        """
        change = merge_reloadable(self._config, config)
        new, before = change.config, self._access_control.authenticator
        try:
            keys = load_keys(new.auth, new.staff, new.state_dir, before)
        except ValueError as error:
            raise ConfigError([make_key_problem(error)]) from error
        plugins = await self._plugins.reload(config)
        # From here on nothing can fail.
        self._config = new
        self._access_control.reconfigure(keys.authenticator)
        self._guests.reconfigure(new.auth, keys.secret)
        self._accounts.reconfigure(new.auth, keys.account_key)
        self._hub.reconfigure(new.limits)
        self._connections.reconfigure(new.limits.connections_per_identity)
        self._counselling.reconfigure(new.counselling)
        self._room_lifecycle.reconfigure(new.counselling)
        self._local_conversations.reconfigure(new.support)
        self._dispatcher.reconfigure(new.support, plugin_registration.queue_policy(self._plugins))
        self._services.reconfigure(new.limits, new.support)
        self._http.reconfigure(new.server.trusted_proxies, new.limits.frame_bytes)
        self.application.reconfigure(new)
        return replace(change, plugins=plugins, keys=keys.authenticator.has_different_keys(before))

    @property
    def connected(self) -> int:
        """The number of sockets."""
        return len(self._connections)

    @property
    def waiting(self) -> int:
        """How many users wait for a waiter."""
        return len(self._dispatcher.queue)

    @property
    def drain_seconds(self) -> float:
        """How long ``stop`` may take to send everybody away."""
        return self._config.server.drain_seconds

    def _on_committed(self, event: Event) -> None:
        """What this process has committed: for everybody, and for the plugins of this process."""
        self._bus.publish(event)
        self._plugin_bus.publish(event)

    def _server_problem(self) -> str:
        return "about to stop" if self._connections.draining else ""

    def _on_resent(self, count: int) -> None:
        self.metrics.resent += count
