"""What components are handed to count with: plain numbers, without a lock and without a label.

Strategy: ``Counter.inc()`` of the metrics client takes a lock, and there are several of them to a message. So
what happens with every message is an addition to an attribute here, and what could be measured once per
message is measured once per batch. ``families`` turns the numbers into metrics when somebody asks. Each
instrument is written by one thread only (the loop's, or the writer's, as its docstring says), and may
be read by any: a number that is one event old does no harm.
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
"""Values that are as quick to count one by one."""


class Histogram:
    """A histogram, written by one thread.

    :ivar bounds: the upper bounds, ascending; a value that equals one counts below it.
    :ivar counts: how many values fell into each bucket; the last one is for what is above all bounds.
    :ivar sum: of all values.
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
        """Observe ``now - start`` for each of ``starts``, which is sorted by this.

        One search per bound, not per value: a batch of hundreds costs as much as one of ten.
        """
        if len(starts) < SMALL_BATCH_VALUES:
            for start in starts:
                self.observe(now - start)
            return
        starts.sort()
        counts, size, counted = self.counts, len(starts), 0
        self.sum += size * now - sum(starts)
        for index, bound in enumerate(self.bounds):
            within = size - bisect_left(starts, now - bound)
            counts[index] += within - counted
            counted = within
            if counted == size:
                return
        counts[-1] += size - counted


def quantile(bounds: Sequence[float], counts: Sequence[int], fraction: float) -> float | None:
    """The value below which ``fraction`` of the values lie, interpolated in its bucket; None without values.

    What lies above all bounds counts as the last of them.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, below, lower = fraction * total, 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= wanted:
            return lower + (bound - lower) * (wanted - below) / count
        below += count
        lower = bound
    return bounds[-1]


class LabelledCounts:
    """Rare events by the values of their labels, for one thread.

    :arg initial_labels: those that are 0 from the start: a rate does not show the first of a new kind.
    """

    __slots__ = ("counts",)

    def __init__(self, initial_labels: Iterable[tuple[str, ...]] = ()) -> None:
        self.counts: dict[tuple[str, ...], int] = dict.fromkeys(initial_labels, 0)

    def add(self, *labels: str) -> None:
        self.counts[labels] = self.counts.get(labels, 0) + 1


class EndpointMeter:
    """What happens on the sockets of one endpoint; written on the loop.

    :ivar opened: sockets that were upgraded, ever.
    :ivar open: those that are open now.
    :ivar frames: received, whatever was in them.
    :ivar messages: received, valid and on their way to the database.
    :ivar delivered: messages or notifications written to a socket.
    """

    __slots__ = ("delivered", "dialect", "endpoint", "frames", "messages", "open", "opened")

    def __init__(self, endpoint: str = "", dialect: str = "") -> None:
        self.endpoint = endpoint
        self.dialect = dialect
        self.opened = self.open = self.frames = self.messages = self.delivered = 0


class StorageMeter:
    """What the writer does. Written by its thread, ``delivery`` on the loop.

    :ivar batches: pieces of work per commit.
    :ivar commits: seconds per transaction, from its begin until it is on the disk.
    :ivar last_commit: seconds since 1970; 0 before the first one.
    :ivar refused: batches that the database did not take.
    :ivar retries: transactions that were tried again.
    :ivar delivery: seconds from the receipt of a message's frame until its commit was told to everybody.
    """

    __slots__ = ("batches", "commits", "delivery", "last_commit", "refused", "retries")

    def __init__(self) -> None:
        self.batches = Histogram(BATCH_SIZE_BOUNDS)
        self.commits = Histogram(COMMIT_BOUNDS_SECONDS)
        self.delivery = Histogram(DELIVERY_BOUNDS_SECONDS)
        self.last_commit = 0.0
        self.refused = self.retries = 0

    def committed(self, size: int, seconds: float, now: float) -> None:
        """A transaction with so many pieces of work has been committed."""
        self.batches.observe(size)
        self.commits.observe(seconds)
        self.last_commit = now


class PluginMeter:
    """The calls of one plugin's hooks; written on the loop.

    :ivar failures: of its calls: they raised, or did not answer in time.
    :ivar seconds: that its calls took, including what they waited for.
    :ivar suspended: it is not called for a while.
    """

    __slots__ = ("calls", "failures", "seconds", "suspended")

    def __init__(self) -> None:
        self.calls = self.failures = 0
        self.suspended = False
        self.seconds = 0.0
