"""Left messages: the words of users who gave up before an agent had them, and their handling."""

from collections.abc import Collection
from typing import Any

import peewee as pw

from tornado_chat.core.types import DEFAULT_GROUP, LeftMessage, Person
from tornado_chat.storage import conversations, first_words, models
from tornado_chat.storage.writer import Transaction

_left = models.LeftMessage


def page(
    database: pw.Database,
    groups: Collection[str] | None,
    other_groups: Collection[str],
    is_handled: bool | None,
    after: int,
    limit: int,
) -> list[LeftMessage]:
    """Return left messages of conversations with numbers above ``after``, oldest first.

    :arg groups: only those of these groups; None: of all. Those of removed groups count as of the default
        group.
    :arg other_groups: the other groups that exist.
    :arg is_handled: only those that are handled, or are not; None: both.
    """
    query = _left.select().where(_left.conversation > after)
    if groups is not None:
        is_wanted = _left.group_name.in_(list(groups))
        if DEFAULT_GROUP in groups:
            is_wanted |= _left.group_name.is_null() | _left.group_name.not_in(list(other_groups))
        query = query.where(is_wanted)
    if is_handled is not None:
        query = query.where(_left.handled.is_null(not is_handled))
    return _with_words(database, query.order_by(_left.conversation).limit(limit))


def find(database: pw.Database, conversation_id: int) -> LeftMessage | None:
    """Return the left message of a conversation, None if it has none."""
    query = _left.select().where(_left.conversation == conversation_id)
    return next(iter(_with_words(database, query)), None)


def mark_handled(tx: Transaction, conversation_id: int, person: Person) -> bool:
    """Mark a left message as handled. Returns False if it was handled already, or does not exist."""
    changed: int = (
        _left.update(handled=tx.now, handled_by=person.key)
        .where((_left.conversation == conversation_id) & _left.handled.is_null())
        .execute(tx.database)
    )
    return bool(changed)


def _with_words(database: pw.Database, query: Any) -> list[LeftMessage]:
    rows = list(query.dicts().execute(database))
    ids = [row["conversation"] for row in rows]
    found = {each.id: each for each in conversations.find_many(database, ids)} if ids else {}
    texts = first_words.beginnings(database, ids)
    return [
        LeftMessage(
            found[row["conversation"]],
            row["time"],
            texts.get(row["conversation"], ""),
            row["handled"],
            None if row["handled_by"] is None else Person.from_key(row["handled_by"]),
        )
        for row in rows
        if row["conversation"] in found
    ]
