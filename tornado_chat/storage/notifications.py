"""Pop-up notifications: each person's inbox is a thread with its own sequence numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import peewee as pw

from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import Kind, Notification, Page, Person, Role, Thread
from tornado_chat.storage import models, rooms, staff
from tornado_chat.storage.raw_sql import execute_statement, fetch_page, fetch_rows
from tornado_chat.storage.threads import is_ahead
from tornado_chat.storage.writer import Transaction

CONVERSATION = 2
"""The type of a notification of a new conversation; 0 is a plain notification, 1 an appointment."""

_FIELDS = (
    models.Notification.id,
    models.Inbox.owner,
    models.Notification.inbox,
    models.Notification.seq,
    models.Notification.type,
    models.Notification.msg,
    models.Notification.data,
    models.Notification.time,
    models.Notification.read,
)

# The same columns as raw SQL. READ is a keyword of MySQL and needs quotes.
_SELECT = (
    "SELECT n.id, i.owner, n.inbox_id, n.seq, n.type, n.msg, n.data, n.time, n.`read`"
    " FROM notification n JOIN inbox i ON i.id = n.inbox_id"
)
_AFTER = f"{_SELECT} WHERE n.inbox_id = ? AND n.seq > ? AND n.type >= 0 ORDER BY n.seq"
_BEFORE = f"{_SELECT} WHERE n.inbox_id = ? AND n.seq < ? AND n.type >= 0 ORDER BY n.seq DESC"
_UNREAD_UP_TO = (
    f"{_SELECT} WHERE n.inbox_id = ? AND n.seq > ? AND n.seq <= ? AND n.type >= 0"
    " AND n.`read` IS NULL AND n.repeats < ? ORDER BY n.seq DESC"
)
_MSG_COLUMN = 5

_CREATE = (
    "INSERT INTO notification (inbox_id, seq, type, msg, data, time, repeats) VALUES (?, ?, ?, ?, ?, ?, 0)"
)

REPEAT_WINDOW = 50
"""Only the last ones that a person has received are delivered again, so that a connect is not a flood."""


def find_inbox(database: pw.Database, owner: Person) -> Thread | None:
    rows = fetch_rows(database, "SELECT id FROM inbox WHERE owner = ?", owner.key)
    return Thread(Kind.INBOX, rows[0][0]) if rows else None


def open_inbox(tx: Transaction, owner: Person) -> Thread:
    """Return the owner's inbox, which is created if necessary."""
    inbox = find_inbox(tx.database, owner)
    if inbox is None:
        new_id = models.Inbox.insert(owner=owner.key, last_seq=0).execute(tx.database)
        inbox = Thread(Kind.INBOX, int(new_id))
    return inbox


def create(
    tx: Transaction, recipient: Person, type: int, msg: str, data: Mapping[str, Any] | None
) -> Notification:
    """Store a notification; after the commit its event goes to every socket of the recipient."""
    inbox = open_inbox(tx, recipient)
    execute_statement(tx.database, "UPDATE inbox SET last_seq = last_seq + 1 WHERE id = ?", inbox.id)
    seq: int = fetch_rows(tx.database, "SELECT last_seq FROM inbox WHERE id = ?", inbox.id)[0][0]
    data_json = None if data is None else msgspec.json.encode(data).decode()
    new_id = execute_statement(tx.database, _CREATE, inbox.id, seq, type, msg, data_json, tx.now)
    notification = Notification(new_id, recipient, inbox, seq, type, msg, data, tx.now)
    tx.emit(notification)
    return notification


def find(database: pw.Database, notification_id: int) -> Notification | None:
    """Return a notification, with ``is_over`` set if it invites to an ended room; None if there is none."""
    row = with_owner().where(models.Notification.id == notification_id).tuples().first(database)
    return None if row is None else _mark_over(database, [notification_of(row)])[0]


def page_after(
    database: pw.Database, inbox: Thread, seq: int, limit: int, max_bytes: int
) -> Page[Notification]:
    """Return the first notifications of ``inbox`` after ``seq``, as ``messages.page_before``."""
    rows, has_more = fetch_page(
        database, _AFTER, inbox.id, seq, limit=limit, max_bytes=max_bytes, text_column=_MSG_COLUMN
    )
    return Page([notification_of(row) for row in rows], has_more)


def page_before(
    database: pw.Database, inbox: Thread, seq: int, limit: int, max_bytes: int
) -> Page[Notification]:
    """Return the last notifications of ``inbox`` before ``seq``, newest first."""
    rows, has_more = fetch_page(
        database, _BEFORE, inbox.id, seq, limit=limit, max_bytes=max_bytes, text_column=_MSG_COLUMN
    )
    return Page([notification_of(row) for row in rows], has_more)


def read_times(database: pw.Database, ids: Sequence[int]) -> dict[int, int]:
    """Return the time at which each of the notifications ``ids`` was read, without the unread ones."""
    marks = ", ".join("?" * len(ids))
    sql = f"SELECT id, `read` FROM notification WHERE id IN ({marks}) AND type >= 0 AND `read` IS NOT NULL"  # noqa: S608
    return dict(fetch_rows(database, sql, *ids))


def page_for_client(
    database: pw.Database, inbox: Thread, seq: int, limit: int, max_bytes: int
) -> Page[Notification]:
    """Return the first notifications after the position ``seq`` of a client; see the same of ``messages``."""
    page = page_after(database, inbox, seq, limit, max_bytes)
    if not page.items and is_ahead(database, inbox, seq):
        return page_after(database, inbox, 0, limit, max_bytes)
    return page


def unread_up_to(
    database: pw.Database, inbox: Thread, received: int, max_repeats: int, max_bytes: int
) -> list[Notification]:
    """Return the notifications that may be delivered again, oldest first.

    They are the unread ones of the last ``REPEAT_WINDOW`` up to the receipt ``received`` that were repeated
    less than ``max_repeats`` times, without invitations to rooms that have ended. Of many large ones, the
    newest are returned, as ``page_after``.
    """
    rows, _ = fetch_page(
        database,
        _UNREAD_UP_TO,
        *(inbox.id, received - REPEAT_WINDOW, received, max_repeats),
        limit=REPEAT_WINDOW,
        max_bytes=max_bytes,
        text_column=_MSG_COLUMN,
    )
    found = [notification_of(row) for row in reversed(rows)]
    return [each for each in _mark_over(database, found) if not each.is_over]


def count_repeats(tx: Transaction, repeated: Sequence[Notification]) -> None:
    """Record that notifications were delivered again, and have arrived."""
    table = models.Notification
    ids = [each.id for each in repeated]
    if not tx.went_back:  # else other notifications may have these ids
        table.update(repeats=table.repeats + 1).where(table.id.in_(ids)).execute(tx.database)


def page_to_deliver(
    database: pw.Database, inbox: Thread, seq: int, limit: int, max_bytes: int
) -> Page[Notification]:
    """Return a page as ``page_after``; the invitations to rooms that have ended have ``is_over`` set.

    They stay in the page, because a socket gets the items of a thread without gaps in their numbers.
    """
    items, has_more = page_after(database, inbox, seq, limit, max_bytes)
    return Page(_mark_over(database, items), has_more)


def _mark_over(database: pw.Database, items: Sequence[Notification]) -> Sequence[Notification]:
    """Set ``is_over`` of the invitations to rooms that have ended."""
    invitations = {item.id: thread for item in items if (thread := _invited_to(item)) is not None}
    if not invitations:
        return items
    ended = {room.thread for room in rooms.find_many(database, _distinct(invitations)) if not room.open}
    return [
        msgspec.structs.replace(item, is_over=True) if invitations.get(item.id) in ended else item
        for item in items
    ]


def _distinct(invitations: Mapping[int, Thread]) -> Sequence[Thread]:
    return list(dict.fromkeys(invitations.values()))


def _invited_to(notification: Notification) -> Thread | None:
    """Return the session or record that a notification invites to; None if it is none of that type."""
    data = notification.data
    if notification.type != CONVERSATION or not data:
        return None
    number = data.get("sessionId")
    is_record = "observeSessionId" in data or "observeConversationId" in data
    kind = Kind.RECORD if is_record else Kind.SESSION
    return Thread(kind, number) if isinstance(number, int) else None


def mark_read(tx: Transaction, owner: Person, notification_id: int) -> Notification:
    """Mark a notification as read and return it. :raises NotFound: the owner has no such notification."""
    table = models.Notification
    row = (
        with_owner()
        .where((table.id == notification_id) & (models.Inbox.owner == owner.key))
        .tuples()
        .first(tx.database)
    )
    if row is None:
        raise NotFound("no_such_notification", id=notification_id)
    table.update(read=tx.now).where((table.id == notification_id) & table.read.is_null()).execute(tx.database)
    found = notification_of(row)
    return found if found.read else msgspec.structs.replace(found, read=True, read_at=tx.now)


def people(database: pw.Database, role: Role, now: int) -> list[Person]:
    """Return all people of a role who have an inbox or an account, without those of ``staff.gone_people``.

    They are in the order of their inboxes' creation; people without an inbox come last.
    """
    query = (
        models.Inbox.select(models.Inbox.owner)
        .where(models.Inbox.owner.startswith(f"{role.value}:"))
        .order_by(models.Inbox.id)
        .tuples()
    )
    owners = [Person.from_key(owner) for (owner,) in query.execute(database)]
    account_holders = [
        account.person
        for account in staff.accounts(database)
        if account.person.role is role and not account.disabled
    ]
    gone = staff.gone_people(database, now)
    return [person for person in dict.fromkeys([*owners, *account_holders]) if person not in gone]


def with_owner() -> "pw.ModelSelect[models.Notification]":
    """Return a query for the rows of ``notification_of``, without emptied rows."""
    return models.Notification.select(*_FIELDS).join(models.Inbox).where(models.Notification.type >= 0)


def notification_of(row: tuple[Any, ...]) -> Notification:
    """Return the notification of a row with the columns of ``with_owner``."""
    id, owner, inbox_id, seq, type, msg, data, time, read = row
    return Notification(
        id,
        Person.from_key(owner),
        Thread(Kind.INBOX, inbox_id),
        seq,
        type,
        msg,
        None if data is None else msgspec.json.decode(data),
        time,
        read is not None,
        read,
    )
