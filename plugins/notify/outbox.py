"""The outbox: table and queries of waiting, delivered and dead deliveries."""

import datetime
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import peewee as pw

from tornado_chat.plugin_api import Notification

from .rules import Target

WAITING = "waiting"
DELIVERED = "delivered"
DEAD = "dead"

MAX_ERROR_CHARS = 500
MAX_ID_CHARS = 64
ID_KEYS = ("sessionId", "observeSessionId", "apointmentId", "consultantId")
"""The keys of a notification's data that a webhook gets: those of the published frames."""


class NotifyDelivery(pw.Model):
    """The delivery of one notification to one target.

    ``target`` is a ``Target.key``, ``shown`` the target's address without secrets, and ``recipient`` a
    ``Person.key``. ``body`` is the body of a webhook, the same bytes in each attempt. ``next_at`` is the time
    of the next attempt, or the time of the last change if the delivery is not waiting. ``since`` is the start
    of ``give_up_after``: the time of the creation, or of the last `notify retry`.
    """

    id = pw.BigAutoField()
    notification = pw.BigIntegerField()
    target = pw.CharField(64)
    shown = pw.TextField()
    event_id = pw.CharField(36)
    recipient = pw.CharField(80)
    type = pw.SmallIntegerField()
    body = pw.TextField()
    state = pw.CharField(12, default=WAITING)
    attempts = pw.IntegerField(default=0)
    next_at = pw.BigIntegerField()
    since = pw.BigIntegerField()
    created = pw.BigIntegerField()
    last_error = pw.TextField(null=True)

    class Meta:
        table_name = "notify_delivery"
        indexes = ((("notification", "target"), True), (("state", "next_at"), False))


TABLES = (NotifyDelivery,)


# The body of a webhook


def body(event_id: str, notification: Notification) -> str:
    """Return the JSON body of a webhook. It names the recipient, and contains nothing of the text."""
    time = datetime.datetime.fromtimestamp(notification.time / 1_000_000, datetime.UTC)
    content = {
        "id": event_id,
        "type": "notification",
        "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "notification": {
            "id": notification.id,
            "type": notification.type,
            "role": notification.recipient.role.value,
            "person": notification.recipient.id,
            "data": _ids(notification.data),
        },
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def _ids(data: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the ids in ``data``, see ``ID_KEYS``; other values may be texts of the host."""
    given = data or {}
    ids = {key: given[key] for key in ID_KEYS if key in given and _is_id(given[key])}
    return ids or None


def _is_id(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and len(value) <= MAX_ID_CHARS)


# Queries of the server


def insert(database: pw.Database, notification: Notification, targets: Sequence[Target], now: int) -> None:
    """Add a delivery for each target that has none yet: the hook may be called twice for a notification."""
    rows = []
    for target in targets:
        event_id = str(uuid.uuid4())
        rows.append(
            {
                "notification": notification.id,
                "target": target.key,
                "shown": target.shown,
                "event_id": event_id,
                "recipient": notification.recipient.key,
                "type": notification.type,
                "body": body(event_id, notification),
                "next_at": now,
                "since": now,
                "created": now,
            }
        )
    NotifyDelivery.insert_many(rows).on_conflict_ignore().execute(database)


def upcoming(
    database: pw.Database, excluded_ids: Collection[int], excluded_targets: Collection[str], limit: int
) -> list[NotifyDelivery]:
    """Return waiting deliveries: those without an attempt first, then the others by their times.

    :arg excluded_ids: ids of deliveries to leave out.
    :arg excluded_targets: keys of targets to leave out.
    """
    query = (
        NotifyDelivery.select()
        .where(
            (NotifyDelivery.state == WAITING)
            & NotifyDelivery.id.not_in(list(excluded_ids))
            & NotifyDelivery.target.not_in(list(excluded_targets))
        )
        .order_by(NotifyDelivery.attempts > 0, NotifyDelivery.next_at)
        .limit(limit)
    )
    return list(query.execute(database))


def orphans(database: pw.Database, targets: Collection[str], limit: int) -> list[NotifyDelivery]:
    """Return waiting deliveries to targets other than ``targets``."""
    query = (
        NotifyDelivery.select()
        .where((NotifyDelivery.state == WAITING) & NotifyDelivery.target.not_in(list(targets)))
        .limit(limit)
    )
    return list(query.execute(database))


def record_outcome(
    database: pw.Database, id: int, state: str, at: int, attempts: int, error: str | None = None
) -> None:
    """Store the new state of a waiting delivery. :arg at: its ``next_at``."""
    NotifyDelivery.update(
        state=state,
        next_at=at,
        attempts=attempts,
        last_error=None if error is None else error[:MAX_ERROR_CHARS],
    ).where((NotifyDelivery.id == id) & (NotifyDelivery.state == WAITING)).execute(database)


def remove_delivered(database: pw.Database, before: int, limit: int) -> int:
    """Remove at most ``limit`` rows that were delivered before a time. Returns their number."""
    old = (
        NotifyDelivery.select(NotifyDelivery.id)
        .where((NotifyDelivery.state == DELIVERED) & (NotifyDelivery.next_at < before))
        .limit(limit)
    ).tuples()
    ids = [id for (id,) in old.execute(database)]
    if ids:
        NotifyDelivery.delete().where(NotifyDelivery.id.in_(ids)).execute(database)
    return len(ids)


# Queries of the commands


def undelivered(database: pw.Database, only_dead: bool, limit: int) -> list[NotifyDelivery]:
    """Return the newest dead or waiting deliveries, oldest first."""
    states = [DEAD] if only_dead else [DEAD, WAITING]
    query = (
        NotifyDelivery.select()
        .where(NotifyDelivery.state.in_(states))
        .order_by(NotifyDelivery.id.desc())
        .limit(limit)
    )
    return list(query.execute(database))[::-1]


def counts(database: pw.Database) -> dict[str, int]:
    """Return the number of deliveries in each state."""
    query = (
        NotifyDelivery.select(NotifyDelivery.state, pw.fn.COUNT(NotifyDelivery.id))
        .group_by(NotifyDelivery.state)
        .tuples()
    )
    return {WAITING: 0, DELIVERED: 0, DEAD: 0, **dict(query.execute(database))}


def state_of(database: pw.Database, id: int) -> str | None:
    """Return the state of a delivery; None if there is no such delivery."""
    query = NotifyDelivery.select(NotifyDelivery.state).where(NotifyDelivery.id == id)
    state: str | None = query.scalar(database)
    return state


def retry(database: pw.Database, now: int, id: int | None = None) -> int:
    """Make one dead delivery (None: all) wait again, due at once. Returns the number of deliveries."""
    dead = NotifyDelivery.state == DEAD
    changed: int = (
        NotifyDelivery.update(state=WAITING, next_at=now, since=now, attempts=0)
        .where(dead if id is None else dead & (NotifyDelivery.id == id))
        .execute(database)
    )
    return changed
