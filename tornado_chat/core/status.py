"""Response of ``GET /api/v1/status``: the status of the server at one moment, for operators and pages.

The status never contains message text. Lists hold at most ``MAX_LIST_ENTRIES`` entries; the counts beside
them cover all entries. Times are ISO 8601 texts with an offset, as everywhere in the API; ages and durations
are seconds. Ids are numbers, or texts where they have not the form of one; pages get texts.
"""

from typing import Annotated

import msgspec

from tornado_chat.core.types import DEFAULT_GROUP

Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]

MAX_LIST_ENTRIES = 100
"""The maximum number of entries of each list."""


class ParticipantStatus(msgspec.Struct, frozen=True):
    """A participant of a conversation. ``present``: at least one socket of the participant is in it."""

    role: str
    id: int | str
    present: bool
    name: str | None = None


class ConversationStatus(msgspec.Struct, frozen=True):
    """A counselling session, a supervision record or a support conversation that has not ended.

    :arg kind: session, record or conversation.
    :arg group: the group of a conversation; empty for sessions and records.
    :arg id: as in the log: ``session=4``.
    :arg state: ready or active; waiting or active for conversations.
    :arg since: the time at which this state began.
    """

    kind: str
    id: int | str
    state: str
    since: Time
    seconds: float
    people: list[ParticipantStatus]
    group: str = ""


class ConversationSummary(msgspec.Struct, frozen=True):
    """The number of rooms or conversations by state, and the oldest of them."""

    states: dict[str, int]
    items: list[ConversationStatus]


class QueuedUserStatus(msgspec.Struct, frozen=True):
    """A user in the queue."""

    conversation: int | str
    id: int | str
    since: Time
    seconds: float
    name: str | None = None
    group: str = DEFAULT_GROUP


class QueueOverview(msgspec.Struct, frozen=True):
    """The users that wait for a waiter. ``first`` is in the order of the queue, the next user first."""

    length: int
    longest_wait: float
    first: list[QueuedUserStatus]


class GroupStatus(msgspec.Struct, frozen=True):
    """A group of agents with its queue, as ``[group:NAME]`` configures it.

    :arg waiting: users in the queue of the group.
    :arg longest_wait: of these users, in seconds.
    :arg serving: agents that serve the group, free or not.
    :arg free: agents that could take a user of the group now.
    :arg conversations: users of the group that have an agent.
    :arg expected_wait: the seconds that a user who joins now is expected to wait; null while there is too
        little data, or no agent on duty.
    :arg based_on: the number of conversations that ``expected_wait`` rests on, 0 without it.
    """

    name: str
    waiting: int
    longest_wait: float
    serving: int
    free: int
    conversations: int
    expected_wait: float | None = None
    based_on: int = 0


class WaiterOverview(msgspec.Struct, frozen=True):
    """A waiter, or a consultant who serves a group.

    :arg role: waiter or consultant.
    :arg groups: the groups that it serves.
    :arg state: ready takes one more user, busy has ``capacity`` users, paused takes none,
        away has no open socket and its return is awaited.
    :arg since: the time of the last sign-in, pause, resumption or disconnection.
    """

    id: int | str
    name: str | None
    state: str
    conversations: int
    capacity: int
    since: Time
    seconds: float
    role: str = "waiter"
    groups: list[str] = []


class WaiterSummary(msgspec.Struct, frozen=True):
    """The number of waiters by state, and the list of them."""

    states: dict[str, int]
    items: list[WaiterOverview]


class DeskStatus(msgspec.Struct, frozen=True):
    """The part of the status that only the coordinator knows; the fields are those of ``Status``."""

    line: QueueOverview
    waiters: WaiterSummary
    conversations: ConversationSummary
    rooms: ConversationSummary
    groups: list[GroupStatus] = []


class MessageRates(msgspec.Struct, frozen=True):
    """Messages per second in the last minute, and the seconds within which 50 % and 99 % were delivered."""

    received: float
    delivered: float
    p50: float | None
    p99: float | None


class HistoryStatus(msgspec.Struct, frozen=True):
    """The last quarter of an hour: each list has one entry per ``step`` seconds, the oldest first.

    :arg time: the ends of the steps, in seconds since 1970.
    :arg sockets: open sockets.
    :arg line: users in the queue.
    :arg longest_wait: of the users in the queue, in seconds.
    :arg received: messages per second.
    :arg delivered: messages per second.
    :arg p50: median of the delivery time in seconds, null for a step without messages.
    :arg p99: 99th percentile of the delivery time in seconds, null for a step without messages.
    :arg lag: the longest delay of the event loop, in seconds.
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
    """A plugin and its health.

    :arg state: running or suspended.
    :arg failures: calls that raised an error or timed out.
    :arg seconds: the sum of the durations of all calls, including the time that they waited.
    :arg suspended_for: seconds until the plugin is called again.
    :arg deliveries_waiting: deliveries that wait for their next attempt.
    :arg deliveries_dead: deliveries that were given up: `tornado-chat deliveries list` shows them.
    """

    name: str
    version: str
    state: str
    calls: int
    failures: int
    seconds: float
    suspended_for: float
    deliveries_waiting: int = 0
    deliveries_dead: int = 0


class DatabaseStatus(msgspec.Struct, frozen=True):
    """The database.

    :arg kind: sqlite or mysql.
    :arg bytes: size of the database, null if it is unknown.
    :arg last_commit: null before the first commit.
    :arg backlog: pieces of work that wait for the database.
    :arg errors: failed transactions and failed queries since the start.
    """

    kind: str
    bytes: int | None
    last_commit: Time | None
    backlog: int
    errors: int


class ProcessStatus(msgspec.Struct, frozen=True):
    """A server process.

    :arg number: from 1 among the processes of this machine ([server] processes); 0: the only process.
    :arg sockets: open sockets.
    :arg descriptors: open file descriptors, null where the operating system does not report them. Each
        connection takes one.
    :arg descriptor_limit: the number of file descriptors that the process may have.
    :arg uptime: seconds.
    :arg memory: resident memory in bytes, null where the operating system does not report it.
    :arg loop_lag: the longest delay of the event loop in the last 10 to 20 seconds, in seconds.
    """

    pid: int
    version: str
    python: str
    started: Time
    uptime: float
    memory: int | None
    loop_lag: float
    number: int = 0
    sockets: int = 0
    descriptors: int | None = None
    descriptor_limit: int = 0


class Status(msgspec.Struct, frozen=True):
    """The server at one moment.

    :arg problems: the problems by component, as in ``GET /readyz``; empty if there are none.
    :arg degraded: the components in ``problems`` without which clients are still served.
    :arg sockets: open sockets by endpoint: chat, notify, observe, user, waiter.
    :arg rooms: counselling sessions and records with a participant that is present or awaited.
    :arg process: the process that answers the request.
    :arg groups: the groups of the configuration; one, ``default``, without any.
    :arg processes: all processes of this machine. A number that the processes share appears once, other
        numbers are sums over the processes, and times (p50, p99, lag) are the longest of any process.
    """

    time: Time
    problems: dict[str, str]
    sockets: dict[str, int]
    line: QueueOverview
    waiters: WaiterSummary
    conversations: ConversationSummary
    rooms: ConversationSummary
    messages: MessageRates
    history: HistoryStatus
    plugins: list[PluginStatus]
    database: DatabaseStatus
    process: ProcessStatus
    processes: list[ProcessStatus]
    degraded: list[str] = []
    groups: list[GroupStatus] = []
