"""All that a socket wants to know when it opens, in one go."""

from typing import Generic, NamedTuple, TypeVar

import peewee as pw

from tornado_chat.core.types import Kind, Message, Notification, Person, Room, Thread
from tornado_chat.storage import messages, notifications, receipts, rooms
from tornado_chat.storage.raw_sql import ask

Item = TypeVar("Item", Message, Notification)

# One row, whether there is a receipt or not.
_INBOX = (
    "SELECT i.id, i.last_seq, r.seq FROM inbox i"
    " LEFT JOIN receipt r ON r.kind = ? AND r.thread_id = i.id AND r.reader = i.owner WHERE i.owner = ?"
)


class Missed(NamedTuple, Generic[Item]):
    """Where a reader of a thread stands.

    :ivar receipt: up to which ``seq`` everything has arrived; None before the first receipt.
    :ivar items: the first page of what follows, oldest first.
    """

    receipt: int | None
    items: list[Item]


def at_inbox(database: pw.Database, owner: Person, limit: int) -> tuple[Thread, Missed[Notification]] | None:
    """The owner's inbox, if there is one yet, and what has not arrived."""
    rows = ask(database, _INBOX, Kind.INBOX.value, owner.key)
    if not rows:
        return None
    id, last, receipt = rows[0]
    inbox = Thread(Kind.INBOX, id)
    received = receipt or 0
    items = notifications.after(database, inbox, received, limit) if last > received else []
    return inbox, Missed(receipt, items)


def at_room(
    database: pw.Database, thread: Thread, reader: Person, limit: int
) -> tuple[Room, Missed[Message]]:
    """The room, and what has not arrived.

    :raises NotFound: there is no such session or record.
    """
    room = rooms.get(database, thread)
    receipt = receipts.get(database, thread, reader)
    received = receipt or 0
    items = messages.after(database, thread, received, limit) if room.last_seq > received else []
    return room, Missed(receipt, items)
