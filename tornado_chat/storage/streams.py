"""Streams of stored rows in the order of storage, for plugins, each of which has a cursor.

A position in a stream is a row's id. With several writers on a MySQL server, a row can become visible
after a row with a higher id, so gaps between the ids are read again (``Stream.since``).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import peewee as pw

from tornado_chat.core.types import Kind, Message, Notification, Person, Thread
from tornado_chat.storage import models
from tornado_chat.storage.notifications import notification_of, with_owner
from tornado_chat.storage.transactions import wait_for_writers
from tornado_chat.storage.writer import Transaction


def _messages_since(database: pw.Database, position: int, limit: int) -> list[tuple[int, Message]]:
    """Return the messages of all threads after ``position``, each with its own position."""
    m = models.Message
    query = (
        m.select(m.id, m.kind, m.thread_id, m.seq, m.sender, m.text, m.time, m.media, m.client_id)
        .where((m.id > position) & (m.kind > 0))  # kind 0 is an emptied row, see storage/retention.py
        .order_by(m.id)
        .limit(limit)
    )
    return [
        (
            id,
            Message(
                Thread(Kind(kind), thread_id), seq, Person.from_key(sender), text, time, media, client_id
            ),
        )
        for id, kind, thread_id, seq, sender, text, time, media, client_id in query.tuples().execute(database)
    ]


def _notifications_since(database: pw.Database, position: int, limit: int) -> list[tuple[int, Notification]]:
    """Return the notifications of all people after ``position``, each with its own position."""
    table = models.Notification
    query = with_owner().where(table.id > position).order_by(table.id).limit(limit)
    found = [notification_of(row) for row in query.tuples().execute(database)]
    return [(each.id, each) for each in found]


class Stream(NamedTuple):
    """A sequence of stored rows that a plugin follows: all messages, or all notifications.

    :ivar rows: query ``(database, position, limit)`` for the rows after a position.
    """

    name: str
    rows: Callable[[pw.Database, int, int], Sequence[tuple[int, Message | Notification]]]
    table: type[pw.Model]

    def since(
        self, database: pw.Database, position: int, limit: int
    ) -> Sequence[tuple[int, Message | Notification]]:
        """Return the items after ``position`` with their positions; no earlier item can still appear.

        A missing id belongs to a transaction that was rolled back, or to one that is still running. The
        latter had begun before the row behind the gap could be read; so when all running transactions have
        ended, a second query up to that row is final.
        """
        found = self.rows(database, position, limit)
        if not found or found[-1][0] - position == len(found):
            return found
        last = found[-1][0]
        wait_for_writers(database)
        return [(id, item) for id, item in self.rows(database, position, limit) if id <= last]


MESSAGES = Stream("messages", _messages_since, models.Message)
NOTIFICATIONS = Stream("notifications", _notifications_since, models.Notification)


def open_cursor(tx: Transaction, plugin: str, stream: Stream) -> int:
    """Return the plugin's position in ``stream``; a new plugin begins after all rows that exist now.

    A position after the last row is set back to it: rows that got the ids in between would be skipped.
    """
    cursor = models.PluginCursor
    mine = (cursor.plugin == plugin) & (cursor.stream == stream.name)
    position: int | None = cursor.select(cursor.position).where(mine).scalar(tx.database)
    last: int = stream.table.select(pw.fn.MAX(stream.table._meta.primary_key)).scalar(tx.database) or 0
    if position is None:
        cursor.insert(plugin=plugin, stream=stream.name, position=last).execute(tx.database)
    elif position > last:
        cursor.update(position=last).where(mine & (cursor.position > last)).execute(tx.database)
    return last if position is None else min(position, last)


def cursor_position(database: pw.Database, plugin: str, stream: Stream) -> int:
    """Return the current position of a plugin that has a cursor."""
    cursor = models.PluginCursor
    mine = (cursor.plugin == plugin) & (cursor.stream == stream.name)
    found: int = cursor.select(cursor.position).where(mine).scalar(database)
    return found


def advance(tx: Transaction, plugin: str, stream: Stream, position: int) -> None:
    """Record that the plugin has processed everything up to ``position``.

    A higher position, stored by another process, stays.
    """
    cursor = models.PluginCursor
    behind = (cursor.plugin == plugin) & (cursor.stream == stream.name) & (cursor.position < position)
    cursor.update(position=position).where(behind).execute(tx.database)
