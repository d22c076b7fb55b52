"""Deliveries of plugins: the queries of outboxes, of their limits, and of the operator's commands."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.core.deliveries import Delivery, DeliveryState, NewDelivery
from tornado_chat.core.types import Person
from tornado_chat.storage import models

MAX_ERROR_CHARS = 500

MAX_WAITING_ROWS = 10_000
"""Deliveries of one outbox that may wait; with more, the oldest ones are given up."""

MAX_DEAD_ROWS = 10_000
"""Deliveries that were given up and are kept, of all outboxes together; the oldest ones are removed."""

TOO_MANY_WAIT = f"more than {MAX_WAITING_ROWS} deliveries wait"

WAITING, DELIVERED, DEAD = (state.value for state in DeliveryState)

_table = models.PluginDelivery


class Box(NamedTuple):
    """An outbox: the name of its plugin, and its own name among those of the plugin."""

    plugin: str
    name: str


class Outcome(NamedTuple):
    """The result of attempts.

    :ivar at: the time of the next attempt if the delivery waits, else the present time.
    """

    state: DeliveryState
    at: int
    attempts: int
    error: str = ""


# Queries of an outbox


def insert(database: pw.Database, box: Box, deliveries: Sequence[NewDelivery], now: int) -> None:
    """Add deliveries that are due at once. Those whose target has the item already are left out."""
    _insert(database, box, deliveries, now, Outcome(DeliveryState.WAITING, now, 0))


def insert_attempted(
    database: pw.Database, box: Box, delivery: NewDelivery, now: int, outcome: Outcome
) -> None:
    """Add a delivery of which an attempt was made without the outbox, unless its target has the item."""
    _insert(database, box, [delivery], now, outcome)


def _insert(
    database: pw.Database, box: Box, deliveries: Sequence[NewDelivery], now: int, outcome: Outcome
) -> None:
    rows = [
        {
            "plugin": box.plugin,
            "outbox": box.name,
            "target": each.target,
            "item": each.item,
            "order_key": each.order_key,
            "shown": each.shown,
            "recipient": each.recipient.key if each.recipient is not None else "",
            "body": each.body,
            "event_id": each.event_id,
            "since": now,
            "created": now,
            **_values(outcome),
        }
        for each in deliveries
    ]
    if not rows:
        return
    _table.insert_many(rows).on_conflict_ignore().execute(database)
    waiting = _in(box) & (_table.state == WAITING)
    excess = _table.select().where(waiting).count(database) - MAX_WAITING_ROWS
    if excess > 0:
        oldest = _table.select(_table.id).where(waiting).order_by(_table.id).limit(excess)
        _table.update(state=DEAD, next_at=now, last_error=TOO_MANY_WAIT).where(
            _table.id.in_(_ids(database, oldest))
        ).execute(database)


def upcoming(
    database: pw.Database,
    box: Box,
    *,
    excluded_ids: Collection[int],
    excluded_targets: Collection[str],
    limit: int,
) -> list[Delivery]:
    """Return waiting deliveries: those without an attempt first, then the others by their times.

    Of those of a target with the same order key, only the oldest one is returned.

    :arg excluded_ids: ids of deliveries to leave out.
    :arg excluded_targets: targets to leave out.
    """
    earlier = _table.alias()
    is_behind = pw.fn.EXISTS(
        earlier.select(earlier.id).where(
            (earlier.plugin == box.plugin)
            & (earlier.outbox == box.name)
            & (earlier.target == _table.target)
            & (earlier.order_key == _table.order_key)
            & (earlier.state == WAITING)
            & (earlier.id < _table.id)
        )
    )
    query = (
        _table.select()
        .where(
            _in(box)
            & (_table.state == WAITING)
            & ((_table.order_key == "") | ~is_behind)
            & _table.id.not_in(list(excluded_ids))
            & _table.target.not_in(list(excluded_targets))
        )
        .order_by(_table.attempts > 0, _table.next_at, _table.id)
        .limit(limit)
    )
    return _deliveries(database, query)


def record(database: pw.Database, delivery: Delivery, outcome: Outcome) -> None:
    """Store the outcome of an attempt.

    A failure changes nothing if another process has stored an outcome meanwhile.
    """
    # The event id, too: SQLite may use the id of a removed row again.
    mine = (_table.id == delivery.id) & (_table.event_id == delivery.event_id) & (_table.state == WAITING)
    if outcome.state is not DeliveryState.DELIVERED:
        mine &= _table.attempts == delivery.attempts
    _table.update(**_values(outcome)).where(mine).execute(database)


def give_up_others(
    database: pw.Database,
    box: Box,
    targets: Collection[str],
    excluded_ids: Collection[int],
    reason: str,
    now: int,
) -> int:
    """Give up the waiting deliveries to all targets except ``targets``. Returns their number.

    :arg excluded_ids: ids of deliveries to leave out.
    """
    others = _in(box) & (_table.state == WAITING) & _table.target.not_in(list(targets))
    changed: int = (
        _table.update(state=DEAD, next_at=now, last_error=reason)
        .where(others & _table.id.not_in(list(excluded_ids)))
        .execute(database)
    )
    return changed


# Limits


def expired(database: pw.Database, delivered_before: int, before: int, limit: int) -> list[int]:
    """Return ids of at most ``limit`` rows that are not kept any longer.

    :arg delivered_before: rows that were delivered before this time are not kept.
    :arg before: nor those that were given up before this time, or have been due since then, as their plugin
        is not in use any more.
    """
    delivered = (_table.state == DELIVERED) & (_table.next_at < delivered_before)
    old = (_table.state != DELIVERED) & (_table.next_at < before)
    found = _ids(database, _table.select(_table.id).where(delivered | old).limit(limit))
    dead = _table.state == DEAD
    excess = min(_table.select().where(dead).count(database) - MAX_DEAD_ROWS, limit)
    if not found and excess > 0:
        found = _ids(database, _table.select(_table.id).where(dead).order_by(_table.id).limit(excess))
    return found


def remove(database: pw.Database, ids: Sequence[int]) -> None:
    """Remove the rows with these ids."""
    _table.delete().where(_table.id.in_(ids)).execute(database)


def remove_dead(database: pw.Database, before: int, limit: int) -> int:
    """Remove at most ``limit`` rows that were given up before a time. Returns their number."""
    old = (_table.state == DEAD) & (_table.next_at < before)
    ids = _ids(database, _table.select(_table.id).where(old).limit(limit))
    remove(database, ids)
    return len(ids)


# Data about a person


def of_person(database: pw.Database, person: Person) -> list[dict[str, Any]]:
    """Return the rows about a person, for an export."""
    query = (
        _table.select(_table.plugin, _table.item, _table.shown, _table.body, _table.state, _table.created)
        .where(_table.recipient == person.key)
        .order_by(_table.id)
    )
    return list(query.dicts().execute(database))


def erase_person(database: pw.Database, person: Person) -> int:
    """Delete the rows about a person. Returns their number."""
    count: int = _table.delete().where(_table.recipient == person.key).execute(database)
    return count


# Queries of the status and of the commands


class Counts(NamedTuple):
    """Numbers of deliveries of one plugin."""

    waiting: int = 0
    dead: int = 0


def counts(database: pw.Database) -> dict[str, Counts]:
    """Return the numbers of waiting and dead deliveries, by plugin."""
    query = (
        _table.select(_table.plugin, _table.state, pw.fn.COUNT(_table.id))
        .where(_table.state.in_((WAITING, DEAD)))
        .group_by(_table.plugin, _table.state)
        .tuples()
    )
    found = {(plugin, state): number for plugin, state, number in query.execute(database)}
    plugins = sorted({plugin for plugin, _ in found})
    return {name: Counts(found.get((name, WAITING), 0), found.get((name, DEAD), 0)) for name in plugins}


def count_states(database: pw.Database, plugin: str | None) -> Counter[str]:
    """Return the numbers of deliveries of a plugin (None: of all) by state."""
    query = _table.select(_table.state, pw.fn.COUNT(_table.id)).where(_of(plugin)).group_by(_table.state)
    return Counter(dict(query.tuples().execute(database)))


def undelivered(database: pw.Database, plugin: str | None, only_dead: bool, limit: int) -> list[Delivery]:
    """Return the newest dead or waiting deliveries of a plugin (None: of all), oldest first."""
    states = (DEAD,) if only_dead else (DEAD, WAITING)
    query = (
        _table.select().where(_of(plugin) & _table.state.in_(states)).order_by(_table.id.desc()).limit(limit)
    )
    return _deliveries(database, query)[::-1]


def state_of(database: pw.Database, plugin: str | None, id: int) -> str | None:
    """Return the state of a delivery; None if the plugin (None: all plugins) has no such delivery."""
    query = _table.select(_table.state).where(_of(plugin) & (_table.id == id))
    state: str | None = query.scalar(database)
    return state


def retry(database: pw.Database, plugin: str | None, now: int, id: int | None = None) -> int:
    """Make one dead delivery (None: all) wait again, due at once. Returns the number of deliveries."""
    changed: int = (
        _table.update(state=WAITING, next_at=now, since=now, attempts=0)
        .where(_dead(plugin, id))
        .execute(database)
    )
    return changed


def discard(database: pw.Database, plugin: str | None, id: int | None = None) -> int:
    """Remove one dead delivery (None: all). Returns the number of deliveries."""
    removed: int = _table.delete().where(_dead(plugin, id)).execute(database)
    return removed


# Inside


def _in(box: Box) -> Any:
    return (_table.plugin == box.plugin) & (_table.outbox == box.name)


def _of(plugin: str | None) -> Any:
    return pw.SQL("1 = 1") if plugin is None else _table.plugin == plugin


def _dead(plugin: str | None, id: int | None) -> Any:
    dead = _of(plugin) & (_table.state == DEAD)
    return dead if id is None else dead & (_table.id == id)


def _values(outcome: Outcome) -> dict[str, Any]:
    return {
        "state": outcome.state.value,
        "next_at": outcome.at,
        "attempts": outcome.attempts,
        "last_error": outcome.error[:MAX_ERROR_CHARS] or None,
    }


def _deliveries(database: pw.Database, query: Any) -> list[Delivery]:
    return [
        Delivery(**{**row, "last_error": row["last_error"] or ""}) for row in query.dicts().execute(database)
    ]


def _ids(database: pw.Database, query: Any) -> list[int]:
    return [id for (id,) in query.tuples().execute(database)]
