"""Erasing one person: what they said, what names them, what was kept for them.

The conversations stay, for the others who took part: a message of the person becomes a note that it
was erased, so that no number is missing, and the person becomes somebody without a name. Somebody
else in each conversation: that they were the same person is erased too.
"""

import secrets
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from tornado_chat.core.types import Kind, Person, Role, Thread
from tornado_chat.storage import models, retention
from tornado_chat.storage.person_data import ERASED_NAME_PREFIX, PARTICIPANT_COLUMNS
from tornado_chat.storage.writer import Transaction


class ErasureEffect(NamedTuple):
    """What was done to how many rows of a table."""

    table: str
    what: str


EMPTIED, ANONYMIZED, DELETED = "emptied", "made anonymous", "deleted"

Counts = Counter[ErasureEffect]


def erase_conversation(tx: Transaction, person: Person, thread: Thread, tombstone: str) -> Counts:
    """Take the person out of a finished conversation.

    :arg tombstone: stands in the place of what they said.
    """
    nobody = _anonymous_key(person.role)
    message = models.Message
    counts: Counts = Counter()
    counts[ErasureEffect("message", EMPTIED)] = (
        message.update(text=tombstone, media="text", client_id=None, sender=nobody)
        .where(_in_thread(message, thread) & (message.sender == person.key))
        .execute(tx.database)
    )
    table = retention.CONVERSATION_TABLES[thread.kind]
    row = table.select().where(table.id == thread.id).dicts().first(tx.database)
    changes = _anonymizing_changes(thread.kind, row, person, nobody) if row else {}
    if changes:
        table.update(**changes).where(table.id == thread.id).execute(tx.database)
        counts[ErasureEffect(table._meta.table_name, ANONYMIZED)] = 1
    return +counts


def remove_conversation(tx: Transaction, thread: Thread, max_messages: int) -> tuple[Counts, bool]:
    """Take out a finished conversation altogether; False if more than ``max_messages`` messages were in it."""
    removed, gone = retention.remove_conversations(tx, [thread], max_messages)
    return Counter({ErasureEffect(table, DELETED): rows for table, rows in removed.items()}), bool(gone)


def erase_rest(tx: Transaction, person: Person, counted: Collection[Thread] = ()) -> Counts:
    """Take the person out of everything that is not a conversation of theirs.

    :arg counted: conversations that were removed, and taken back, with what was received and read in them.
    """
    counts: Counts = Counter()
    inbox, notification, support = models.Inbox, models.Notification, models.SupportConversation
    inbox_id = inbox.select(inbox.id).where(inbox.owner == person.key).scalar(tx.database)
    if inbox_id is not None:
        query = notification.select(notification.id).where(
            (notification.inbox == inbox_id) & (notification.type >= 0)
        )
        ids = [id for (id,) in query.tuples().execute(tx.database)]
        retention.delete_rows(tx, notification, ids)
        counts[ErasureEffect("notification", DELETED)] = len(ids)
        # Its number must not become another's: a socket of the person's may still listen to it. The
        # owner is no person of any role, so nobody takes it for somebody who can be notified.
        inbox.update(owner=f"erased:{secrets.token_hex(8)}").where(inbox.id == inbox_id).execute(tx.database)
        counts[ErasureEffect("inbox", ANONYMIZED)] = 1
    for marks in (models.Receipt, models.ReadMark):
        mine = marks.select(marks.kind, marks.thread_id).where(marks.reader == person.key)
        found = {Thread(Kind(kind), id) for kind, id in mine.tuples().execute(tx.database)}
        marks.delete().where(marks.reader == person.key).execute(tx.database)
        counts[ErasureEffect(marks._meta.table_name, DELETED)] = len(found.difference(counted))
    counts += _erase_account(tx, person)
    if person.role is Role.WAITER:
        counts[ErasureEffect("support_conversation", ANONYMIZED)] = (
            support.update(last_waiter=None).where(support.last_waiter == person.key).execute(tx.database)
        )
        support.update(reason=None).where(support.reason == f"handed over by {person.id}").execute(
            tx.database
        )
    return +counts


def _erase_account(tx: Transaction, person: Person) -> Counts:
    """Remove the person's account, and sign it out. That it was this person's stays, as with any that is
    removed: nobody else is to become the person.
    """
    account, session = models.StaffAccount, models.StaffSession
    mine = (account.role == person.role.value) & (account.person_id == person.id)
    query = account.select(account.id, account.removed).where(
        mine & ~account.name.startswith(ERASED_NAME_PREFIX)
    )
    counts: Counts = Counter()
    for id, removed in list(query.tuples().execute(tx.database)):
        counts[ErasureEffect("staff_session", DELETED)] += (
            session.delete().where(session.account == id).execute(tx.database)
        )
        account.update(
            name=f"{ERASED_NAME_PREFIX}{secrets.token_hex(6)}",
            display_name=None,
            password="",
            signed_in=None,
            removed=removed or tx.now,
        ).where(account.id == id).execute(tx.database)
        counts[ErasureEffect("staff_account", ANONYMIZED)] += 1
    return counts


def _anonymizing_changes(kind: Kind, row: dict[str, Any], person: Person, nobody: str) -> dict[str, Any]:
    """The columns that say something of the person."""
    changes: dict[str, Any] = {}
    asking, helping = PARTICIPANT_COLUMNS[kind]
    if row[asking] == person.key:
        changes |= {asking: nobody, f"{asking}_name": None}
        if kind is not Kind.RECORD:
            changes["feedback"] = None  # the asker's own words; the stars say nothing of anybody
        changes |= {Kind.SESSION: {"appointment_id": None}, Kind.SUPPORT: {"claims": None}}.get(kind, {})
    if row[helping] == person.key:
        changes |= {helping: nobody, f"{helping}_name": None}
    if kind is Kind.SUPPORT and person.role is Role.WAITER:
        changes["reason"] = None  # a sentence, which may name the waiter
    return changes


def _anonymous_key(role: Role) -> str:
    return Person(role, f"erased-{secrets.token_hex(6)}").key


def _in_thread(table: Any, thread: Thread) -> Any:
    return (table.kind == thread.kind.value) & (table.thread_id == thread.id)
