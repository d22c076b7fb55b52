"""Erasure of one person: messages, names, and rows that were stored for the person.

The conversations stay, for the other participants: a message of the person becomes a note that it was
erased, so that no sequence number is missing, and the person is replaced by an anonymous key. The key
differs in each conversation, so that the conversations cannot be linked to one person.
"""

import secrets
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from tornado_chat.core.types import AGENT_ROLES, Kind, Person, Role, Thread
from tornado_chat.storage import handovers, models, retention
from tornado_chat.storage.conversations import transfer_reason
from tornado_chat.storage.person_data import ERASED_NAME_PREFIX, PARTICIPANT_COLUMNS
from tornado_chat.storage.writer import Transaction


class ErasureEffect(NamedTuple):
    """A table and the change made to some of its rows: the key under which the rows are counted."""

    table: str
    what: str


ERASED_ID_PREFIX = "erased-"
"""The beginning of the ids that replace an erased person; hexadecimal digits follow."""

EMPTIED, ANONYMIZED, DELETED = "emptied", "made anonymous", "deleted"

ErasureCounts = Counter[ErasureEffect]
"""Changed rows by table and change."""


def erase_conversation(tx: Transaction, person: Person, thread: Thread, tombstone: str) -> ErasureCounts:
    """Erase the person from a finished conversation.

    :arg tombstone: the text that replaces the text of each of the person's messages.
    """
    anonymous = _anonymous_key(person.role)
    message = models.Message
    counts: ErasureCounts = Counter()
    counts[ErasureEffect("message", EMPTIED)] = (
        message.update(text=tombstone, media="text", client_id=None, sender=anonymous)
        .where(_in_thread(message, thread) & (message.sender == person.key))
        .execute(tx.database)
    )
    participant = models.Participant
    counts[ErasureEffect("participant", ANONYMIZED)] = (
        participant.update(person=anonymous, name=None)
        .where(
            (participant.kind == thread.kind.value)
            & (participant.number == thread.id)
            & (participant.person == person.key)
        )
        .execute(tx.database)
    )
    held = models.HeldMessage
    in_thread = (held.kind == thread.kind.value) & (held.number == thread.id)
    counts[ErasureEffect("held_message", EMPTIED)] = (
        held.update(
            text=tombstone,
            final_text=None,
            note=None,
            media="text",
            client_id=None,
            sender=anonymous,
        )
        .where(in_thread & (held.sender == person.key))
        .execute(tx.database)
    )
    consent = models.Consent
    counts[ErasureEffect("consent", DELETED)] = (
        consent.delete()
        .where(
            (consent.kind == thread.kind.value)
            & (consent.number == thread.id)
            & (consent.person == person.key)
        )
        .execute(tx.database)
    )
    handover = models.Handover
    counts[ErasureEffect("handover", EMPTIED)] = (
        handover.update(note=None)  # about the client, and in the words of an agent
        .where(
            (handover.kind == thread.kind.value)
            & (handover.number == thread.id)
            & handover.note.is_null(False)
        )
        .execute(tx.database)
    )
    table = retention.CONVERSATION_TABLES[thread.kind]
    row = table.select().where(table.id == thread.id).dicts().first(tx.database)
    changes = _anonymizing_changes(thread.kind, row, person, anonymous) if row else {}
    if changes:
        table.update(**changes).where(table.id == thread.id).execute(tx.database)
        counts[ErasureEffect(table._meta.table_name, ANONYMIZED)] = 1
    if thread.kind is Kind.SUPPORT and person.role is Role.USER:  # there is nothing to be answered any more
        left = models.LeftMessage
        counts[ErasureEffect("left_message", DELETED)] = (
            left.delete().where(left.conversation == thread.id).execute(tx.database)
        )
    return +counts


def remove_conversation(tx: Transaction, thread: Thread, max_messages: int) -> tuple[ErasureCounts, bool]:
    """Remove at most ``max_messages`` messages of a finished conversation, and its row if no message is left.

    The second result is True if the conversation is removed completely.
    """
    removed, threads = retention.remove_conversations(tx, [thread], max_messages)
    return Counter({ErasureEffect(table, DELETED): rows for table, rows in removed.items()}), bool(threads)


def erase_rest(tx: Transaction, person: Person, counted: Collection[Thread] = ()) -> ErasureCounts:
    """Erase the person from all tables except those of the person's own conversations.

    :arg counted: conversations whose receipts and read marks a dry run has counted already, and rolled back.
    """
    counts: ErasureCounts = Counter()
    inbox, notification, support = models.Inbox, models.Notification, models.SupportConversation
    inbox_id = inbox.select(inbox.id).where(inbox.owner == person.key).scalar(tx.database)
    if inbox_id is not None:
        query = notification.select(notification.id).where(
            (notification.inbox == inbox_id) & (notification.type >= 0)
        )
        ids = [id for (id,) in query.tuples().execute(tx.database)]
        retention.delete_rows(tx, notification, ids)
        counts[ErasureEffect("notification", DELETED)] = len(ids)
        # The inbox's id must not be used for another person: a socket of this person may still be subscribed
        # to it. The new owner has no role that exists, so the inbox belongs to no person who can be notified.
        inbox.update(owner=f"erased:{secrets.token_hex(8)}").where(inbox.id == inbox_id).execute(tx.database)
        counts[ErasureEffect("inbox", ANONYMIZED)] = 1
    for marks in (models.Receipt, models.ReadMark):
        mine = marks.select(marks.kind, marks.thread_id).where(marks.reader == person.key)
        found = {Thread(Kind(kind), id) for kind, id in mine.tuples().execute(tx.database)}
        marks.delete().where(marks.reader == person.key).execute(tx.database)
        counts[ErasureEffect(marks._meta.table_name, DELETED)] = len(found.difference(counted))
    counts[ErasureEffect("handover", ANONYMIZED)] = handovers.erase(tx, person, _anonymous_key)
    held = models.HeldMessage
    counts[ErasureEffect("held_message", ANONYMIZED)] = (
        held.update(decided_by=_anonymous_key(person.role), final_text=None, note=None)
        .where(held.decided_by == person.key)
        .execute(tx.database)
    )
    counts += _erase_account(tx, person)
    # The revocation of the person's own tokens stays until it ends: they would be accepted again.
    revocation = models.Revocation
    counts[ErasureEffect("revocation", ANONYMIZED)] = (
        revocation.update(made_by="").where(revocation.made_by == person.key).execute(tx.database)
    )
    left = models.LeftMessage
    counts[ErasureEffect("left_message", ANONYMIZED)] = (
        left.update(handled_by=None).where(left.handled_by == person.key).execute(tx.database)
    )
    if person.role in AGENT_ROLES:
        counts[ErasureEffect("support_conversation", ANONYMIZED)] = (
            support.update(last_waiter=None).where(support.last_waiter == person.key).execute(tx.database)
        )
        support.update(reason=None).where(support.reason == transfer_reason(person)).execute(tx.database)
    return +counts


def _erase_account(tx: Transaction, person: Person) -> ErasureCounts:
    """Remove the person's account and sign it out.

    The row keeps role and person id, as with any removed account, so that no other account gets the same
    person.
    """
    account, session = models.StaffAccount, models.StaffSession
    mine = (account.role == person.role.value) & (account.person_id == person.id)
    query = account.select(account.id, account.removed).where(
        mine & ~account.name.startswith(ERASED_NAME_PREFIX)
    )
    counts: ErasureCounts = Counter()
    for id, removed in list(query.tuples().execute(tx.database)):
        counts[ErasureEffect("staff_session", DELETED)] += (
            session.delete().where(session.account == id).execute(tx.database)
        )
        account.update(
            name=f"{ERASED_NAME_PREFIX}{secrets.token_hex(6)}",
            display_name=None,
            password="",
            signed_in=None,
            group_names=None,
            removed=removed or tx.now,
        ).where(account.id == id).execute(tx.database)
        counts[ErasureEffect("staff_account", ANONYMIZED)] += 1
    return counts


def _anonymizing_changes(kind: Kind, row: dict[str, Any], person: Person, anonymous: str) -> dict[str, Any]:
    """Return new values for the columns of a conversation's row that hold personal data of the person.

    :arg anonymous: the key that replaces the person's key.
    """
    changes: dict[str, Any] = {}
    client, agent = PARTICIPANT_COLUMNS[kind]
    if row[client] == person.key:
        changes |= {client: anonymous, f"{client}_name": None}
        if kind is not Kind.RECORD:
            changes["feedback"] = None  # the client's own words; the number of stars is no personal data
        others = {Kind.SESSION: ("appointment_id",), Kind.SUPPORT: ("claims", "score_reason")}
        changes |= dict.fromkeys(others.get(kind, ()))
    if row[agent] == person.key:
        changes |= {agent: anonymous, f"{agent}_name": None}
    if kind is Kind.SUPPORT and person.role in AGENT_ROLES:
        # sentences, which may name the waiter, and a list, in which it may be
        changes |= {"reason": None, "score_reason": None, "missed_by": None}
    return changes


def _anonymous_key(role: Role) -> str:
    return Person(role, f"{ERASED_ID_PREFIX}{secrets.token_hex(6)}").key


def _in_thread(table: Any, thread: Thread) -> Any:
    return (table.kind == thread.kind.value) & (table.thread_id == thread.id)
