"""What an agent may read: the present agent everything, a former one what was stored before its replacement.

Strategy: the page is read before the present agent is. So if the reader is the agent then, it was the agent
when the page was read, or has become the agent again since; else the page is cut where the reader has left.
"""

from collections.abc import Mapping

import peewee as pw

from tornado_chat.core.types import Kind, Message, Page, Part, Person, Thread
from tornado_chat.storage import messages
from tornado_chat.storage.raw_sql import fetch_rows

_AGENT: Mapping[Kind, str] = {
    Kind.SESSION: "SELECT helper FROM consultation_session WHERE id = ?",
    Kind.SUPPORT: "SELECT waiter FROM support_conversation WHERE id = ?",
}
_LEFT = "SELECT MAX(left_seq) FROM participant WHERE kind = ? AND number = ? AND person = ? AND part = ?"


def last_visible(database: pw.Database, thread: Thread, reader: Person) -> int | None:
    """Return the last ``seq`` that a former agent may read; None for the present agent, and for others."""
    if thread.kind not in _AGENT:
        return None
    rows = fetch_rows(database, _AGENT[thread.kind], thread.id)
    if not rows or rows[0][0] == reader.key:
        return None
    found: int | None = fetch_rows(
        database, _LEFT, thread.kind.value, thread.id, reader.key, Part.AGENT.value
    )[0][0]
    return found


def page_after(
    database: pw.Database, thread: Thread, reader: Person, seq: int, limit: int, max_bytes: int
) -> Page[Message]:
    """Return the messages after ``seq`` that ``reader`` may read, as ``messages.page_after``."""
    return _cut(database, reader, thread, messages.page_after(database, thread, seq, limit, max_bytes))


def page_before(
    database: pw.Database, thread: Thread, reader: Person, seq: int | None, limit: int, max_bytes: int
) -> Page[Message]:
    """Return the messages before ``seq`` that ``reader`` may read, as ``messages.page_before``."""
    return _cut(database, reader, thread, messages.page_before(database, thread, seq, limit, max_bytes))


def _cut(database: pw.Database, reader: Person, thread: Thread, page: Page[Message]) -> Page[Message]:
    last = last_visible(database, thread, reader)
    if last is None or not page.items or page.items[-1].seq <= last:
        return page
    return Page([message for message in page.items if message.seq <= last], False)
