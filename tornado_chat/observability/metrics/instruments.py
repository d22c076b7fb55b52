"""Instruments with which components count: plain numbers without locks.

Strategy: ``Counter.inc()`` of the Prometheus client takes a lock, and several of them would be needed for
each message. Therefore counting a message is an addition to an attribute here, and durations are measured per
batch of messages where possible. ``families`` converts the numbers to metrics when they are requested. Each
instrument is written by one thread only (the thread of the loop or of the writer, as its docstring says) and
may be read by any thread: a number that is one event old does no harm.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

DELIVERY_BOUNDS_SECONDS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0),
)
COMMIT_BOUNDS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_SIZE_BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
QUEUE_WAIT_BOUNDS_SECONDS = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
LOOP_LAG_BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

SMALL_BATCH_VALUES = 8
"""Batches with fewer values are observed one by one, which is as fast for them."""


class Histogram:
    """A histogram, written by one thread.

    :ivar bounds: the upper bounds of the buckets, ascending; a value that equals a bound counts below it.
    :ivar counts: the number of values in each bucket; the last bucket is for values above all bounds.
    :ivar sum: the sum of all values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def observe_since(self, starts: list[float], now: float) -> None:
        """Observe ``now - start`` for each of ``starts``; sorts ``starts``.

        This takes one search per bound, not per value: a batch of hundreds costs as much as a batch of ten.
        """
        if len(starts) < SMALL_BATCH_VALUES:
            for start in starts:
                self.observe(now - start)
            return
        starts.sort()
        counts, size, counted = self.counts, len(starts), 0
        self.sum += size * now - sum(starts)
        for index, bound in enumerate(self.bounds):
            below_bound = size - bisect_left(starts, now - bound)
            counts[index] += below_bound - counted
            counted = below_bound
            if counted == size:
                return
        counts[-1] += size - counted


def quantile(bounds: Sequence[float], counts: Sequence[int], fraction: float) -> float | None:
    """Return the value below which ``fraction`` of the values lie, interpolated within its bucket.

    Returns None without values. Values above all bounds count as the last bound.
    """
    total = sum(counts)
    if not total:
        return None
    rank, below, lower = fraction * total, 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below += count
        lower = bound
    return bounds[-1]


class LabelledCounts:
    """Counters of rare events by the values of their labels, written by one thread.

    :arg initial_labels: labels whose counters are 0 from the start. The rate of a counter that appears with
        the first event would not show this event.
    """

    __slots__ = ("counts",)

    def __init__(self, initial_labels: Iterable[tuple[str, ...]] = ()) -> None:
        self.counts: dict[tuple[str, ...], int] = dict.fromkeys(initial_labels, 0)

    def add(self, *labels: str) -> None:
        self.counts[labels] = self.counts.get(labels, 0) + 1


class EndpointMeter:
    """Counters of the sockets of one endpoint; written on the loop.

    :ivar opened: sockets that were upgraded since the start.
    :ivar open: sockets that are open now.
    :ivar frames: received frames, valid or not.
    :ivar messages: received messages that were valid and passed on to the database.
    :ivar delivered: messages or notifications written to a socket.
    """

    __slots__ = ("delivered", "dialect", "endpoint", "frames", "messages", "open", "opened")

    def __init__(self, endpoint: str = "", dialect: str = "") -> None:
        self.endpoint = endpoint
        self.dialect = dialect
        self.opened = self.open = self.frames = self.messages = self.delivered = 0


class StorageMeter:
    """Counters of the writer. Written by the writer's thread; ``delivery`` is written on the loop.

    :ivar batches: pieces of work per commit.
    :ivar commits: seconds per transaction, from its begin until it is on the disk.
    :ivar last_commit: time of the last commit in seconds since 1970; 0 before the first commit.
    :ivar refused: batches that failed.
    :ivar retries: transactions that were repeated.
    :ivar delivery: seconds from the receipt of a message's frame until the message was published after its
        commit.
    """

    __slots__ = ("batches", "commits", "delivery", "last_commit", "refused", "retries")

    def __init__(self) -> None:
        self.batches = Histogram(BATCH_SIZE_BOUNDS)
        self.commits = Histogram(COMMIT_BOUNDS_SECONDS)
        self.delivery = Histogram(DELIVERY_BOUNDS_SECONDS)
        self.last_commit = 0.0
        self.refused = self.retries = 0

    def committed(self, size: int, seconds: float, now: float) -> None:
        """Count a committed transaction.

        :arg size: number of pieces of work in it.
        :arg seconds: duration.
        :arg now: seconds since 1970.
        """
        self.batches.observe(size)
        self.commits.observe(seconds)
        self.last_commit = now


class PluginMeter:
    """Counters of the calls of one plugin's hooks; written on the loop.

    :ivar failures: calls that raised an error or timed out.
    :ivar seconds: the sum of the durations of all calls, including the time that they waited.
    :ivar suspended: True while the plugin is not called because it kept failing.
    :ivar problem: True while the plugin reports a problem.
    """

    __slots__ = ("calls", "failures", "problem", "seconds", "suspended")

    def __init__(self) -> None:
        self.calls = self.failures = 0
        self.suspended = self.problem = False
        self.seconds = 0.0
