"""The first words of users: the messages of a conversation that has had no waiter yet.

If the user gives up, they are removed, or they stay as a *left message* (``left_messages.py``). So do the
words of a user whose waiters were lost before they have written.
"""

from collections.abc import Sequence

import peewee as pw

from tornado_chat.core.plain_text import cut
from tornado_chat.core.types import DEFAULT_GROUP, Conversation, ConversationState, Kind, Thread
from tornado_chat.storage import models, retention
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.writer import Transaction

MAX_BEGINNING_CHARS = 80
"""The length of the beginning that agents see in the queue."""

BEGINNING_MESSAGES = 3
"""The messages that the beginning is made of, at most: a greeting comes often alone."""


def waiting_beginnings(database: pw.Database, ids: Sequence[int]) -> dict[int, str]:
    """Return the beginnings by conversation, of those that wait for their first waiter."""
    table = models.SupportConversation
    query = table.select(table.id).where(
        table.id.in_(ids)
        & (table.state == ConversationState.WAITING.value)
        & table.assigned.is_null()
        & (table.last_seq > 0)
    )
    return beginnings(database, [id for (id,) in query.tuples().execute(database)])


def beginnings(database: pw.Database, ids: Sequence[int]) -> dict[int, str]:
    """Return the beginning of the messages of each conversation, by its number.

    It is one line with at most ``MAX_BEGINNING_CHARS`` characters. Images are left out.
    """
    message = models.Message
    found: dict[int, list[str]] = {}
    if ids:
        # A long text is not read as a whole.
        text = pw.fn.SUBSTR(message.text, 1, 4 * MAX_BEGINNING_CHARS)
        query = (
            message.select(message.thread_id, text)
            .where(
                (message.kind == Kind.SUPPORT.value)
                & message.thread_id.in_(ids)
                & (message.seq <= BEGINNING_MESSAGES)
                & (message.media == "text")
            )
            .order_by(message.thread_id, message.seq)
        )
        for id, beginning in query.tuples().execute(database):
            found.setdefault(id, []).append(beginning)
    return {id: cut(" ".join(texts), MAX_BEGINNING_CHARS) for id, texts in found.items()}


def is_unanswered(database: pw.Database, conversation: Conversation) -> bool:
    """Return True if no agent has written, whether it was assigned to none, or to some that were lost."""
    message = models.Message
    query = message.select().where(
        (message.kind == Kind.SUPPORT.value)
        & (message.thread_id == conversation.id)
        & (message.sender != conversation.user.key)
    )
    return not (conversation.has_had_waiter and query.exists(database))


def remove(tx: Transaction, thread: Thread) -> None:
    """Remove the messages of a conversation."""
    ids = fetch_rows(
        tx.database,
        "SELECT id FROM message WHERE kind = ? AND thread_id = ?",
        thread.kind.value,
        thread.id,
    )
    retention.delete_rows(tx, models.Message, [id for (id,) in ids])


def keep(tx: Transaction, conversation: Conversation) -> None:
    """Let the words of a conversation stay as a left message."""
    group = None if conversation.group == DEFAULT_GROUP else conversation.group
    values = {"conversation": conversation.id, "group_name": group, "time": tx.now}
    models.LeftMessage.insert(**values).execute(tx.database)
