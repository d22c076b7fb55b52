"""Merging the ``Status`` of several processes of a machine.

Every process asks the coordinator for the queue, the waiters and the conversations: of these, the own status
is taken. Numbers that each process knows of itself only are added up, or the worst one is taken.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from tornado_chat.core.status import DatabaseStatus, HistoryStatus, MessageRates, PluginStatus, Status

T = TypeVar("T")

SUMMED_COLUMNS = ("sockets", "line", "received", "delivered")
MAX_COLUMNS = ("longest_wait", "p50", "p99", "lag")


def merge_status(own: Status, others: Mapping[int, Status | None]) -> Status:
    """Return one status for all processes.

    :arg others: by process number; None for a process that does not answer.
    """
    answered = [each for each in others.values() if each is not None]
    statuses = [own, *answered]
    unreachable = {f"process {n}": "does not answer" for n, each in others.items() if each is None}
    return msgspec.structs.replace(
        own,
        problems={key: text for each in reversed(statuses) for key, text in each.problems.items()}
        | unreachable,
        degraded=sorted({part for each in statuses for part in each.degraded}),
        sockets={name: sum(each.sockets.get(name, 0) for each in statuses) for name in own.sockets},
        messages=MessageRates(
            sum(each.messages.received for each in statuses),
            sum(each.messages.delivered for each in statuses),
            _max_known(each.messages.p50 for each in statuses),
            _max_known(each.messages.p99 for each in statuses),
        ),
        history=_merge_history([each.history for each in statuses]),
        plugins=[_merge_plugin([mine, *_plugins_named(mine.name, answered)]) for mine in own.plugins],
        database=_merge_database([each.database for each in statuses]),
        processes=sorted((each.process for each in statuses), key=lambda process: process.number),
    )


def _max_known(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _merge_history(several: Sequence[HistoryStatus]) -> HistoryStatus:
    """Merge the histories row by row, from the newest row back, as each process has its own step times."""
    own = several[0]
    length = len(own.time)

    def column(name: str, put: Callable[[list[T]], T]) -> list[T]:
        backwards = [getattr(each, name)[::-1] for each in several]
        rows = ([values[n] for values in backwards if n < len(values)] for n in range(length))
        return [put(row) for row in rows][::-1]

    columns = {name: column(name, sum) for name in SUMMED_COLUMNS} | {
        name: column(name, _max_known) for name in MAX_COLUMNS
    }
    return msgspec.structs.replace(own, **columns)


def _plugins_named(name: str, several: Iterable[Status]) -> Iterable[PluginStatus]:
    return (plugin for each in several for plugin in each.plugins if plugin.name == name)


def _merge_plugin(several: Sequence[PluginStatus]) -> PluginStatus:
    longest = max(several, key=lambda each: each.suspended_for)
    return msgspec.structs.replace(
        several[0],
        state=longest.state,
        calls=sum(each.calls for each in several),
        failures=sum(each.failures for each in several),
        seconds=round(sum(each.seconds for each in several), 3),
        suspended_for=longest.suspended_for,
    )


def _merge_database(several: Sequence[DatabaseStatus]) -> DatabaseStatus:
    return msgspec.structs.replace(
        several[0],
        last_commit=max((each.last_commit for each in several if each.last_commit), default=None),
        backlog=sum(each.backlog for each in several),
        errors=sum(each.errors for each in several),
    )
