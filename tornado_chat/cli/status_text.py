"""Formatting of a ``Status`` for a terminal."""

from collections.abc import Iterator, Mapping, Sequence

import click

from tornado_chat.cli import formatting
from tornado_chat.cli.formatting import pad, width_of
from tornado_chat.core.plain_text import escape_controls
from tornado_chat.core.status import ConversationStatus, PluginStatus, ProcessStatus, Status

MAX_ROWS = 10
"""The rows of a table; the number of further rows is printed below it."""

BARS = "▁▂▃▄▅▆▇█"
LABEL_COLUMNS = 14
STATE_COLOURS = {
    "ready": "green",
    "busy": "yellow",
    "paused": "yellow",
    "away": "red",
    "waiting": "yellow",
    "suspended": "red",
}


def lines(status: Status, address: str) -> Iterator[str]:
    """Yield the lines of a status. :arg address: the address of the server."""
    yield from _head(status, address)
    yield ""
    yield from _summary(status)
    yield from _history(status)
    yield from _tables(status)


def _head(status: Status, address: str) -> Iterator[str]:
    process = status.process
    if not status.problems:
        state = click.style("serving", "green", bold=True)
    elif set(status.problems) <= set(status.degraded):
        state = click.style("serving, degraded", "yellow", bold=True)
    else:
        state = click.style("not serving", "red", bold=True)
    count = len(status.processes)
    processes = f"{count} processes" if count > 1 else f"process {process.pid}"
    yield (
        f"{state}  tornado-chat {process.version} at {address}, {processes}, "
        f"up {duration(max(each.uptime for each in status.processes))}"
    )
    for part, problem in status.problems.items():
        yield click.style(f"  {part}: {escape_controls(problem)}", "red")


def _summary(status: Status) -> Iterator[str]:
    messages, database, process = status.messages, status.database, status.process
    yield _row("sockets", _counts(status.sockets))
    rates = f"{messages.received:.1f} in  {messages.delivered:.1f} out per second"
    if messages.p50 is not None and messages.p99 is not None:
        rates += f"  delivered in {_short_duration(messages.p50)} (99 %: {_short_duration(messages.p99)})"
    yield _row("messages", rates)
    waiting = f"{status.line.length} waiting"
    if status.line.length:
        waiting += f"  the longest for {duration(status.line.longest_wait)}"
        waiting = click.style(waiting, "yellow" if status.waiters.states.get("ready") else "red")
    yield _row("queue", waiting)
    yield _row("waiters", _counts(status.waiters.states))
    yield _row("conversations", _counts(status.conversations.states))
    yield _row("rooms", _counts(status.rooms.states))
    file_size = "" if database.bytes is None else f"  {formatting.size(database.bytes)}"
    errors = click.style(f"errors {database.errors}", "red") if database.errors else "errors 0"
    last = f"  last commit {database.last_commit[11:19]}" if database.last_commit else ""
    yield _row("database", f"{database.kind}{file_size}  backlog {database.backlog}  {errors}{last}")
    for plugin in status.plugins:
        if plugin.deliveries_waiting or plugin.deliveries_dead:
            yield _row("deliveries", _deliveries(plugin))
    if len(status.processes) > 1:  # the table of processes shows it
        return
    memory = "" if process.memory is None else f"memory {formatting.size(process.memory)}  "
    yield _row(
        "process",
        f"{memory}loop lag {_short_duration(process.loop_lag)}  descriptors {_descriptors(process)}  "
        f"Python {process.python}",
    )


def _history(status: Status) -> Iterator[str]:
    history = status.history
    if not history.time:
        return
    minutes = len(history.time) * history.step / 60
    yield ""
    yield click.style(f"the last {minutes:.0f} min" if minutes >= 1 else "the first minute", bold=True)
    yield _row("messages/s", _bars(history.received), f"up to {max(history.received):.1f}")
    p99 = [value or 0.0 for value in history.p99]
    yield _row("delivery 99 %", _bars(p99), f"up to {_short_duration(max(p99))}")
    yield _row("queue", _bars(history.line), f"up to {max(history.line)}")
    yield _row("sockets", _bars(history.sockets), f"up to {max(history.sockets)}")


def _tables(status: Status) -> Iterator[str]:
    if len(status.processes) > 1:
        yield from _table(
            ("process", "pid", "sockets", "memory", "loop lag", "descriptors", "up"),
            [
                (
                    str(each.number),
                    str(each.pid),
                    str(each.sockets),
                    "" if each.memory is None else formatting.size(each.memory),
                    _short_duration(each.loop_lag),
                    _descriptors(each),
                    duration(each.uptime),
                )
                for each in status.processes
            ],
            len(status.processes),
        )
    yield from _table(
        ("waiter", "name", "state", "users", "for"),
        [
            (
                str(each.id),
                each.name or "",
                each.state,
                f"{each.conversations}/{each.capacity}",
                duration(each.seconds),
            )
            for each in status.waiters.items
        ],
        sum(status.waiters.states.values()),
    )
    yield from _table(
        ("in queue", "user", "waiting for", "group"),
        [
            (str(each.conversation), str(each.id), duration(each.seconds), each.group)
            for each in status.line.first
        ],
        status.line.length,
    )
    if len(status.groups) > 1:
        yield from _table(
            ("group", "waiting", "longest", "expected", "serving", "free", "conversations"),
            [
                (
                    each.name,
                    str(each.waiting),
                    duration(each.longest_wait),
                    "-" if each.expected_wait is None else duration(each.expected_wait),
                    str(each.serving),
                    str(each.free),
                    str(each.conversations),
                )
                for each in status.groups
            ],
            len(status.groups),
        )
    for name, group in (("conversation", status.conversations), ("room", status.rooms)):
        yield from _table(
            (name, "state", "for", "people"),
            [
                (_conversation_name(each), each.state, duration(each.seconds), _people(each))
                for each in group.items
                if each.state != "waiting"
            ],
            sum(n for state, n in group.states.items() if state != "waiting"),
        )
    yield from _table(
        ("plugin", "version", "state", "calls", "failures", "ms/call"),
        [
            (
                each.name,
                each.version,
                each.state + (f" for {duration(each.suspended_for)}" if each.suspended_for else ""),
                str(each.calls),
                str(each.failures),
                f"{1000 * each.seconds / each.calls:.2f}" if each.calls else "",
            )
            for each in status.plugins
        ],
        len(status.plugins),
    )


def _deliveries(plugin: PluginStatus) -> str:
    text = f"{plugin.name}: {plugin.deliveries_waiting} waiting"
    if plugin.deliveries_dead:
        text += "  " + click.style(f"{plugin.deliveries_dead} given up: tornado-chat deliveries list", "red")
    return text


def _descriptors(process: ProcessStatus) -> str:
    """Return the open file descriptors and their limit, as in ``45 of 1024``."""
    return "" if process.descriptors is None else f"{process.descriptors} of {process.descriptor_limit}"


def _conversation_name(conversation: ConversationStatus) -> str:
    return (
        str(conversation.id)
        if conversation.kind == "conversation"
        else f"{conversation.kind} {conversation.id}"
    )


def _people(conversation: ConversationStatus) -> str:
    return ", ".join(
        f"{each.role} {each.id}" + ("" if each.present else " (away)") for each in conversation.people
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> Iterator[str]:
    """Yield a table with aligned columns; nothing if it has no rows. :arg total: the rows that exist."""
    if not rows:
        return
    cells = [[escape_controls(cell) for cell in row] for row in rows[:MAX_ROWS]]
    # The last column is not padded, so that lines copied from a terminal have no trailing blanks.
    widths = [*(max(width_of(row[n]) for row in (head, *cells)) for n in range(len(head) - 1)), 0]
    yield ""
    yield click.style("  ".join(map(pad, head, widths)), bold=True)
    for row in cells:
        yield "  ".join(_coloured(pad(cell, width), cell) for cell, width in zip(row, widths, strict=True))
    if total > len(cells):
        yield f"… and {total - len(cells)} more"


def _coloured(text: str, cell: str) -> str:
    colour = STATE_COLOURS.get(cell.partition(" ")[0])
    return click.style(text, colour) if colour else text


def _row(label: str, *values: str) -> str:
    return "  ".join((f"{label:<{LABEL_COLUMNS}}", *values))


def _counts(counts: Mapping[str, int]) -> str:
    return "  ".join(f"{name} {count}" for name, count in counts.items())


def _bars(values: Sequence[float]) -> str:
    maximum = max(values)
    return "".join(BARS[round(value / maximum * (len(BARS) - 1)) if maximum else 0] for value in values)


def duration(seconds: float) -> str:
    """Format a duration, as in ``4 s``, ``2 min 10 s``, ``3 h 5 min`` and ``2 d 4 h``."""
    whole = int(seconds)
    for unit, unit_seconds, smaller_unit, smaller_seconds in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= unit_seconds:
            rest = whole % unit_seconds // smaller_seconds
            return f"{whole // unit_seconds} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def _short_duration(seconds: float) -> str:
    if seconds < 1:
        ms = 1000 * seconds
        return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
    return f"{seconds:.1f} s"
