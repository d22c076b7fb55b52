"""The queries of a socket that joins: its inbox or room, with the items it has missed, in one call."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import peewee as pw

from tornado_chat.core.types import Kind, Message, Notification, Page, Person, Room, Thread
from tornado_chat.storage import messages, notifications, receipts, rooms
from tornado_chat.storage.raw_sql import fetch_rows

Item = TypeVar("Item", Message, Notification)

# Selects one row, with or without a receipt.
_INBOX = (
    "SELECT i.id, i.last_seq, r.seq FROM inbox i"
    " LEFT JOIN receipt r ON r.kind = ? AND r.thread_id = i.id AND r.reader = i.owner WHERE i.owner = ?"
)


class MissedItems(NamedTuple, Generic[Item]):
    """The items of a thread that a reader has not received.

    :ivar receipt: the ``seq`` up to which everything has arrived; None before the first receipt, and if the
        stored one is ahead of the thread.
    :ivar page: the first page of the items after it.
    """

    receipt: int | None
    page: Page[Item]


class FoundInbox(NamedTuple):
    """An inbox with the notifications that a new socket may get.

    :ivar unread: those that may be delivered again, see ``notifications.unread_up_to``.
    """

    thread: Thread
    missed: MissedItems[Notification]
    unread: Sequence[Notification]


def load_inbox(
    database: pw.Database, owner: Person, limit: int, max_bytes: int, max_repeats: int
) -> FoundInbox | None:
    """Return the owner's inbox with its notifications; None if there is no inbox yet.

    :arg max_repeats: how many times a notification may be delivered again; 0: none is.
    """
    rows = fetch_rows(database, _INBOX, Kind.INBOX.value, owner.key)
    if not rows:
        return None
    id, last, receipt = rows[0]
    inbox = Thread(Kind.INBOX, id)
    if receipt is not None and receipt > last:  # see storage/receipts.py
        receipt = None
    received = receipt or 0
    page: Page[Notification] = Page([], False)
    if last > received:
        page = notifications.page_to_deliver(database, inbox, received, limit, max_bytes)
    unread: Sequence[Notification] = ()
    if max_repeats:
        unread = notifications.unread_up_to(database, inbox, received, max_repeats, max_bytes)
    return FoundInbox(inbox, MissedItems(receipt, page), unread)


def load_room(
    database: pw.Database, thread: Thread, reader: Person, limit: int, max_bytes: int
) -> tuple[Room, MissedItems[Message]]:
    """Return the room and the messages that the reader has missed.

    :raises NotFound: there is no such session or record.
    """
    room = rooms.get(database, thread)
    receipt = receipts.get(database, thread, reader)
    received = receipt or 0
    page: Page[Message] = Page([], False)
    if room.last_seq > received:
        page = messages.page_after(database, thread, received, limit, max_bytes)
    if (
        page.items and page.items[-1].seq > room.last_seq
    ):  # stored after the room was read, see storage/agents.py
        page = Page([message for message in page.items if message.seq <= room.last_seq], True)
    return room, MissedItems(receipt, page)
