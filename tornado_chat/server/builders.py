"""The builders of the server's parts.

Each builder takes the parts that it needs and returns the parts that it has built, so the order of the calls
in ``Server`` follows from their arguments. Only ``connect_event_handlers`` has an order of its own.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import peewee as pw

from tornado_chat.aio.clock import now_microseconds
from tornado_chat.cluster.bus import Bus, EventHandler, LocalBus
from tornado_chat.cluster.facts import CoordinatorClient
from tornado_chat.config.mysql_url import is_mysql
from tornado_chat.config.sections import Config
from tornado_chat.core.events import DuplicateMessage, Event
from tornado_chat.core.types import AgentState, Message, Notification, Person, Thread
from tornado_chat.delivery.hub import Hub
from tornado_chat.observability.metrics import Metrics
from tornado_chat.observability.metrics.history import MetricsHistory
from tornado_chat.plugins.manager import PluginManager
from tornado_chat.plugins.registration import Registrations
from tornado_chat.server import plugin_registration
from tornado_chat.server.cluster_mode import Clustered, Standalone
from tornado_chat.services.auth.access import AccessControl
from tornado_chat.services.auth.accounts import Accounts
from tornado_chat.services.auth.client_limits import ClientLimits
from tornado_chat.services.auth.connection_limits import ConnectionLimits
from tornado_chat.services.auth.guests import Guests
from tornado_chat.services.auth.keys import TokenKeys
from tornado_chat.services.auth.login_throttle import LoginThrottle
from tornado_chat.services.auth.passwords import Passwords
from tornado_chat.services.auth.plugin_tokens import PluginTokens
from tornado_chat.services.auth.refused_tokens import RefusedTokens
from tornado_chat.services.auth.revocations import Revocations
from tornado_chat.services.auth.socket_expiry import SocketExpiry
from tornado_chat.services.container import Services
from tornado_chat.services.coordinator.coordinator import Coordinator
from tornado_chat.services.coordinator.snapshot import CoordinatorSnapshot
from tornado_chat.services.counselling.room_lifecycle import RoomLifecycle
from tornado_chat.services.counselling.room_lookup import RoomLookup
from tornado_chat.services.counselling.service import Counselling
from tornado_chat.services.counselling.sessions_api import Sessions
from tornado_chat.services.handover.notices import OfferNotices
from tornado_chat.services.handover.offer_timers import OfferTimers
from tornado_chat.services.handover.offers import Offers
from tornado_chat.services.handover.steps import OfferSteps
from tornado_chat.services.housekeeping import ReplacedDatabases, Retention
from tornado_chat.services.leadership.db_lease import DatabaseLease
from tornado_chat.services.messaging.connections import Connections
from tornado_chat.services.messaging.consents import Consents
from tornado_chat.services.messaging.delivery_check import DeliveryCheck
from tornado_chat.services.messaging.event_log import EventLog
from tornado_chat.services.messaging.filtering import MessageFilter
from tornado_chat.services.messaging.notifications import Notifications
from tornado_chat.services.messaging.participant_names import ParticipantNames
from tornado_chat.services.messaging.presence import PresenceLookup
from tornado_chat.services.messaging.receipt_reports import ReceiptReports
from tornado_chat.services.messaging.receipts import ReceiptStore
from tornado_chat.services.messaging.store import Store
from tornado_chat.services.monitoring.aggregate import StatusAggregator
from tornado_chat.services.monitoring.overview import StatusReporter
from tornado_chat.services.monitoring.readiness import Readiness
from tornado_chat.services.plugin_host.actions import PluginActions
from tornado_chat.services.plugin_host.context import ContextServices, PluginContext
from tornado_chat.services.plugin_host.event_feed import PluginEventFeed
from tornado_chat.services.supervision.approval_calls import ApprovalCalls
from tornado_chat.services.supervision.approval_timers import ApprovalTimers
from tornado_chat.services.supervision.approvals import Approvals
from tornado_chat.services.supervision.observers import Observers
from tornado_chat.services.supervision.participation import Participation
from tornado_chat.services.supervision.rights import SupervisionRights
from tornado_chat.services.support.dispatcher import Dispatcher
from tornado_chat.services.support.first_words import FirstWords
from tornado_chat.services.support.group_registry import GroupRegistry
from tornado_chat.services.support.history import SupportHistory
from tornado_chat.services.support.local_conversations import LocalConversations
from tornado_chat.services.support.priorities import Priorities
from tornado_chat.services.support.repository import ConversationRepository
from tornado_chat.services.support.service import Support
from tornado_chat.storage.database import SQLITE_SCHEME
from tornado_chat.storage.sqlite_files import truncate_wal
from tornado_chat.web.application import ChatApplication
from tornado_chat.web.pages import Route
from tornado_chat.wire.counselling import CounsellingEncoders
from tornado_chat.wire.times import LocalTimes


@dataclass(frozen=True)
class Foundation:
    """The parts that exist before the services; every builder takes them.

    :ivar registrations: the results of the plugins' registration hooks.
    :ivar contexts: by plugin; ``build_plugin_host`` connects them with the services.
    :ivar process: the number of this worker, from 1; 0: the only process.
    """

    config: Config
    loop: asyncio.AbstractEventLoop
    metrics: Metrics
    plugins: PluginManager
    registrations: Registrations
    contexts: Mapping[str, PluginContext]
    cluster_mode: Standalone | Clustered
    times: LocalTimes
    process: int
    groups: GroupRegistry

    @property
    def bus(self) -> Bus:
        return self.cluster_mode.bus

    @property
    def is_clustered(self) -> bool:
        return self.cluster_mode.is_clustered


@dataclass(frozen=True)
class Storage:
    """The way to the database.

    :ivar commit_bus: carries the events that this process has committed, and no other process's.
    """

    store: Store
    receipts: ReceiptStore
    commit_bus: LocalBus


def build_storage(base: Foundation, database: pw.Database, on_went_back: Callable[[], None]) -> Storage:
    """:arg on_went_back: called once, when the database turns out to have gone back to an older copy."""
    commit_bus = LocalBus()

    def publish_committed(event: Event) -> None:
        base.bus.publish(event)
        commit_bus.publish(event)

    store = Store(
        database, publish_committed, base.loop, base.metrics, base.config.storage.patience, on_went_back
    )
    return Storage(store, ReceiptStore(store, base.loop), commit_bus)


@dataclass(frozen=True)
class Delivery:
    """The sockets of this process, and the presence of people in all processes."""

    hub: Hub
    connections: Connections
    presence: PresenceLookup
    receipt_reports: ReceiptReports
    participant_names: ParticipantNames


def build_delivery(base: Foundation, storage: Storage) -> Delivery:
    config, metrics = base.config, base.metrics

    def count_resent(count: int) -> None:
        metrics.resent += count

    def forget_thread(thread: Thread) -> None:
        base.bus.unsubscribe(thread)
        receipt_reports.forget(thread)
        participant_names.forget(thread)

    receipt_reports = ReceiptReports(
        storage.receipts,
        storage.store,
        base.bus.publish,
        followers=lambda thread: hub.followers(thread),
        deliver=lambda event, thread: hub.deliver_event(event, thread),
        is_clustered=base.is_clustered,
    )
    hub = Hub(
        base.loop,
        storage.store.items_after,
        on_receipt=receipt_reports.record,
        ping_interval=config.limits.ping_interval,
        ping_timeout=config.limits.ping_timeout,
        on_resent=count_resent,
        fetch_as_agent=storage.store.items_for_agent,
        subscribe=base.bus.subscribe if base.is_clustered else None,
        unsubscribe=forget_thread,
    )
    participant_names = ParticipantNames(storage.store, hub)
    connections = Connections(
        hub,
        config.limits.connections_per_identity,
        base.plugins,
        base.loop,
        base.bus if base.is_clustered else None,
    )
    presence = PresenceLookup(hub, base.bus)
    return Delivery(hub, connections, presence, receipt_reports, participant_names)


@dataclass(frozen=True)
class Auth:
    """Identity and rights of callers."""

    accounts: Accounts
    access_control: AccessControl
    guests: Guests
    revocations: Revocations
    socket_expiry: SocketExpiry
    connection_limits: ConnectionLimits
    client_limits: ClientLimits
    login_throttle: LoginThrottle


def build_auth(base: Foundation, storage: Storage, delivery: Delivery, keys: TokenKeys) -> Auth:
    config = base.config
    client_limits = ClientLimits(config.limits, base.loop.time)
    login_throttle = LoginThrottle(free_failures=config.limits.sign_in_failures)
    accounts = Accounts(
        config.staff,
        config.auth,
        keys.account_key,
        storage.store,
        delivery.connections,
        Passwords(),
        login_throttle,
        report_action=base.plugins.report_action,
    )
    revocations = Revocations(storage.store, delivery.connections, report_action=base.plugins.report_action)
    refused_tokens = RefusedTokens(
        lambda code, count: base.plugins.emit("token_refused", code=code, count=count), base.loop
    )
    access_control = AccessControl(
        keys.authenticator, base.plugins, accounts.require_session, revocations.check, refused_tokens.add
    )
    socket_expiry = SocketExpiry(config.auth, delivery.connections, access_control, base.loop)
    return Auth(
        accounts,
        access_control,
        Guests(config.auth, keys.secret, client_limits),
        revocations,
        socket_expiry,
        ConnectionLimits(config.limits),
        client_limits,
        login_throttle,
    )


@dataclass(frozen=True)
class Messaging:
    """Messages on their way to the writer, notifications, and the lookup of rooms."""

    filtering: MessageFilter
    notifications: Notifications
    room_lookup: RoomLookup


def build_messaging(base: Foundation, storage: Storage, delivery: Delivery) -> Messaging:
    store, plugins = storage.store, base.plugins
    return Messaging(
        MessageFilter(plugins, store.append, base.loop, base.config.limits.filter_share),
        Notifications(
            store,
            delivery.hub,
            storage.receipts,
            plugins,
            base.config.server.language,
            base.config.notifications,
        ),
        RoomLookup(store, plugins),
    )


@dataclass(frozen=True)
class Coordination:
    """The coordinator of this process, and the client of the coordinator that decides for all processes."""

    dispatcher: Dispatcher
    room_lifecycle: RoomLifecycle
    snapshot: CoordinatorSnapshot
    approval_timers: ApprovalTimers
    client: CoordinatorClient
    offer_steps: OfferSteps
    offer_timers: OfferTimers


@dataclass(frozen=True)
class Supervision:
    """The rights of supervisors, and their decisions on held messages."""

    rights: SupervisionRights
    approvals: Approvals


def build_supervision(
    base: Foundation, storage: Storage, delivery: Delivery, auth: Auth, messaging: Messaging
) -> Supervision:
    groups, language = base.groups, base.config.server.language
    rights = SupervisionRights(
        storage.store, auth.access_control, base.plugins, base.config.counselling, lambda: groups.rules
    )
    calls = ApprovalCalls(
        storage.store,
        delivery.hub,
        messaging.notifications,
        delivery.presence,
        lambda: groups.rules,
        language,
    )
    approvals = Approvals(
        storage.store,
        delivery.hub,
        base.loop,
        filtering=messaging.filtering,
        plugins=base.plugins,
        rights=rights,
        calls=calls,
        rules=groups.approval_rules,
        groups_on=groups.approval_groups,
    )
    return Supervision(rights, approvals)


def build_coordination(
    base: Foundation, storage: Storage, messaging: Messaging, supervision: Supervision
) -> Coordination:
    config, cluster_mode = base.config, base.cluster_mode
    room_lifecycle = RoomLifecycle(
        config.counselling,
        storage.store,
        base.loop,
        base.bus.publish,
        now_microseconds,
        is_certain=cluster_mode.is_certain,
        holds_lease=cluster_mode.holds_lease,
        settle_seconds=cluster_mode.settle_seconds,
    )

    def report_agent(agent: Person, state: AgentState, previous: AgentState) -> None:
        base.plugins.emit("agent_changed", agent=agent, state=state, previous=previous)

    dispatcher = Dispatcher(
        config.support,
        ConversationRepository(storage.store, base.groups.early_words),
        base.loop,
        base.bus.publish,
        plugin_registration.guard_policy(base.plugins, base.registrations.policy)[0],
        base.metrics.queue_wait,
        is_certain=cluster_mode.is_certain,
        holds_lease=cluster_mode.holds_lease,
        settle_seconds=cluster_mode.settle_seconds,
        groups=base.groups.rules,
        on_agent_changed=report_agent,
    )
    base.plugins.on_policy_switched = dispatcher.sort_again
    snapshot = CoordinatorSnapshot(dispatcher, room_lifecycle, base.times, base.loop)
    offer_steps = OfferSteps(storage.store, messaging.notifications)
    offer_timers = OfferTimers(storage.store, offer_steps, base.loop, now_microseconds)
    approval_timers = ApprovalTimers(
        storage.store,
        base.loop,
        base.groups.approval_rules,
        now_microseconds,
        supervision.approvals.report,
        holds_lease=cluster_mode.holds_lease,
    )
    coordinator = Coordinator(dispatcher, room_lifecycle, snapshot, offer_timers, approval_timers)
    client = cluster_mode.connect_coordinator(coordinator, storage.store)
    return Coordination(
        dispatcher, room_lifecycle, snapshot, approval_timers, client, offer_steps, offer_timers
    )


@dataclass(frozen=True)
class Conversations:
    """The conversations of both dialects, with the sockets that take part in them here."""

    counselling: Counselling
    sessions: Sessions
    local_conversations: LocalConversations
    support: Support
    support_history: SupportHistory
    priorities: Priorities
    first_words: FirstWords
    consents: Consents
    observers: Observers
    participation: Participation
    offers: Offers
    offer_notices: OfferNotices


def build_conversations(
    base: Foundation,
    storage: Storage,
    delivery: Delivery,
    auth: Auth,
    messaging: Messaging,
    supervision: Supervision,
    coordination: Coordination,
) -> Conversations:
    config, store, hub, receipts = base.config, storage.store, delivery.hub, storage.receipts
    consents = Consents(config.groups, store, base.plugins)
    rights = supervision.rights
    offers = Offers(
        store,
        coordination.offer_steps,
        coordination.client,
        auth.access_control,
        base.plugins,
        timeout_seconds=config.server.offer_timeout,
        is_group=lambda name: name in base.groups.rules.names,
    )
    counselling = Counselling(
        config.counselling,
        store,
        hub,
        receipts,
        base.loop,
        base.bus.publish,
        room_lookup=messaging.room_lookup,
        access_control=auth.access_control,
        filtering=messaging.filtering,
        plugins=base.plugins,
        coordinator_client=coordination.client,
        receipt_reports=delivery.receipt_reports,
        participant_names=delivery.participant_names,
        approvals=supervision.approvals,
        consents=consents,
        accept_offer=offers.accept_on_entry,
    )
    sessions = Sessions(
        store,
        messaging.notifications,
        counselling,
        messaging.room_lookup,
        auth.access_control,
        base.plugins,
        rights,
        base.groups.require_known,
    )
    observers = Observers(
        store,
        hub,
        receipts,
        base.bus.publish,
        find_view=messaging.room_lookup.view,
        rights=rights,
        rules=lambda: base.groups.rules,
        plugins=base.plugins,
        coordinator_client=coordination.client,
        participant_names=delivery.participant_names,
        filtering=messaging.filtering,
    )
    participation = Participation(store, rights, base.plugins, messaging.room_lookup.view, base.bus.publish)
    local_conversations = LocalConversations(
        config.support,
        store,
        ConversationRepository(store, base.groups.early_words),
        hub,
        receipts,
        base.loop,
        base.bus,
        auth.access_control,
        coordination.client,
        delivery.receipt_reports,
        delivery.participant_names,
        base.groups,
        supervision.approvals,
        consents,
    )
    offer_notices = OfferNotices(hub, store)
    base.cluster_mode.set_up_resync(hub, counselling, local_conversations, observers, offer_notices)
    first_words = FirstWords(config.support, base.groups, store, base.plugins, rights)
    support = Support(
        local_conversations,
        coordination.client,
        store,
        base.bus.publish,
        messaging.filtering,
        base.plugins.report_action,
        base.plugins.emit,
        supervision.approvals,
        first_words,
    )
    support_history = SupportHistory(store, support, auth.access_control, base.plugins, first_words, rights)
    return Conversations(
        counselling,
        sessions,
        local_conversations,
        support,
        support_history,
        Priorities(store, base.plugins.report_action),
        first_words,
        consents,
        observers,
        participation,
        offers,
        offer_notices,
    )


def build_retention(base: Foundation, storage: Storage) -> Retention:
    config, file = base.config, _database_file(base)
    return Retention(
        storage.store,
        base.registrations.keepers,
        config.storage.retention_days,
        base.loop,
        clock=now_microseconds,
        lease=DatabaseLease("retention", storage.store, base.loop, shared=base.is_clustered),
        empty_log=lambda: file is None or truncate_wal(file, timeout_seconds=0),
    )


def build_replaced_databases(base: Foundation) -> ReplacedDatabases:
    config = base.config.storage
    return ReplacedDatabases(_database_file(base), config.keep_replaced, base.loop, now_microseconds)


def _database_file(base: Foundation) -> Path | None:
    """Return the file of a SQLite database, or None."""
    url = base.config.storage.url
    return Path(url.removeprefix(SQLITE_SCHEME)) if url.startswith(SQLITE_SCHEME) else None


@dataclass(frozen=True)
class PluginHost:
    """The parts of the server that plugins use."""

    event_feed: PluginEventFeed
    tokens: PluginTokens


def build_plugin_host(
    base: Foundation,
    storage: Storage,
    delivery: Delivery,
    auth: Auth,
    messaging: Messaging,
    coordination: Coordination,
    conversations: Conversations,
) -> PluginHost:
    plugins, config = base.plugins, base.config
    tokens = PluginTokens(config.auth, config.state_dir, storage.store, base.registrations.keepers, base.loop)
    actions = PluginActions(
        plugins,
        storage.store,
        messaging.filtering,
        messaging.room_lookup,
        conversations.counselling,
        conversations.sessions,
        auth.access_control,
        base.groups,
        coordination.client,
        base.bus.publish,
        base.loop,
        now_microseconds,
    )
    services = ContextServices(
        storage.store,
        auth.access_control,
        messaging.room_lookup,
        messaging.notifications,
        delivery.presence,
        conversations.sessions,
        conversations.support_history,
        conversations.priorities,
        lambda name: DatabaseLease(name, storage.store, base.loop, shared=base.is_clustered),
        base.metrics,
        tokens,
        config.web,
        actions,
    )
    for context in base.contexts.values():
        context.connect(services)
    event_feed = PluginEventFeed(
        plugins, storage.store, delivery.presence, base.loop, shared=base.is_clustered
    )
    return PluginHost(event_feed, tokens)


@dataclass(frozen=True)
class Monitoring:
    """The status of the server, for people and for monitoring systems."""

    readiness: Readiness
    history: MetricsHistory
    status_aggregator: StatusAggregator


def build_monitoring(
    base: Foundation, storage: Storage, delivery: Delivery, auth: Auth, coordination: Coordination
) -> Monitoring:
    config, metrics, connections = base.config, base.metrics, delivery.connections

    def find_server_problem() -> str:
        return "about to stop" if connections.draining else ""

    readiness = Readiness(
        storage.store,
        base.loop,
        {"server": find_server_problem},
        {**base.cluster_mode.problems, **base.plugins.problems()},
    )
    history = MetricsHistory(metrics, base.loop, time.time)
    reporter = StatusReporter(
        hub=delivery.hub,
        snapshot=coordination.snapshot,
        coordinator_client=coordination.client,
        store=storage.store,
        readiness=readiness,
        anonymous_connections=auth.connection_limits.anonymous,
        plugins=base.plugins,
        metrics=metrics,
        metrics_history=history,
        times=base.times,
        database="mysql" if is_mysql(config.storage.url) else "sqlite",
        process=base.process,
    )
    metrics.gauges = reporter.gauges
    return Monitoring(readiness, history, StatusAggregator(reporter, metrics, base.process, config.state_dir))


def build_services(
    base: Foundation,
    delivery: Delivery,
    auth: Auth,
    messaging: Messaging,
    supervision: Supervision,
    conversations: Conversations,
    monitoring: Monitoring,
) -> Services:
    config = base.config
    return Services(
        access_control=auth.access_control,
        connections=delivery.connections,
        counselling=conversations.counselling,
        notifications=messaging.notifications,
        sessions=conversations.sessions,
        approvals=supervision.approvals,
        local_conversations=conversations.local_conversations,
        support=conversations.support,
        support_history=conversations.support_history,
        priorities=conversations.priorities,
        first_words=conversations.first_words,
        consents=conversations.consents,
        observers=conversations.observers,
        participation=conversations.participation,
        offers=conversations.offers,
        offer_notices=conversations.offer_notices,
        guests=auth.guests,
        client_limits=auth.client_limits,
        accounts=auth.accounts,
        revocations=auth.revocations,
        connection_limits=auth.connection_limits,
        status_aggregator=monitoring.status_aggregator,
        participant_names=delivery.participant_names,
        groups=base.groups,
        plugins=base.plugins,
        metrics=base.metrics,
        frames=CounsellingEncoders(
            config.server.language,
            base.times,
            config.counselling.legacy_system_key,
            delivery.participant_names.name_of,
        ),
        times=base.times,
        limits=config.limits,
        support_settings=config.support,
        language=config.server.language,
    )


def build_application(
    base: Foundation,
    services: Services,
    monitoring: Monitoring,
    more_pages: Sequence[Route],
) -> ChatApplication:
    return ChatApplication(base.config, services, monitoring.readiness, more_pages, base.registrations.routes)


def connect_event_handlers(
    base: Foundation,
    storage: Storage,
    delivery: Delivery,
    auth: Auth,
    messaging: Messaging,
    supervision: Supervision,
    coordination: Coordination,
    conversations: Conversations,
    plugin_host: PluginHost,
) -> None:
    """Add the handlers of both buses. A bus calls the handlers of an event in this order."""
    bus, hub = base.bus, delivery.hub

    def catch_up(event: DuplicateMessage) -> None:
        hub.catch_up_to(event.thread, event.seq)

    # A process alone delivers only what it has stored itself.
    deliver = DeliveryCheck(hub, storage.store, base.loop).deliver if base.is_clustered else hub.deliver
    bus.add_handler(cast(EventHandler, deliver), Message, Notification)
    bus.add_handler(cast(EventHandler, catch_up), DuplicateMessage)
    bus.add_handler(delivery.participant_names.on_event, *delivery.participant_names.events)
    bus.add_handler(delivery.receipt_reports.on_event, *delivery.receipt_reports.events)
    bus.add_handler(auth.revocations.on_event, *auth.revocations.events)
    bus.add_handler(messaging.notifications.on_event, *messaging.notifications.events)
    # Before the ends of rooms, which close the sockets of senders whose messages expire.
    bus.add_handler(supervision.approvals.on_event, *supervision.approvals.events)
    bus.add_handler(conversations.counselling.on_event, *conversations.counselling.events)
    # The coordinator comes before the sockets of support: a client may react to an event at once with a
    # request that the coordinator has to answer.
    bus.add_handler(coordination.room_lifecycle.on_event, *coordination.room_lifecycle.events)
    bus.add_handler(coordination.approval_timers.on_event, *coordination.approval_timers.events)
    bus.add_handler(coordination.dispatcher.on_event, *coordination.dispatcher.events)
    bus.add_handler(coordination.offer_timers.on_event, *coordination.offer_timers.events)
    bus.add_handler(conversations.local_conversations.on_event, *conversations.local_conversations.events)
    bus.add_handler(conversations.observers.on_event, *conversations.observers.events)
    bus.add_handler(conversations.offer_notices.on_event, *conversations.offer_notices.events)
    storage.commit_bus.add_handler(EventLog().on_event, *EventLog.events)
    storage.commit_bus.add_handler(plugin_host.event_feed.on_event, *plugin_host.event_feed.needed_events)
