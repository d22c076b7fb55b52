"""The instruments as metrics: names, units, labels, and what each is good for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
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

from tornado_chat.observability.metrics.instruments import (
    EndpointMeter,
    Histogram,
    LabelledCounts,
    PluginMeter,
    StorageMeter,
)

LabelledValues = Iterable[tuple[tuple[str, ...], float]]


class Gauges(msgspec.Struct, frozen=True):
    """How things are now. The defaults are those of a server in which nobody is.

    :arg longest_wait: seconds.
    :arg waiters: by state: ready, busy, paused, away.
    :arg conversations: of support, by state.
    :arg rooms: of counselling that somebody is in, by kind and state.
    :arg receipts: sockets that owe one.
    :arg database_bytes: None if it is not known.
    :arg ready: by part of the server, whether it lets people be served.
    """

    line: int = 0
    longest_wait: float = 0.0
    waiters: Mapping[str, int] = {}
    conversations: Mapping[str, int] = {}
    rooms: Mapping[tuple[str, str], int] = {}
    receipts: int = 0
    backlog: int = 0
    database_bytes: int | None = None
    ready: Mapping[str, bool] = {}


class InstrumentSource(Protocol):
    """What the families are made of: ``Metrics``, which says what each is."""

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
    plugin_failures: LabelledCounts
    plugin_skipped: LabelledCounts

    @property
    def gauges(self) -> Callable[[], Gauges]: ...


def families(source: InstrumentSource) -> Iterator[Metric]:
    """All metrics, in the order in which they are shown."""
    gauges = source.gauges()
    yield from _sockets(source)
    yield from _messages(source, gauges)
    yield from _queue(source, gauges)
    yield from _storage(source, gauges)
    yield from _plugins(source)
    yield _gauge(
        "tornado_chat_ready",
        "1 for each part that lets people be served (database, server, bus), 0 for one that does not: "
        "GET /readyz has the reason.",
        ("part",),
        [((part,), float(ready)) for part, ready in gauges.ready.items()],
    )
    yield _histogram(
        "tornado_chat_loop_lag_seconds",
        "How late a timer of the event loop was, four times a second: everybody waited for so long. "
        "Above 0.1 the machine is busy, or a plugin holds up the loop.",
        source.loop_lag,
    )
    build = InfoMetricFamily("tornado_chat_build", "The version that runs, and on which Python.")
    build.add_metric((), {"version": version("tornado_chat"), "python": python_version()})
    yield build


def _sockets(source: InstrumentSource) -> Iterator[Metric]:
    endpoint_meters = source.endpoint_meters.values()
    yield _gauge(
        "tornado_chat_sockets",
        "WebSockets that are open. Each takes a file descriptor: compare with process_max_fds.",
        ("endpoint",),
        [((each.endpoint,), each.open) for each in endpoint_meters],
    )
    yield _counter(
        "tornado_chat_sockets_opened",
        "WebSockets that were ever opened. A rate far above that of visitors: clients reconnect in a circle, "
        "see tornado_chat_sockets_refused_total and _closed_total.",
        ("endpoint",),
        [((each.endpoint,), each.opened) for each in endpoint_meters],
    )
    yield _counter(
        "tornado_chat_frames_received",
        "Frames from clients, whatever was in them.",
        ("endpoint",),
        [((each.endpoint,), each.frames) for each in endpoint_meters],
    )
    yield _counter(
        "tornado_chat_frames_refused",
        "Frames on open sockets that were answered by an error, by reason. Many bad_shape or not_json "
        "after a release of a front end: it does not speak the protocol.",
        ("endpoint", "reason"),
        source.frames_refused.counts.items(),
    )
    yield _counter(
        "tornado_chat_sockets_refused",
        "Sockets that were not let in, by reason. token_expired: the host's tokens are too short-lived or "
        "clocks differ; token_invalid in numbers: wrong secret, or somebody is trying; origin: see [web] origins.",
        ("endpoint", "reason"),
        source.refused.counts.items(),
    )
    yield _counter(
        "tornado_chat_sockets_dropped",
        "Sockets that the server closed because of their peer: slow, silent, too_fast, too_big, "
        "too_many_errors. They miss nothing when they return. Many slow or silent: look at the network; "
        "too_fast: one client, or [limits] is too tight.",
        ("endpoint", "reason"),
        source.dropped.counts.items(),
    )
    yield _counter(
        "tornado_chat_sockets_closed",
        "Sockets that closed, by close code: 1001 is a page that was left, 1005 one without a code, "
        "1006 a network that failed. Many 1006 at once: look at the proxy and its timeouts.",
        ("endpoint", "code"),
        source.closed.counts.items(),
    )


def _messages(source: InstrumentSource, gauges: Gauges) -> Iterator[Metric]:
    endpoint_meters = source.endpoint_meters.values()
    dialects = sorted({each.dialect for each in endpoint_meters})
    talking = [each for each in endpoint_meters if each.endpoint != "notify"]
    yield _counter(
        "tornado_chat_messages_received",
        "Messages from clients that were valid, and went on to the database.",
        ("dialect",),
        [((name,), sum(each.messages for each in talking if each.dialect == name)) for name in dialects],
    )
    yield _counter(
        "tornado_chat_messages_delivered",
        "Messages written to sockets, once for each recipient's socket, resent ones included.",
        ("dialect",),
        [((name,), sum(each.delivered for each in talking if each.dialect == name)) for name in dialects],
    )
    yield _counter(
        "tornado_chat_notifications_delivered",
        "Notifications written to sockets of /notify.",
        (),
        [((), sum(each.delivered for each in endpoint_meters if each.endpoint == "notify"))],
    )
    yield _counter(
        "tornado_chat_messages_resent",
        "Messages and notifications that were read back for somebody who had been away. Much more than usual: "
        "connections break often.",
        (),
        [((), source.resent)],
    )
    yield _histogram(
        "tornado_chat_delivery_seconds",
        "From the receipt of a message until it is written to the sockets of everybody who is there: filters, "
        "storing and fan-out. If it grows, look at tornado_chat_commit_seconds, then at tornado_chat_loop_lag_seconds.",
        source.storage.delivery,
    )
    yield _gauge(
        "tornado_chat_receipts_outstanding",
        "Sockets that were sent something and have not proved its arrival yet. Growing without end: "
        "peers are gone and the network does not say so; they are dropped after [limits] ping_timeout.",
        (),
        [((), gauges.receipts)],
    )


def _queue(source: InstrumentSource, gauges: Gauges) -> Iterator[Metric]:
    yield _gauge("tornado_chat_queue_length", "Users who wait for a waiter.", (), [((), gauges.line)])
    yield _gauge(
        "tornado_chat_queue_longest_wait_seconds",
        "How long the one who waits longest has been waiting; 0 if nobody does.",
        (),
        [((), gauges.longest_wait)],
    )
    yield _histogram(
        "tornado_chat_queue_wait_seconds",
        "How long users waited, of those who got a waiter.",
        source.queue_wait,
    )
    yield _gauge(
        "tornado_chat_waiters",
        "Waiters: ready takes one more user, busy has as many as [support] capacity, paused takes none, "
        "away has no socket open and may come back.",
        ("state",),
        [((state,), count) for state, count in gauges.waiters.items()],
    )
    yield _gauge(
        "tornado_chat_conversations",
        "Support conversations that are not over: waiting, active.",
        ("state",),
        [((state,), count) for state, count in gauges.conversations.items()],
    )
    yield _gauge(
        "tornado_chat_rooms",
        "Counselling sessions and records that somebody is in, or is awaited in: ready, active.",
        ("kind", "state"),
        [(labels, count) for labels, count in gauges.rooms.items()],
    )


def _storage(source: InstrumentSource, gauges: Gauges) -> Iterator[Metric]:
    storage = source.storage
    yield _histogram(
        "tornado_chat_commit_batch_size",
        "Pieces of work per transaction. Large ones are how the server keeps up; near 2000, it does not.",
        storage.batches,
    )
    yield _histogram(
        "tornado_chat_commit_seconds",
        "Seconds per transaction, until it is on the disk. Slow: another program uses the disk, or it is failing.",
        storage.commits,
    )
    yield _gauge(
        "tornado_chat_writer_backlog",
        "Pieces of work that wait for the database. Growing: it does not keep up; at 20000 senders are refused.",
        (),
        [((), gauges.backlog)],
    )
    yield _gauge(
        "tornado_chat_last_commit_timestamp_seconds",
        "When the last transaction was committed, in seconds since 1970; 0 before the first.",
        (),
        [((), storage.last_commit)],
    )
    yield _counter(
        "tornado_chat_database_errors",
        "Transactions (write) that the database did not take, and queries (read) that it did not answer; "
        "whoever waited was told. Any: is the disk full? The log has what the database says.",
        ("operation",),
        [(("write",), storage.refused), (("read",), source.read_errors)],
    )
    yield _counter(
        "tornado_chat_database_retries",
        "Transactions that were tried again, one piece of work at a time or on a new connection.",
        (),
        [((), storage.retries)],
    )
    yield _gauge(
        "tornado_chat_database_size_bytes",
        "Size of the SQLite database with its log; absent for other databases.",
        (),
        [] if gauges.database_bytes is None else [((), gauges.database_bytes)],
    )


def _plugins(source: InstrumentSource) -> Iterator[Metric]:
    plugins = source.plugins
    yield _counter(
        "tornado_chat_plugin_calls",
        "Calls of a plugin's hooks, the failed ones included.",
        ("plugin",),
        [((name,), each.calls) for name, each in plugins.items()],
    )
    yield _counter(
        "tornado_chat_plugin_seconds",
        "Seconds that a plugin's calls took, waiting included. Divided by the calls: what it adds to a message.",
        ("plugin",),
        [((name,), each.seconds) for name, each in plugins.items()],
    )
    yield _counter(
        "tornado_chat_plugin_failures",
        "Calls of a plugin's hook that raised (error), did not answer in time (timeout) or held up "
        "everybody (slow). The log has the first of each kind.",
        ("plugin", "hook", "kind"),
        source.plugin_failures.counts.items(),
    )
    yield _counter(
        "tornado_chat_plugin_skipped",
        "Events that a plugin did not get: it was suspended, or its queue was full.",
        ("plugin", "hook"),
        source.plugin_skipped.counts.items(),
    )
    yield _gauge(
        "tornado_chat_plugin_suspended",
        "1 while a plugin is not called because it kept failing: see tornado_chat_plugin_failures_total "
        "and the log; mend it or disable it, then restart.",
        ("plugin",),
        [((name,), float(each.suspended)) for name, each in plugins.items()],
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
