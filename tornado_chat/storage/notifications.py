"""Pop-up notifications: each person's inbox is a thread with its own sequence numbers."""

from collections.abc import Mapping
from typing import Any

import msgspec
import peewee as pw

from tornado_chat.core.errors import NotFound
from tornado_chat.core.types import Kind, Notification, Page, Person, Role, Thread
from tornado_chat.storage import models, staff
from tornado_chat.storage.raw_sql import execute_statement, fetch_page, fetch_rows
from tornado_chat.storage.writer import Transaction

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
_AFTER = (
    "SELECT n.id, i.owner, n.inbox_id, n.seq, n.type, n.msg, n.data, n.time, n.`read`"
    " FROM notification n JOIN inbox i ON i.id = n.inbox_id"
    " WHERE n.inbox_id = ? AND n.seq > ? AND n.type >= 0 ORDER BY n.seq"
)
_MSG_COLUMN = 5

_CREATE = "INSERT INTO notification (inbox_id, seq, type, msg, data, time) VALUES (?, ?, ?, ?, ?, ?)"


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


def page_after(
    database: pw.Database, inbox: Thread, seq: int, limit: int, max_bytes: int
) -> Page[Notification]:
    """Return the first notifications of ``inbox`` after ``seq``, as ``messages.page_before``."""
    rows, has_more = fetch_page(
        database, _AFTER, inbox.id, seq, limit=limit, max_bytes=max_bytes, text_column=_MSG_COLUMN
    )
    return Page([notification_of(row) for row in rows], has_more)


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
