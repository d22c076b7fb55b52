"""The composition root: it builds the parts of the server, and starts and stops them in order."""

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.aio.shared_load import SharedLoads
from tornado_chat.config.reload import ConfigChange, merge_reloadable
from tornado_chat.config.sections import Config, ConfigError
from tornado_chat.core.close_codes import RESTARTING, STARTING_AFRESH
from tornado_chat.core.errors import ChatError
from tornado_chat.core.types import Activity
from tornado_chat.domain.queue import QueuePolicy
from tornado_chat.observability.logs import fields
from tornado_chat.observability.metrics import Metrics
from tornado_chat.plugins.discovery import FoundPlugin
from tornado_chat.plugins.manager import PluginError, PluginManager
from tornado_chat.server import builders, plugin_registration, status_file
from tornado_chat.server.bootstrap import StartError, bootstrap
from tornado_chat.server.cluster_mode import Clustered, Standalone
from tornado_chat.server.listen_sockets import open_listen_sockets
from tornado_chat.server.preflight import make_key_problem
from tornado_chat.services.auth.keys import TokenKeys, load_keys
from tornado_chat.services.messaging.position_check import PositionCheck
from tornado_chat.services.plugin_host.context import PluginContext
from tornado_chat.services.support.group_registry import GroupRegistry
from tornado_chat.storage import numbers
from tornado_chat.storage.open import DatabaseOpenError
from tornado_chat.web.application import ChatApplication
from tornado_chat.web.http.accept_balancing import AcceptBalancer
from tornado_chat.web.http.accepting import Acceptor
from tornado_chat.web.http.proxy_headers import Networks, ProxyAwareServer
from tornado_chat.web.pages import Route
from tornado_chat.web.socket_handover import HandedOver, hand_over_all, suspend_all, take_over_all
from tornado_chat.wire.times import LocalTimes

log = logging.getLogger(__name__)

FILTER_TIMEOUT_SECONDS = 5.0  # seconds that messages get to pass the filters when the server stops
CLOSE_TIMEOUT_SECONDS = 2.0  # seconds that sockets get to finish the closing handshake
SETTLE_TIMEOUT_SECONDS = 1.0  # seconds for what is under way on a socket that is handed over
LATE_REQUEST_SECONDS = 0.5  # seconds that a connection accepted just before the stop gets for its request


class _Switched(NamedTuple):
    """The values that a reload replaces in all parts together."""

    config: Config
    keys: TokenKeys
    policy: QueuePolicy


class Server:
    """One server in this process. ``await start()`` … ``await stop()``, on one running loop.

    :arg passed_sockets: listening sockets that are open already; then the options host, port and unix_socket
        of ``config`` are ignored.
    :arg more_pages: routes like those of ``web.pages``.
    :arg process: the number of this worker on this machine, from 1; 0: the only process.
    :arg loads: the numbers of connections of all workers.
    :arg went_back_at: the server starts afresh because this process has noticed at this time, in microseconds
        since 1970, that the database has gone back to an older copy; 0: it does not.
    :arg handed_over: the open sockets of the program before, which ``start`` continues.
    :arg more_plugins: plugins that ``[plugins] enabled`` may name and that are in no folder, for tests.
    :ivar has_to_start_afresh: set when the database has gone back to an older copy. Then ``stop`` this server
        and start a new one: all state in memory may be ahead of the database.
    :raises StartError: the configuration or the machine does not allow the server to run.
    """

    def __init__(
        self,
        config: Config,
        passed_sockets: Sequence[socket.socket] = (),
        more_pages: Sequence[Route] = (),
        process: int = 0,
        loads: SharedLoads | None = None,
        went_back_at: int = 0,
        more_plugins: Sequence[FoundPlugin] = (),
        handed_over: Sequence[HandedOver] = (),
    ) -> None:
        self._config = config
        self._handed_over = handed_over
        self.went_back_at = 0
        self._announced_at_start = went_back_at
        self.has_to_start_afresh = asyncio.Event()
        self._process = process
        self._passed_sockets = passed_sockets
        self._more_pages = more_pages
        self._loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        started = bootstrap(config, self._loop, self.metrics, more_plugins)
        self._plugins, self._keys, self._database = started.plugins, started.keys, started.database
        self._registrations, self._contexts = started.registrations, started.contexts
        self._cluster_mode = Clustered(config.cluster, self._loop) if config.cluster.url else Standalone()
        try:
            self.application = self._build(self._keys)
        except PluginError as error:
            self._store.close()
            raise StartError(str(error)) from error
        self._http = ProxyAwareServer(
            self.application,
            trusted=Networks(config.server.trusted_proxies),
            own=Networks(config.web.ops_networks),
            anonymous=self._connection_limits.anonymous,
            limits=config.limits,
            acceptor=Acceptor(self._loop)
            if loads is None
            else AcceptBalancer(
                loads, self._loop, lambda: self._http.http_connection_count + self.connection_count
            ),
            on_aborted=lambda phase: self.metrics.connections_aborted.add(phase.value),
            on_refused=self.metrics.count_refused_connection,
        )
        self.url = ""
        self._listen_sockets: Sequence[socket.socket] = ()

    def _build(self, keys: TokenKeys) -> ChatApplication:
        """Build all parts, and keep those that are started, stopped or reloaded."""
        base = builders.Foundation(
            config=self._config,
            loop=self._loop,
            metrics=self.metrics,
            plugins=self._plugins,
            registrations=self._registrations,
            contexts=self._contexts,
            cluster_mode=self._cluster_mode,
            times=LocalTimes(self._config.server.timezone),
            process=self._process,
            groups=GroupRegistry(self._config),
        )
        self._plugins.max_text_bytes = self._config.limits.frame_bytes
        storage = builders.build_storage(base, self._database, self._on_went_back)
        self._position_check = PositionCheck(storage.store, self._loop)
        self._store, self._receipts = storage.store, storage.receipts
        delivery = builders.build_delivery(base, storage)
        auth = builders.build_auth(base, storage, delivery, keys)
        messaging = builders.build_messaging(base, storage, delivery)
        supervision = builders.build_supervision(base, storage, delivery, auth, messaging)
        coordination = builders.build_coordination(base, storage, messaging, supervision)
        conversations = builders.build_conversations(
            base, storage, delivery, auth, messaging, supervision, coordination
        )
        self._retention = builders.build_retention(base, storage)
        self._replaced_databases = builders.build_replaced_databases(base)
        plugin_host = builders.build_plugin_host(
            base, storage, delivery, auth, messaging, coordination, conversations
        )
        monitoring = builders.build_monitoring(base, storage, delivery, auth, coordination)
        self._services = builders.build_services(
            base, delivery, auth, messaging, supervision, conversations, monitoring
        )
        builders.connect_event_handlers(
            base, storage, delivery, auth, messaging, supervision, coordination, conversations, plugin_host
        )
        self._supervision_rights, self._approvals = supervision.rights, supervision.approvals
        self._groups = base.groups
        self._hub, self._connections = delivery.hub, delivery.connections
        self._accounts, self._access_control, self._guests = auth.accounts, auth.access_control, auth.guests
        self._revocations, self._socket_expiry = auth.revocations, auth.socket_expiry
        self._connection_limits = auth.connection_limits
        self._client_limits, self._login_throttle = auth.client_limits, auth.login_throttle
        self._filtering = messaging.filtering
        self._notifications = messaging.notifications
        self._dispatcher, self._room_lifecycle = coordination.dispatcher, coordination.room_lifecycle
        self._consents = conversations.consents
        self._counselling = conversations.counselling
        self._observers = conversations.observers
        self._offers = conversations.offers
        self._local_conversations = conversations.local_conversations
        self._first_words = conversations.first_words
        self._plugin_event_feed, self._plugin_tokens = plugin_host.event_feed, plugin_host.tokens
        self._readiness, self._history = monitoring.readiness, monitoring.history
        self._status_aggregator = monitoring.status_aggregator
        return builders.build_application(base, self._services, monitoring, self._more_pages)

    async def start(self) -> None:
        """Restore the state from before a restart, then accept connections.

        :raises StartError: the database, a plugin or the listening sockets cannot be used. The parts
            that have started are stopped, the plugins among them.
        """
        status_file.write(self._config.state_dir, status_file.STARTING)
        try:
            await self._start_parts()
        except BaseException:
            self._cluster_mode.stop_deciding()
            await self._stop_parts()
            raise
        status_file.write(self._config.state_dir, status_file.SERVING, self.url)
        log.info("ready", extra=fields(url=self.url, database=self._config.storage.url))

    async def _start_parts(self) -> None:
        try:
            models = self._registrations.models
            plugin_registration.create_tables(models, self._database, self._config.storage.url)
            self._cluster_mode.on_other_went_back(self._start_afresh)
            await self._revocations.start()
            await self._cluster_mode.join()
            if self._announced_at_start:
                self._cluster_mode.announce_went_back(self._announced_at_start)
            first_number = self._config.counselling.first_number
            if first_number > 1:
                await self._store.write(lambda tx: numbers.begin_at(tx, first_number))
            await self._plugin_event_feed.open()
            await self._plugins.start(self._contexts)
            self._plugin_event_feed.start()
        except ChatError as error:
            raise StartError(f"the database cannot be used: {error.__cause__}") from error
        except (PluginError, DatabaseOpenError) as error:
            raise StartError(str(error)) from error
        self._hub.start_sweeping()
        self._socket_expiry.start()
        self._accounts.start()
        self._history.start()
        await self._status_aggregator.start()
        try:
            sockets, self.url = open_listen_sockets(self._config.server, self._passed_sockets)
        except ValueError as error:
            raise StartError(str(error)) from error
        self._listen_sockets = sockets
        if self._handed_over:
            count = await take_over_all(self.application, self._handed_over)
            log.info("sockets taken over", extra=fields(sockets=count, of=len(self._handed_over)))
            self._handed_over = ()
        self._http.add_sockets(sockets)
        self._retention.start()
        self._replaced_databases.start()
        self._position_check.start()

    def _on_went_back(self) -> None:
        """The writer has noticed that the database has gone back to an older copy."""
        self.went_back_at = now_microseconds()
        self._cluster_mode.announce_went_back(self.went_back_at)
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._store.forget_positions()
        self.has_to_start_afresh.set()

    def copy_listen_sockets(self) -> list[socket.socket]:
        """Return copies of the listening sockets, which stay open after ``stop``."""
        return [each.dup() for each in self._listen_sockets]

    async def stop(self) -> None:
        """Stop accepting, finish running work, close all sockets with code 1012, close the database."""
        await self._stop_requests()
        await self._finish_work()
        await self._close_sockets(self._config.server.drain_seconds)
        await self._stop_parts()
        status_file.remove(self._config.state_dir)
        log.info("stopped")

    async def hand_over(self) -> list[HandedOver]:
        """Stop as ``stop``, but return the open sockets for the next program instead of closing them.

        Sockets that cannot be handed over are closed with code 1012.
        """
        await self._stop_requests()
        handlers = suspend_all(self._connections)
        await self._finish_work()
        handed_over = await hand_over_all(handlers, self._connections, SETTLE_TIMEOUT_SECONDS)
        log.info("sockets handed over", extra=fields(sockets=len(handed_over), of=len(handlers)))
        await self._close_sockets(0.0)
        await self._stop_parts()
        return handed_over

    async def _stop_requests(self) -> None:
        """Accept no more connections, and finish the requests that are running."""
        status_file.write(self._config.state_dir, status_file.STOPPING, self.url)
        self._connections.stop_opening()
        self._socket_expiry.stop()
        self._http.stop()
        if self.has_to_start_afresh.is_set():
            await self._cluster_mode.step_down()
        await self._http.wait_for_requests(LATE_REQUEST_SECONDS)

    async def _finish_work(self) -> None:
        """Decide nothing more, and store what clients have sent."""
        await self._retention.stop()
        await self._replaced_databases.stop()
        await self._position_check.stop()
        self._counselling.stop()
        self._observers.stop_reporting()
        self._local_conversations.stop()
        self._cluster_mode.stop_deciding()
        await self._filtering.finish(FILTER_TIMEOUT_SECONDS)
        try:
            # Returns when all earlier writes are committed and published.
            await self._store.write(lambda tx: None)
        except ChatError as error:
            log.error("the last messages could not be stored: %s", error)

    async def _close_sockets(self, drain_seconds: float) -> None:
        """Close all sockets, with code 1012, and all other connections."""
        close_reason = STARTING_AFRESH if self.has_to_start_afresh.is_set() else RESTARTING
        await self._connections.drain(drain_seconds, close_reason)
        deadline = self._loop.time() + CLOSE_TIMEOUT_SECONDS
        while len(self._connections) and self._loop.time() < deadline:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
        await self._http.close_all_connections()

    async def _stop_parts(self) -> None:
        """Stop the parts that serve no client any more, or never have. Each may have been started or not."""
        self._hub.stop_sweeping()
        await self._accounts.stop()
        await self._revocations.stop()
        self._history.stop()
        await self._status_aggregator.stop()
        await self._plugin_event_feed.stop()
        for context in self._contexts.values():
            await PluginContext.stop(context)  # not the attribute, which a plugin may have replaced
        await self._plugins.stop()
        await self._receipts.flush()
        await self._cluster_mode.leave()
        await self._loop.run_in_executor(None, self._store.close)

    async def settle(self) -> None:
        """Wait for the events of plugins and the writes that are queued now, for tests."""
        await self._plugin_event_feed.wait_until_idle()
        await self._plugins.wait_until_idle()
        await self._store.write(lambda tx: None, background=True)

    async def reload(self, config: Config) -> ConfigChange:
        """Reload the plugins' sections of ``config``, the keys, and every option that needs no restart.

        Closes the sockets of tokens whose key is not accepted any more. A plugin that fails is named in the
        result and keeps its previous settings, or the server the previous queue policy.

        Strategy: everything that can fail is prepared first, then the parts of the server are switched. If
        one fails all the same, the others are switched back, so that they never work with different values.

        :raises ConfigError: plugins have mistakes in their sections, or keys cannot be used. Nothing has
            changed then.
        """
        change = merge_reloadable(self._config, config)
        new, authenticator = change.config, self._access_control.authenticator
        try:
            keys = load_keys(new.auth, new.staff, new.state_dir, authenticator)
        except ValueError as error:
            raise ConfigError([make_key_problem(error)]) from error
        plugins = await self._plugins.reload(await self._plugins.read_settings(config))
        failed = [*plugins.failed]
        policy = self._prepare_queue_policy(failed)
        before = _Switched(self._config, self._keys, self._dispatcher.policy)
        try:
            self._switch(_Switched(new, keys, policy))
        except BaseException:
            self._switch(before)
            raise
        self._socket_expiry.sweep()
        change = replace(
            change,
            plugins=plugins.changed,
            failed_plugins=failed,
            keys=keys.authenticator.has_different_keys(authenticator),
        )
        if self._process <= 1:  # all workers of a machine reload
            self._plugins.report_action(Activity("-", "reloaded", detail=_describe_change(change)))
        return change

    def _prepare_queue_policy(self, failed: list[str]) -> QueuePolicy:
        """Return the queue policy for a reload: the present one if the new one fails.

        :arg failed: the plugin that failed is added to it.
        """
        try:
            policy, name = plugin_registration.collect_queue_policy(self._plugins)
        except PluginError as error:
            log.error("the previous queue policy stays in use: %s", error)
            failed.append(error.plugin)
            return self._dispatcher.policy
        try:
            self._dispatcher.check_policy(policy)
        except Exception:
            log.exception("the previous queue policy stays in use: the one of plugin %s failed", name)
            failed.append(name)
            return self._dispatcher.policy
        return policy

    def _switch(self, to: "_Switched") -> None:
        """Let all parts use other values. Nothing here reads a file or calls a plugin, except its policy."""
        new, keys = to.config, to.keys
        self._groups.reconfigure(new)
        self._approvals.reconfigure(self._groups.approval_groups)
        self._supervision_rights.reconfigure(new.counselling)
        self._consents.reconfigure(new.groups)
        self._dispatcher.reconfigure(new.support, to.policy, self._groups.rules)
        self._access_control.reconfigure(keys.authenticator)
        self._guests.reconfigure(new.auth, keys.secret)
        self._plugin_tokens.reconfigure(new.auth)
        self._accounts.reconfigure(new.auth, keys.account_key)
        self._socket_expiry.reconfigure(new.auth)
        self._client_limits.reconfigure(new.limits)
        self._login_throttle.reconfigure(new.limits.sign_in_failures)
        self._filtering.reconfigure(new.limits.filter_share)
        self._plugins.max_text_bytes = new.limits.frame_bytes
        self._notifications.reconfigure(new.notifications)
        self._hub.reconfigure(new.limits)
        self._connections.reconfigure(new.limits.connections_per_identity)
        self._counselling.reconfigure(new.counselling)
        self._offers.reconfigure(new.server.offer_timeout)
        self._room_lifecycle.reconfigure(new.counselling)
        self._local_conversations.reconfigure(new.support)
        self._first_words.reconfigure(new.support)
        self._services.reconfigure(new.limits, new.support)
        self._connection_limits.reconfigure(new.limits)
        self._http.reconfigure(new.server.trusted_proxies, new.web.ops_networks, new.limits)
        self.application.reconfigure(new)
        self._config, self._keys = new, keys

    def record_stray_failure(self, what: str, error: BaseException) -> bool:
        """See ``PluginManager.record_stray_failure``."""
        return self._plugins.record_stray_failure(what, error)

    @property
    def config(self) -> Config:
        """The present configuration, with the options that were reloaded."""
        return self._config

    @property
    def plugins(self) -> PluginManager:
        return self._plugins

    @property
    def connection_count(self) -> int:
        """The number of open WebSockets."""
        return len(self._connections)

    @property
    def is_full(self) -> bool:
        """Whether new connections wait because there are no file descriptors for them."""
        return self._http.is_full

    @property
    def queue_length(self) -> int:
        """The number of users who wait for a waiter."""
        return len(self._dispatcher.queue)

    @property
    def drain_seconds(self) -> float:
        """The seconds over which ``stop`` spreads the closing of the sockets."""
        return self._config.server.drain_seconds


def _describe_change(change: ConfigChange) -> str:
    """Name the options and plugins that a reload has changed."""
    names = [
        *change.options,
        *(f"plugin {name}" for name in change.plugins),
        *(["keys"] if change.keys else []),
    ]
    return ", ".join(names) or "nothing changed"
