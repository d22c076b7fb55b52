"""Conversion of the instruments to Prometheus metrics: names, units, labels and help texts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from platform import python_version
from typing import Protocol

import msgspec
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from tornado_chat.core.status import GroupStatus
from tornado_chat.observability.metrics.instruments import (
    EndpointMeter,
    Histogram,
    LabelledCounts,
    PluginMeter,
    StorageMeter,
)

LabelledValues = Iterable[tuple[tuple[str, ...], float]]


class Gauges(msgspec.Struct, frozen=True):
    """The present state of the server. The defaults are those of a server without connections.

    :arg queue_length: users in the queue.
    :arg longest_wait: of the users in the queue, in seconds.
    :arg groups: the groups of the configuration, with their users and agents.
    :arg waiters: by state: ready, busy, paused, away.
    :arg conversations: support conversations, by state.
    :arg rooms: counselling rooms with a participant that is present or awaited, by kind and state.
    :arg receipts: sockets whose receipt is outstanding.
    :arg backlog: pieces of work that wait for the database.
    :arg database_bytes: None if it is unknown.
    :arg ready: by component of the server: True if the component is ready to serve.
    :arg degraded: by component without which clients can still be served: True if it fails.
    :arg anonymous_connections: connections whose client has no identity yet.
    :arg connection_room: connections that can be accepted before descriptors run out; None if it is unknown.
    :arg deliveries: deliveries of plugins, by plugin and state: waiting, dead.
    """

    queue_length: int = 0
    longest_wait: float = 0.0
    groups: Sequence[GroupStatus] = ()
    waiters: Mapping[str, int] = {}
    conversations: Mapping[str, int] = {}
    rooms: Mapping[tuple[str, str], int] = {}
    receipts: int = 0
    backlog: int = 0
    database_bytes: int | None = None
    ready: Mapping[str, bool] = {}
    degraded: Mapping[str, bool] = {}
    anonymous_connections: int = 0
    connection_room: int | None = None
    deliveries: Mapping[tuple[str, str], int] = {}


class InstrumentSource(Protocol):
    """The instruments of which the families are made. ``Metrics`` describes them."""

    endpoint_meters: dict[str, EndpointMeter]
    storage: StorageMeter
    queue_wait: Histogram
    loop_lag: Histogram
    resent: int
    read_errors: int
    plugins: dict[str, PluginMeter]
    closed: LabelledCounts
    dropped: LabelledCounts
    refused: LabelledCounts
    frames_refused: LabelledCounts
    frames_ignored: LabelledCounts
    connections_aborted: LabelledCounts
    connections_refused: int
    plugin_failures: LabelledCounts
    plugin_skipped: LabelledCounts

    @property
    def gauges(self) -> Callable[[], Gauges]: ...


def families(source: InstrumentSource) -> Iterator[Metric]:
    """Yield all metrics, in the order in which they are shown."""
    gauges = source.gauges()
    yield from _sockets(source)
    yield from _connections(source, gauges)
    yield from _messages(source, gauges)
    yield from _queue(source, gauges)
    yield from _storage(source, gauges)
    yield from _plugins(source, gauges)
    yield _gauge(
        "tornado_chat_ready",
        "1 for each component that is ready to serve (database, server), 0 for a component that is not: "
        "GET /readyz has the reason.",
        ("part",),
        [((part,), float(ready)) for part, ready in gauges.ready.items()],
    )
    yield _gauge(
        "tornado_chat_degraded",
        "1 for each component that fails while clients are still served (redis), 0 for a component that "
        "works: GET /readyz answers 200 and lists it.",
        ("part",),
        [((part,), float(degraded)) for part, degraded in gauges.degraded.items()],
    )
    yield _histogram(
        "tornado_chat_loop_lag_seconds",
        "Delay of a timer of the event loop, measured four times a second: all clients waited for so long. "
        "Above 0.1 the machine is busy, or a plugin blocks the loop.",
        source.loop_lag,
    )
    build = InfoMetricFamily("tornado_chat_build", "The versions of the server and of Python.")
    build.add_metric((), {"version": version("tornado_chat"), "python": python_version()})
    yield build


def _sockets(source: InstrumentSource) -> Iterator[Metric]:
    endpoint_meters = source.endpoint_meters.values()
    yield _gauge(
        "tornado_chat_sockets",
        "Open WebSockets. Each takes a file descriptor: compare with process_max_fds.",
        ("endpoint",),
        [((each.endpoint,), each.open) for each in endpoint_meters],
    )
    yield _counter(
        "tornado_chat_sockets_opened",
        "WebSockets that were opened since the start. A rate far above that of visitors: clients reconnect "
        "again and again, see tornado_chat_sockets_refused_total and _closed_total.",
        ("endpoint",),
        [((each.endpoint,), each.opened) for each in endpoint_meters],
    )
    yield _counter(
        "tornado_chat_frames_received",
        "Frames received from clients, valid or not.",
        ("endpoint",),
        [((each.endpoint,), each.frames) for each in endpoint_meters],
    )
    yield _counter(
        "tornado_chat_frames_refused",
        "Frames on open sockets that were answered with an error, by reason. Many bad_shape or not_json "
        "after a release of a front end: the front end does not follow the protocol.",
        ("endpoint", "reason"),
        source.frames_refused.counts.items(),
    )
    yield _counter(
        "tornado_chat_frames_ignored",
        "Frames without effect and answer: heartbeats of deployed front ends, and other frames on sockets "
        "that only receive. [limits] messages_per_second limits them as all frames.",
        ("endpoint",),
        source.frames_ignored.counts.items(),
    )
    yield _counter(
        "tornado_chat_sockets_refused",
        "Sockets that were not accepted, by reason. token_expired: the tokens of the host system are too "
        "short-lived, or clocks differ; many token_invalid: wrong secret, or an attack; "
        "origin: see [web] origins.",
        ("endpoint", "reason"),
        source.refused.counts.items(),
    )
    yield _counter(
        "tornado_chat_sockets_dropped",
        "Sockets that the server closed because of their peer: slow, silent, too_fast, too_big, "
        "too_many_errors. The clients miss no message when they return. Many slow or silent: check the "
        "network; too_fast: a single client, or [limits] is too low.",
        ("endpoint", "reason"),
        source.dropped.counts.items(),
    )
    yield _counter(
        "tornado_chat_sockets_closed",
        "Sockets that closed, by close code: 1001 is a page that was left, 1005 a close without a code, "
        "1006 a failed network. Many 1006 at once: check the proxy and its timeouts.",
        ("endpoint", "code"),
        source.closed.counts.items(),
    )


def _connections(source: InstrumentSource, gauges: Gauges) -> Iterator[Metric]:
    yield _gauge(
        "tornado_chat_anonymous_connections",
        "HTTP connections and WebSockets whose client has not proved an identity yet, without those of "
        "[server] trusted_proxies and [web] ops_networks. Near [limits] anonymous_connections: an attack, or "
        "the limit is too low.",
        (),
        [((), gauges.anonymous_connections)],
    )
    yield _counter(
        "tornado_chat_connections_refused",
        "Connections and requests that were refused (503) because too many clients without an identity were "
        "connected, see [limits] anonymous_connections.",
        (),
        [((), source.connections_refused)],
    )
    yield _counter(
        "tornado_chat_connections_aborted",
        "HTTP connections that exceeded a time limit of [limits], by what the server waited for: header, "
        "body, answer (the client took none of it), idle. Many answer: clients with bad networks, or an "
        "attack.",
        ("waited_for",),
        source.connections_aborted.counts.items(),
    )
    yield _gauge(
        "tornado_chat_connection_room",
        "Connections that can be accepted before the file descriptors run out; at 0 new connections wait. "
        "Raise LimitNOFILE= of the service.",
        (),
        [] if gauges.connection_room is None else [((), gauges.connection_room)],
    )


def _messages(source: InstrumentSource, gauges: Gauges) -> Iterator[Metric]:
    endpoint_meters = source.endpoint_meters.values()
    dialects = sorted({each.dialect for each in endpoint_meters})
    message_meters = [each for each in endpoint_meters if each.endpoint != "notify"]
    yield _counter(
        "tornado_chat_messages_received",
        "Messages from clients that were valid and passed on to the database.",
        ("dialect",),
        [
            ((name,), sum(each.messages for each in message_meters if each.dialect == name))
            for name in dialects
        ],
    )
    yield _counter(
        "tornado_chat_messages_delivered",
        "Messages written to sockets, once for each socket of each recipient, including resent messages.",
        ("dialect",),
        [
            ((name,), sum(each.delivered for each in message_meters if each.dialect == name))
            for name in dialects
        ],
    )
    yield _counter(
        "tornado_chat_notifications_delivered",
        "Notifications written to sockets of /notify.",
        (),
        [((), sum(each.delivered for each in endpoint_meters if each.endpoint == "notify"))],
    )
    yield _counter(
        "tornado_chat_messages_resent",
        "Messages and notifications that were read from the database for clients that had been disconnected. "
        "Much more than usual: connections break often.",
        (),
        [((), source.resent)],
    )
    yield _histogram(
        "tornado_chat_delivery_seconds",
        "Time from the receipt of a message until it is written to the sockets of all present participants: "
        "filters, storing and fan-out. If it grows, check tornado_chat_commit_seconds, then "
        "tornado_chat_loop_lag_seconds.",
        source.storage.delivery,
    )
    yield _gauge(
        "tornado_chat_receipts_outstanding",
        "Sockets that were sent a message and have not acknowledged its arrival yet. Growing without end: "
        "peers have disappeared without a close; they are dropped after [limits] ping_timeout.",
        (),
        [((), gauges.receipts)],
    )


def _queue(source: InstrumentSource, gauges: Gauges) -> Iterator[Metric]:
    yield _gauge(
        "tornado_chat_queue_length", "Users that wait for a waiter.", (), [((), gauges.queue_length)]
    )
    yield _gauge(
        "tornado_chat_queue_longest_wait_seconds",
        "Time in the queue of the user that has waited longest; 0 if the queue is empty.",
        (),
        [((), gauges.longest_wait)],
    )
    yield _histogram(
        "tornado_chat_queue_wait_seconds",
        "Time in the queue of the users that were assigned to a waiter.",
        source.queue_wait,
    )
    yield _gauge(
        "tornado_chat_waiters",
        "Waiters: ready takes one more user, busy has as many as its capacity, paused takes none, "
        "away has no open socket and may return.",
        ("state",),
        [((state,), count) for state, count in gauges.waiters.items()],
    )
    yield _gauge(
        "tornado_chat_group_waiting",
        "Users that wait in the queue of each [group:NAME]; without groups all are in the group default.",
        ("group",),
        [((each.name,), each.waiting) for each in gauges.groups],
    )
    yield _gauge(
        "tornado_chat_group_longest_wait_seconds",
        "Time in the queue of the user of each group that has waited longest; 0 if the queue is empty.",
        ("group",),
        [((each.name,), each.longest_wait) for each in gauges.groups],
    )
    yield _gauge(
        "tornado_chat_group_agents",
        "Agents of each group: serving serves the group, free or not; free could take one of its users now. "
        "0 serving while users wait: no agent of the group is on duty.",
        ("group", "state"),
        [
            ((each.name, state), count)
            for each in gauges.groups
            for state, count in (("serving", each.serving), ("free", each.free))
        ],
    )
    yield _gauge(
        "tornado_chat_conversations",
        "Support conversations that have not ended: waiting, active.",
        ("state",),
        [((state,), count) for state, count in gauges.conversations.items()],
    )
    yield _gauge(
        "tornado_chat_rooms",
        "Counselling sessions and records with a participant that is present or awaited: ready, active.",
        ("kind", "state"),
        [(labels, count) for labels, count in gauges.rooms.items()],
    )


def _storage(source: InstrumentSource, gauges: Gauges) -> Iterator[Metric]:
    storage = source.storage
    yield _histogram(
        "tornado_chat_commit_batch_size",
        "Pieces of work per transaction. They grow with the load; near 2000, the database is too slow.",
        storage.batches,
    )
    yield _histogram(
        "tornado_chat_commit_seconds",
        "Seconds per transaction, until it is on the disk. Slow: another program uses the disk, or the disk "
        "is failing.",
        storage.commits,
    )
    yield _gauge(
        "tornado_chat_writer_backlog",
        "Pieces of work that wait for the database. Growing: the database is too slow; at 20000, senders are "
        "refused.",
        (),
        [((), gauges.backlog)],
    )
    yield _gauge(
        "tornado_chat_last_commit_timestamp_seconds",
        "Time of the last commit, in seconds since 1970; 0 before the first commit.",
        (),
        [((), storage.last_commit)],
    )
    yield _counter(
        "tornado_chat_database_errors",
        "Failed transactions (write) and failed queries (read); the clients that waited got an error. Any: "
        "check whether the disk is full. The log has the error of the database.",
        ("operation",),
        [(("write",), storage.refused), (("read",), source.read_errors)],
    )
    yield _counter(
        "tornado_chat_database_retries",
        "Transactions that were repeated, one piece of work at a time or on a new connection.",
        (),
        [((), storage.retries)],
    )
    yield _gauge(
        "tornado_chat_database_size_bytes",
        "Size of the SQLite database with its log; absent for other databases.",
        (),
        [] if gauges.database_bytes is None else [((), gauges.database_bytes)],
    )


def _plugins(source: InstrumentSource, gauges: Gauges) -> Iterator[Metric]:
    plugins = source.plugins
    yield _counter(
        "tornado_chat_plugin_calls",
        "Calls of a plugin's hooks, including failed calls.",
        ("plugin",),
        [((name,), each.calls) for name, each in plugins.items()],
    )
    yield _counter(
        "tornado_chat_plugin_seconds",
        "Duration of a plugin's calls in seconds, including the time that they waited. Divided by the number "
        "of calls: the delay that the plugin adds to a message.",
        ("plugin",),
        [((name,), each.seconds) for name, each in plugins.items()],
    )
    yield _counter(
        "tornado_chat_plugin_failures",
        "Calls of a plugin's hook that raised an error (error), timed out (timeout) or blocked the event "
        "loop (slow). The log has the first of each kind.",
        ("plugin", "hook", "kind"),
        source.plugin_failures.counts.items(),
    )
    yield _counter(
        "tornado_chat_plugin_skipped",
        "Events that a plugin did not receive, because it was suspended or its queue was full.",
        ("plugin", "hook"),
        source.plugin_skipped.counts.items(),
    )
    yield _gauge(
        "tornado_chat_plugin_suspended",
        "1 while a plugin gets no events, and its queue policy is not asked, because it kept failing: see "
        "tornado_chat_plugin_failures_total and the log; repair or disable the plugin, then restart.",
        ("plugin",),
        [((name,), float(each.suspended)) for name, each in plugins.items()],
    )
    yield _gauge(
        "tornado_chat_plugin_problem",
        "1 while a hook of a plugin fails or blocks the event loop, or the plugin reports a lasting problem, "
        "for example a broken audit log: `tornado-chat status` and the log have its text.",
        ("plugin",),
        [((name,), float(each.problem)) for name, each in plugins.items()],
    )
    yield _gauge(
        "tornado_chat_plugin_deliveries",
        "Deliveries of a plugin to other systems, for example of notifications: waiting for the next "
        "attempt, or given up (dead). The processes share them, so each has the same number. "
        "`tornado-chat deliveries list` has the reasons.",
        ("plugin", "state"),
        gauges.deliveries.items(),
    )


def _counter(name: str, help_text: str, labels: tuple[str, ...], values: LabelledValues) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _gauge(name: str, help_text: str, labels: tuple[str, ...], values: LabelledValues) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _histogram(name: str, help_text: str, buckets: Histogram) -> Metric:
    family = HistogramMetricFamily(name, help_text)
    rows, total = [], 0
    for bound, count in zip((*buckets.bounds, float("inf")), buckets.counts, strict=True):
        total += count
        rows.append((floatToGoString(bound), total))  # type: ignore[no-untyped-call]
    family.add_metric((), rows, sum_value=buckets.sum)
    return family
