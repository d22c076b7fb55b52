"""Lists of support conversations, newest first, in pages.

Strategy: the id orders the conversations, and each index on a column ends with the id. One index is used,
that of the condition with the fewest rows; a condition in ``COALESCE`` uses none. So a page costs about as
many rows as it has. Most conversations have ended, so the list of the ended ones follows the ids.
"""

from typing import Any, NamedTuple

import peewee as pw

from tornado_chat.core.lists import ConversationFilter, ListPage
from tornado_chat.core.types import DEFAULT_GROUP, Conversation, ConversationState, Person, Role
from tornado_chat.storage import conversations
from tornado_chat.storage.raw_sql import fetch_rows
from tornado_chat.storage.retention import REMOVED_ID

_WITH_RECORD = (
    "(SELECT conversation_id FROM supervisor_consultation WHERE helper = ? AND conversation_id IS NOT NULL)"
)
_REMOVED = f"{Role.USER.value}:{REMOVED_ID}"


class Visible(NamedTuple):
    """The conversations that a supervisor may see: those of ``groups``, and those with a record."""

    supervisor: Person
    groups: tuple[str, ...]


def page_of_conversations(
    database: pw.Database,
    wanted: ConversationFilter,
    before: int | None,
    limit: int,
    visible: Visible | None = None,
) -> ListPage[Conversation, int]:
    """Return the newest conversations that ``wanted`` describes.

    :arg before: ``next`` of the page before; None: the first page.
    :arg visible: only these; None: all.
    """
    few = bool(wanted.states) and ConversationState.ENDED not in wanted.states
    driver = "state" if few else "user" if wanted.user else "waiter" if wanted.waiter else "id"
    conditions: list[str] = []
    values: list[Any] = []

    def require(column: str, comparison: str, *more: str) -> None:
        compared = column if column == driver else f"COALESCE({column}, '')"
        conditions.append(f"{compared} {comparison}")
        values.extend(more)

    if wanted.states:
        marks = ", ".join("?" * len(wanted.states))
        require("state", f"IN ({marks})", *(state.value for state in wanted.states))
    if wanted.user is not None:
        require("user", "= ?", wanted.user.key)
    if wanted.waiter is not None:
        require("waiter", "= ?", wanted.waiter.key)
    if wanted.group is not None:
        conditions.append("COALESCE(group_name, ?) = ?")
        values += [DEFAULT_GROUP, wanted.group]
    if visible is not None:
        marks = ", ".join(["?"] * len(visible.groups)) or "NULL"
        conditions.append(f"(COALESCE(group_name, ?) IN ({marks}) OR id IN {_WITH_RECORD})")
        values += [DEFAULT_GROUP, *visible.groups, visible.supervisor.key]
    conditions.append("COALESCE(user, '') <> ?")
    values.append(_REMOVED)
    if before is not None:
        conditions.append("id < ?")
        values.append(before)
    sql = f"SELECT id FROM support_conversation WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"  # noqa: S608 - no input
    ids = [id for (id,) in fetch_rows(database, sql, *values, limit + 1)]
    listed = ids[:limit]
    by_id = {each.id: each for each in conversations.find_many(database, listed)} if listed else {}
    # A conversation may have been removed since the first query.
    items = [by_id[id] for id in listed if id in by_id]
    return ListPage(items, listed[-1] if len(ids) > limit else None)
