"""What ``GET /api/v1/status`` answers: the server at one moment, for people and pages.

Nothing in it is ever what somebody said, and lists are cut at ``MAX_LIST_ENTRIES`` entries; the numbers beside them are not.
Times are local ISO 8601 texts without a zone, as everywhere in the API, ages and durations are seconds.
"""

import msgspec

MAX_LIST_ENTRIES = 100
"""Entries of each list."""


class ParticipantStatus(msgspec.Struct, frozen=True):
    """One of the people in a talk. ``present``: with at least one socket in it."""

    role: str
    id: int | str
    present: bool


class ConversationStatus(msgspec.Struct, frozen=True):
    """A counselling session, a supervision record or a support conversation that is not over.

    :arg kind: session, record or conversation.
    :arg id: as in the log: ``session=4``.
    :arg state: ready or active; of conversations waiting or active.
    :arg since: when it got into this state.
    """

    kind: str
    id: int
    state: str
    since: str
    seconds: float
    people: list[ParticipantStatus]


class ConversationSummary(msgspec.Struct, frozen=True):
    """How many there are by state, and the oldest of them."""

    states: dict[str, int]
    items: list[ConversationStatus]


class QueuedUserStatus(msgspec.Struct, frozen=True):
    """A user in the line."""

    conversation: int
    id: int | str
    since: str
    seconds: float


class QueueStatus(msgspec.Struct, frozen=True):
    """Who waits for a waiter. ``first`` is in the order of the line, the next one first."""

    length: int
    longest_wait: float
    first: list[QueuedUserStatus]


class WaiterStatus(msgspec.Struct, frozen=True):
    """A waiter.

    :arg state: ready takes one more user, busy has ``capacity`` of them, paused takes none,
        away has no socket open and is awaited.
    :arg since: when it came, paused, went on or went away.
    """

    id: int | str
    name: str | None
    state: str
    conversations: int
    capacity: int
    since: str
    seconds: float


class WaiterSummary(msgspec.Struct, frozen=True):
    """How many there are in each state, and who they are."""

    states: dict[str, int]
    items: list[WaiterStatus]


class DeskStatus(msgspec.Struct, frozen=True):
    """What is decided in one place, whatever the number of processes; the fields are those of ``Status``."""

    line: QueueStatus
    waiters: WaiterSummary
    conversations: ConversationSummary
    rooms: ConversationSummary


class MessageRates(msgspec.Struct, frozen=True):
    """The last minute: messages per second, and the seconds within which 50 and 99 % were delivered."""

    received: float
    delivered: float
    p50: float | None
    p99: float | None


class HistoryStatus(msgspec.Struct, frozen=True):
    """The last quarter of an hour, one entry per ``step`` seconds in each list, the oldest first.

    :arg time: the ends of the steps, in seconds since 1970.
    :arg sockets: open.
    :arg line: users waiting, and ``longest_wait`` of them.
    :arg received: messages per second, as ``delivered``.
    :arg p50: seconds, null for a step without messages; as ``p99``.
    :arg lag: the longest that the loop was late, in seconds.
    """

    step: float
    time: list[float]
    sockets: list[int]
    line: list[int]
    longest_wait: list[float]
    received: list[float]
    delivered: list[float]
    p50: list[float | None]
    p99: list[float | None]
    lag: list[float]


class PluginStatus(msgspec.Struct, frozen=True):
    """A plugin and how it is.

    :arg state: running or suspended.
    :arg failures: calls that raised, or did not answer in time.
    :arg seconds: that all its calls took, waiting included.
    :arg suspended_for: seconds until it is called again.
    """

    name: str
    version: str
    state: str
    calls: int
    failures: int
    seconds: float
    suspended_for: float


class DatabaseStatus(msgspec.Struct, frozen=True):
    """The database.

    :arg kind: sqlite or mysql.
    :arg bytes: its size, null if that is not known.
    :arg last_commit: null before the first one.
    :arg backlog: pieces of work that wait for it.
    :arg errors: transactions it did not take and queries it did not answer, since the start.
    """

    kind: str
    bytes: int | None
    last_commit: str | None
    backlog: int
    errors: int


class ProcessStatus(msgspec.Struct, frozen=True):
    """One process.

    :arg number: from 1, of the processes of this machine ([server] processes); 0: it is the only one.
    :arg sockets: open.
    :arg uptime: seconds.
    :arg memory: bytes resident, null where the system does not say.
    :arg loop_lag: the longest that the loop was late in the last 10 to 20 seconds, in seconds.
    """

    pid: int
    version: str
    python: str
    started: str
    uptime: float
    memory: int | None
    loop_lag: float
    number: int = 0
    sockets: int = 0


class Status(msgspec.Struct, frozen=True):
    """The server at one moment.

    :arg problems: what stands in the way of serving, by part, as ``GET /readyz`` has it; empty if nothing does.
    :arg sockets: open ones by endpoint: chat, notify, observe, user, waiter.
    :arg rooms: counselling sessions and records that somebody is in, or is awaited in.
    :arg process: the one that answers.
    :arg processes: all of this machine's. What they share is told once, other numbers are their sums, and of times
        (p50, p99, lag) the longest.
    """

    time: str
    problems: dict[str, str]
    sockets: dict[str, int]
    line: QueueStatus
    waiters: WaiterSummary
    conversations: ConversationSummary
    rooms: ConversationSummary
    messages: MessageRates
    history: HistoryStatus
    plugins: list[PluginStatus]
    database: DatabaseStatus
    process: ProcessStatus
    processes: list[ProcessStatus]
